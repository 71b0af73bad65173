# SPDX-License-Identifier: GPL-2.0-only
"""TCP as RFC 9293 and RFC 5961 want it, with real stacks at both ends."""

import hashlib
import random
import socket
import struct
import threading
import time

import pytest

from floods import FAR, counts, far_client, flows_of, until_counts
from frames import IP, TCP, Ether, Raw, Wire
from network import CLIENT, LB, SERVICE, backend, backend_address, until
from servers import echoes, hold, read_exactly, read_line


PIECE = 4096  # bytes a tick: 50 ticks a second


def stream(connection, seconds, pieces):
    """The server's side: reads the question up to its end, then answers slowly, then closes."""
    question = b""
    while data := connection.recv(4096):
        question += data
    assert question == b"all of it, please"
    for number in range(int(seconds * 50)):
        piece = random.Random(number).randbytes(PIECE)
        pieces.append(piece)
        connection.sendall(piece)
        time.sleep(0.02)
    connection.close()


def half_closed_download(lab, seconds):
    """Timeouts of ended flows are short: a flow that is taken for ended would not last."""
    listener = lab.listen("backend-1", backend_address(1), 8000)
    lab.balance("--timeout-tcp-close", "500ms", "--timeout-tcp-handshake", "1s",
                to=backend_address(1))
    client = lab.connect()
    server, pieces = listener.accept()[0], []
    thread = threading.Thread(target=stream, args=(server, seconds, pieces))
    thread.start()
    client.sendall(b"all of it, please")
    client.shutdown(socket.SHUT_WR)
    received = hashlib.sha256()
    halfway = None
    while data := client.recv(65536):
        received.update(data)
        if len(pieces) > seconds * 25 and not halfway:
            halfway = lab.active(), counts(lab)["established"]
    thread.join()
    assert halfway == ([1], 1)  # half-closed is not closed
    assert received.digest() == hashlib.sha256(b"".join(pieces)).digest()
    client.close()
    until_counts(lab, established=0, closing=0)


def test_half_closed_download(lab):
    half_closed_download(lab, 6)


@pytest.mark.long
def test_half_closed_download_of_a_minute(lab):
    half_closed_download(lab, 60)


class Tap:
    """Sees the segments of one connection as the client's machine gets them; forges others."""

    def __init__(self, lab, connection):
        self.lab = lab
        self.port = connection.getsockname()[1]
        self.seen = Wire(lab, "client")
        self.out = Wire(lab, "gateway", "eth1")

    def last(self, connection):
        """The newest segment of the service for this connection, after an exchange."""
        self.seen.drain()
        assert echoes(connection, b"where are we?")
        return [frame for frame in self.seen.drain()
                if TCP in frame and frame[TCP].dport == self.port][-1][TCP]

    def forge(self, payload=b"", **fields):
        """To the lb, in the client's name."""
        self.out.send(Ether(dst=self.lab.mac("lb"), src=self.out.mac) /
                      IP(src=CLIENT, dst=LB) /
                      TCP(sport=self.port, dport=SERVICE[1], **fields) / Raw(payload))

    def forge_reply(self, snat, **fields):
        """To the lb, in the backend's name."""
        wire = Wire(self.lab, "lan", "port-lb")
        wire.send(Ether(dst=self.lab.mac("lb"), src=self.lab.mac("backend-1")) /
                  IP(src=backend_address(1), dst=LB) /
                  TCP(sport=SERVICE[1], dport=snat, **fields))


# How far a forged sequence number is from the right one. Windows are larger than 1,000.
OFFSETS = [-70000, -1, 1, 1000, 1 << 17, 1 << 31]


def forged(base, offset):
    return (base + offset) % (1 << 32)


def check_alive(lab, connection, before):
    assert flows_of(lab, [connection]) == before
    assert lab.active() == [1]
    assert echoes(connection, b"still here")


@pytest.mark.parametrize("flags", ["R", "RA", "FA"])
@pytest.mark.parametrize("side", ["client", "backend"])
def test_blind_rst_and_fin_cut_nothing(lab, servers, side, flags):
    """Near the right number as well as far from it: only the exact one would end the flow."""
    lab.balance(to=backend_address(1))
    connection, _ = hold(lab)
    before = flows_of(lab, [connection])
    tap = Tap(lab, connection)
    snat = int(before[0]["snat"].split(":")[1])
    sent = 0
    for offset in OFFSETS:
        if flags == "FA" and offset in (1, 1000):
            continue  # both stacks would keep a FIN inside the window for later
        last = tap.last(connection)
        passed = lab.reasons()
        if side == "client":
            tap.forge(flags=flags, seq=forged(last.ack, offset), ack=last.seq)
        else:
            # The client's numbers and the backend's are those that weir passes on.
            tap.forge_reply(snat, flags=flags, seq=forged(last.seq + len(last.payload), offset),
                            ack=last.ack)
        sent += 1
        key = "to_backend" if side == "client" else "to_client"
        until(lambda: lab.reasons()[key] > passed[key], what="the forgery forwarded")
        check_alive(lab, connection, before)
    assert sent >= 4
    connection.close()
    until(lambda: lab.active() == [0], what="a proper end")


def test_rst_in_sequence_ends_the_flow(lab, servers):
    """The counterpart: what is forged above with wrong numbers does end it with the right one."""
    lab.balance(to=backend_address(1))
    connection, _ = hold(lab)
    tap = Tap(lab, connection)
    tap.forge(flags="R", seq=tap.last(connection).ack)
    until(lambda: lab.active() == [0], what="the end of the flow")
    with pytest.raises(ConnectionError):
        connection.sendall(b"?")
        until(lambda: connection.recv(1) and False)


@pytest.mark.parametrize("offset", [0, 1, 1 << 31])
def test_syn_on_an_established_flow_changes_nothing(lab, servers, offset):
    """Answered by the backend with a challenge ACK (RFC 5961 4), here without its rate limit."""
    for host in lab.backends():
        lab.exec(host, "sysctl", "-q", "net.ipv4.tcp_invalid_ratelimit=0")
    lab.balance()
    connection, name = hold(lab)
    before = flows_of(lab, [connection])
    tap = Tap(lab, connection)
    total = [row["connections"]["total"] for row in lab.weir("backend", "list")]
    for _ in range(3):
        last = tap.last(connection)
        tap.forge(flags="S", seq=forged(last.ack, offset))
        challenge = tap.seen.wait_for(lambda frame: TCP in frame and
                                      frame[TCP].dport == tap.port, what="the challenge ACK")
        assert challenge[TCP].flags == "A"
    assert flows_of(lab, [connection]) == before
    assert [row["connections"]["total"] for row in lab.weir("backend", "list")] == total
    assert lab.reasons()["new_flow"] == 1 == sum(lab.active())
    assert echoes(connection)


@pytest.mark.parametrize("first", ["client", "server"])
def test_fin_retransmitted_by_either_side(lab, first):
    """FINs come three times each: one end of one flow, counted once."""
    listener = lab.listen("backend-1", backend_address(1), 8000)
    lab.balance("--timeout-tcp-close", "1s", to=backend_address(1))
    client = lab.connect()
    server = listener.accept()[0]
    snat = int(lab.weir("flow", "list")[0]["snat"].split(":")[1])
    server.sendall(b"x")
    assert client.recv(1) == b"x"
    tap = Tap(lab, client)
    client.sendall(b"y")
    assert server.recv(1) == b"y"
    ack = tap.seen.wait_for(lambda frame: TCP in frame and frame[TCP].dport == tap.port)[TCP]
    ends = [client, server] if first == "client" else [server, client]
    for end in ends:
        end.shutdown(socket.SHUT_WR)
        assert (server if end is client else client).recv(1) == b""
        for _ in range(3):
            if end is client:
                tap.forge(flags="FA", seq=ack.ack, ack=ack.seq)
            else:
                tap.forge_reply(snat, flags="FA", seq=ack.seq, ack=ack.ack)
        if end is ends[0]:
            assert counts(lab)["established"] == 1 and lab.active() == [1]
    until_counts(lab, established=0, closing=1)
    assert lab.active() == [0]
    client.close()
    server.close()
    until(lambda: lab.weir("flow", "list") == [], what="no flow at all")
    assert lab.backend_row(backend(1))["connections"]["total"] == 1


def test_simultaneous_close(lab):
    """The FINs meet on a long way: each side gets the other's before its own is acknowledged."""
    listener = lab.listen("backend-1", backend_address(1), 8000)
    lab.balance("--timeout-tcp-close", "1s", to=backend_address(1))
    far_client(lab, 0.2)
    clients = [lab.connect(bind=(FAR, 0)) for _ in range(5)]
    pairs = [(client, listener.accept()[0]) for client in clients]
    until_counts(lab, established=5)
    for client, server in pairs:
        client.shutdown(socket.SHUT_WR)
        server.shutdown(socket.SHUT_WR)
    assert counts(lab)["established"] == 5
    for client, server in pairs:
        assert client.recv(1) == server.recv(1) == b""
    until_counts(lab, established=0)
    assert lab.active() == [0]
    waiting = lab.exec("client", "ss", "-Htan", "state", "time-wait", "src", FAR).stdout
    assert len(waiting.splitlines()) == 5  # both sides in TIME_WAIT: it was simultaneous
    until(lambda: lab.weir("flow", "list") == [], what="no flow at all")


def connect_again(lab, port):
    """From a port that was just in use. Returns the connection and how long its SYN-ACK took."""
    began = time.monotonic()
    connection = lab.connect(bind=("0.0.0.0", port))
    return connection, time.monotonic() - began


@pytest.mark.parametrize("how", ["server closes", "client resets"])
def test_client_uses_its_port_again_at_once(lab, servers, how):
    """The flow before is closing, or its backend in TIME_WAIT: neither is in the way."""
    lab.balance()
    names = []
    for _ in range(40):
        connection, took = connect_again(lab, 33333)
        assert took < 0.9
        names.append(read_line(connection).split()[0])
        assert echoes(connection)
        if how == "server closes":
            servers.close_connections()
            assert connection.recv(1) == b""
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert sorted(set(names)) == lab.backends()  # each is a flow of its own, scheduled anew
    assert len(names) == sum(row["connections"]["total"] for row in lab.weir("backend", "list"))
    until(lambda: lab.active() == [0, 0], what="all closed")


def test_client_uses_its_port_again_from_time_wait(lab, servers):
    """It closed first; a second later its kernel reuses the connection's port (tcp_tw_reuse)."""
    lab.exec("client", "sysctl", "-q", "net.ipv4.tcp_tw_reuse=1")
    lab.balance()
    for _ in range(3):
        connection, took = connect_again(lab, 33333)
        assert took < 0.9
        assert read_line(connection).startswith("backend-")
        assert echoes(connection)
        connection.close()
        until(lambda: "33333" in lab.exec("client", "ss", "-Htan", "state", "time-wait").stdout,
              what="TIME_WAIT of the client")
        time.sleep(1.1)  # the kernel wants a newer timestamp
    assert lab.reasons()["new_flow"] == 3
    until(lambda: lab.active() == [0, 0], what="all closed")
