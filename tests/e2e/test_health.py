# SPDX-License-Identifier: GPL-2.0-only
"""Backends that fail and return: who gets connections, how fast, and how slowly at first."""

import time
from collections import Counter

import pytest

from network import LB, PATIENCE, SERVICE, backend, config, service, until
from servers import echoes, hold, visit

INTERVAL = 0.2
TIMEOUT = 0.1
RISE = 3
FALL = 2
CHECK = {"type": "tcp", "interval": "200ms", "timeout": "100ms", "rise": RISE, "fall": FALL}
# The checks that fall and rise need, the time of the last one, and room for a busy machine.
DOWN_WITHIN = FALL * INTERVAL + TIMEOUT + 0.5
UP_WITHIN = RISE * INTERVAL + TIMEOUT + 0.5
# No check of a backend ever succeeds, and its traffic is as it was.
DEAF = CHECK | {"port": 9}


def health(lab, number, name="web"):
    return lab.backend_row(backend(number), name)["health"]


def until_health(lab, number, wanted, **more):
    until(lambda: health(lab, number) == wanted, what=f"backend {number} {wanted}", **more)


def all_up(lab):
    until(lambda: {row["health"] for row in lab.weir("backend", "list")} == {"up"}, what="all up")


def run(lab, count=2, check=CHECK, **more):
    weir = lab.run_file(config(service("web", 8000, count, health=check, **more)))
    return weir


def stop_server(lab, servers, number):
    """Nobody listens there any more; its connections stay. Waits until it is down."""
    servers.close(f"backend-{number}")
    since = time.monotonic()
    until_health(lab, number, "down")
    return time.monotonic() - since


def test_server_stops_and_comes_back(lab, servers):
    run(lab)
    all_up(lab)
    held = dict(reversed(hold(lab)) for _ in range(2))
    assert stop_server(lab, servers, 2) < DOWN_WITHIN
    assert [visit(lab) for _ in range(20)] == ["backend-1"] * 20
    assert all(echoes(connection) for connection in held.values())  # established ones are left
    row = lab.backend_row(backend(2))
    assert row["connections"]["active"] == 1 and "refused" in row["why"]
    assert lab.weir("service", "list")[0]["healthy"] == 1
    servers.open("backend-2")
    since = time.monotonic()
    until_health(lab, 2, "up")
    assert RISE * INTERVAL - 2 * INTERVAL < time.monotonic() - since < UP_WITHIN
    assert Counter(visit(lab) for _ in range(20)) == {"backend-1": 10, "backend-2": 10}
    assert "down" in lab.weirs[0].log and "up" in lab.weirs[0].log


def test_host_that_does_not_answer(lab, servers):
    """Neither SYN-ACK nor RST: the check's timeout tells."""
    run(lab)
    all_up(lab)
    lab.exec("backend-2", "ip", "route", "add", "blackhole", f"{LB}/32")
    since = time.monotonic()
    until_health(lab, 2, "down")
    assert time.monotonic() - since < DOWN_WITHIN
    assert [visit(lab) for _ in range(10)] == ["backend-1"] * 10
    lab.exec("backend-2", "ip", "route", "del", "blackhole", f"{LB}/32")
    until_health(lab, 2, "up", timeout=UP_WITHIN)


def test_one_failure_is_not_a_fall(lab, servers):
    """The server is away for less than `fall` checks; new connections are what suffers."""
    weir = run(lab, check=CHECK | {"fall": 20})
    all_up(lab)
    servers.close("backend-2")
    time.sleep(1)
    servers.open("backend-2")
    time.sleep(0.5)
    assert health(lab, 2) == "up"
    assert "down" not in weir.log


@pytest.mark.parametrize("scheduler", ["rr", "wrr"])
def test_share_rises_slowly(lab, servers, scheduler):
    """In each part of the ramp at most the share that its end allows; in the end an even one."""
    ramp, parts = 3, 6
    run(lab, scheduler=scheduler, slow_start=f"{ramp}s")
    all_up(lab)
    assert Counter(visit(lab) for _ in range(20)) == {"backend-1": 10, "backend-2": 10}
    stop_server(lab, servers, 2)
    servers.open("backend-2")
    until_health(lab, 2, "up")
    began = time.monotonic()
    seen = [Counter() for _ in range(parts)]
    while (passed := time.monotonic() - began) < ramp:
        seen[int(passed / ramp * parts)][visit(lab)] += 1
        time.sleep(0.005)
    print(seen)
    for number, count in enumerate(seen):
        most = (number + 1) / parts
        least = max(0, number - 1) / parts  # it rises in steps
        share = count["backend-2"] / count.total()
        assert 0.8 * least / (1 + least) - 0.03 <= share <= most / (1 + most) + 0.05, (number, seen)
    time.sleep(0.6)
    assert Counter(visit(lab) for _ in range(20)) == {"backend-1": 10, "backend-2": 10}


@pytest.mark.backends(3)
@pytest.mark.parametrize("scheduler", ["lc", "wlc"])
def test_least_connections_after_a_return(lab, servers, scheduler):
    """The one that returns has none, the others have many: it would get all, at once."""
    ramp = 3
    run(lab, 3, scheduler=scheduler, slow_start=f"{ramp}s")
    all_up(lab)
    stop_server(lab, servers, 2)
    loads = Counter(hold(lab)[1] for _ in range(120))
    assert loads == {"backend-1": 60, "backend-3": 60}
    servers.open("backend-2")
    until_health(lab, 2, "up")
    began = time.monotonic()
    while (passed := time.monotonic() - began) < ramp:
        loads[hold(lab)[1]] += 1
        share = min(1, (passed + 0.3) / ramp)  # it was seen a little late
        others = max(loads["backend-1"], loads["backend-3"])
        assert loads["backend-2"] <= share * (others + 1) + 1, (passed, loads)
        time.sleep(0.01)
    time.sleep(0.6)
    # After that it is treated like the others, which have more.
    behind = max(loads.values()) - loads["backend-2"]
    more = Counter(hold(lab)[1] for _ in range(min(behind, 10)))
    assert more["backend-2"] == more.total(), (loads, more)


def all_down(lab):
    until(lambda: {row["health"] for row in lab.weir("backend", "list")} == {"down"},
          what="all down")


def test_all_down_reject(lab, servers):
    run(lab, check=DEAF)
    all_down(lab)
    for _ in range(5):
        since = time.monotonic()
        with pytest.raises(ConnectionRefusedError):
            lab.connect()
        assert time.monotonic() - since < 0.5
    assert lab.reasons()["no_backend"] == 5


def test_all_down_drop(lab, servers):
    run(lab, check=DEAF, on_no_backend="drop")
    all_down(lab)
    with pytest.raises(TimeoutError):
        lab.connect(timeout=1.5)
    assert lab.reasons()["no_backend_silent"] >= 1


def test_all_down_fail_open(lab, servers):
    run(lab, check=DEAF, fail_open=True)
    all_down(lab)
    assert Counter(visit(lab) for _ in range(20)) == {"backend-1": 10, "backend-2": 10}


def test_fail_open_only_with_all_down(lab, servers):
    run(lab, fail_open=True)
    all_up(lab)
    stop_server(lab, servers, 2)
    assert [visit(lab) for _ in range(10)] == ["backend-1"] * 10


def test_no_traffic_is_lost_before_the_first_result(lab, servers):
    """A backend serves until it is known to be down: "ready" means that it can be used."""
    run(lab, check=CHECK | {"interval": "10s", "timeout": "1s"})
    assert Counter(visit(lab) for _ in range(10)) == {"backend-1": 5, "backend-2": 5}


def test_http_status(lab):
    """The server listens, but says that it is not well."""
    big = lab.serve()
    (big / "healthz").write_text("fine\n")
    run(lab, check=CHECK | {"type": "http", "path": "/big/healthz"})
    all_up(lab)
    (big / "healthz").unlink()
    all_down(lab)
    assert "404" in lab.backend_row(backend(1))["why"]
    with pytest.raises(ConnectionRefusedError):
        lab.connect()
    (big / "healthz").write_text("fine\n")
    all_up(lab)
    lab.connect()


def test_http_expectations(lab):
    big = lab.serve()
    (big / "healthz").write_text("all is fine\n")
    checks = {
        "status": {"path": "/big/healthz", "status": 200},
        "other-status": {"path": "/big/healthz", "status": 204},
        "body": {"path": "/big/healthz", "body": "is fine"},
        "other-body": {"path": "/big/healthz", "body": "is bad"},
        "other-path": {"path": "/big/nowhere"},
    }
    lab.run_file(config(*(
        service(name, 8000, 1, health=CHECK | {"type": "http"} | check) | {"listen": f"{LB}:{port}"}
        for port, (name, check) in enumerate(checks.items(), 8000))))
    wanted = {"status": "up", "other-status": "down", "body": "up", "other-body": "down",
              "other-path": "down"}
    until(lambda: {row["service"]: row["health"] for row in lab.weir("backend", "list")} == wanted,
          what=f"{wanted}")


@pytest.mark.parametrize("check", [{"type": "icmp"}, {"type": "exec", "command": "exit 0"}])
def test_other_checks(lab, servers, check):
    run(lab, check=CHECK | check)
    all_up(lab)
    assert visit(lab)


def test_check_by_command(lab, servers, tmp_path):
    """It is told whom to check."""
    tmp_path.chmod(0o755)
    run(lab, check={"type": "exec", "interval": "300ms", "timeout": "250ms", "rise": 1, "fall": 1,
                    "command": 'test "$WEIR_ADDRESS" = 192.168.178.11'})
    until(lambda: [health(lab, 1), health(lab, 2)] == ["up", "down"], what="one up, one down")
    assert [visit(lab) for _ in range(4)] == ["backend-1"] * 4


@pytest.mark.backends(3)
def test_backup(lab, servers):
    """Used only while nobody else can serve."""
    wanted = config(service("web", 8000, 3, health=CHECK))
    wanted["services"][0]["backends"][2]["backup"] = True
    lab.run_file(wanted)
    all_up(lab)
    assert {visit(lab) for _ in range(10)} == {"backend-1", "backend-2"}
    stop_server(lab, servers, 1)
    assert {visit(lab) for _ in range(10)} == {"backend-2"}
    stop_server(lab, servers, 2)
    assert {visit(lab) for _ in range(10)} == {"backend-3"}
    connection, _ = hold(lab)
    servers.open("backend-1")
    until_health(lab, 1, "up")
    assert {visit(lab) for _ in range(10)} == {"backend-1"}
    assert echoes(connection)


def test_backup_after_a_restart(lab, servers):
    """It was well without being used: nobody is alarmed, and it is there when it is needed."""
    wanted = config(service("web", 8000, 2, health=CHECK))
    wanted["services"][0]["backends"][1]["backup"] = True
    lab.run_file(wanted)
    all_up(lab)
    lab.weirs[-1].kill()
    lab.run_file()
    all_up(lab)
    assert {visit(lab) for _ in range(10)} == {"backend-1"}
    assert "down" not in lab.weirs[-1].log
    stop_server(lab, servers, 1)
    assert {visit(lab) for _ in range(10)} == {"backend-2"}


@pytest.mark.parametrize("scheduler", ["rr", "lc"])
def test_max_connections(lab, servers, scheduler):
    wanted = config(service("web", 8000, 2, scheduler=scheduler))
    wanted["services"][0]["backends"][0]["max_connections"] = 3
    lab.run_file(wanted)
    held = [hold(lab) for _ in range(12)]
    assert Counter(name for _, name in held) == {"backend-1": 3, "backend-2": 9}
    next(connection for connection, name in held if name == "backend-1").close()
    until(lambda: lab.active()[0] == 2, what="the end of one")
    assert Counter(hold(lab)[1] for _ in range(4))["backend-1"] == 1
    # Nobody has room: like no backend at all.
    wanted["services"][0]["backends"][1]["max_connections"] = 5
    lab.reload(wanted)
    with pytest.raises(ConnectionRefusedError):
        lab.connect()
    assert all(echoes(connection) for connection, _ in held if connection.fileno() >= 0)


def test_health_is_remembered(lab, servers):
    """By a reload that does not concern it, and over a restart: no connection to the dead one."""
    run(lab)
    all_up(lab)
    stop_server(lab, servers, 2)
    lab.reload(config(service("web", 8000, 2, health=CHECK), service("more", 8001, 1)))
    assert health(lab, 2) == "down"
    assert [visit(lab) for _ in range(10)] == ["backend-1"] * 10
    lab.weirs[-1].kill()
    lab.run_file()
    assert [visit(lab) for _ in range(10)] == ["backend-1"] * 10
    until_health(lab, 2, "down", timeout=PATIENCE)


def test_unhealthy_server_is_found_by_traffic(lab, servers):
    """Refused clients are a sign: the checks come at once, not after their interval."""
    run(lab, check=CHECK | {"interval": "20s", "timeout": "1s", "fall": 1})
    all_up_within = 25
    until(lambda: {row["health"] for row in lab.weir("backend", "list")} == {"up"},
          timeout=all_up_within, what="all up")
    servers.close("backend-2")
    since = time.monotonic()

    def refused():
        try:
            visit(lab, SERVICE)
        except ConnectionRefusedError:
            pass
        return health(lab, 2) == "down"
    until(refused, what="down")
    assert time.monotonic() - since < 5
