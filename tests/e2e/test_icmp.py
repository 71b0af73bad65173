# SPDX-License-Identifier: GPL-2.0-only
"""ICMP through weir: path MTU discovery and refusals in both directions; pings of service addresses."""

import hashlib
import socket
import subprocess

import pytest

from network import CLIENT, LB, backend_address, backends, until
from servers import echoes, hold, read_exactly

NARROW = 1400
ROUTED = "203.0.113.80"


def pings(lab, address, **more):
    return lab.exec("client", "ping", "-c", 3, "-i", 0.05, "-W", 2, address, **more).stdout


@pytest.mark.backends(1)
def test_path_mtu_of_a_download(lab):
    """The narrow link is the gateway's, towards the client: the backend must hear of it."""
    directory = lab.serve()
    content = bytes(range(256)) * 8000
    (directory / "file").write_bytes(content)
    lab.exec("gateway", "ip", "link", "set", "eth0", "mtu", NARROW)
    lab.balance()
    got = subprocess.run(lab.command("client", "curl", "-sS", "--max-time", 20,
                                     f"http://{LB}:8000/big/file"),
                         check=True, capture_output=True, timeout=30).stdout
    assert hashlib.sha256(got).digest() == hashlib.sha256(content).digest()
    assert lab.reasons()["icmp_error"] >= 1
    assert f"mtu {NARROW}" in lab.exec("backend-1", "ip", "route", "get", LB).stdout


@pytest.fixture
def behind_a_router(lab):
    """backend-2 is the router to another address of backend-1, 10.3.0.1, over a narrow link."""
    lab.exec("backend-2", "ip", "link", "add", "far", "type", "veth", "peer", "name", "near",
             "netns", lab.namespace("backend-1"))
    for host, interface, number, mtu in (("backend-2", "far", 2, NARROW),
                                         ("backend-1", "near", 1, 1500)):
        lab.exec(host, "ip", "address", "add", f"10.3.0.{number}/24", "dev", interface)
        lab.exec(host, "ip", "link", "set", interface, "up", "mtu", mtu)
        lab.exec(host, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off",
                 "gro", "off")
    lab.exec("backend-2", "sysctl", "-q", "net.ipv4.ip_forward=1")
    lab.exec("backend-1", "ip", "route", "replace", "default", "via", "10.3.0.2")
    lab.exec("backend-1", "ip", "address", "del", f"{backend_address(1)}/24", "dev", "eth0")
    lab.exec("lb", "ip", "route", "add", "10.3.0.0/24", "via", backend_address(2))
    return lab.listen("backend-1", "10.3.0.1", 9000)


def test_path_mtu_of_an_upload(lab, behind_a_router):
    """The narrow link is behind weir, towards the backend: the client must hear of it."""
    lab.balance(to="10.3.0.1:9000")
    connection = lab.connect()
    served, _ = behind_a_router.accept()
    content = bytes(range(256)) * 400
    connection.sendall(content)
    assert read_exactly(served, len(content)) == content
    assert lab.reasons()["icmp_error"] >= 1
    assert f"mtu {NARROW}" in lab.exec("client", "ip", "route", "get", LB).stdout


@pytest.mark.backends(1)
def test_no_server_at_the_backends_port(lab):
    """The backend's own port unreachable comes from the address that the client asked."""
    lab.balance(listen=f"{LB}:8000/udp")
    asking = lab.datagrams()
    asking.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        asking.recv(100)
    assert lab.reasons()["icmp_error"] == 1


@pytest.mark.backends(1)
def test_client_that_has_gone(lab):
    serving = lab.socket("backend-1", kind=socket.SOCK_DGRAM, bind=(backend_address(1), 8000))
    lab.balance(listen=f"{LB}:8000/udp")
    asking = lab.datagrams()
    asking.send(b"?")
    _, peer = serving.recvfrom(100)
    asking.close()
    serving.connect(peer)
    serving.send(b"!")
    with pytest.raises(ConnectionRefusedError):
        serving.recv(100)


@pytest.mark.backends(1)
def test_pings_of_an_address_that_comes_and_goes(lab, servers):
    lab.exec("gateway", "ip", "route", "add", ROUTED, "via", LB)
    lab.balance(listen=[f"{ROUTED}:8000", f"{LB}:8000"])
    assert "3 received" in pings(lab, ROUTED)
    assert lab.reasons()["echo"] == 3
    assert "3 received" in pings(lab, LB)  # the host's own answer
    assert lab.reasons()["echo"] == 3
    echo = 3
    for change in ("add", "del", "add"):
        lab.exec("lb", "ip", "address", change, f"{ROUTED}/32", "dev", "lo")

        def answered_by_the_other(wanted=change == "del"):
            before = lab.reasons()["echo"]
            assert "1 received" in lab.exec("client", "ping", "-c", 1, "-W", 2, ROUTED).stdout
            return (lab.reasons()["echo"] > before) == wanted
        until(answered_by_the_other, what=f"address {change}")
    assert lab.reasons()["echo"] >= echo + 1
    assert echoes(hold(lab, (ROUTED, 8000))[0])


@pytest.mark.backends(1)
def test_pings_of_other_addresses_are_the_hosts(lab, servers):
    """Only service addresses are answered: the peers answer for any."""
    lab.exec("gateway", "ip", "route", "add", ROUTED, "via", LB)
    lab.balance()
    assert "0 received" in pings(lab, ROUTED, check=False)
    assert "3 received" in pings(lab, LB)
    assert lab.reasons()["echo"] == 0
    assert "3 received" in lab.exec("lb", "ping", "-c", 3, "-i", 0.05, CLIENT).stdout


@pytest.mark.backends(1)
@pytest.mark.parametrize("length", [0, 56, 1472])
def test_ping_lengths(lab, length):
    lab.exec("gateway", "ip", "route", "add", ROUTED, "via", LB)
    lab.balance(listen=f"{ROUTED}:8000", to=backends(1, 8000))
    answer = lab.exec("client", "ping", "-c", 3, "-i", 0.05, "-W", 2, "-s", length, ROUTED).stdout
    assert "3 received" in answer
    assert lab.reasons()["echo"] == 3
