# SPDX-License-Identifier: GPL-2.0-only
"""Half a million of each, bounded and inside the lab: who talks already, and who comes, is served."""

import selectors
import socket
import time

import pytest

from floods import FAR, Flood, cookies, counts, echo_server, far_client, flows_of, until_counts
from network import LB, SERVICE, backend_address, until
from servers import Servers, echoes, hold, read_exactly, read_line


COUNT = 500000
RATE = 80000  # frames a second, at most
HALF_OPEN = 32768
OLD = 200  # flows that are there before
COMING = 100  # handshakes during the flood, one each 20 ms
ROUND_TRIP = 0.05


class Comers:
    """Real clients with a long way, connecting one after the other without waiting for another.

    They speak first: a server that uses SYN cookies does not know of a client whose ACK was lost.
    """

    def __init__(self, lab):
        self.lab = lab
        self.selector = selectors.DefaultSelector()
        self.served = []
        self.failures = []

    def start(self):
        one = self.lab.socket("client", bind=(FAR, 0), timeout=0)
        one.connect_ex(SERVICE)
        self.selector.register(one, selectors.EVENT_WRITE)

    def step(self, one, events):
        if events & selectors.EVENT_WRITE:
            one.send(b"hello")
            self.selector.modify(one, selectors.EVENT_READ)
        else:
            assert one.recv(100, socket.MSG_PEEK)
            self.selector.unregister(one)
            self.served.append(one)

    def look(self):
        """Those whose backend has answered are served."""
        for key, events in self.selector.select(0):
            try:
                self.step(key.fileobj, events)
            except (OSError, AssertionError) as failure:
                self.selector.unregister(key.fileobj)
                self.failures.append(failure)
        return len(self.served) + len(self.failures) == COMING

    def come(self, flood):
        """All of them; the flood must last until the last one is served."""
        for _ in range(COMING):
            self.start()
            time.sleep(0.02)
            self.look()
        until(self.look, what="an end of all handshakes")
        assert flood.runs, "the flood was too short for this test"


def flood_while_clients_come(lab, mode, old, to=SERVICE):
    before = flows_of(lab, old)
    assert [flow["state"] for flow in before] == ["established"] * OLD
    far_client(lab, ROUND_TRIP)
    created = lab.reasons()["new_flow"]
    comers = Comers(lab)
    flood = Flood(lab, mode, COUNT, RATE, to)
    until(lambda: counts(lab)["half_open"] > HALF_OPEN * 0.9, what="a full ring")
    comers.come(flood)
    during = counts(lab)
    flood.end()
    print("flow count during the flood:", during)
    assert ROUND_TRIP * 1000 < during["half_open_horizon_ms"] < 3000
    assert HALF_OPEN * 0.9 < during["half_open"] <= HALF_OPEN
    reasons = lab.reasons()
    assert reasons["new_flow"] - created > COUNT * 0.95  # a queue may overflow somewhere
    assert reasons["flows_full"] == reasons["snat_exhausted"] == 0
    assert not comers.failures, comers.failures
    assert len(comers.served) == COMING
    assert flows_of(lab, old) == before
    for connection in comers.served:
        connection.settimeout(10)
        assert read_line(connection).startswith("backend-")
        assert read_exactly(connection, 5) == b"hello"
        assert echoes(connection)


@pytest.mark.parametrize("mode", ["syn", "guess"])
def test_half_a_million_syns(lab, servers, mode):
    """Forged, or with an ACK that follows and guesses: only they themselves fall from the ring."""
    cookies(lab)
    lab.balance("--half-open", HALF_OPEN, "--timeout-tcp-handshake", "3s")
    old = [hold(lab)[0] for _ in range(OLD)]
    flood_while_clients_come(lab, mode, old)
    assert all(echoes(connection) for connection in old)
    until_counts(lab, half_open=0, established=OLD + COMING)
    assert sum(lab.active()) == OLD + COMING


def talk(one):
    """One answer, after as many questions as it takes: queues overflow during a flood."""
    def asked():
        one.send(b"?")
        try:
            return one.recv(100)
        except TimeoutError:
            return None
    return until(asked, what="an answer")


def test_half_a_million_datagrams(lab):
    """Each is answered by its backend, and still none of their senders is believed to be real."""
    for number in (1, 2):
        echo_server(lab, f"backend-{number}", backend_address(number))
    with Servers(lab) as servers:
        for host in lab.backends():
            servers.open(host, kinds=(socket.SOCK_STREAM,))
        cookies(lab)
        lab.balance("--half-open", HALF_OPEN, "--timeout-udp", "3s",
                    listen=[f"{LB}:8000", f"{LB}:8000/udp"])
        talkers = [lab.datagrams(timeout=0.2) for _ in range(OLD // 2)]
        peers = [talk(one) for one in talkers]
        time.sleep(1.1)  # who sends again after a second is real
        assert [talk(one) for one in talkers] == peers
        until_counts(lab, half_open=0, established=OLD // 2)
        connections = [hold(lab)[0] for _ in range(OLD // 2)]
        flood_while_clients_come(lab, "udp", talkers + connections)
        assert all(echoes(connection) for connection in connections)
        assert [talk(one) for one in talkers] == peers
        until_counts(lab, half_open=0, established=OLD + COMING)
