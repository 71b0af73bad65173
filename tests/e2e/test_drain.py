# SPDX-License-Identifier: GPL-2.0-only
"""Run-time changes: drain, down, removal with a deadline, kill, weight; and how long they last."""

import copy
import threading
import time
from collections import Counter

import pytest

from network import CLIENT, backend, config, service, until
from servers import echoes, hold, visit

FILE = config(service("web", 8000, 2, scheduler="wrr", timeouts={"tcp_close": "200ms"}))
OTHER_CLIENT = "10.0.0.21"


def change(lab, what, number, *arguments, **more):
    return lab.weir_text("backend", what, "web", backend(number), *arguments, **more)


def row(lab, number):
    return lab.backend_row(backend(number))


def active(lab, number):
    return row(lab, number)["connections"]["active"]


def hold_on_each(lab, count):
    held = {"backend-1": [], "backend-2": []}
    for _ in range(2 * count):
        connection, name = hold(lab)
        held[name].append(connection)
    assert {len(connections) for connections in held.values()} == {count}
    return held


def visits(lab, count=20):
    return Counter(visit(lab) for _ in range(count))


def was_reset(connection):
    """It gets the reset by itself, without a word from the client."""
    connection.settimeout(5)
    try:
        return connection.recv(1) and False
    except ConnectionResetError:
        return True


class Busy:
    """Connections that are used all the time; knows when they end and how."""

    def __init__(self, connections):
        self.connections = connections
        self.ends = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        living = list(self.connections)
        while living and not self.over.is_set():
            for connection in list(living):
                try:
                    assert echoes(connection)
                except (OSError, AssertionError) as error:
                    self.ends.append((time.monotonic(), error))
                    living.remove(connection)
            time.sleep(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()


def test_drain(lab, servers):
    """100 connections stay until they are closed; new ones go elsewhere."""
    lab.run_file(FILE)
    held = hold_on_each(lab, 100)
    change(lab, "set", 1, "drain")
    assert (row(lab, 1)["state"], active(lab, 1)) == ("drain", 100)
    assert visits(lab) == {"backend-2": 20}
    assert all(echoes(connection) for connection in held["backend-1"])
    for connection in held["backend-1"][:40]:
        connection.close()
    until(lambda: active(lab, 1) == 60, what="60 left")
    line = next(line for line in lab.weir_text("backend", "list").stdout.splitlines()
                if backend(1) in line)
    assert "drain" in line and " 60 " in line
    assert all(echoes(connection) for connection in held["backend-1"][40:])
    for connection in held["backend-1"][40:]:
        connection.close()
    until(lambda: active(lab, 1) == 0, what="none left")
    change(lab, "set", 1, "ready")
    assert visits(lab) == {"backend-1": 10, "backend-2": 10}


def test_removal_without_deadline(lab, servers):
    """It goes when its last connection does."""
    lab.run_file(FILE)
    held = hold_on_each(lab, 3)
    change(lab, "remove", 1)
    assert visits(lab) == {"backend-2": 20}
    assert active(lab, 1) == 3
    assert all(echoes(connection) for connection in held["backend-1"])
    for connection in held["backend-1"]:
        connection.close()
    until(lambda: [one["address"] for one in lab.weir("backend", "list")] == [backend(2)],
          what="backend 1 is gone")


def test_removal_with_a_deadline(lab, servers):
    """Until then all is well, then busy and idle ones are cut: both sides see a reset."""
    lab.run_file(FILE)
    held = hold_on_each(lab, 20)
    idle, busy = held["backend-1"][:10], held["backend-1"][10:]
    with Busy(busy) as work:
        since = time.monotonic()
        change(lab, "remove", 1, "--deadline", "2")
        assert visits(lab) == {"backend-2": 20}
        time.sleep(1.5 - (time.monotonic() - since))
        assert work.ends == [] and servers.resets == 0
        assert active(lab, 1) == 20
        until(lambda: len(work.ends) == 10, what="busy ones cut")
    assert all(isinstance(error, ConnectionResetError) for _, error in work.ends), work.ends
    ends = [when - since for when, _ in work.ends]
    assert 1.9 < min(ends) and max(ends) < 5
    assert all(was_reset(connection) for connection in idle)
    assert time.monotonic() - since < 7
    until(lambda: servers.resets == 20, what="resets at the servers")
    assert all(echoes(connection) for connection in held["backend-2"])
    until(lambda: [one["address"] for one in lab.weir("backend", "list")] == [backend(2)],
          what="backend 1 is gone")


def test_deadline_outlives_the_daemon(lab, servers):
    lab.run_file(FILE)
    held = hold_on_each(lab, 5)
    change(lab, "remove", 1, "--deadline", "2")
    since = time.monotonic()
    lab.weirs[-1].kill()
    lab.run_file()
    assert active(lab, 1) == 5 and all(echoes(connection) for connection in held["backend-1"])
    assert all(was_reset(connection) for connection in held["backend-1"])
    assert 1.9 < time.monotonic() - since < 6
    assert all(echoes(connection) for connection in held["backend-2"])


def test_down_moves_udp_at_once(lab, servers):
    """There is nobody to tell: the next datagram goes to another backend."""
    lab.run_file(config(service("talk", 8000, 2, protocol="udp")))
    talkers = [lab.datagrams() for _ in range(10)]

    def who(talker):
        talker.send(b"?")
        return talker.recv(100).split()[0].decode()
    before = [who(talker) for talker in talkers]
    assert Counter(before) == {"backend-1": 5, "backend-2": 5}
    lab.weir_text("backend", "set", "talk", backend(1), "drain")
    assert [who(talker) for talker in talkers] == before
    lab.weir_text("backend", "set", "talk", backend(1), "down")
    assert {who(talker) for talker in talkers} == {"backend-2"}


def test_down_cuts_at_once(lab, servers):
    lab.run_file(FILE)
    held = hold_on_each(lab, 20)
    idle, busy = held["backend-1"][:10], held["backend-1"][10:]
    with Busy(busy) as work:
        since = time.monotonic()
        change(lab, "set", 1, "down")
        until(lambda: len(work.ends) == 10, what="busy ones cut")
    assert all(isinstance(error, ConnectionResetError) for _, error in work.ends), work.ends
    assert all(was_reset(connection) for connection in idle)
    assert time.monotonic() - since < 3
    until(lambda: servers.resets == 20, what="resets at the servers")
    assert row(lab, 1)["state"] == "down"
    assert visits(lab) == {"backend-2": 20}
    assert all(echoes(connection) for connection in held["backend-2"])
    until(lambda: active(lab, 1) == 0, what="no flow is left")
    change(lab, "set", 1, "ready")
    assert visits(lab) == {"backend-1": 10, "backend-2": 10}


def test_kill_flows_of_a_client(lab, servers):
    lab.exec("client", "ip", "address", "add", f"{OTHER_CLIENT}/16", "dev", "eth0")
    lab.run_file(FILE)
    mine = [hold(lab, bind=(CLIENT, 0))[0] for _ in range(10)]
    others = [hold(lab, bind=(OTHER_CLIENT, 0))[0] for _ in range(10)]
    lab.weir_text("flow", "kill", "--client", OTHER_CLIENT)
    assert all(was_reset(connection) for connection in others)
    assert all(echoes(connection) for connection in mine)
    until(lambda: servers.resets == 10, what="resets at the servers")
    until(lambda: sum(lab.active()) == 10, what="ten are left")
    assert visit(lab, bind=(OTHER_CLIENT, 0))  # it may come back


def test_kill_flows_of_a_backend(lab, servers):
    lab.run_file(FILE)
    held = hold_on_each(lab, 5)
    lab.weir_text("flow", "kill", "--backend", backend(2))
    assert all(was_reset(connection) for connection in held["backend-2"])
    assert all(echoes(connection) for connection in held["backend-1"])


def test_kill_takes_a_filter(lab, servers):
    lab.run_file(FILE)
    connection, _ = hold(lab)
    result = lab.weir_text("flow", "kill", check=False)
    assert result.returncode == 2 and "--all" in result.stderr
    assert lab.weir_text("flow", "kill", "--service", "nobody", check=False).returncode == 1
    assert echoes(connection)
    lab.weir_text("flow", "kill", "--all")
    assert was_reset(connection)


def test_weight(lab, servers):
    lab.run_file(FILE)
    assert visits(lab) == {"backend-1": 10, "backend-2": 10}
    change(lab, "set", 2, "weight", "3")
    assert visits(lab) == {"backend-1": 5, "backend-2": 15}
    change(lab, "set", 2, "weight", "0")
    assert visits(lab) == {"backend-1": 20}
    assert row(lab, 2)["weight"] == 0


@pytest.mark.backends(3)
def test_added_backend(lab, servers):
    lab.run_file(FILE)
    change(lab, "add", 3, "weight", "2")
    until(lambda: lab.backend_row(backend(3))["usable"], what="the new one's MAC address")
    assert visits(lab) == {"backend-1": 5, "backend-2": 5, "backend-3": 10}
    again = change(lab, "add", 3, check=False)
    assert again.returncode == 1 and backend(3) in again.stderr
    change(lab, "remove", 3)
    assert visits(lab) == {"backend-1": 10, "backend-2": 10}


def restart(lab):
    lab.weirs[-1].kill()
    lab.run_file()


@pytest.mark.backends(3)
def test_changes_last(lab, servers):
    """Over reload, kill -9 and restart, in all combinations."""
    lab.run_file(FILE)
    change(lab, "set", 1, "drain")
    change(lab, "set", 2, "weight", "3")
    change(lab, "add", 3)
    until(lambda: lab.backend_row(backend(3))["usable"], what="the new one's MAC address")
    wanted = {"backend-2": 15, "backend-3": 5}
    shown = lab.weir_text("config", "show").stdout
    for again in (lambda: lab.reload(FILE), lambda: restart(lab), lambda: lab.reload(FILE),
                  lambda: restart(lab)):
        assert visits(lab) == wanted
        again()
        assert lab.weir_text("config", "show").stdout == shown
    assert visits(lab) == wanted
    change(lab, "set", 1, "reset")
    change(lab, "set", 2, "reset")
    change(lab, "remove", 3)
    assert visits(lab) == {"backend-1": 10, "backend-2": 10}
    assert lab.weir("config", "diff") == []
    restart(lab)
    assert visits(lab) == {"backend-1": 10, "backend-2": 10}


def test_the_file_has_the_last_word(lab, servers):
    """A change ends when the file's value of that very key changes."""
    lab.run_file(FILE)
    change(lab, "set", 1, "weight", "3")
    change(lab, "set", 2, "weight", "4")
    changed = copy.deepcopy(FILE)
    changed["services"][0]["backends"][0]["weight"] = 2
    lab.reload(changed)
    assert [one["weight"] for one in lab.weir("backend", "list")] == [2, 4]
    lab.reload(FILE)  # what fell away does not come back
    assert [one["weight"] for one in lab.weir("backend", "list")] == [1, 4]
    # The same while no daemon runs.
    change(lab, "set", 1, "drain")
    lab.weirs[-1].kill()
    changed["services"][0]["backends"][0]["state"] = "down"
    lab.run_file(changed)
    assert [(one["state"], one["weight"]) for one in lab.weir("backend", "list")] == [
        ("down", 2), ("ready", 4)]


def test_what_differs_from_the_file(lab, servers):
    lab.run_file(FILE)
    assert lab.weir("config", "diff") == []
    change(lab, "set", 1, "drain")
    change(lab, "set", 2, "weight", "7")
    difference = {one["path"]: (one["file"], one["running"])
                  for one in lab.weir("config", "diff")}
    assert difference == {f"services.web.backends[{backend(1)}].state": ("ready", "drain"),
                          f"services.web.backends[{backend(2)}].weight": ("1", "7")}
    text = lab.weir_text("config", "diff").stdout
    assert text.count("\n") == 2 and backend(2) in text and "7" in text
    change(lab, "remove", 1)
    assert any(backend(1) in one["path"] and one["running"] is None
               for one in lab.weir("config", "diff"))


REFUSED = [
    (["set", "nobody", backend(1), "drain"], 1, "nobody"),
    (["set", "web", "192.168.178.99:1", "drain"], 1, "192.168.178.99:1"),
    (["set", "web", backend(1), "asleep"], 2, "drain"),
    (["set", "web", backend(1), "weight", "257"], 1, "256"),
    (["set", "web", backend(1)], 2, "drain"),
    (["set", "web"], 2, "ADDR:PORT"),
    (["add", "web", backend(1)], 1, backend(1)),
    (["add", "web", "192.168.178.10:8000"], 1, "192.168.178.10:8000"),
    (["add", "web", "somewhere"], 2, "somewhere"),
    (["remove", "web", "192.168.178.99:1"], 1, "192.168.178.99:1"),
    (["remove", "web", backend(1), "--deadline", "soon"], 2, "soon"),
]


def test_refused_changes(lab):
    """One line that names what is wrong, and nothing has changed."""
    lab.run_file(FILE)
    before = lab.weir_text("config", "show").stdout
    for arguments, status, said in REFUSED:
        result = lab.weir_text("backend", *arguments, check=False)
        assert (result.returncode, result.stdout) == (status, ""), arguments
        assert said in result.stderr and result.stderr.count("\n") == 1
        assert lab.weir_text("config", "show").stdout == before
