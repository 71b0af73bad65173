# SPDX-License-Identifier: GPL-2.0-only
"""Services on any port of an address, and on ranges."""

import pytest

from network import CLIENT, LB, backend_address, config, until, weir_binary
from servers import Servers, echoes, hold, read_line, visit
from test_direct import path_of

SERVED = "192.168.178.80"  # no host's own
SSH = 22


@pytest.fixture
def routed(lab):
    """The gateway sends what is for SERVED to lb, which does not have it itself."""
    lab.exec("gateway", "ip", "route", "add", f"{SERVED}/32", "via", LB)
    return SERVED


def all_ports(listen, **more):
    return {"name": "all", "listen": listen, "health": {"type": "none"},
            "backends": [backend_address(number) for number in (1, 2)], **more}


def check(lab, service):
    lab.configure(config(service))
    return lab.exec("lb", weir_binary(), "check", "-c", lab.config_path, check=False)


def passes(lab, to):
    """Nobody serves it: the host answers, and with a RST."""
    before = lab.reasons()["not_ours"]
    with pytest.raises(ConnectionRefusedError):
        lab.connect(to)
    return lab.reasons()["not_ours"] > before


def test_curl_on_any_port(lab, routed):
    """nginx sees the port that the client asked for."""
    lab.serve()
    lab.run_file(config(all_ports(f"{SERVED}:any")))
    for _ in range(2):
        answer = lab.exec("client", "curl", "-sS", "--max-time", 10, f"http://{SERVED}:8000/").stdout
        assert answer.startswith("backend-")
    result = lab.exec("client", "curl", "-sS", "--max-time", 10, f"http://{SERVED}:8001/", check=False)
    assert result.returncode == 7  # the backend refuses: nobody listens there
    rows = lab.weir("backend", "list")
    assert [row["address"] for row in rows] == [f"{backend_address(n)}:any" for n in (1, 2)]
    assert lab.weir("service", "list")[0]["listen"] == [f"{SERVED}:any"]


def test_one_port_for_all(lab, routed):
    lab.serve()
    lab.run_file(config(all_ports(f"{SERVED}:any", backends=[f"{backend_address(1)}:8000"])))
    for port in (1, 80, 65535):
        answer = lab.exec("client", "curl", "-sS", "--max-time", 10, f"http://{SERVED}:{port}/").stdout
        assert answer.startswith("backend-1 ")


def test_excepted_ports_are_the_hosts(lab, servers):
    """The host's own address: its ssh is left to it, everything else goes to the backends."""
    ssh = lab.listen("lb", "0.0.0.0", SSH)
    service = all_ports(f"{LB}:any", **{"except": [SSH, "80-90"]})
    lab.run_file(config(service))
    connection = lab.connect((LB, SSH))
    accepted, (client, _) = ssh.accept()
    assert client == CLIENT
    accepted.send(b"SSH-2.0-lb\n")
    assert read_line(connection) == "SSH-2.0-lb"
    assert passes(lab, (LB, 80)) and passes(lab, (LB, 90))
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    for port in (79, 91):  # taken to a backend, which refuses
        before = lab.reasons()["new_flow"]
        with pytest.raises(ConnectionRefusedError):
            lab.connect((LB, port))
        assert lab.reasons()["new_flow"] == before + 1
    accepted.close()


def test_the_hosts_own_address_needs_except(lab, servers):
    result = check(lab, all_ports(f"{LB}:any"))
    assert result.returncode == 1
    assert f"{lab.config_path}:" in result.stderr and "is an address of this host" in result.stderr
    assert check(lab, all_ports(f"{LB}:any", **{"except": [22]})).returncode == 0
    assert check(lab, all_ports(f"{SERVED}:any")).returncode == 0
    assert check(lab, all_ports(f"{LB}:5000-5999")).returncode == 0
    weir = lab.run_file(config(all_ports(f"{LB}:8000-8000")))
    weir.may_complain = True
    result = lab.reload(config(all_ports(f"{LB}:any")), check=False)
    assert result.returncode == 1 and "is an address of this host" in result.stderr
    assert visit(lab)
    refused = lab.exec("lb", weir_binary(), "--socket", f"{lab.control_socket}.2", "run", "-c",
                       lab.config_path, check=False)
    assert refused.returncode == 1 and "is an address of this host" in refused.stderr


def test_borders_of_a_range(lab, routed):
    with Servers(lab) as servers:
        for port in (4999, 5000, 5999, 6000):
            servers.open_all(port)
        lab.run_file(config(all_ports(f"{SERVED}:5000-5999", protocol=["tcp", "udp"])))
        for port in (5000, 5999):
            connection, _ = hold(lab, (SERVED, port))
            assert connection.getpeername() == (SERVED, port) and echoes(connection)
            datagrams = lab.datagrams((SERVED, port))
            datagrams.send(b"x")
            assert datagrams.recv(10) == b"x"
        flows = lab.weir("flow", "list")
        assert sorted(flow["listen"].rsplit(":", 1)[1] for flow in flows) == ["5000"] * 2 + ["5999"] * 2
        assert all(flow["backend"].rsplit(":", 1)[1] == flow["listen"].rsplit(":", 1)[1]
                   for flow in flows)
        before = lab.reasons()
        for port in (4999, 6000):
            with pytest.raises(OSError):  # lb is no router for it
                lab.connect((SERVED, port), timeout=0.5)
        after = lab.reasons()
        assert after["new_flow"] == before["new_flow"] and after["not_ours"] > before["not_ours"]


def test_life_of_such_a_backend(lab, routed, servers):
    """Draining, cutting, adding and a restart: by the name ADDR:any."""
    lab.run_file(config(all_ports(f"{SERVED}:any")))
    first, second = (f"{backend_address(number)}:any" for number in (1, 2))
    to = (SERVED, 8000)
    held = [hold(lab, to) for _ in range(4)]
    lab.weir_text("backend", "set", "all", first, "drain")
    assert {visit(lab, to) for _ in range(4)} == {"backend-2"}
    assert lab.backend_row(first)["state"] == "drain"
    assert len(lab.weir("flow", "list", "--backend", first)) == 2
    lab.weir_text("backend", "remove", "all", second)
    lab.weir_text("backend", "set", "all", first, "ready")
    assert {visit(lab, to) for _ in range(4)} == {"backend-1"}
    lab.weir_text("backend", "add", "all", second)
    until(lambda: lab.backend_row(second)["usable"], what="the second one's MAC address")
    assert {visit(lab, to) for _ in range(4)} == {"backend-1", "backend-2"}
    lab.weirs[0].kill()
    lab.run_file()
    assert all(echoes(connection) for connection, _ in held)
    assert {visit(lab, to) for _ in range(4)} == {"backend-1", "backend-2"}
    assert [row["address"] for row in lab.weir("backend", "list")] == [first, second]
    assert sum(row["connections"]["active"] for row in lab.weir("backend", "list")) == 4
    lab.weir_text("backend", "set", "all", first, "down")
    gone = [connection for connection, name in held if name == "backend-1"]
    for connection in gone:
        with pytest.raises(ConnectionResetError):
            connection.sendall(b"x")
            connection.recv(1)
    lab.weir_text("flow", "kill", "--backend", second)
    until(lambda: not [flow for flow in lab.weir("flow", "list") if flow["state"] == "established"],
          what="the end of all flows")


@pytest.mark.backends(3)
@pytest.mark.parametrize("mode", ["dsr", "ipip"])
def test_direct_replies(lab, mode):
    """The backends have the address; weir leaves port 22 of it to the host."""
    lab.serve()
    with path_of(lab, mode):
        ssh = lab.listen("lb", LB, SSH)
        lab.run_file(config(all_ports(f"{LB}:any", mode=mode, scheduler="source",
                                      **{"except": [SSH]})))
        answer = lab.exec("client", "curl", "-sS", "--max-time", 10, f"http://{LB}:8000/").stdout
        assert f"client={CLIENT}:" in answer
        lab.connect((LB, SSH))
        assert ssh.accept()[1][0] == CLIENT


def test_reload_moves_ports(lab, routed, servers):
    """A port goes from the range to a service of its own and back, under flows that do not notice."""
    whole = all_ports(f"{SERVED}:any")
    part = all_ports(f"{SERVED}:any", **{"except": [8000]})
    own = {"name": "own", "listen": f"{SERVED}:8000", "health": {"type": "none"},
           "backends": [f"{backend_address(2)}:8000"]}
    to = (SERVED, 8000)
    lab.run_file(config(whole))
    held = [hold(lab, to) for _ in range(4)]
    lab.reload(config(part, own))
    assert {visit(lab, to) for _ in range(4)} == {"backend-2"}
    assert all(echoes(connection) for connection, _ in held)
    lab.reload(config(whole))
    assert {visit(lab, to) for _ in range(4)} == {"backend-1", "backend-2"}
    assert all(echoes(connection) for connection, _ in held)
    lab.configure(config(whole, own))
    result = lab.weir_text("check", "-c", lab.config_path, check=False)
    assert result.returncode == 1 and "except must name" in result.stderr
