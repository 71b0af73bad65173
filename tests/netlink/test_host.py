# SPDX-License-Identifier: GPL-2.0-only
import subprocess


LISTEN = """
import socket, sys
held = []
for kind, family, address, port in (
        (socket.SOCK_STREAM, socket.AF_INET, "0.0.0.0", 1001),
        (socket.SOCK_STREAM, socket.AF_INET6, "::1", 1002),
        (socket.SOCK_DGRAM, socket.AF_INET, "127.0.0.1", 1003),
        (socket.SOCK_DGRAM, socket.AF_INET6, "::", 1004)):
    s = socket.socket(family, kind)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen()
    held.append(s)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 1005))
s.connect(("127.0.0.1", 9))
c = socket.socket()
c.bind(("127.0.0.1", 1006))
c.connect(("127.0.0.1", 1001))
print("listening", flush=True)
sys.stdin.read()
"""


def test_forwarding(net):
    shell = net.shell()
    assert shell.do("forwarding eth0") == 0
    assert shell.do("forward eth0") == 0
    assert shell.do("forwarding eth0") == 1
    assert shell.do("forwarding eth1") == 0
    assert shell.do("forwarding nothing") == -2


def test_forwarding_of_odd_names(net):
    net.ip("host", "link add eth0.100 type veth peer name veth9")
    shell = net.shell()
    assert shell.do("forward eth0.100") == 0
    assert shell.do("forwarding eth0.100") == 1
    assert shell.do("forwarding eth0") == 0
    for name in ("..", ".", "../conf/eth0", "eth0/", "a-name-that-is-too-long"):
        assert shell.do(f"forward {name}") == -22, name


def test_used_ports(net):
    net.sysctl("ipv4/ip_local_port_range", '"40000 40010"')
    process = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{net.name('host')}", "/usr/bin/python3", "-c", LISTEN],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "listening\n"
        shell = net.shell()
        assert shell.do("ports") == 0
        assert {int(port) for port in shell.wait("ports").rest.split()} == {
            *range(40000, 40011), 1001, 1002, 1003, 1004, 1005}
    finally:
        process.stdin.close()
        process.wait(10)


def test_driver(net):
    shell = net.shell()
    assert shell.do("driver eth0") == 0
    assert shell.wait("driver").rest == "veth"
    assert shell.do("driver lo") == 0
    assert shell.wait("driver").rest == ""
    assert shell.do("driver nothing") == -19
    assert shell.wait("driver").rest == "untouched"
