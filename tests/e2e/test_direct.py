# SPDX-License-Identifier: GPL-2.0-only
"""Modes dsr and ipip: backends answer clients themselves, and see their addresses."""

import contextlib
import pathlib
import re

import pytest

from direct import decapsulation
from network import (BUILD, CLIENT, GATEWAY, LB, TCP_SERVICE, backend_address, backends, config,
                     service, until, weir_binary)
from servers import Servers, echoes, hold

pytestmark = pytest.mark.backends(3)

OWN = "192.168.178.9"
SECOND_NODE = "backend-3"
SECOND_SOCKET = "/run/weir/lab-{}.second"


def own_service_address(lab, host):
    """As weir.yaml(5) says: the service address on lo, and silence about it."""
    lab.exec(host, "sh", "-euc", f"""
        for scope in all eth0; do
            echo 1 >/proc/sys/net/ipv4/conf/$scope/arp_ignore
            echo 2 >/proc/sys/net/ipv4/conf/$scope/arp_announce
        done
        ip address add {LB}/32 dev lo""")


def own_address(lab):
    """Backends answer nobody who asks from the service address: it is their own. lb gets another."""
    lab.exec("lb", "ip", "-force", "-batch", "-", input=f"""
        address del {LB}/24 dev eth0
        address add {OWN}/24 dev eth0
        address add {LB}/32 dev eth0
        route replace default via {GATEWAY}
        """)


@contextlib.contextmanager
def path_of(lab, mode):
    """lb and the first two backends are set up for this mode."""
    own_address(lab)
    for number in (1, 2):
        own_service_address(lab, f"backend-{number}")
    if mode == "dsr":
        yield
    else:
        with decapsulation(lab, "backend-1", "backend-2"):
            yield


def curl(lab, *more):
    return lab.exec("client", "curl", "--silent", "--show-error", "--max-time", "10", *more,
                    f"http://{LB}:8000/").stdout


def log_lines(lab, host):
    return pathlib.Path(f"/run/weir-lab/{lab.name}/{host}/access.log").read_text().splitlines()


@pytest.mark.parametrize("mode", ["dsr", "ipip"])
def test_nginx_sees_the_client(lab, mode):
    lab.serve()
    with path_of(lab, mode):
        lab.balance("--mode", mode, to=backends(2))
        answers = [curl(lab) for _ in range(6)]
        assert [answer.split()[0] for answer in answers] == ["backend-1", "backend-2"] * 3
        assert all(f"client={CLIENT}:" in answer for answer in answers)
        for host in ("backend-1", "backend-2"):
            until(lambda: len(log_lines(lab, host)) == 3, what="three lines in nginx's log")
            assert all(re.match(rf"{CLIENT} .* 200 ", line) for line in log_lines(lab, host))
        rows = lab.weir("backend", "list")
        assert [row["connections"]["total"] for row in rows] == [3, 3]
        assert [row["connections"]["active"] for row in rows] == [0, 0]
        assert all(row["packets"]["in"] > 9 and row["packets"]["out"] == 0 for row in rows)
        assert lab.weir("status")["snat"] == []
        reasons = lab.reasons()
        assert reasons["new_flow"] == 6
        assert reasons["to_client"] == reasons["hashed"] == reasons["no_flow"] == 0


def test_ipip_tells_the_client_of_the_smaller_mtu(lab, tmp_path):
    lab.serve()
    body = tmp_path / "body"
    body.write_bytes(b"x" * 300000)
    with path_of(lab, "ipip"):
        lab.balance("--mode", "ipip", to=backends(2))
        assert "backend-" in curl(lab, "--data-binary", f"@{body}")
        assert lab.reasons()["too_big"] > 0
        route = lab.exec("client", "ip", "route", "get", LB).stdout
        assert "mtu 1480" in route


@pytest.mark.parametrize("mode", ["dsr", "ipip"])
def test_a_second_node_without_state_goes_on(lab, mode):
    """The first node's flows find their backend through another one, by the hash alone."""
    lab.exec("lan", "ip", "link", "set", "dev", f"port-{SECOND_NODE}", "xdpdrv", "object",
             BUILD / "bpf" / "pass.bpf.o", "section", "xdp.frags")
    arguments = ("-i", "eth0", "--listen", f"{LB}:8000", "--backends", backends(2, 8000),
                 "--mode", mode, "--scheduler", "hash")
    second_socket = SECOND_SOCKET.format(lab.name)
    with path_of(lab, mode), Servers(lab) as servers:
        for host in ("backend-1", "backend-2"):
            servers.open(host, address=LB)
        lab.run_weir(*arguments)
        lab.run_weir(*arguments, host=SECOND_NODE, socket_path=second_socket)
        held = [hold(lab) for _ in range(8)]
        assert {name for _, name in held} == {"backend-1", "backend-2"}
        lab.exec("gateway", "ip", "neighbour", "replace", LB, "lladdr", lab.mac(SECOND_NODE),
                 "dev", "eth1", "nud", "permanent")
        for connection, _ in held:
            assert echoes(connection)
        reasons = lab.reasons(second_socket)
        assert reasons["hashed"] == 8 and reasons["new_flow"] == 0
        assert servers.resets == 0
        for connection, _ in held:
            connection.close()


def test_service_address_as_own_address_is_told(lab):
    """Nothing would work, and a missing ARP answer alone would not say why."""
    weir = lab.balance("--mode", "dsr", to=backends(2))
    weir.wait_log("talks to it from the service address")


@pytest.mark.parametrize("verb, answered", [("drain", True), ("down", False)])
def test_drain_and_down(lab, verb, answered):
    with path_of(lab, "dsr"), Servers(lab) as servers:
        for host in ("backend-1", "backend-2"):
            servers.open(host, address=LB)
        lab.balance("--mode", "dsr", to=backends(2))
        held = [hold(lab) for _ in range(2)]
        connection = next(one for one, name in held if name == "backend-1")
        lab.weir("backend", "set", TCP_SERVICE, f"{backend_address(1)}:8000", verb)
        if answered:
            assert echoes(connection)
        else:  # backend-2 knows nothing of it and says so
            with pytest.raises(ConnectionResetError):
                echoes(connection)
        assert [hold(lab)[1] for _ in range(3)] == ["backend-2"] * 3


def test_datagrams(lab):
    with path_of(lab, "dsr"), Servers(lab) as servers:
        for host in ("backend-1", "backend-2"):
            servers.open(host, address=LB)
        lab.balance("--mode", "dsr", listen=f"{LB}:8000/udp", to=backends(2))
        client = lab.datagrams()
        names = []
        for _ in range(3):
            client.send(b"?")
            names.append(client.recv(100).split())
        address, port = client.getsockname()
        assert names == [names[0]] * 3
        assert names[0][1].decode() == f"{address}:{port}"


def test_decap_takes_named_addresses_only(lab):
    lab.serve()
    own_address(lab)
    for number in (1, 2):
        own_service_address(lab, f"backend-{number}")
    with decapsulation(lab, "backend-1", more=("--address", backend_address(1))), \
            decapsulation(lab, "backend-2", more=("--address", "192.168.178.99")):
        lab.balance("--mode", "ipip", to=backends(2))
        assert curl(lab).startswith("backend-1 ")
        failed = lab.exec("client", "curl", "--silent", "--max-time", "1", f"http://{LB}:8000/",
                          check=False)
        assert failed.returncode == 28


@pytest.mark.parametrize("arguments, expected", [
    (("decap",), "-i: expected the interface"),
    (("decap", "-i"), "-i: its value is missing"),
    (("decap", "-i", "eth0", "--address", "[fd00::1]:80"), "expected an IPv4 or IPv6 address"),
    (("decap", "-i", "nowhere0"), "no interface nowhere0"),
    (("decap", "-i", "eth0"), "another XDP program sits on this interface"),
])
def test_decap_refuses(lab, arguments, expected):
    lab.balance(to=backends(1))
    refused = lab.exec("lb", weir_binary(), *arguments, check=False)
    assert refused.returncode in (1, 2)
    assert expected in refused.stderr


@pytest.mark.parametrize("kind", ["reload", "restart"])
def test_the_first_service_of_dsr_gets_its_table(lab, kind):
    """Tables that were made for nat alone have no room for sessions."""
    nat = service("nat", 8001, 2, listen=f"{OWN}:8001")
    nat["backends"] = [{"address": f"{backend_address(number)}:8001"} for number in (1, 2)]
    dsr = service("dsr", 8000, 2, mode="dsr")
    with path_of(lab, "dsr"), Servers(lab) as servers:
        for host in ("backend-1", "backend-2"):
            servers.open(host, address=LB)
            servers.open(host, port=8001)
        weir = lab.run_file(config(nat, limits={"flows": 1 << 20}))
        before = lab.weir("status")["memory_bytes"]
        held, name = hold(lab, to=(OWN, 8001))
        if kind == "restart":
            lab.configure(config(nat, dsr, limits={"flows": 1 << 20}))
            assert weir.stop() == 0
            lab.run_file()
        else:
            lab.reload(config(nat, dsr, limits={"flows": 1 << 20}))
            assert "a table for 1310720 sessions" in weir.log
        assert lab.weir("status")["memory_bytes"] - before > 64 * 1.2e6
        connections = [hold(lab) for _ in range(4)]
        assert [name for _, name in connections] == ["backend-1", "backend-2"] * 2
        for connection in [held, *(connection for connection, _ in connections)]:
            assert echoes(connection)
        lab.weirs[-1].kill()
        lab.run_file()
        assert lab.weir("status")["memory_bytes"] - before > 64 * 1.2e6
        for connection in [held, *(connection for connection, _ in connections)]:
            assert echoes(connection)
            connection.close()
        assert lab.reasons()["hashed"] == 0
