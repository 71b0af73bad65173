# SPDX-License-Identifier: GPL-2.0-only
"""What `status` says about flows, ports, memory and the sweep; clients' addresses kept (snat off)."""

import pathlib
import socket
import time

import pytest

from floods import Flood, counts, until_counts
from network import CLIENT, LB, SERVICE, backend, backend_address, until
from servers import echoes, hold, read_line


FLOW_COUNT = {"half_open", "established", "closing", "limit", "half_open_horizon_ms"}


def test_flow_numbers(lab, servers):
    lab.balance("--flows", "5000", "--half-open", "1k", "--timeout-tcp-handshake", "4s")
    empty = counts(lab)
    assert FLOW_COUNT <= empty.keys()
    assert empty | {"half_open": 0, "established": 0, "closing": 0, "used": 0} == empty
    assert empty["limit"] == 5000
    assert empty["half_open_horizon_ms"] == 4000  # nothing comes: the timeout is the horizon
    held = [hold(lab)[0] for _ in range(30)]
    for connection in held[:10]:
        connection.close()
    until_counts(lab, established=20, closing=10, used=30)
    status = lab.weir("status")
    assert status["flows"] == counts(lab)
    assert 20 <= sum(row["used"] for row in status["snat"]) <= 30
    assert all(echoes(connection) for connection in held[10:])


def test_horizon_follows_the_rate(lab, servers):
    """A ring of 2,048 places and 8,000 SYNs a second: a quarter of a second."""
    lab.balance("--half-open", "2k", "--timeout-tcp-handshake", "10s")
    assert counts(lab)["half_open_horizon_ms"] == 10000
    flood = Flood(lab, "syn", 32000, 8000)
    seen = []
    while flood.runs:
        seen.append(counts(lab)["half_open_horizon_ms"])
        time.sleep(0.1)
    flood.end()
    assert 200 <= min(seen) <= 1500  # a busy machine sends fewer
    assert counts(lab)["half_open"] == 2048


def test_snat_ports_of_each_backend(lab, servers):
    lab.balance("--snat-ports", "2000-2999", "--timeout-tcp-close", "100ms", "--flows", "1k",
                listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    rows = lab.weir("status")["snat"]
    assert [(row["service"][:3], row["backend"], row["used"], row["limit"]) for row in rows] == [
        ("tcp", backend(1), 0, 1000), ("tcp", backend(2), 0, 1000),
        ("udp", backend(1), 0, 1000), ("udp", backend(2), 0, 1000)]
    held = [hold(lab)[0] for _ in range(10)]
    talker = lab.datagrams()
    assert echoes(talker)
    used = [row["used"] for row in lab.weir("status")["snat"]]
    assert used[:2] == [5, 5] and sorted(used[2:]) == [0, 1]
    for connection in held:
        connection.close()
    until(lambda: [row["used"] for row in lab.weir("status")["snat"]][:2] == [0, 0],
          what="ports given back")


def test_memory_and_sweep_age(lab):
    small = lab.balance("--flows", "10k", "--half-open", "1k")
    memory = lab.weir("status")["memory_bytes"]
    ages = []
    for _ in range(25):
        ages.append(lab.weir("status")["sweep_age_ms"])
        time.sleep(0.1)
    assert max(ages) < 2500  # all flows about once a second
    assert any(later < earlier for earlier, later in zip(ages, ages[1:]))  # it has swept
    small.stop()
    lab.balance("--flows", "500k", "--half-open", "1k")
    more = lab.weir("status")["memory_bytes"] - memory
    assert 490000 * 150 < more < 490000 * 256  # as the design promises: 256 bytes a flow at most


def test_status_for_people(lab, servers):
    lab.balance("--snat-ports", "2000-2999")
    held = [hold(lab)[0] for _ in range(6)]
    text = lab.weir_text("status").stdout
    assert "6 established, 0 half-open, 0 closing" in text
    assert "6 of 262,144 records in use" in text
    assert "3 of 1,000 ports towards 192.168.178.11:8000" in text
    assert "memory " in text and "swept " in text and "half-open" in text
    assert all(echoes(connection) for connection in held)


def test_rates(lab, servers):
    """Of the present: none before, some while something flows, none afterwards."""
    lab.balance()

    def rates():
        return lab.weir("status")["per_second"]
    until(lambda: rates() == {"packets": 0, "flows": 0}, what="silence")
    until(lambda: hold(lab) and rates()["flows"] >= 1, what="new flows")
    now = rates()
    assert now["packets"] >= 3 * now["flows"]  # SYN, SYN-ACK, ACK
    until(lambda: rates() == {"packets": 0, "flows": 0}, what="silence again")


def route_through_lb(lab):
    for host in lab.backends():
        lab.exec(host, "ip", "route", "replace", "default", "via", LB)


def logged_clients(lab, number):
    log = pathlib.Path(f"/run/weir-lab/{lab.name}/backend-{number}/access.log").read_text()
    return sorted(line.split()[0] for line in log.splitlines())


def test_client_address_kept_for_nginx(lab):
    """Both in the answer and in the log of the server."""
    lab.serve()
    route_through_lb(lab)
    lab.exec("client", "ip", "address", "add", "10.0.1.1/16", "dev", "eth0")
    lab.balance("--snat", "off")
    for source in (CLIENT, "10.0.1.1"):
        for _ in range(2):
            answer = lab.exec("client", "curl", "-sS", "-m", 5, "--interface", source,
                              f"http://{LB}:8000/").stdout
            assert f"client={source}:" in answer
    for number in (1, 2):  # nginx writes its log after it has answered
        until(lambda number=number: logged_clients(lab, number) == [CLIENT, "10.0.1.1"],
              what=f"both clients in the log of backend {number}")
    assert {flow["snat"] for flow in lab.weir("flow", "list")} == {None}


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_client_address_and_port_kept(lab, servers, kind):
    """Clients with one source port do not meet; a stranger's packets to the lb stay untouched."""
    route_through_lb(lab)
    lab.exec("client", "ip", "address", "add", "10.0.1.1/16", "dev", "eth0")
    lab.balance("--snat", "off", listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    held = []
    for source in (CLIENT, "10.0.1.1"):
        for port in (40001, 50002, 9):
            one = lab.socket("client", kind=kind, bind=(source, port))
            one.connect(SERVICE)
            if kind == socket.SOCK_DGRAM:
                one.send(b"?")
            assert read_line_of(one).split()[1] == f"{source}:{port}"
            held.append(one)
    assert all(echoes(one) for one in held)
    assert lab.weir("status")["snat"] == []  # no ports are taken: there is no limit to tell
    flows = lab.weir("flow", "list")
    assert {flow["client"] for flow in flows} == {
        f"{source}:{port}" for source in (CLIENT, "10.0.1.1") for port in (40001, 50002, 9)}
    assert {flow["snat"] for flow in flows} == {None}


def read_line_of(one):
    if one.type == socket.SOCK_DGRAM:
        return one.recv(100).decode().strip()
    return read_line(one)


def test_snat_off_port_is_free_after_a_close_of_the_backend(lab, servers):
    """The client's port is its own: no quarantine keeps it from coming again at once."""
    route_through_lb(lab)
    lab.balance("--snat", "off", to=backend_address(1))
    for _ in range(20):
        began = time.monotonic()
        connection = lab.connect(bind=("0.0.0.0", 33333))
        assert time.monotonic() - began < 0.9
        assert read_line(connection) == f"backend-1 {CLIENT}:33333"
        servers.close_connections()
        assert connection.recv(1) == b""
        connection.close()
    assert lab.reasons()["snat_exhausted"] == 0
