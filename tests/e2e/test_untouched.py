# SPDX-License-Identifier: GPL-2.0-only
"""What is not for a service reaches the host byte for byte, and the host's own traffic works."""

import socket

import pytest

from frames import ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, Raw, Wire, fragment
from network import LB, LB6, backend_address, until
from servers import echoes, hold, read_line, visit


@pytest.fixture
def balanced(lab, servers):
    lab.balance(listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    return lab


def test_host_has_a_server_of_its_own_on_the_service_address(balanced, servers):
    """Like sshd: another port, on the very address that clients talk to."""
    servers.open("lb", 22, address=LB)
    for client in ("client", "gateway", "backend-1"):
        connection, name = hold(balanced, (LB, 22), host=client)
        assert name == "lb"
        assert echoes(connection, bytes(range(256)) * 100)
    asking = balanced.datagrams((LB, 22))
    asking.send(b"?")
    assert asking.recv(100).startswith(b"lb 10.0.0.20:")
    assert balanced.reasons()["new_flow"] == 0


def test_service_port_on_another_address_is_the_hosts(balanced, servers):
    """The tutorials take any packet with that port."""
    balanced.exec("lb", "ip", "address", "add", "192.168.178.99/24", "dev", "eth0")
    servers.open("lb", 8000, address="192.168.178.99")
    assert hold(balanced, ("192.168.178.99", 8000))[1] == "lb"
    asking = balanced.datagrams(("192.168.178.99", 8000))
    asking.send(b"?")
    assert asking.recv(100).split()[0] == b"lb"


def test_other_protocol_on_the_service_port_is_the_hosts(lab, servers):
    lab.balance()  # TCP only
    servers.open("lb", 8000, address=LB, kinds=[socket.SOCK_DGRAM])
    asking = lab.datagrams()
    asking.send(b"?")
    assert asking.recv(100).split()[0] == b"lb"
    assert visit(lab) in lab.backends()


def test_lb_itself_reaches_a_backends_service_port(balanced):
    """Source port 8000 comes back from the backend: no flow, not a service, the host's own."""
    for _ in range(3):
        connection, name = hold(balanced, (backend_address(1), 8000), host="lb")
        assert name == "backend-1" and echoes(connection, b"x" * 10000)
    asking = balanced.datagrams((backend_address(2), 8000), host="lb")
    asking.send(b"?")
    assert asking.recv(100).startswith(b"backend-2")
    assert visit(balanced) in balanced.backends()
    flows = balanced.weir("flow", "list")
    assert len(flows) == 1 and flows[0]["client"].startswith("10.0.0.20:")


def test_backend_sends_from_the_service_port_to_the_host(balanced):
    """What looks like a reply but belongs to no flow: never scheduled, the host's."""
    waiting = balanced.socket("lb", kind=socket.SOCK_DGRAM, bind=(LB, 23456))
    balanced.datagrams((LB, 23456), host="backend-1", bind=(backend_address(1), 9000)).send(b"one")
    assert waiting.recv(100) == b"one"
    wire = Wire(balanced, "lb")
    stray = (Ether(dst=wire.mac, src=balanced.mac("backend-1")) /
             IP(src=backend_address(1), dst=LB) / TCP(sport=8000, dport=23456, flags="SA", ack=1))
    Wire(balanced, "backend-1").send(stray)
    assert bytes(wire.wait_for(lambda frame: TCP in frame and frame[TCP].dport == 23456))
    assert balanced.reasons()["new_flow"] == 0


@pytest.mark.parametrize("host", ["client", "backend-1"])
@pytest.mark.parametrize("size", [56, 1472, 4000, 20000])
def test_pings(balanced, host, size):
    answer = balanced.exec(host, "ping", "-c", 3, "-i", 0.05, "-W", 5, "-s", size, LB).stdout
    assert "3 received" in answer


def test_ping_with_ip_options(balanced):
    answer = balanced.exec("backend-1", "ping", "-c", 2, "-i", 0.05, "-W", 5, "-R", LB).stdout
    assert "2 received" in answer and "RR:" in answer
    answer = balanced.exec("backend-1", "ping", "-c", 2, "-i", 0.05, "-W", 5, "-T", "tsonly",
                           LB).stdout
    assert "2 received" in answer and "TS:" in answer


def test_lb_pings_out(balanced):
    for address in ("10.0.0.20", backend_address(1)):
        answer = balanced.exec("lb", "ping", "-c", 2, "-i", 0.05, "-W", 5, "-s", 4000, address)
        assert "2 received" in answer.stdout


def test_arp_of_the_service_address(balanced):
    wire = Wire(balanced, "backend-1")
    wire.send(Ether(dst="ff:ff:ff:ff:ff:ff", src=wire.mac) /
              ARP(op="who-has", hwsrc=wire.mac, psrc=backend_address(1), pdst=LB))
    answer = wire.wait_for(lambda frame: ARP in frame and frame[ARP].op == 2 and
                           frame[ARP].psrc == LB, what="the answer to ARP")
    assert answer[ARP].hwsrc == balanced.mac("lb")


def frames_not_ours(source_mac, lb_mac):
    """Frames that the stack may throw away, but must be given first. By name."""
    ether = Ether(src=source_mac, dst=lb_mac)
    ip = IP(src=backend_address(1), dst=LB, id=77)
    tcp = TCP(sport=4444, dport=8000, flags="S", seq=1)
    big = ip / UDP(sport=4444, dport=9999) / Raw(bytes(range(256)) * 10)
    pieces = [bytes(ether / piece) for piece in fragment(big, fragsize=1000)]
    tagged = ether / Dot1Q(vlan=5)
    return {
        "VLAN": tagged / ip / TCP(sport=4444, dport=22, flags="S", seq=1),
        "VLAN with priority": ether / Dot1Q(vlan=4094, prio=7) / ip / UDP(sport=1, dport=9999),
        "two VLAN tags": ether / Dot1Q(vlan=5, type=0x8100) / Dot1Q(vlan=6) / ip /
                         UDP(sport=1, dport=9999),
        "three VLAN tags": ether / Dot1Q(vlan=5, type=0x8100) / Dot1Q(vlan=6, type=0x8100) /
                           Dot1Q(vlan=7) / ip / tcp,
        "VLAN, ARP inside": tagged / ARP(psrc=backend_address(1), pdst=LB),
        "first fragment": pieces[0],
        "middle fragment": pieces[1],
        "last fragment": pieces[2],
        "ARP reply": ether / ARP(op=2, hwsrc=source_mac, psrc=backend_address(1), pdst=LB),
        "IPv6": ether / Raw(b""),
        "unknown ethertype": Ether(src=source_mac, dst=lb_mac, type=0x88b5) / Raw(b"x" * 60),
        "LLC": Ether(src=source_mac, dst="01:80:c2:00:00:00", type=38) / Raw(b"\x42\x42\x03" * 20),
        "ICMP echo": ether / ip / ICMP(id=1, seq=2) / Raw(b"abc"),
        "ICMP with options": ether / IP(src=ip.src, dst=LB, options=b"\x07\x07\x04\0\0\0\0\0") /
        ICMP(id=1),
        "GRE": ether / IP(src=ip.src, dst=LB, proto=47) / Raw(b"\0\0\x08\0" + b"x" * 20),
        "ESP": ether / IP(src=ip.src, dst=LB, proto=50) / Raw(b"y" * 40),
        "SCTP to the service port": ether / IP(src=ip.src, dst=LB, proto=132) /
        Raw(b"\x11\x5c\x1f\x40" + b"z" * 30),
        "TCP to another port": ether / ip / TCP(sport=4444, dport=8001, flags="S"),
        "TCP from the service port": ether / ip / TCP(sport=8000, dport=4444, flags="A"),
        "TCP to another address": ether / IP(src=ip.src, dst="192.168.178.200") / tcp,
        "TCP with options to another port": ether / ip / TCP(
            sport=1, dport=8001, flags="S", options=[("MSS", 1400), ("SAckOK", b"")]),
        "UDP to another port": ether / ip / UDP(sport=4444, dport=9999) / Raw(b"hello"),
        "UDP broadcast": Ether(src=source_mac, dst="ff:ff:ff:ff:ff:ff") / IP(
            src=ip.src, dst="192.168.178.255") / UDP(sport=1, dport=8000) / Raw(b"all"),
        "UDP multicast": Ether(src=source_mac, dst="01:00:5e:00:00:05") / IP(
            src=ip.src, dst="224.0.0.5", ttl=1) / UDP(sport=1, dport=8000) / Raw(b"some"),
        "TTL 1, not ours": ether / IP(src=ip.src, dst=LB, ttl=1) / UDP(dport=9999),
        "IP options, not ours": ether / IP(src=ip.src, dst=LB, options=b"\x94\x04\0\0") / UDP(
            dport=9999),
        "UDP length beyond the packet, not ours": ether / ip / UDP(dport=9999, len=500),
        "TCP header cut short, not ours": ether / IP(src=ip.src, dst=LB, proto=6) / Raw(
            b"\x11\x5c\x1f\x41\0\0"),
        "IP header of 4 bytes, not ours": ether / IP(
            src=ip.src, dst="192.168.178.200", ihl=1) / tcp,
        "IP header cut short": ether / Raw(bytes(ip / tcp)[:14]),
        "wrong IP checksum, not ours": ether / IP(src=ip.src, dst=LB, chksum=1) / UDP(dport=9999),
        "nothing but Ethernet": Ether(src=source_mac, dst=lb_mac, type=0x0800),
    }


@pytest.mark.parametrize("how", ["native", "generic"])
def test_frames_pass_unchanged(lab, servers, how):
    """All of them over one wire, each compared with what the lb's stack is given."""
    lab.balance("--attach", how, listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    # Behind the bridge, which throws some of these away and takes VLAN tags out.
    sender, receiver = Wire(lab, "lan", "port-lb"), Wire(lab, "lb")
    before = lab.reasons()
    frames = frames_not_ours(sender.mac, receiver.mac)
    frames["IPv6"] = Ether(src=sender.mac, dst=receiver.mac, type=0x86dd) / Raw(
        b"\x60\0\0\0\0\x08\x3a\xff" + b"\xfe\x80" + b"\0" * 13 + b"\1" + b"\xfe\x80" + b"\0" * 13 +
        b"\2" + b"\x80\0\0\0\0\1\0\1")
    for name, frame in frames.items():
        receiver.drain()
        sender.send(frame)
        arrived = receiver.wait_for(lambda seen: bytes(seen) == bytes(frame), timeout=2, what=name)
        assert bytes(arrived) == bytes(frame)
    after = lab.reasons()
    passed = ["not_ip", "not_tcp_udp", "fragment", "not_unicast", "not_ours",
              "not_ours_malformed"]
    assert all(after[reason] == before[reason] for reason in after if reason not in passed)
    assert sum(after[reason] - before[reason] for reason in passed) >= len(frames)
    assert all(after[reason] > before[reason] for reason in passed)


def test_ipv6_of_the_host(balanced):
    answer = balanced.exec("backend-1", "ping", "-6", "-c", 2, "-i", 0.05, "-W", 5, "-s", 3000,
                           LB6)
    assert "2 received" in answer.stdout
    assert visit(balanced) in balanced.backends()


def test_lb_is_a_client_of_the_world(balanced, servers):
    """Its own connections through the gateway, long ones, while services run."""
    server = balanced.listen("client", "10.0.0.20", 443)
    connection = balanced.connect(("10.0.0.20", 443), host="lb")
    served, peer = server.accept()
    assert peer[0] == LB
    served.sendall(b"hello\n")
    assert read_line(connection) == "hello"
    until(lambda: visit(balanced) == "backend-2")
    connection.sendall(b"bye")
    assert served.recv(3) == b"bye"
