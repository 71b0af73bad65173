# SPDX-License-Identifier: GPL-2.0-only
"""`weir decap` on a backend, fed with wrapped packets: its kernel gets what was in them."""

import contextlib
import signal
import socket

import pytest

from direct import wait_ready
from frames import IP, UDP, Dot1Q, Ether, IPv6, IPv6ExtHdrDestOpt, Raw, Wire
from network import CLIENT, CLIENT6, LB, LB6, backend_address, weir_binary

FAMILIES = [pytest.param(False, id="v4"), pytest.param(True, id="v6")]
PORT = 8000


@contextlib.contextmanager
def decapsulation(lab, *more):
    """Of backend-1, which has the service addresses on lo; gives its socket for them."""
    for address in (f"{LB}/32", f"{LB6}/128"):
        lab.exec("backend-1", "ip", "address", "add", address, "dev", "lo")
    process = lab.popen("backend-1", weir_binary(), "decap", "-i", "eth0", *more, stdout=-1)
    wait_ready(process)
    yield
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stdout.close()


def server(lab, v6, timeout=5):
    return lab.socket("backend-1", kind=socket.SOCK_DGRAM, bind=(LB6 if v6 else LB, PORT),
                      timeout=timeout)


def packet(v6, payload):
    ip = IPv6(src=CLIENT6, dst=LB6, hlim=9) if v6 else IP(src=CLIENT, dst=LB, ttl=9)
    return ip / UDP(sport=40000, dport=PORT) / Raw(payload)


def wrapped(lab, host, outer_v6, inner, link=None, destination=None, extension=None):
    destination = destination or backend_address(1, outer_v6)
    if outer_v6:
        outer = IPv6(src="fd00:b::99", dst=destination)
    else:
        outer = IP(src="192.168.178.99", dst=destination, flags="DF")
    if extension:
        outer = outer / extension
    ether = Ether(src=lab.mac(host), dst=lab.mac("backend-1"))
    return ether / link / outer / inner if link else ether / outer / inner


@pytest.mark.parametrize("inner_v6", FAMILIES)
@pytest.mark.parametrize("outer_v6", FAMILIES)
def test_either_family_in_either(lab, outer_v6, inner_v6):
    with decapsulation(lab):
        wire, receiver = Wire(lab, "backend-2"), server(lab, inner_v6)
        for text in (b"one", b"two"):
            wire.send(wrapped(lab, "backend-2", outer_v6, packet(inner_v6, text)))
            data, client = receiver.recvfrom(100)
            assert data == text
            assert client[:2] == (CLIENT6 if inner_v6 else CLIENT, 40000)


@pytest.mark.parametrize("inner_v6", FAMILIES)
@pytest.mark.parametrize("outer_v6", FAMILIES)
def test_vlan_tag_stays(lab, outer_v6, inner_v6):
    """What the kernel would hand to the VLAN's own interface."""
    with decapsulation(lab):
        wire, receiver = Wire(lab, "backend-2"), Wire(lab, "backend-1")
        inner = packet(inner_v6, b"tagged")
        wire.send(wrapped(lab, "backend-2", outer_v6, inner, Dot1Q(vlan=7)))
        found = receiver.wait_for(lambda frame: Dot1Q in frame)
        assert bytes(found) == bytes(Ether(src=wire.mac, dst=receiver.mac) / Dot1Q(vlan=7) / inner)


@pytest.mark.parametrize("outer_v6", FAMILIES)
def test_large_frames_without_generic_mode(lab, outer_v6):
    for host in ("backend-1", "backend-2"):
        lab.exec("lan", "ip", "link", "set", f"port-{host}", "mtu", 9000)
        lab.exec(host, "ip", "link", "set", "eth0", "mtu", 9000)
    with decapsulation(lab):
        assert lab.xdp("backend-1") == "xdp"
        wire, receiver = Wire(lab, "backend-2"), server(lab, False)
        payload = bytes(range(256)) * 34
        wire.send(wrapped(lab, "backend-2", outer_v6, packet(False, payload)))
        assert receiver.recv(10000) == payload


def test_addresses_that_are_not_its_own(lab):
    """Neither another's, nor link-local ones; nor behind options, which weir never sends."""
    with decapsulation(lab):
        wire, receiver = Wire(lab, "backend-2"), server(lab, False, timeout=0.3)
        link_local = next(line.split()[3].split("/")[0] for line in lab.exec(
            "backend-1", "ip", "-oneline", "-6", "address", "show", "dev", "eth0", "scope",
            "link").stdout.splitlines())
        inner = packet(False, b"x")
        wire.send(wrapped(lab, "backend-2", True, inner, destination="fd00:b::12"),
                  wrapped(lab, "backend-2", True, inner, destination=link_local),
                  wrapped(lab, "backend-2", False, inner, destination="192.168.178.12"),
                  wrapped(lab, "backend-2", True, inner, extension=IPv6ExtHdrDestOpt()))
        with pytest.raises(TimeoutError):
            receiver.recv(100)
        wire.send(wrapped(lab, "backend-2", True, packet(False, b"mine")))
        assert receiver.recv(100) == b"mine"


def test_named_addresses_only(lab):
    with decapsulation(lab, "--address", "fd00:b::77"):
        wire, receiver = Wire(lab, "backend-2"), server(lab, True, timeout=0.3)
        wire.send(wrapped(lab, "backend-2", True, packet(True, b"not named")))
        with pytest.raises(TimeoutError):
            receiver.recv(100)
        wire.send(wrapped(lab, "backend-2", True, packet(True, b"named"),
                          destination="fd00:b::77"))
        assert receiver.recv(100) == b"named"
