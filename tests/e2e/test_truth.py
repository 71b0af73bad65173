# SPDX-License-Identifier: GPL-2.0-only
"""What weir counts is what the backends themselves know; who refuses gets no more than its share."""

import random
import socket
import struct
import time

import pytest

from network import backend, backend_address, until
from servers import hold, visit


RESET = struct.pack("ii", 1, 0)
MOMENTS = 10


class Crowd:
    """Connections that come and go in random order; either side may end one, or reset it."""

    def __init__(self, lab, servers, seed):
        self.lab, self.servers = lab, servers
        self.dice = random.Random(seed)
        self.clients = {}  # (address of the backend, of the client as seen there) -> socket
        self.opened = 0

    def step(self):
        if not self.clients or self.dice.random() < 0.55:
            connection, ends = hold_with_ends(self.lab)
            self.clients[ends] = connection
            self.opened += 1
            return
        ends = self.dice.choice(list(self.clients))
        self.end(ends, self.dice.choice(["client", "server", "both"]), self.dice.random() < 0.4)

    def end(self, ends, side, reset):
        connection = self.clients.pop(ends)
        if side != "client":
            self.servers.call(self.end_at_server, ends, reset)
        if side == "server" and not reset:
            assert connection.recv(100) == b""  # else it would be half-closed
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()

    def end_at_server(self, ends, reset):
        for one in self.servers.connections:
            if ends_of(one) == ends:
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.servers.drop(one)
                return
        raise LookupError(ends)


def ends_of(server):
    try:
        return server.getsockname()[0], server.getpeername()
    except OSError:  # reset, and not looked at yet
        return None


def hold_with_ends(lab):
    connection = lab.connect()
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(100)
    name, client = line.decode().split()
    address, port = client.split(":")
    return connection, (backend_address(int(name.split("-")[1])), (address, int(port)))


def truth(lab):
    """How many connections each backend's kernel holds as established."""
    return [len(lab.exec(host, "ss", "-Htn", "state", "established", "sport", "=", ":8000")
                .stdout.splitlines()) for host in lab.backends()]


def random_order(lab, servers, total):
    lab.balance()
    crowd = Crowd(lab, servers, seed=total)
    for moment in range(1, MOMENTS + 1):
        while crowd.opened < total * moment // MOMENTS:
            crowd.step()
        until(lambda: lab.active() == truth(lab), timeout=3, what="counts equal to the truth")
        assert sum(lab.active()) == len(crowd.clients)
        print(f"{crowd.opened} opened, {lab.active()} are there")
    assert len(crowd.clients) > 100
    while crowd.clients:
        crowd.end(next(iter(crowd.clients)), "client", False)
    until(lambda: lab.active() == truth(lab) == [0, 0], timeout=3, what="all counts 0")
    counts = lab.weir("flow", "count")
    assert (counts["half_open"], counts["established"]) == (0, 0)
    assert sum(row["connections"]["total"] for row in lab.weir("backend", "list")) == total


def test_counts_are_the_truth_at_ten_moments(lab, servers):
    random_order(lab, servers, 2000)


def test_10000_in_random_order(lab, servers):
    random_order(lab, servers, 10000)


def attempts(lab, count):
    """Tries to connect; returns who served, the connections being held."""
    served = []
    for _ in range(count):
        try:
            served.append(hold(lab)[1])
        except ConnectionRefusedError:
            served.append("refused")
    return served


@pytest.mark.backends(3)
@pytest.mark.parametrize("scheduler", ["lc", "wlc"])
def test_a_refusing_backend_gets_its_share_and_recovers(lab, servers, scheduler):
    """Others hold all of their connections; the one that refuses has none, and looks idle."""
    servers.close("backend-2")
    lab.balance("--scheduler", scheduler)
    tries = attempts(lab, 150)
    time.sleep(2.2)  # what was refused is not forgotten with the next sweep
    tries += attempts(lab, 150)
    assert tries.count("refused") <= 300 / 3 * 1.1
    assert tries.count("refused") >= 20  # it is asked again and again
    held = [tries.count(f"backend-{number}") for number in (1, 3)]
    assert abs(held[0] - held[1]) <= 2
    servers.open("backend-2")
    again = attempts(lab, 60)
    assert "refused" not in again
    assert again.count("backend-2") >= 60 / 3 * 0.9  # and it is not buried: others have more
    assert lab.backend_row(backend(2))["connections"]["active"] == again.count("backend-2")
    assert visit(lab) in lab.backends()
