# SPDX-License-Identifier: GPL-2.0-only
"""The service address goes to another host and comes back, as VRRP does it, under load."""

import time

import pytest

from load import Load
from network import LB, backend, config, service
from servers import Servers, echoes, hold, visit

MOVING = ("192.168.178.100", 9000)
STAYING = (LB, 9000)
HELD = 50


def move(lab, source, target):
    """The gateway hears of it at once."""
    lab.exec(source, "ip", "address", "del", f"{MOVING[0]}/24", "dev", "eth0")
    lab.exec(target, "ip", "address", "add", f"{MOVING[0]}/24", "dev", "eth0")
    lab.exec("gateway", "ip", "neigh", "flush", "to", MOVING[0])


def check_capacity(lab, memory):
    """What `weir status` says about room is true all the time."""
    status = lab.weir("status")
    row, = (one for one in lab.weir("service", "list") if one["name"] == "moving")
    assert row["connections"]["active"] == HELD
    flows = status["flows"]
    assert flows["limit"] == 5000
    assert HELD <= flows["established"] < HELD + 100
    assert flows["established"] + flows["closing"] + flows["half_open"] <= flows["used"] <= 5000
    assert 2000 < flows["half_open_horizon_ms"] <= 10000
    ports = {one["backend"]: one for one in status["snat"] if one["service"] == "moving"}
    assert [ports[backend(number, 9000)]["used"] for number in (1, 2)] == [HELD // 2] * 2
    assert all(one["limit"] == 10000 for one in ports.values())
    assert status["memory_bytes"] == memory
    assert status["sweep_age_ms"] < 2500
    text = lab.weir_text("status").stdout
    assert "of 5,000 records in use" in text


@pytest.mark.backends(3)
def test_moved_away_and_back(lab):
    big = lab.serve()
    lab.exec("lb", "ip", "address", "add", f"{MOVING[0]}/24", "dev", "eth0")
    with Servers(lab) as servers:
        for host in lab.backends():
            servers.open(host, 9000)
        both = {"protocol": ["tcp", "udp"]}
        lab.run_file(config(
            service("web", 8000, 2), service("staying", 9000, 2, **both),
            service("moving", 9000, 2, **both) | {"listen": "%s:%d" % MOVING},
            limits={"flows": 5000, "half_open": 1024}, snat={"ports": "20000-29999"}))
        memory = lab.weir("status")["memory_bytes"]
        with Load(lab, 5, big, echo=STAYING) as load:
            held = [hold(lab, MOVING)[0] for _ in range(HELD)]
            check_capacity(lab, memory)
            move(lab, "lb", "backend-3")
            servers.open("backend-3", 9000, address=MOVING[0])
            for _ in range(5):
                assert visit(lab, MOVING) == "backend-3"
                check_capacity(lab, memory)
                time.sleep(0.2)
            move(lab, "backend-3", "lb")
            # Whoever was connected before is still connected.
            assert all(echoes(connection) for connection in held)
            check_capacity(lab, memory)
            assert {visit(lab, MOVING) for _ in range(4)} == {"backend-1", "backend-2"}
            load.end_clean()
