# SPDX-License-Identifier: GPL-2.0-only
import subprocess
import time

import pytest


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
    switch = f"switch forwarding{net.family}"
    assert shell.do(f"{switch} eth0") == 0
    assert shell.wait("switch").rest == f"net.{net.SYSCTL}.conf.eth0.forwarding"
    assert shell.do(f"{switch} eth0 1") == 0
    assert shell.do(f"{switch} eth0") == 1
    assert shell.do(f"{switch} eth1") == 0
    assert shell.do(f"switch forwarding{10 - net.family} eth0") == 0
    assert shell.do(f"{switch} eth0 0") == 0
    assert shell.do(f"{switch} eth0") == 0
    assert shell.do(f"{switch} nothing") == -2


@pytest.mark.parametrize("family", [6])
def test_accept_ra(net):
    shell = net.shell()
    assert shell.do("switch accept_ra eth0") == 1
    assert shell.wait("switch").rest == "net.ipv6.conf.eth0.accept_ra"
    assert shell.do("switch accept_ra eth0 2") == 0
    assert shell.do("switch accept_ra eth0") == 2
    net.sysctl("ipv6/conf/eth0/accept_ra", -1)
    assert shell.do("switch accept_ra eth0") == 1


def test_switches_of_odd_names(net):
    net.ip("host", "link add eth0.100 type veth peer name veth9")
    switch = f"switch forwarding{net.family}"
    shell = net.shell()
    assert shell.do(f"{switch} eth0.100 1") == 0
    assert shell.wait("switch").rest == f"net.{net.SYSCTL}.conf.eth0/100.forwarding"
    assert shell.do(f"{switch} eth0.100") == 1
    assert shell.do(f"{switch} eth0") == 0
    for name in ("..", ".", "../conf/eth0", "eth0/", "a-name-that-is-too-long"):
        assert shell.do(f"{switch} {name} 1") == -22, name


@pytest.mark.parametrize("family", [6])
def test_interface_without_ipv6(net):
    net.ip("host", "link set eth1 mtu 1200")
    shell = net.shell("watch eth1")
    assert shell.do("switch forwarding6 eth1") == -2
    assert shell.do("switch forwarding4 eth1") == 0


ROUTER = """
import socket, struct, sys
index = socket.if_nametoindex(sys.argv[1])
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))
"""


def announced(net):
    routes = net.ip("host", "-6 route show default proto ra").splitlines()
    return sorted(route.split()[route.split().index("dev") + 1] for route in routes)


@pytest.mark.parametrize("family", [6])
def test_announced_routes_survive_forwarding(net):
    """The kernel drops those of every interface with accept_ra 1, not only of the one that forwards."""
    net.when_up("b", "eth0", "eth1")
    for interface in ("eth0", "eth1"):
        net.execute("b", "/usr/bin/python3", "-c", ROUTER, interface)
    for _ in range(50):
        if announced(net) == ["eth0", "eth1"]:
            break
        time.sleep(0.1)
    assert announced(net) == ["eth0", "eth1"]
    shell = net.shell("switch accept_ra eth0 2")
    assert shell.do("switch forwarding6 eth0 1") == 0
    assert announced(net) == ["eth0", "eth1"]
    assert shell.do("switch accept_ra eth1") == 1
    assert shell.do("switch accept_ra eth0") == 2
    assert shell.do("switch accept_ra lo") == 1


@pytest.mark.parametrize("family", [4])
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


@pytest.mark.parametrize("family", [4])
def test_driver(net):
    shell = net.shell()
    assert shell.do("driver eth0") == 0
    assert shell.wait("driver").rest == "veth"
    assert shell.do("driver lo") == 0
    assert shell.wait("driver").rest == ""
    assert shell.do("driver nothing") == -19
    assert shell.wait("driver").rest == "untouched"
