# SPDX-License-Identifier: GPL-2.0-only
"""What weir answers by itself: RST, port unreachable, time exceeded; and what it drops."""

import socket
import time

import pytest

from frames import ICMP, IP, TCP, UDP, Ether, Raw, Wire, checksums_hold
from network import CLIENT, LB, SERVICE, backend, backend_address, until
from servers import echoes, hold, visit

IP_RECVERR = 11
NOBODY = "192.168.178.77"  # an address of the LAN that no host has
PORT_UNREACHABLE = (3, 3)
TIME_EXCEEDED = (11, 0)


def test_no_usable_backend_is_refused_at_once(lab):
    lab.balance(to=NOBODY, listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    start = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        lab.connect()
    assert time.monotonic() - start < 0.9  # a repeated SYN would come after 1 s
    asking = lab.datagrams()
    asking.send(b"?")
    with pytest.raises(ConnectionRefusedError):
        asking.recv(100)
    assert lab.reasons()["no_backend"] == 2
    rows = lab.weir("backend", "list")
    assert [(row["usable"], row["connections"]["total"]) for row in rows] == [(False, 0)] * 2
    assert all(row["why"] for row in rows)


def test_weight_0_everywhere_is_no_backend(lab, servers):
    lab.balance(to=f"{backend_address(1)}=0,{backend_address(2)}=0")
    with pytest.raises(ConnectionRefusedError):
        lab.connect()


def test_on_no_backend_drop_is_silent(lab):
    lab.balance("--on-no-backend", "drop", to=NOBODY, listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    wire = Wire(lab, "client")
    trying = lab.socket("client", timeout=0)
    with pytest.raises(BlockingIOError):
        trying.connect(SERVICE)
    lab.datagrams().send(b"?")
    until(lambda: lab.reasons()["no_backend_silent"] >= 2, what="two silent drops")
    assert not [frame for frame in wire.drain() if IP in frame]


def test_only_usable_backends_are_chosen(lab, servers):
    lab.balance(to=f"{backend_address(1)},{NOBODY},{backend_address(2)}")
    assert {visit(lab) for _ in range(9)} == {"backend-1", "backend-2"}
    service = lab.weir("service", "list")[0]
    assert (service["backends"], service["healthy"]) == (3, 2)


def test_reset_for_a_segment_without_flow(lab, servers):
    """RFC 9293 3.10.7.1: with ACK, at that number; without, acknowledging what came."""
    lab.balance()
    wire, router = Wire(lab, "client"), lab.mac("gateway", "eth0")

    def answer(**fields):
        wire.send(Ether(dst=router, src=wire.mac) / IP(src=CLIENT, dst=LB) /
                  TCP(dport=8000, **fields) / Raw(b"five!"))
        return wire.wait_for(lambda frame: TCP in frame and frame[TCP].dport == fields["sport"])

    with_ack = answer(sport=1111, flags="PA", seq=1000, ack=77777)
    assert (with_ack[TCP].flags, with_ack[TCP].seq) == ("R", 77777)
    without = answer(sport=1112, flags="F", seq=1000)
    assert (without[TCP].flags, without[TCP].seq, without[TCP].ack) == ("RA", 0, 1006)
    assert all(checksums_hold(frame) for frame in (with_ack, without))
    assert lab.reasons()["no_flow"] == 2


def test_no_reset_for_a_reset(lab, servers):
    lab.balance()
    wire = Wire(lab, "client")
    wire.send(Ether(dst=lab.mac("gateway", "eth0"), src=wire.mac) / IP(src=CLIENT, dst=LB) /
              TCP(sport=1111, dport=8000, flags="RA", seq=5, ack=9))
    until(lambda: lab.reasons()["no_flow_silent"] == 1, what="the silent drop")
    assert not [frame for frame in wire.drain() if TCP in frame]


@pytest.mark.parametrize("scheduler", ["rr", "hash", "lc"])
def test_backend_appears_later(lab, servers, scheduler):
    lab.exec("backend-1", "ip", "link", "set", "eth0", "down")
    lab.balance("--scheduler", scheduler)
    assert {visit(lab) for _ in range(6)} == {"backend-2"}
    assert not lab.backend_row(backend(1))["usable"]
    lab.exec("backend-1", "ip", "link", "set", "eth0", "up")
    lab.exec("backend-1", "ip", "route", "add", "default", "via", "192.168.178.2")
    until(lambda: lab.backend_row(backend(1))["usable"], timeout=20, what="backend-1 usable")
    until(lambda: visit(lab) == "backend-1", what="a connection to backend-1")
    until(lambda: visit(lab) == "backend-2", what="a connection to backend-2")


def icmp_probe(lab, kind, ttl, to=SERVICE):
    """A socket with this TTL that hears of ICMP errors, as traceroute's."""
    probe = lab.socket("client", kind=kind, timeout=0)
    probe.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    probe.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    try:
        probe.connect(to)
        if kind == socket.SOCK_DGRAM:
            probe.send(b"probe")
    except BlockingIOError:
        pass
    return probe


def icmp_error(probe):
    """Who sent which ICMP error about the probe: (address, (type, code))."""
    def received():
        try:
            _, ancillary, _, _ = probe.recvmsg(512, 512, socket.MSG_ERRQUEUE)
        except BlockingIOError:
            return None
        data = next(data for level, kind, data in ancillary if kind == IP_RECVERR)
        # struct sock_extended_err, then the offender's sockaddr_in
        return socket.inet_ntoa(data[20:24]), (data[5], data[6])
    return until(received, what="an ICMP error")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_traceroute_sees_weir(lab, servers, kind):
    lab.balance(listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    assert icmp_error(icmp_probe(lab, kind, ttl=1)) == ("10.0.0.2", TIME_EXCEEDED)
    assert icmp_error(icmp_probe(lab, kind, ttl=2)) == (LB, TIME_EXCEEDED)
    assert lab.reasons()["ttl_exceeded"] == 1
    assert lab.reasons()["new_flow"] == 0
    if kind == socket.SOCK_DGRAM:
        through = icmp_probe(lab, kind, ttl=3)
        assert until(lambda: try_recv(through)) == b"probe"
    else:
        connection = lab.socket("client")
        connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 3)
        connection.connect(SERVICE)


def try_recv(probe):
    try:
        return probe.recv(100)
    except BlockingIOError:
        return None


def test_time_exceeded_on_an_open_connection(lab, servers):
    """The connection hears of it, and goes on when the TTL is right again."""
    lab.balance()
    connection, _ = hold(lab)
    wire = Wire(lab, "client")
    connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 2)
    connection.sendall(b"lost at first")
    quoted = wire.wait_for(lambda frame: ICMP in frame, what="time exceeded")
    assert (quoted[ICMP].type, quoted[ICMP].code, quoted[IP].src) == (11, 0, LB)
    assert checksums_hold(quoted)
    assert quoted["IP in ICMP"].dst == LB and quoted["TCP in ICMP"].dport == 8000
    connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)
    assert connection.recv(100) == b"lost at first"
    assert echoes(connection)


def test_backend_sees_one_hop_less(lab, servers):
    """TTL is decremented in both directions."""
    lab.balance("--scheduler", "rr")
    at_backend, at_client = Wire(lab, "backend-1"), Wire(lab, "client")
    while True:
        connection, name = hold(lab)
        if name == "backend-1":
            break
    port = connection.getsockname()[1]
    there = at_backend.wait_for(lambda frame: TCP in frame and frame[TCP].dport == 8000)
    back = at_client.wait_for(lambda frame: TCP in frame and frame[TCP].dport == port)
    assert there[IP].ttl == 62  # the gateway and weir
    assert back[IP].ttl == 62
    assert checksums_hold(there) and checksums_hold(back)


@pytest.mark.parametrize("limit,reason", [("--reset-rate", "no_flow"),
                                          ("--icmp-rate", "no_backend")])
def test_own_replies_are_rate_limited(lab, limit, reason):
    """A rate of 0 silences them; the reason says so."""
    to = NOBODY if reason == "no_backend" else None
    lab.balance(limit, "0", to=to, listen=f"{LB}:8000/udp" if reason == "no_backend" else
                f"{LB}:8000")
    wire = Wire(lab, "client")
    packet = IP(src=CLIENT, dst=LB) / (UDP(sport=9, dport=8000) if reason == "no_backend" else
                                       TCP(sport=9, dport=8000, flags="A"))
    for _ in range(10):
        wire.send(Ether(dst=lab.mac("gateway", "eth0"), src=wire.mac) / packet)
    until(lambda: lab.reasons()[f"{reason}_silent"] == 10, what="ten silent drops")
    assert lab.reasons()[reason] == 0
    assert not [frame for frame in wire.drain() if IP in frame]


def test_malformed_packets_to_the_service_are_dropped(lab, servers):
    lab.balance(listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    wire, seen = Wire(lab, "lan", "port-lb"), Wire(lab, "lb")
    ether = Ether(src="02:00:00:00:00:01", dst=lab.mac("lb"))
    good = IP(src=backend_address(1), dst=LB)
    broken = {
        "malformed_ip": [IP(src=good.src, dst=LB, ihl=4) / TCP(dport=8000),
                         IP(src=good.src, dst=LB, len=900) / TCP(dport=8000)],
        "malformed_tcp": [good / TCP(dport=8000, dataofs=4), good / TCP(dport=8000, dataofs=15),
                          IP(src=good.src, dst=LB, proto=6) / Raw(b"\x11\x11\x1f\x40\0\0\0")],
        "malformed_udp": [good / UDP(dport=8000, len=7), good / UDP(dport=8000, len=99),
                          IP(src=good.src, dst=LB, proto=17) / Raw(b"\x11\x11\x1f\x40\0")],
    }
    for packets in broken.values():
        wire.send(*[ether / packet for packet in packets])
    until(lambda: all(lab.reasons()[reason] == len(packets)
                      for reason, packets in broken.items()), what="each one counted")
    assert not [frame for frame in seen.drain() if frame.src == "02:00:00:00:00:01"]
    assert visit(lab) in lab.backends()
