# SPDX-License-Identifier: GPL-2.0-only
"""Counts are exact, flows end when they should, limits hold."""

import socket
import struct
import time

import pytest

from frames import IP, TCP, Ether, Wire
from network import LB, SERVICE, TCP_SERVICE, backend, until
from servers import echoes, hold, read_line, visit


def abort(connection):
    """Closes with RST: leaves no TIME_WAIT behind."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_counts_say_how_many_are_open(lab, servers):
    lab.balance()
    held = [hold(lab)[0] for _ in range(300)]
    until(lambda: lab.active() == [150, 150], timeout=1, what="count of 300 connections")
    counts = lab.weir("flow", "count")
    assert (counts["half_open"], counts["established"], counts["closing"]) == (0, 300, 0)
    assert len(lab.weir("flow", "list")) == 300
    assert lab.weir("service", "list")[0]["connections"]["active"] == 300
    for connection in held[:100]:
        connection.close()
    until(lambda: sum(lab.active()) == 200, timeout=1, what="count after 100 closed")
    for connection in held[100:200]:
        abort(connection)
    until(lambda: sum(lab.active()) == 100, timeout=1, what="count after 100 more reset")
    servers.close_connections()
    for connection in held[200:]:
        assert connection.recv(1) == b""
        connection.close()
    until(lambda: sum(lab.active()) == 0, timeout=1, what="count after all were closed")
    assert lab.weir("flow", "count")["established"] == 0
    assert lab.weir("service", "list")[0]["connections"]["total"] == 300


def test_10000_opened_and_closed(lab, servers):
    lab.balance("--scheduler", "lc")
    for number in range(10000):
        connection, _ = hold(lab)
        if number % 2:
            abort(connection)
        else:
            connection.close()
    until(lambda: lab.active() == [0, 0], what="count of active connections back at 0")
    counts = lab.weir("flow", "count")
    assert (counts["half_open"], counts["established"]) == (0, 0)
    rows = lab.weir("backend", "list")
    assert sum(row["connections"]["total"] for row in rows) == 10000
    assert min(row["connections"]["total"] for row in rows) >= 4000


def test_closed_flows_leave_altogether(lab, servers):
    lab.balance("--timeout-tcp-close", "100ms")
    for _ in range(50):
        visit(lab)
    empty = {"half_open": 0, "established": 0, "closing": 0}
    until(lambda: lab.weir("flow", "count") | empty == lab.weir("flow", "count"),
          what="no flow at all")
    assert lab.weir("flow", "list") == []
    assert [row["used"] for row in lab.weir("status")["snat"]] == [0, 0]


@pytest.mark.parametrize("scheduler", ["rr", "lc", "wlc"])
def test_a_refusing_backend_gets_no_more_than_its_share(lab, servers, scheduler):
    servers.close("backend-2")
    lab.balance("--scheduler", scheduler)
    served = refused = 0
    for _ in range(60):
        try:
            hold(lab)
            served += 1
        except ConnectionRefusedError:
            refused += 1
        assert lab.active() == [served, 0]
    # lc and wlc: failures count as load for some seconds only, so a few more than half may go.
    assert refused == 30 if scheduler == "rr" else refused <= 40
    counts = lab.weir("flow", "count")
    assert (counts["half_open"], counts["established"]) == (0, served)
    # Back in service: it is asked again.
    servers.open("backend-2")
    until(lambda: hold(lab)[1] == "backend-2", what="a connection to the mended backend")


@pytest.mark.parametrize("scheduler", ["lc", "wlc"])
def test_a_crashed_backend_does_not_attract_all(lab, servers, scheduler):
    """It has lost its connections and refuses new ones; the other still has all of its own."""
    lab.balance("--scheduler", scheduler)
    held = [hold(lab) for _ in range(100)]
    servers.close("backend-2")
    for connection, name in held:
        if name == "backend-2":
            abort(connection)
    until(lambda: lab.active() == [50, 0], what="the connections of backend-2 gone")
    served = 0
    for _ in range(30):
        try:
            hold(lab)
            served += 1
        except ConnectionRefusedError:
            pass
    assert served >= 13  # half, less those that find out


def test_refusals_do_not_change_counts(lab, servers):
    lab.balance()
    held = [hold(lab)[0] for _ in range(4)]
    for host in lab.backends():
        servers.close(host)
    for _ in range(20):
        with pytest.raises(ConnectionRefusedError):
            lab.connect()
    assert lab.active() == [2, 2]
    assert all(echoes(connection) for connection in held)


def test_refused_retries_from_one_port_work(lab, servers):
    """A SYN on a closing flow starts anew."""
    servers.close("backend-1")
    lab.balance()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            while True:
                abort(lab.connect(bind=("0.0.0.0", 33333)))
    servers.open("backend-1")
    names = set()
    for _ in range(4):
        connection, name = hold(lab, bind=("0.0.0.0", 33333))
        names.add(name)
        abort(connection)
    assert names == {"backend-1", "backend-2"}


def syn_from_nobody(lab, wire, count, first_port=30000):
    """SYNs from addresses where nobody is: their SYN-ACKs are never acknowledged."""
    router = lab.mac("gateway", "eth0")
    for number in range(count):
        wire.send(Ether(dst=router) / IP(src=f"10.0.77.{number % 250 + 1}", dst=LB) /
                  TCP(sport=first_port + number, dport=8000, flags="S", seq=1000 + number))


def test_half_open_flows_expire(lab, servers):
    lab.balance("--timeout-tcp-handshake", "1s", "--scheduler", "lc")
    connection, _ = hold(lab)
    syn_from_nobody(lab, Wire(lab, "client"), 40)
    until(lambda: lab.reasons()["new_flow"] == 41, what="all SYNs forwarded")
    until(lambda: lab.weir("flow", "count")["half_open"] == 0, what="half-open flows expired")
    assert lab.weir("flow", "count")["established"] == 1
    assert sum(lab.active()) == 1
    assert echoes(connection)
    # What was half open is neither counted as load nor held against the backend for ever.
    until(lambda: [hold(lab)[1] for _ in range(2)].count("backend-1") == 1)


def test_idle_established_flows_expire(lab, servers):
    lab.balance("--timeout-tcp", "1s")
    connection, _ = hold(lab)
    until(lambda: lab.weir("flow", "list") == [], what="idle flow expired")
    assert lab.active() == [0, 0]
    # A segment without flow is answered with RST: the client knows at once.
    with pytest.raises(ConnectionResetError):
        connection.sendall(b"late")
        connection.recv(1)
    assert lab.reasons()["no_flow"] == 1


def test_busy_flows_do_not_expire(lab, servers):
    lab.balance("--timeout-tcp", "1s")
    connection, _ = hold(lab)
    idle, _ = hold(lab)
    until(lambda: echoes(connection) and len(lab.weir("flow", "list")) == 1, what="only one left")
    assert echoes(connection)


def udp_state(lab):
    flows = lab.weir("flow", "list")
    return [flow["state"] for flow in flows]


def test_udp_timeouts(lab, servers):
    """One question is forgotten soon, a conversation is kept longer."""
    lab.balance("--timeout-udp", "500ms", "--timeout-udp-established", "1h",
                listen=f"{LB}:8000/udp")
    once, often = lab.datagrams(), lab.datagrams()
    start = time.monotonic()
    for one in (once, often):
        one.send(b"?")
        one.recv(100)
    assert udp_state(lab) == ["half_open"] * 2
    names = set()

    def talk():
        often.send(b"?")
        names.add(often.recv(100))
        return udp_state(lab)
    until(lambda: "established" in talk(), what="a conversation")
    assert time.monotonic() - start > 0.9  # a real one lasts a second at least
    until(lambda: udp_state(lab) == ["established"], what="the lone question forgotten")
    assert len(names) == 1  # one backend, one source port, all the time
    until(lambda: lab.weir("flow", "list")[0]["idle_ms"] > 1500, what="a silent while")
    talk()
    assert len(names) == 1
    assert sum(lab.active()) == 1


def test_udp_established_expires(lab, servers):
    lab.balance("--timeout-udp", "5s", "--timeout-udp-established", "500ms",
                listen=f"{LB}:8000/udp")
    often = lab.datagrams()

    def talk():
        often.send(b"?")
        often.recv(100)
        return udp_state(lab)
    until(lambda: talk() == ["established"], what="a conversation")
    until(lambda: udp_state(lab) == [], what="its end")
    assert lab.active() == [0, 0]
    talk()
    assert lab.weir("service", "list")[0]["connections"]["total"] == 2


def test_flows_limit(lab, servers):
    lab.balance("--flows", "100", "--half-open", "64")
    held = [hold(lab)[0] for _ in range(100)]
    for _ in range(5):
        with pytest.raises(ConnectionRefusedError):
            lab.connect()
    assert lab.reasons()["flows_full"] == 5
    assert all(echoes(connection) for connection in held)
    assert sum(lab.active()) == 100
    assert lab.weir("flow", "count")["limit"] == 100


def test_flows_limit_leaves_room_again(lab, servers):
    lab.balance("--flows", "100", "--timeout-tcp-close", "100ms")
    for connection in [hold(lab)[0] for _ in range(100)]:
        abort(connection)

    def served():
        try:
            return visit(lab)
        except ConnectionRefusedError:
            return None
    until(served, what="a free record")


def test_udp_share(lab, servers):
    """UDP may hold its share of established flows; TCP finds room beside it."""
    lab.balance("--flows", "100", "--udp-share", "10", "--timeout-udp", "500ms",
                listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    talkers = [lab.datagrams() for _ in range(20)]

    def talk():
        for one in talkers:
            one.send(b"?")
            one.recv(100)
        return udp_state(lab).count("established")
    until(lambda: talk() == 10, what="the share of UDP used up")
    talk()
    assert udp_state(lab).count("established") == 10
    held = [hold(lab)[0] for _ in range(80)]
    assert all(echoes(connection) for connection in held)


def test_many_flows_at_once_from_many_clients(lab, servers):
    """More than a thousand places of the tutorials' table, from 10 client addresses."""
    clients = [f"10.0.1.{number}" for number in range(1, 11)]
    for client in clients:
        lab.exec("client", "ip", "address", "add", f"{client}/16", "dev", "eth0")
    lab.balance()
    held = []
    for client in clients:
        held += [lab.connect(bind=(client, 0)) for _ in range(250)]
    names = [read_line(connection) for connection in held]
    assert len(set(names)) == 2500
    assert lab.active() == [1250, 1250]
    assert all(echoes(connection) for connection in held)
    assert len(lab.weir("flow", "list", "--client", clients[3])) == 250
    assert len(lab.weir("flow", "list", "--backend", backend(1))) == 1250
    assert len(lab.weir("flow", "list", "--service", TCP_SERVICE)) == 2500


def test_retransmitted_syn_keeps_its_backend(lab, servers):
    """And makes no second flow: the SYN is sent three times, the backends see one connection."""
    lab.balance()
    wire = Wire(lab, "client")
    for _ in range(3):
        syn_from_nobody(lab, wire, 1)
    until(lambda: lab.reasons()["to_backend"] == 2, what="two repetitions")
    assert lab.reasons()["new_flow"] == 1
    assert sum(row["connections"]["total"] for row in lab.weir("backend", "list")) == 1


def test_retransmitted_fin_leaks_nothing(lab, servers):
    lab.balance("--timeout-tcp-close", "200ms")
    wire = Wire(lab, "client")
    connection, _ = hold(lab)
    port = connection.getsockname()[1]
    connection.close()
    fin = wire.wait_for(lambda frame: TCP in frame and frame[TCP].flags.F and
                        frame[TCP].dport == port, what="the server's FIN")
    # The client's FIN once more, as it was: its number is what the server's FIN acknowledges - 1.
    again = Ether(dst=lab.mac("gateway", "eth0")) / IP(src="10.0.0.20", dst=LB) / TCP(
        sport=port, dport=SERVICE[1], flags="FA", seq=fin[TCP].ack - 1, ack=fin[TCP].seq + 1)
    for _ in range(5):
        wire.send(again)
    until(lambda: lab.weir("flow", "list") == [], what="no flow is left")
    assert lab.active() == [0, 0]
    assert lab.weir("status")["snat"][0]["used"] == 0
