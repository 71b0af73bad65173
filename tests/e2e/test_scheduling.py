# SPDX-License-Identifier: GPL-2.0-only
"""Which backend a new connection gets."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from network import LB, backend, backend_address, backends, config, service, until
from servers import hold, visit

SCHEDULERS = ["rr", "wrr", "lc", "wlc", "p2c", "hash", "maglev"]


def visits(lab, count, **more):
    return [visit(lab, **more) for _ in range(count)]


def test_rr_alternates(lab, servers):
    lab.balance("--scheduler", "rr")
    seen = visits(lab, 20)
    assert set(seen[:2]) == {"backend-1", "backend-2"}
    assert seen == seen[:2] * 10


@pytest.mark.backends(3)
def test_rr_is_exact_with_many_clients_at_once(lab, servers):
    """Turns are taken atomically: three clients in a hurry, a third each, and exact counts."""
    lab.balance()
    with ThreadPoolExecutor(3) as pool:
        seen = Counter(name for part in pool.map(lambda _: visits(lab, 400), range(3))
                       for name in part)
    assert set(seen.values()) == {400}, seen
    until(lambda: lab.active() == [0, 0, 0], what="all closed")
    assert [row["connections"]["total"] for row in lab.weir("backend", "list")] == [400] * 3


@pytest.mark.backends(3)
def test_rr_is_the_default_and_ignores_weights(lab, servers):
    lab.balance(to=f"{backend_address(1)}=5,{backend_address(2)}=1,{backend_address(3)}=2")
    seen = visits(lab, 12)
    assert seen == seen[:3] * 4 and len(set(seen)) == 3


def test_wrr_each_window_holds_the_weights(lab, servers):
    lab.balance("--scheduler", "wrr", to=f"{backend_address(1)}=1,{backend_address(2)}=2")
    seen = visits(lab, 24)
    for first in range(len(seen) - 2):
        assert Counter(seen[first:first + 3]) == {"backend-1": 1, "backend-2": 2}, seen


@pytest.mark.backends(3)
def test_wrr_is_smooth(lab, servers):
    lab.balance("--scheduler", "wrr",
                to=f"{backend_address(1)}=5,{backend_address(2)}=1,{backend_address(3)}=1")
    seen = visits(lab, 28)
    for first in range(len(seen) - 6):
        assert Counter(seen[first:first + 7]) == {"backend-1": 5, "backend-2": 1, "backend-3": 1}
    # Bursty, the heavy one would get all its five in a row.
    assert ["backend-1"] * 5 not in [seen[first:first + 5] for first in range(24)]


@pytest.mark.parametrize("scheduler", ["hash", "maglev"])
def test_hash_splits_one_client_evenly(lab, servers, scheduler):
    """connect() hands out ports of one parity: a hash that keeps only it would give 100 : 0."""
    lab.balance("--scheduler", scheduler)
    count = Counter(visits(lab, 300))
    assert 105 <= count["backend-1"] <= 195, count
    assert count.total() == 300


def test_hash_depends_on_the_tuple_alone(lab, servers):
    lab.balance("--scheduler", "hash")
    lab.exec("client", "sysctl", "-q", "net.ipv4.tcp_fin_timeout=1")
    ports = range(20000, 20040, 2)
    first = visits_from(lab, ports)
    assert len(set(first)) == 2
    lab.weirs[0].stop()
    lab.balance("--scheduler", "hash")
    assert visits_from(lab, ports) == first


CHECK = {"type": "tcp", "interval": "200ms", "timeout": "100ms", "rise": 1, "fall": 1}


@pytest.mark.backends(3)
def test_maglev_moves_only_who_must(lab, servers):
    """A backend goes down and comes back: the clients of the others notice nothing."""
    lab.run_file(config(service("web", 8000, 3, scheduler="maglev", health=CHECK)))
    lab.exec("client", "sysctl", "-q", "net.ipv4.tcp_fin_timeout=1")
    until(lambda: {row["health"] for row in lab.weir("backend", "list")} == {"up"}, what="all up")
    ports = range(20000, 20120, 2)
    before = visits_from(lab, ports)
    assert len(set(before)) == 3
    servers.close("backend-2")
    until(lambda: lab.backend_row(backend(2))["health"] == "down", what="down")
    without = visits_from(lab, ports)
    assert set(without) == {"backend-1", "backend-3"}
    assert all(now == then for now, then in zip(without, before) if then != "backend-2")
    servers.open("backend-2")
    until(lambda: lab.backend_row(backend(2))["health"] == "up", what="up")
    assert visits_from(lab, ports) == before


def add_clients(lab, count):
    addresses = [f"10.0.0.{100 + number}" for number in range(count)]
    for address in addresses:
        lab.exec("client", "ip", "address", "add", f"{address}/24", "dev", "eth0")
    return addresses


def test_source_keeps_a_client_on_its_backend(lab, servers):
    lab.balance("--scheduler", "source")
    clients = add_clients(lab, 16)
    seen = {client: set(visits(lab, 5, bind=(client, 0))) for client in clients}
    assert all(len(names) == 1 for names in seen.values()), seen
    assert set.union(*seen.values()) == {"backend-1", "backend-2"}
    lab.weirs[0].stop()
    lab.balance("--scheduler", "source")
    assert {client: set(visits(lab, 1, bind=(client, 0))) for client in clients} == seen


def test_p2c_balances(lab, servers):
    lab.balance("--scheduler", "p2c")
    held = hold_many(lab, 60)
    assert 25 <= len(held["backend-1"]) <= 35, sizes(held)
    close_some(lab, held, "backend-1", len(held["backend-1"]))
    assert len(hold_many(lab, 20)["backend-1"]) >= 9  # three of four, by lot


def test_affinity(lab, servers):
    """The scheduler would alternate. A client goes back within the time, unless its backend goes."""
    def web(state="ready", timeout="1m"):
        made = service("web", 8000, 2, affinity={"by": "source", "timeout": timeout})
        made["backends"][0]["state"] = state
        return config(made)

    lab.run_file(web())
    clients = add_clients(lab, 4)
    seen = [visits(lab, 4, bind=(client, 0)) for client in clients]
    assert seen == [[names[0]] * 4 for names in seen]
    assert Counter(names[0] for names in seen) == {"backend-1": 2, "backend-2": 2}
    lab.reload(web(state="drain"))
    assert set(visits(lab, 4)) == {"backend-2"}
    assert {visit(lab, bind=(client, 0)) for client in clients} == {"backend-2"}
    lab.reload(web())
    assert {visit(lab, bind=(client, 0)) for client in clients} == {"backend-2"}
    lab.reload(web(timeout="100ms"))
    time.sleep(0.2)
    alternate = []
    for _ in range(4):
        alternate.append(visit(lab))
        time.sleep(0.2)
    assert len(set(alternate[:2])) == 2 and alternate[:2] == alternate[2:]


def visits_from(lab, ports):
    """With RST at the end, so that the client may use the port again at once."""
    seen = []
    for port in ports:
        connection, name = hold(lab, bind=("0.0.0.0", port))
        connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0
        connection.close()
        seen.append(name)
    return seen


def hold_many(lab, count):
    held = {}
    for _ in range(count):
        connection, name = hold(lab)
        held.setdefault(name, []).append(connection)
    return held


def sizes(held):
    return {name: len(connections) for name, connections in held.items()}


def close_some(lab, held, name, count):
    expected = sizes(held)[name] - count
    for connection in held[name][:count]:
        connection.close()
    del held[name][:count]
    address = backend(int(name.split("-")[1]))
    until(lambda: lab.backend_row(address)["connections"]["active"] == expected,
          what="count of closed connections")


def test_lc_follows_closing_connections(lab, servers):
    lab.balance("--scheduler", "lc")
    held = hold_many(lab, 10)
    assert sizes(held) == {"backend-1": 5, "backend-2": 5}
    close_some(lab, held, "backend-1", 5)
    assert sizes(hold_many(lab, 5)) == {"backend-1": 5}
    assert sizes(hold_many(lab, 4)) == {"backend-1": 2, "backend-2": 2}


def test_lc_ignores_weights(lab, servers):
    lab.balance("--scheduler", "lc", to=f"{backend_address(1)}=1,{backend_address(2)}=9")
    assert sizes(hold_many(lab, 10)) == {"backend-1": 5, "backend-2": 5}


def test_wlc_follows_closing_connections(lab, servers):
    lab.balance("--scheduler", "wlc", to=f"{backend_address(1)}=1,{backend_address(2)}=2")
    held = hold_many(lab, 12)
    assert sizes(held) == {"backend-1": 4, "backend-2": 8}
    close_some(lab, held, "backend-2", 4)
    assert sizes(hold_many(lab, 4)) == {"backend-2": 4}
    close_some(lab, held, "backend-1", 2)
    assert sizes(hold_many(lab, 2)) == {"backend-1": 2}


@pytest.mark.parametrize("scheduler", ["lc", "wlc"])
def test_least_connections_ties_go_round(lab, servers, scheduler):
    """One connection at a time: all loads are equal, and still nobody gets everything."""
    lab.balance("--scheduler", scheduler)
    assert set(visits(lab, 6)) == {"backend-1", "backend-2"}


@pytest.mark.backends(3)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_weight_0_gets_nothing(lab, servers, scheduler):
    lab.balance("--scheduler", scheduler,
                to=f"{backend_address(1)}=0,{backend_address(2)},{backend_address(3)}=2")
    assert set(hold_many(lab, 30)) == {"backend-2", "backend-3"}
    assert lab.backend_row(backend(1))["connections"]["total"] == 0


@pytest.mark.backends(16)
@pytest.mark.parametrize("scheduler", ["rr", "lc"])
def test_1024_backends(lab, servers, scheduler):
    """64 ports on each of 16 machines; nobody is served twice before all were served once."""
    ports = range(9000, 9064)
    for host in lab.backends():
        for port in ports:
            servers.open(host, port, kinds=[1])
    every = [f"{backend_address(number)}:{port}" for port in ports for number in range(1, 17)]
    lab.balance("--scheduler", scheduler, to=",".join(every))
    rows = lab.weir("backend", "list")
    assert [row["address"] for row in rows] == every
    held = [hold(lab) for _ in every]
    assert Counter(name for _, name in held) == {f"backend-{n}": 64 for n in range(1, 17)}
    assert lab.active() == [1] * 1024
    assert lab.weir("flow", "count")["established"] == 1024


def test_services_of_one_daemon_take_turns_apart(lab, servers):
    lab.balance(listen=[f"{LB}:8000", f"{LB}:81", f"{LB}:8000/udp"], to=backends(2, 8000))
    web = visits(lab, 3)
    other = visits(lab, 4, to=(LB, 81))
    web += visits(lab, 3)
    assert web == web[:2] * 3 and other == other[:2] * 2
    datagrams = []
    for _ in range(4):
        asking = lab.datagrams()
        asking.send(b"?")
        datagrams.append(asking.recv(100).split()[0])
    assert datagrams == datagrams[:2] * 2 and len(set(datagrams)) == 2
    totals = {row["name"]: row["connections"]["total"] for row in lab.weir("service", "list")}
    assert totals == {"tcp-192-168-178-10-8000": 6, "tcp-192-168-178-10-81": 4,
                      "udp-192-168-178-10-8000": 4}
