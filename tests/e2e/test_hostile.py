# SPDX-License-Identifier: GPL-2.0-only
"""Floods and forgeries, bounded and inside the lab: who talks already, and who comes, is served."""

import random
import socket
import struct
import threading
import time

import pytest

from frames import IP, TCP, UDP, Ether, Raw, Wire
from network import CLIENT, LB, backend_address, until
from servers import echoes, hold, read_line, visit

FLOOD = 20000
# 198.18.0.0/15 is for such tests (RFC 2544); the gateway throws answers to it away.
NOWHERE = 0xc6120000


@pytest.fixture
def nowhere(lab):
    lab.exec("gateway", "ip", "route", "add", "blackhole", "198.18.0.0/15")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def flood_frames(lab, protocol, flags=0x02, count=FLOOD, seed=1):
    """Frames with random sources, ports and numbers, correct in every checksum."""
    dice = random.Random(seed)
    ether = bytes.fromhex((lab.mac("gateway", "eth0") + lab.mac("client")).replace(":", "") +
                          "0800")
    to = socket.inet_aton(LB)
    length = 20 if protocol == socket.IPPROTO_TCP else 12
    for _ in range(count):
        source = struct.pack("!I", NOWHERE | dice.getrandbits(17))
        ports = struct.pack("!HH", dice.randrange(1, 65536), 8000)
        if protocol == socket.IPPROTO_TCP:
            segment = ports + struct.pack("!IIBBHHH", dice.getrandbits(32), dice.getrandbits(32),
                                          5 << 4, flags, 1024, 0, 0)
            at = 16
        else:
            segment = ports + struct.pack("!HH4s", length, 0, b"?abc")
            at = 6
        value = checksum(source + to + struct.pack("!HH", protocol, length) + segment)
        segment = segment[:at] + struct.pack("!H", value or 0xffff) + segment[at + 2:]
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, dice.getrandbits(16), 0, 64,
                           protocol, 0, source, to)
        yield ether + head[:10] + struct.pack("!H", checksum(head)) + head[12:] + segment


class Flood:
    """Sends the frames from the client in a thread of its own; ends by itself."""

    def __init__(self, lab, frames):
        self.frames = list(frames)
        self.wire = Wire(lab, "client")
        self.thread = threading.Thread(target=self.run)

    def run(self):
        """In bursts that fit into the queues of veth, or the flood would only hurt itself."""
        for first in range(0, len(self.frames), 100):
            self.wire.send(*self.frames[first:first + 100])
            time.sleep(0.002)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.thread.join()

    @property
    def runs(self):
        return self.thread.is_alive()


def keep_talking(lab, flood, old):
    """Old connections echo and new ones are made, 20 at least and as long as the flood runs."""
    new = []
    while flood.runs or len(new) < 20:
        connection, _ = hold(lab)
        assert echoes(connection)
        new.append(connection)
        for connection in old:
            assert echoes(connection)
        if len(new) > 200:
            new.pop(0).close()
    return new


@pytest.mark.parametrize("scheduler", ["rr", "lc"])
def test_syn_flood(lab, servers, nowhere, scheduler):
    """The ring of half-open flows comes round ten times; only flood falls out of it."""
    lab.balance("--half-open", "2k", "--scheduler", scheduler, "--timeout-tcp-handshake", "2s")
    old = [hold(lab)[0] for _ in range(20)]
    with Flood(lab, flood_frames(lab, socket.IPPROTO_TCP)) as flood:
        new = keep_talking(lab, flood, old)
    reasons = lab.reasons()
    assert reasons["new_flow"] >= FLOOD / 2  # a queue may overflow somewhere
    assert reasons["flows_full"] == reasons["snat_exhausted"] == 0
    counts = lab.weir("flow", "count")
    assert counts["half_open"] <= 2048
    assert counts["half_open_horizon_ms"] <= 2000
    assert all(echoes(connection) for connection in old + new)
    until(lambda: lab.weir("flow", "count")["half_open"] == 0, what="the flood forgotten")
    assert sum(lab.active()) == lab.weir("flow", "count")["established"] == len(old + new)
    assert visit(lab) in lab.backends()


def test_syn_flood_with_few_records(lab, servers, nowhere):
    """The flood fills what is left of the table; established ones are not touched by it."""
    lab.balance("--flows", "3000", "--half-open", "1k", "--timeout-tcp-handshake", "1s")
    old = [hold(lab)[0] for _ in range(500)]
    with Flood(lab, flood_frames(lab, socket.IPPROTO_TCP)) as flood:
        keep_talking(lab, flood, old[:20])
    assert all(echoes(connection) for connection in old)


@pytest.mark.parametrize("flags", [0x10, 0x12, 0x11, 0x18], ids=["ACK", "SYN-ACK", "FIN", "PSH"])
def test_flood_without_flows(lab, servers, nowhere, flags):
    lab.balance("--reset-rate", "100")
    old = [hold(lab)[0] for _ in range(5)]
    frames = flood_frames(lab, socket.IPPROTO_TCP, flags, FLOOD // 4)
    with Flood(lab, frames) as flood:
        keep_talking(lab, flood, old)
    reasons = lab.reasons()
    assert reasons["no_flow"] + reasons["no_flow_silent"] >= FLOOD // 4 / 2
    assert reasons["no_flow_silent"] > 0
    assert lab.weir("flow", "count")["half_open"] == 0


def test_udp_flood(lab, servers, nowhere):
    """A conversation survives, and TCP beside it."""
    lab.balance("--half-open", "2k", "--flows", "8k", "--timeout-udp", "1s",
                listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    talker = lab.datagrams(timeout=0.1)
    old = [hold(lab)[0] for _ in range(10)]
    names = set()

    def asked():
        """One answer, after as many questions as it takes: queues overflow."""
        talker.send(b"?")
        try:
            return talker.recv(100)
        except TimeoutError:
            return None

    def talk():
        names.add(until(asked, what="an answer"))
        return [flow for flow in lab.weir("flow", "list", "--service", "udp-192-168-178-10-8000")
                if flow["state"] == "established"]
    until(talk, what="a conversation")
    with Flood(lab, flood_frames(lab, socket.IPPROTO_UDP)) as flood:
        while flood.runs:
            names.add(until(asked, what="an answer"))
            assert echoes(old[0])
    assert len(names) == 1  # one backend, one source port, from first to last
    assert len(talk()) == 1  # nobody else was promoted
    assert all(echoes(connection) for connection in old)
    assert visit(lab) in lab.backends()


def forge(lab, connection, **fields):
    """A segment that claims to be of this connection, sent by the client's machine."""
    wire = Wire(lab, "client")
    payload = fields.pop("payload", b"")
    wire.send(Ether(dst=lab.mac("gateway", "eth0"), src=wire.mac) / IP(src=CLIENT, dst=LB) /
              TCP(sport=connection.getsockname()[1], dport=8000, **fields) / Raw(payload))


@pytest.mark.parametrize("fields", [
    {"flags": "R", "seq": 12345}, {"flags": "RA", "seq": 12345, "ack": 99},
    {"flags": "FA", "seq": 12345, "ack": 99}, {"flags": "S", "seq": 12345},
    {"flags": "SA", "seq": 12345, "ack": 4}, {"flags": "A", "seq": 1, "ack": 1},
    {"flags": "PA", "seq": 0x7fffffff, "ack": 5, "payload": b"lies"}, {"flags": ""},
    {"flags": "FSRPAU"}], ids=lambda fields: fields["flags"] or "none")
def test_forged_segments_change_nothing(lab, servers, fields):
    """Sequence numbers that are not in order: RFC 5961."""
    lab.balance()
    connection, _ = hold(lab)
    before = lab.reasons()["to_backend"]
    for _ in range(3):
        forge(lab, connection, **fields)
    until(lambda: lab.reasons()["to_backend"] >= before + 3, what="the forgeries forwarded")
    assert lab.weir("flow", "list")[0]["state"] == "established"
    assert echoes(connection, b"still here")
    connection.close()
    until(lambda: lab.active() == [0, 0], what="a proper end")


def test_forged_replies_change_nothing(lab, servers):
    """From a neighbour that claims to be the backend, guessing ports."""
    lab.balance(to=backend_address(1))
    connection, _ = hold(lab)
    snat = lab.weir("flow", "list")[0]["snat"]
    wire = Wire(lab, "lan", "port-lb")
    for flags in ("R", "RA", "FA", "SA"):
        wire.send(Ether(src="02:00:00:00:00:01", dst=lab.mac("lb")) /
                  IP(src=backend_address(1), dst=LB) /
                  TCP(sport=8000, dport=int(snat.split(":")[1]), flags=flags, seq=7, ack=9))
    until(lambda: lab.reasons()["to_client"] >= 6, what="the forgeries forwarded")
    assert lab.weir("flow", "list")[0]["state"] == "established"
    assert echoes(connection)


def test_handshake_must_be_proven(lab, servers, nowhere):
    """A SYN from a forged address, then an ACK that guesses: stays half open, and is forgotten."""
    lab.balance("--timeout-tcp-handshake", "1s")
    wire = Wire(lab, "client")
    way = Ether(dst=lab.mac("gateway", "eth0"), src=wire.mac) / IP(src="198.18.0.1", dst=LB)
    wire.send(way / TCP(sport=1000, dport=8000, flags="S", seq=100))
    until(lambda: lab.reasons()["to_client"] >= 1, what="the SYN-ACK")
    for guess in (0, 1, 101, 0xffffffff):
        wire.send(way / TCP(sport=1000, dport=8000, flags="A", seq=101, ack=guess))
    until(lambda: lab.reasons()["to_backend"] >= 4, what="the guesses")
    counts = lab.weir("flow", "count")
    assert counts["established"] == 0
    until(lambda: lab.weir("flow", "list") == [], what="the flow forgotten")


def test_mutated_frames(lab, servers):
    """5,000 frames with random bytes changed or cut off: weir counts each one and goes on."""
    lab.balance(listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    connection, _ = hold(lab)
    dice, wire = random.Random(2), Wire(lab, "lan", "port-lb")
    way = Ether(src="02:00:00:00:00:01", dst=lab.mac("lb")) / IP(src="192.168.178.99", dst=LB)
    whole = [bytearray(bytes(way / layer / Raw(b"payload" * 5))) for layer in (
        TCP(dport=8000, flags="S"), TCP(dport=8000, flags="PA"), UDP(dport=8000), UDP(dport=53))]
    before = lab.weir("status")["packets"]
    for _ in range(5000):
        frame = bytearray(dice.choice(whole))
        for _ in range(dice.randrange(1, 5)):
            frame[dice.randrange(12, len(frame))] = dice.getrandbits(8)
        wire.send(frame[:dice.randrange(14, len(frame) + 1)] if dice.random() < 0.3 else frame)
    until(lambda: lab.weir("status")["packets"] >= before + 4900, what="the frames counted")
    assert echoes(connection)
    assert visit(lab) in lab.backends()


def test_one_client_with_all_its_ports(lab, servers):
    """More connections to one backend than it has source ports: refused, the others unharmed."""
    lab.balance("--snat-ports", "2000-2999", to=backend_address(1))
    held = []
    for _ in range(1000):
        held.append(lab.connect())
    peers = {read_line(connection) for connection in held}
    assert len(peers) == 1000  # each port found, however full the range is
    with pytest.raises(ConnectionRefusedError):
        lab.connect()
    assert all(echoes(connection) for connection in held)
