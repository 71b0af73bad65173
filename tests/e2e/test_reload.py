# SPDX-License-Identifier: GPL-2.0-only
"""New configurations while traffic flows: what did not change does not notice."""

import json
import os
import signal
import subprocess
import time
from collections import Counter

import pytest

from network import LB, backend, config, service, until, weir_binary
from servers import echoes, hold, visit

OTHER = (LB, 8001)


def web(count=2, **more):
    return service("web", 8000, count, **more)


def other(**more):
    """A second service over the same servers."""
    return service("other", 8000, 2, **more) | {"listen": f"{OTHER[0]}:{OTHER[1]}"}


def names(lab):
    return [row["name"] for row in lab.weir("service", "list")]


def refused(lab, to):
    with pytest.raises(ConnectionRefusedError):
        lab.connect(to)
    return True


def test_broken_file(lab, servers):
    weir = lab.run_file(config(web()))
    weir.may_complain = True
    connection, _ = hold(lab)
    text = "interfaces: [eth0]\nservices:\n  - name: web\n    listen: 192.168.178.10:8000\n" \
           "    schedular: rr\n"
    result = lab.reload(text, check=False)
    assert result.returncode == 1
    assert f"{lab.config_path}:5:5: " in result.stderr and "schedular" in result.stderr
    assert echoes(connection)
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    assert "the old configuration runs on" in weir.log


def ask(lab, *command):
    """A command that may take its time."""
    return subprocess.Popen([weir_binary(), "--socket", lab.control_socket, *command],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_file_that_takes_its_time(lab, servers):
    """Nobody has to wait for it but those who asked: here it comes through a pipe."""
    weir = lab.run_file(config(web()))
    lab.config_path.unlink()
    os.mkfifo(lab.config_path)
    asked = ask(lab, "reload")
    with open(lab.config_path, "w") as pipe:  # once weir has it open, too
        lab.weir_text("backend", "set", "web", backend(1), "drain")
        assert {visit(lab) for _ in range(4)} == {"backend-2"}
        for _ in range(2):
            weir.process.send_signal(signal.SIGHUP)  # read again, after this one
            lab.weir("flow", "count")
        assert asked.poll() is None
        pipe.write(json.dumps(config(web(), other())))
    assert asked.communicate(timeout=10)[1] == "" and asked.returncode == 0
    assert names(lab) == ["web", "other"]
    assert lab.backend_row(backend(1), "web")["state"] == "drain"
    with open(lab.config_path, "w") as pipe:
        pipe.write(json.dumps(config(web())))
    until(lambda: names(lab) == ["web"], what="what the signal asked for")
    asked = ask(lab, "config", "diff")  # and nobody else reads
    with open(lab.config_path, "w") as pipe:
        assert names(lab) == ["web"]
        pipe.write(json.dumps(config(web(3))))
    assert backend(3) in asked.communicate(timeout=10)[0]


def test_a_stop_while_a_file_is_read(lab, servers):
    weir = lab.run_file(config(web()))
    weir.may_complain = True
    lab.config_path.unlink()
    os.mkfifo(lab.config_path)
    asked = ask(lab, "reload")
    with open(lab.config_path, "w"):
        weir.process.send_signal(signal.SIGTERM)
        assert asked.wait(10) == 1
    assert weir.wait() == 0


def test_hangup(lab, servers):
    """The signal does what the command does, for good and for bad."""
    weir = lab.run_file(config(web()))
    weir.may_complain = True
    lab.configure(config(web(), other()))
    weir.process.send_signal(signal.SIGHUP)
    until(lambda: names(lab) == ["web", "other"], what="the new service")
    lab.configure("services: 5")
    weir.process.send_signal(signal.SIGHUP)
    weir.wait_log("runs on")
    assert names(lab) == ["web", "other"]
    assert weir.process.poll() is None


def test_services_come_and_go(lab, servers):
    lab.run_file(config(web()))
    refused(lab, OTHER)
    lab.reload(config(web(), other()))
    assert {visit(lab, OTHER) for _ in range(4)} == {"backend-1", "backend-2"}
    connection, _ = hold(lab, OTHER)
    lab.reload(config(web()))
    assert names(lab) == ["web"]
    refused(lab, OTHER)
    assert echoes(connection)  # who is served is served to the end
    assert visit(lab)


def test_changed_listen_address(lab, servers):
    lab.run_file(config(web()))
    connection, _ = hold(lab)
    lab.reload(config(web() | {"listen": f"{LB}:8002"}))
    assert visit(lab, (LB, 8002))
    refused(lab, (LB, 8000))
    assert echoes(connection)
    lab.reload(config(web() | {"listen": [f"{LB}:8000", f"{LB}:8002"]}))
    assert visit(lab, (LB, 8002)) and visit(lab, (LB, 8000))
    assert lab.weir("service", "list")[0]["listen"] == [f"{LB}:8000", f"{LB}:8002"]


def test_weights_and_scheduler(lab, servers):
    lab.run_file(config(web(scheduler="wrr")))
    assert Counter(visit(lab) for _ in range(20)) == {"backend-1": 10, "backend-2": 10}
    weighted = web(scheduler="wrr")
    weighted["backends"][1]["weight"] = 3
    lab.reload(config(weighted))
    assert Counter(visit(lab) for _ in range(20)) == {"backend-1": 5, "backend-2": 15}
    held = [hold(lab) for _ in range(8)]
    lab.reload(config(web(scheduler="lc")))  # it knows what the other one has given out
    assert [hold(lab)[1] for _ in range(4)] == ["backend-1"] * 4
    assert all(echoes(connection) for connection, _ in held)


@pytest.mark.backends(3)
def test_backends_come_and_go(lab, servers):
    lab.run_file(config(web(2)))
    held = [hold(lab) for _ in range(4)]
    lab.reload(config(web(3)))
    until(lambda: lab.backend_row(backend(3))["usable"], what="the new one's MAC address")
    assert Counter(visit(lab) for _ in range(9)) == dict.fromkeys(lab.backends(), 3)
    lab.reload(config(web(1)))
    assert Counter(visit(lab) for _ in range(6)) == {"backend-1": 6}
    assert all(echoes(connection) for connection, _ in held)
    lab.reload(config(web(2)))  # before the last ones have ended: it takes them back
    assert Counter(visit(lab) for _ in range(6)) == {"backend-1": 3, "backend-2": 3}
    assert lab.backend_row(backend(2))["state"] == "ready"
    assert all(echoes(connection) for connection, _ in held)


def test_timeouts(lab, servers):
    """They count for the flows that are there already."""
    lab.run_file(config(web(), other()))
    short, _ = hold(lab)
    long, _ = hold(lab, OTHER)
    lab.reload(config(web(timeouts={"tcp": "1s"}), other()))
    until(lambda: [flow["service"] for flow in lab.weir("flow", "list")] == ["other"],
          what="the short one expired")
    assert echoes(long)
    short.close()


def test_limits(lab, servers):
    lab.run_file(config(web(), limits={"flows": 1000, "half_open": 128}))
    held = [hold(lab)[0] for _ in range(10)]
    lab.reload(config(web(), limits={"flows": 10, "half_open": 128}))
    assert lab.weir("flow", "count")["limit"] == 10
    refused(lab, (LB, 8000))
    lab.reload(config(web(), limits={"flows": 20, "half_open": 128}))
    held += [hold(lab)[0] for _ in range(10)]
    refused(lab, (LB, 8000))
    assert all(echoes(connection) for connection in held)


def test_limits_beyond_the_tables(lab, servers):
    """Done, or refused with the command that does it; then nothing has changed."""
    lab.run_file(config(web(), limits={"flows": 1000, "half_open": 128})).may_complain = True
    connection, _ = hold(lab)
    for limits in ({"flows": 5000, "half_open": 128}, {"flows": 1000, "half_open": 4096}):
        result = lab.reload(config(web(), limits=limits), check=False)
        if result.returncode:
            assert result.returncode == 1 and "weir detach" in result.stderr
            assert result.stderr.count("\n") == 1
            assert lab.weir("flow", "count")["limit"] == 1000
        else:
            assert lab.weir("flow", "count")["limit"] == limits["flows"]
        assert echoes(connection)


def test_interfaces_need_a_restart(lab, servers):
    weir = lab.run_file(config(web()))
    weir.may_complain = True
    wanted = config(web()) | {"interfaces": [{"name": "eth0", "attach": "generic"}]}
    result = lab.reload(wanted, check=False)
    assert result.returncode == 1
    assert "interfaces" in result.stderr and "restart" in result.stderr
    assert lab.xdp() == "xdp" and visit(lab)
    # What it tells to do does it, and no connection is lost.
    connection, _ = hold(lab)
    assert weir.stop() == 0
    lab.run_file()
    assert lab.xdp() == "xdpgeneric"
    assert echoes(connection) and visit(lab)


def kept(lab):
    """What is established, with all that weir knows of it but its age."""
    return {tuple(flow[key] for key in ("client", "listen", "backend", "snat"))
            for flow in lab.weir("flow", "list", "--service", "web")
            if flow["state"] == "established"}


def test_unchanged_service_does_not_notice(lab, servers):
    """It keeps its flows, its counts and its turn, whatever happens beside it."""
    lab.run_file(config(web(), other()))
    first = visit(lab)
    second = ({"backend-1", "backend-2"} - {first}).pop()
    held = [hold(lab) for _ in range(2)]  # and the turn is where it was
    flows = kept(lab)
    for changed in (other(scheduler="lc"), other(timeouts={"tcp": "5m"}), other(),
                    other() | {"backends": [{"address": backend(1)}]}):
        lab.reload(config(web(), changed))
        assert visit(lab) == second
        lab.reload(config(changed, web()))  # nor does their order matter
        assert visit(lab) == first
    assert all(echoes(connection) for connection, _ in held)
    assert kept(lab) >= flows
    row, = (one for one in lab.weir("service", "list") if one["name"] == "web")
    assert row["connections"] == row["connections"] | {"active": 2, "total": 11}


def test_generation_counts(lab):
    lab.run_file(config(web()))
    before = lab.weir("status")["generation"]
    said = lab.reload(config(web(), other())).stdout
    assert lab.weir("status")["generation"] == before + 1
    assert str(before + 1) in said


def test_trial_ends_by_itself(lab, servers):
    weir = lab.run_file(config(web()))
    connection, _ = hold(lab)
    lab.reload(config(other()), "--confirm", "2")
    since = time.monotonic()
    assert visit(lab, OTHER)
    assert names(lab) == ["other"]
    until(lambda: names(lab) == ["web"], what="the roll-back")
    assert 1.5 < time.monotonic() - since < 3
    assert visit(lab)
    refused(lab, OTHER)
    assert echoes(connection)
    assert "nobody confirmed" in weir.log


def test_trial_is_confirmed(lab, servers):
    lab.run_file(config(web()))
    said = lab.reload(config(other()), "--confirm", "1").stdout
    assert said.endswith("on trial for 1 s: keep it with 'weir confirm'\n")
    assert 0 <= lab.weir("status")["trial_ms"] <= 1000
    lab.weir_text("confirm")
    assert lab.weir("status")["trial_ms"] is None
    time.sleep(1.5)
    assert names(lab) == ["other"] and visit(lab, OTHER)
    result = lab.weir_text("confirm", check=False)
    assert result.returncode == 1 and "trial" in result.stderr


def test_trial_is_ended_by_hand(lab, servers):
    lab.run_file(config(web()))
    lab.reload(config(other()), "--confirm", "60")
    assert visit(lab, OTHER)
    lab.weir_text("rollback")
    assert names(lab) == ["web"] and visit(lab)
    result = lab.weir_text("rollback", check=False)
    assert result.returncode == 1 and result.stderr.count("\n") == 1


def test_nothing_to_reload_without_a_file(lab, servers):
    lab.balance().may_complain = True
    result = lab.weir_text("reload", check=False)
    assert result.returncode == 1 and "file" in result.stderr
    assert visit(lab)


@pytest.mark.backends(3)
def test_all_backends_replaced_by_unknown_ones(lab, servers):
    """Until the MAC address of the new one is known, the old one goes on: nobody is refused."""
    lab.run_file(config(web(1)))
    assert visit(lab) == "backend-1"
    lab.exec("lan", "ip", "link", "set", "port-backend-3", "down")
    lab.reload(config(web(0) | {"backends": [backend(3)]}))
    assert visit(lab) == "backend-1"
    lab.exec("lan", "ip", "link", "set", "port-backend-3", "up")
    until(lambda: visit(lab) == "backend-3", timeout=10, what="the new backend's turn")
