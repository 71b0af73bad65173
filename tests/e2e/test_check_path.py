# SPDX-License-Identifier: GPL-2.0-only
"""Health checks in modes dsr and ipip reach the service address by way of each backend."""

import contextlib
import pathlib
import signal
import time

import pytest

from network import LB, backend, backend_address, config, until
from test_direct import OWN, decapsulation, log_lines, own_address, own_service_address

CHECK = {"type": "http", "interval": "200ms", "timeout": "150ms", "rise": 1, "fall": 2}
DOWN_WITHIN = 2 * 0.2 + 0.15 + 0.5
SECOND = "192.168.178.110"
MODES = pytest.mark.parametrize("mode", ["dsr", "ipip"])


def service(mode, check=CHECK, listen=f"{LB}:8000", **more):
    return {"name": "web", "listen": listen, "mode": mode, "health": check, **more,
            "backends": [{"address": backend(number)} for number in (1, 2)]}


def health(lab):
    return [row["health"] for row in lab.weir("backend", "list")]


def why(lab, number):
    return lab.backend_row(backend(number))["why"]


def until_health(lab, *wanted, **more):
    until(lambda: health(lab) == list(wanted), what=f"{wanted}", **more)


def lose_service_address(lab, number):
    lab.exec(f"backend-{number}", "ip", "address", "del", f"{LB}/32", "dev", "lo")


@contextlib.contextmanager
def path_of(lab, mode, with_service=(1, 2), with_decap=(1, 2)):
    own_address(lab)
    for number in with_service:
        own_service_address(lab, f"backend-{number}")
    lab.serve()
    hosts = [f"backend-{number}" for number in with_decap] if mode == "ipip" else []
    with decapsulation(lab, *hosts):
        yield


@pytest.mark.parametrize("local", [True, False], ids=["local", "elsewhere"])
@MODES
def test_up_by_the_path_of_the_traffic(lab, mode, local):
    """Also if the service address is the lb's own, from which it would take no answer."""
    with path_of(lab, mode):
        if not local:
            lab.exec("lb", "ip", "address", "del", f"{LB}/32", "dev", "eth0")
        lab.exec("lb", "sh", "-c", "echo 1 | tee /proc/sys/net/ipv4/conf/*/rp_filter")
        lab.run_file(config(service(mode)))
        until_health(lab, "up", "up")
        for host in lab.backends():
            until(lambda: log_lines(lab, host), what="a line in nginx's log")
            assert log_lines(lab, host)[-1].startswith(f"{OWN} ")


@MODES
def test_without_the_service_address(lab, mode):
    """The backend's own address answers all the time."""
    with path_of(lab, mode, with_service=(1,)):
        lab.run_file(config(service(mode)))
        until_health(lab, "up", "down")
        assert why(lab, 2).startswith(f"{LB} by way of the backend: no answer")
        own_service_address(lab, "backend-2")
        until_health(lab, "up", "up")
        lose_service_address(lab, 1)
        since = time.monotonic()
        until_health(lab, "down", "up")
        assert time.monotonic() - since < DOWN_WITHIN
        answers = lab.exec("backend-1", "curl", "--silent", f"http://{backend_address(1)}:8000/")
        assert "backend-1" in answers.stdout


def test_without_decapsulation(lab):
    with path_of(lab, "ipip", with_decap=(1,)):
        lab.run_file(config(service("ipip")))
        until_health(lab, "up", "down")


@MODES
def test_who_forwards_is_not_well(lab, mode):
    """
    A backend without the service address that is a router, too, sends checks back to weir, which must
    not take them for a client's: another backend would answer them.
    """
    with path_of(lab, mode, with_service=(1,)):
        lab.exec("backend-2", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        lab.run_file(config(service(mode)))
        until_health(lab, "up", "down")
        time.sleep(1)
        assert health(lab) == ["up", "down"]
        assert lab.reasons()["ttl_exceeded"] > 0


@pytest.mark.parametrize("check", [
    {"type": "tcp"},
    {"type": "icmp"},
    {"type": "exec", "command":
        'curl --silent "http://$WEIR_CHECK_ADDRESS:$WEIR_PORT/" | grep -q backend-'},
    # A request and an answer of several segments.
    {"type": "http", "path": "/" + "x" * 4000, "status": 200},
    # One segment of an MTU of 1500, less than the outer header to spare.
    {"type": "http", "path": "/" + "x" * 1350},
    {"type": "http", "path": "/big/long", "body": "end of it"},
], ids=["tcp", "icmp", "exec", "long-request", "full-request", "long-answer"])
@MODES
def test_kinds_of_checks(lab, mode, check):
    with path_of(lab, mode):
        (pathlib.Path(f"/run/weir-lab/{lab.name}/big") / "long").write_text("x" * 50000 + "end of it")
        lab.run_file(config(service(mode, check=CHECK | check)))
        until_health(lab, "up", "up")
        lose_service_address(lab, 2)
        until_health(lab, "up", "down")


def test_connection_refused(lab):
    """The service address is there, the server is not."""
    with path_of(lab, "dsr"):
        lab.run_file(config(service("dsr", check=CHECK | {"type": "tcp", "port": 9})))
        until_health(lab, "down", "down")
        assert why(lab, 2) == f"{LB} by way of the backend: connection refused"


def test_all_service_addresses(lab):
    with path_of(lab, "dsr"):
        lab.exec("backend-1", "ip", "address", "add", f"{SECOND}/32", "dev", "lo")
        lab.run_file(config(service("dsr", listen=[f"{LB}:8000", f"{SECOND}:8000"])))
        until_health(lab, "up", "down")
        assert why(lab, 2).startswith(f"{SECOND} by way of")


def test_nothing_is_left(lab):
    with path_of(lab, "ipip"):
        weir = lab.run_file(config(service("ipip")))
        until_health(lab, "up", "up")
        assert lab.left_by_checks()
        assert weir.stop() == 0
        assert lab.left_by_checks() == []
        lab.detach()
        assert lab.left_behind() == []


@pytest.mark.parametrize("how", ["detach", "start"])
def test_nothing_is_left_of_a_killed_one(lab, how):
    with path_of(lab, "dsr"):
        weir = lab.run_file(config(service("dsr")))
        until_health(lab, "up", "up")
        weir.kill()
        assert lab.left_by_checks()
        if how == "start":
            lab.run_file(config(service("nat")))
            assert lab.left_by_checks() == []
            lab.weirs[-1].stop()
        lab.detach()
        assert lab.left_behind() == []


@MODES
def test_after_a_kill_and_a_restart(lab, mode):
    with path_of(lab, mode):
        weir = lab.run_file(config(service(mode)))
        until_health(lab, "up", "up")
        weir.kill()
        weir = lab.run_file()
        until_health(lab, "up", "up")
        lose_service_address(lab, 1)
        until_health(lab, "down", "up")
        assert weir.stop(signal.SIGTERM) == 0
        lab.run_file()
        until_health(lab, "down", "up")


def test_reload(lab):
    """What is checked follows the configuration: mode, listen address, backends."""
    with path_of(lab, "ipip"):
        lab.run_file(config(service("dsr")))
        until_health(lab, "up", "up")
        lab.reload(config(service("dsr", listen=f"{SECOND}:8000")))
        until_health(lab, "down", "down")
        assert why(lab, 1).startswith(SECOND)
        lab.reload(config(service("ipip")))
        until_health(lab, "up", "up")
        lose_service_address(lab, 1)
        until_health(lab, "down", "up")
        lab.reload(config(service("nat", listen="192.168.178.9:8000")))
        until_health(lab, "up", "up")


def weir_interface(lab):
    return next(found.split()[1] for found in lab.left_by_checks()
                if found.startswith("interface") and not found.endswith("-peer"))


@pytest.mark.parametrize("mistake", ["link del {}", "route del 198.18.0.0/18 dev {}", "link set {} down"])
def test_somebody_removes_the_interface(lab, mistake):
    """Or its route. It would be the end of all checks."""
    with path_of(lab, "dsr"):
        weir = lab.run_file(config(service("dsr")))
        until_health(lab, "up", "up")
        lab.exec("lb", "ip", *mistake.format(weir_interface(lab)).split())
        weir.wait_log("made anew")
        until_health(lab, "up", "up")
        lose_service_address(lab, 2)
        until_health(lab, "up", "down")
        assert lab.weirs[-1].stop() == 0
        assert lab.left_by_checks() == []


def test_backend_that_cannot_be_reached(lab):
    with path_of(lab, "dsr"):
        lab.run_file(config(service("dsr")))
        until_health(lab, "up", "up")
        lab.exec("backend-2", "ip", "link", "set", "eth0", "down")
        until_health(lab, "up", "down")
        lab.exec("backend-2", "ip", "link", "set", "eth0", "up")
        until_health(lab, "up", "up")
