# SPDX-License-Identifier: GPL-2.0-only
"""What weir says about IPv6 services, and how it is told of them: brackets wherever a port follows."""

import select
import pytest

from network import (CLIENT6, LB6, LB, TCP_SERVICE6, UDP_SERVICE6, backend, config, endpoint,
                     service, until, weir_binary)
from servers import echoes, hold, read_line, visit

OTHER_CLIENT6 = "fd00:a::21"


@pytest.fixture
def busy(lab, servers6):
    """Two connections and a datagram over IPv6, by TCP and UDP services, and one of another client."""
    lab.balance(v6=True, listen=[f"[{LB6}]:8000", f"[{LB6}]:8000/udp"])
    lab.exec("client", "ip", "address", "add", f"{OTHER_CLIENT6}/64", "dev", "eth0", "nodad")
    lab.held = [hold(lab, (LB6, 8000), bind=(address, 0))[0]
                for address in (CLIENT6, CLIENT6, OTHER_CLIENT6)]
    lab.asking = lab.datagrams((LB6, 8000), bind=(CLIENT6, 0))
    lab.asking.send(b"?")
    assert lab.asking.recv(100).startswith(b"backend-1 [fd00:b::10]:")
    until(lambda: sum(row["connections"]["active"] for row in lab.weir("backend", "list",
                                                                       TCP_SERVICE6)) == 3,
          what="three connections")
    return lab


def name_of(connection):
    return endpoint(*connection.getsockname()[:2])


def test_flow_list(busy):
    flows = busy.weir("flow", "list")
    assert {flow["client"] for flow in flows} == {
        name_of(one) for one in [*busy.held, busy.asking]}
    for flow in flows:
        assert flow["listen"] == f"[{LB6}]:8000"
        assert flow["backend"] in (backend(1, v6=True), backend(2, v6=True))
        assert flow["snat"].startswith(f"[{LB6}]:")
        assert flow["service"] == (TCP_SERVICE6 if flow["protocol"] == "tcp" else UDP_SERVICE6)
    titles, *lines = busy.weir_text("flow", "list").stdout.splitlines()
    assert len(lines) == len(flows) == 4
    for line in lines:
        assert line.index("[fd00:b::1") == titles.index("LISTEN")
    for flow in flows:
        assert any(line.split()[:5] == [flow[key] for key in (
            "protocol", "client", "listen", "backend", "snat")] for line in lines)


@pytest.mark.parametrize("arguments, count", [
    (["--client", CLIENT6], 3),
    (["--client", f"[{OTHER_CLIENT6}]"], 1),
    (["--client", "fd00:a::22"], 0),
    (["--client", "10.0.0.20"], 0),
    (["--backend", "[fd00:b::11]:8000"], 3),
    (["--backend", "[fd00:b::12]:8000", "--client", CLIENT6], 1),
    (["--service", UDP_SERVICE6], 1),
])
def test_filters(busy, arguments, count):
    assert len(busy.weir("flow", "list", *arguments)) == count


def test_kill_flows_of_a_client(busy):
    busy.weir_text("flow", "kill", "--client", CLIENT6)
    for connection in busy.held[:2]:
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert echoes(busy.held[2])


def test_lists_and_status(busy):
    tcp, udp = busy.weir("service", "list")
    assert (tcp["name"], udp["name"]) == (TCP_SERVICE6, UDP_SERVICE6)
    assert tcp["listen"] == udp["listen"] == [f"[{LB6}]:8000"]
    rows = busy.weir("backend", "list", TCP_SERVICE6)
    assert [row["address"] for row in rows] == [backend(1, v6=True), backend(2, v6=True)]
    assert all(row["packets"]["in"] and row["packets"]["out"] for row in rows)
    assert {row["backend"] for row in busy.weir("status")["snat"]} == {
        row["address"] for row in rows}
    for command in (("service", "list"), ("backend", "list"), ("status",)):
        assert "[fd00:b::1" in busy.weir_text(*command).stdout


def test_trace(lab, servers6):
    lab.balance(v6=True)
    tracing = lab.popen("lb", weir_binary(), "--socket", lab.control_socket, "--json", "trace",
                        "--client", CLIENT6, stdout=-1)
    # It tells of what comes once it is connected.
    until(lambda: visit(lab, (LB6, 8000)) and select.select([tracing.stdout], [], [], 0.2)[0],
          what="a traced visit")
    line = tracing.stdout.readline().decode()
    assert f'"destination":"[{LB6}]:8000"' in line and f'"source":"[{CLIENT6}]:' in line
    assert f'"backend":"{backend(1, v6=True)}"' in line or (
        f'"backend":"{backend(2, v6=True)}"' in line)
    tracing.terminate()
    tracing.wait(10)
    tracing.stdout.close()


def test_both_families_in_one_file(lab, servers6):
    """Changes at run time name IPv6 backends in brackets, and come back after a restart."""
    lab.run_file(config(service("four", 8000, 2), service("six", 8000, 2, v6=True),
                        limits={"flows_v6": 1024}))
    assert {visit(lab, (LB, 8000)), visit(lab, (LB, 8000))} == {"backend-1", "backend-2"}
    assert {visit(lab, (LB6, 8000)), visit(lab, (LB6, 8000))} == {"backend-1", "backend-2"}
    lab.weir("backend", "set", "six", "[fd00:b::11]:8000", "drain")
    assert [visit(lab, (LB6, 8000)) for _ in range(3)] == ["backend-2"] * 3
    assert lab.backend_row("[fd00:b::11]:8000")["state"] == "drain"
    assert "services.six.backends[[fd00:b::11]:8000].state" in lab.weir_text(
        "config", "diff").stdout
    lab.weirs[-1].stop()
    lab.run_file()
    assert [visit(lab, (LB6, 8000)) for _ in range(3)] == ["backend-2"] * 3
    lab.weir("backend", "set", "six", "[fd00:b::11]:8000", "reset")
    assert {visit(lab, (LB6, 8000)), visit(lab, (LB6, 8000))} == {"backend-1", "backend-2"}


@pytest.mark.parametrize("check", ["tcp", "icmp", "exec"])
def test_health(lab, servers6, check):
    health = {"type": check, "interval": "200ms", "timeout": "150ms", "rise": 1, "fall": 1}
    if check == "exec":
        health["command"] = 'test "$WEIR_ADDRESS" = fd00:b::12'
    lab.run_file(config(service("six", 8000, 2, v6=True, health=health)))
    wanted = {"tcp": ["up", "up"], "icmp": ["up", "up"], "exec": ["down", "up"]}[check]
    until(lambda: [row["health"] for row in lab.weir("backend", "list")] == wanted, what="health")
    if check == "tcp":
        servers6.close("backend-1", v6=True)
    if check == "icmp":
        lab.exec("backend-1", "ip", "address", "del", "fd00:b::11/64", "dev", "eth0")
    until(lambda: lab.backend_row("[fd00:b::11]:8000")["health"] == "down", what="down")
    assert [visit(lab, (LB6, 8000)) for _ in range(3)] == ["backend-2"] * 3


def test_snat_addresses_of_each_family(lab, servers6):
    """IPv4 ones do not serve IPv6 backends, which go by route."""
    lab.exec("lb", "ip", "address", "add", "192.168.178.20/24", "dev", "eth0")
    lab.exec("lb", "ip", "address", "add", "fd00:b::20/64", "dev", "eth0", "nodad",
             "preferred_lft", 0)  # no route takes it by itself
    services = (service("four", 8000, 1), service("six", 8000, 1, v6=True))

    def source(to):
        connection = lab.connect(to)
        name, client = read_line(connection).split()
        connection.close()
        return client.rsplit(":", 1)[0]

    lab.run_file(config(*services, snat={"addresses": ["192.168.178.20"]}))
    assert source((LB, 8000)) == "192.168.178.20"
    assert source((LB6, 8000)) == f"[{LB6}]"
    lab.reload(config(*services, snat={"addresses": ["fd00:b::20", "192.168.178.20"]}))
    assert source((LB, 8000)) == "192.168.178.20"
    assert source((LB6, 8000)) == "[fd00:b::20]"
    lab.reload(config(*services, snat={"addresses": ["fd00:b::20"]}))
    assert source((LB, 8000)) == LB
    assert source((LB6, 8000)) == "[fd00:b::20]"
