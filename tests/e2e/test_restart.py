# SPDX-License-Identifier: GPL-2.0-only
"""Kill, restart, upgrade and reload under load: no connection is lost, none is refused."""

import shutil
import subprocess
import time

import pytest

from load import Load
from network import LB, backend, config, service, until, weir_binary
from servers import Servers, echoes, hold, visit

BACKENDS = 4
ECHO = (LB, 9000)
IDLE = 500


def wanted(count=BACKENDS, timeout="2h4m"):
    """HTTP over some backends, echo over all of them."""
    return config(service("web", 8000, count, timeouts={"tcp": timeout},
                          health={"type": "tcp", "interval": "1s", "timeout": "1s"}),
                  service("echo", 9000, BACKENDS, protocol=["tcp", "udp"]))


def restart(lab, binary=None, killed=True, pause=0.3):
    """Another daemon instead of the one that runs; meanwhile there is none for a while."""
    last = lab.weirs[-1]
    if killed:
        last.kill()
    else:
        assert last.stop() == 0
    time.sleep(pause)
    return lab.run_file(binary=binary)


def check_idle(lab, idle):
    """All are listed, on the backend that they were on, and usable."""
    found = {flow["client"]: flow for flow in lab.weir("flow", "list", "--service", "echo")
             if flow["protocol"] == "tcp"}
    listed = [found["%s:%d" % connection.getsockname()] for connection in idle]
    assert {flow["state"] for flow in listed} == {"established"}
    assert all(echoes(connection) for connection in idle)
    return [(flow["client"], flow["backend"], flow["snat"]) for flow in listed]


class Operator:
    """Does to weir what the test wants, evenly spread over its time."""

    def __init__(self, lab, tmp_path):
        self.lab = lab
        self.other_binary = tmp_path / "weir-next"
        self.count = BACKENDS
        self.reloads = 0

    def reload(self):
        """One backend more or less, and another timeout now and then."""
        self.count = BACKENDS if self.count < BACKENDS else BACKENDS - 1 - self.reloads % 2
        self.reloads += 1
        self.lab.reload(wanted(self.count, "1h" if self.reloads % 3 else "2h4m"))
        assert len({row["address"] for row in self.lab.weir("backend", "list", "web")
                    if not row.get("removed")}) == self.count

    def kill(self):
        restart(self.lab)

    def upgrade(self):
        shutil.copy(weir_binary(), self.other_binary)
        restart(self.lab, self.other_binary, killed=False)

    def work(self, steps, seconds):
        began = time.monotonic()
        for number, step in enumerate(steps):
            time.sleep(max(0, began + seconds * number / len(steps) - time.monotonic()))
            getattr(self, step)()
            yield step


def operate(lab, servers, tmp_path, seconds, steps):
    big = lab.serve()
    for host in lab.backends():
        servers.open(host, ECHO[1])
    lab.run_file(wanted())
    idle = [hold(lab, ECHO)[0] for _ in range(IDLE)]
    before = check_idle(lab, idle)
    with Load(lab, seconds, big, echo=ECHO) as load:
        for _ in Operator(lab, tmp_path).work(steps, seconds):
            assert check_idle(lab, idle) == before
        load.end_clean()
    assert check_idle(lab, idle) == before
    assert sum(row["connections"]["total"] for row in lab.weir("backend", "list", "web")) > 100


@pytest.fixture
def echo_servers(lab):
    """Nothing on port 8000: that is nginx's."""
    with Servers(lab) as made:
        yield made


@pytest.mark.backends(BACKENDS)
def test_operated_under_load(lab, echo_servers, tmp_path):
    operate(lab, echo_servers, tmp_path, 10,
            ["reload", "kill", "reload", "reload", "upgrade", "reload", "kill", "reload"])


@pytest.mark.long
@pytest.mark.backends(BACKENDS)
def test_operated_under_load_for_a_minute(lab, echo_servers, tmp_path):
    steps = (["reload"] * 4 + ["kill"]) * 5
    steps.insert(12, "upgrade")
    operate(lab, echo_servers, tmp_path, 60, steps)


def test_traffic_goes_on_without_a_daemon(lab, servers):
    weir = lab.run_file(config(service("web", 8000, 2)))
    held = [hold(lab) for _ in range(4)]
    weir.kill()
    seen = [visit(lab) for _ in range(8)]
    assert seen == seen[:2] * 4 and len(set(seen)) == 2
    assert all(echoes(connection) for connection, _ in held)
    assert lab.weir_text("status", check=False).returncode == 1
    lab.run_file()
    assert "took over" in lab.weirs[-1].log
    # The turn goes on as well, and so do the counts.
    assert [visit(lab) for _ in range(4)] == seen[:4]
    until(lambda: lab.active() == [2, 2], what="the counts of those that were held")
    assert sum(row["connections"]["total"] for row in lab.weir("backend", "list")) == 16


def test_killed_while_it_starts(lab, servers):
    """Whatever step the kill comes after, the next one repairs what is half done."""
    lab.run_file(config(service("web", 8000, 2)))
    connection, _ = hold(lab)
    for step in range(10):
        lab.weirs[-1].kill()
        lab.run_file(ready=False)
        time.sleep(0.01 * step)
    lab.weirs[-1].kill()
    lab.run_file()
    assert echoes(connection)
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    assert len(lab.weir("flow", "list", "--client", "10.0.0.20")) >= 5


def test_killed_at_its_very_first_start(lab, servers):
    for step in range(10):
        lab.run_file(config(service("web", 8000, 2)), ready=False)
        time.sleep(0.015 * step)
        lab.weirs[-1].kill()
    lab.run_file()
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}


def test_changed_file_at_a_restart(lab, servers):
    """A restart is a reload too: what is gone from the file drains, what is new serves."""
    lab.run_file(config(service("web", 8000, 2), service("old", 8001, 2)))
    held = dict(reversed(hold(lab)) for _ in range(2))
    lab.weirs[-1].kill()
    lab.run_file(config(service("web", 8000, 1, timeouts={"tcp_close": "200ms"}),
                        service("new", 8002, 1)))
    assert [visit(lab) for _ in range(3)] == ["backend-1"] * 3
    assert all(echoes(connection) for connection in held.values())
    assert [row["name"] for row in lab.weir("service", "list")] == ["web", "new"]
    leaving = lab.backend_row(backend(2))
    assert leaving["state"] == "drain" and leaving["connections"]["active"] == 1
    held["backend-2"].close()
    until(lambda: len(lab.weir("backend", "list", "web")) == 1, what="the last one gone")


def test_second_daemon_on_the_same_instance(lab, servers):
    first = lab.run_file(config(service("web", 8000, 2)))
    second = lab.run_file(ready=False)
    second.may_complain = True
    assert second.wait() == 1
    assert f"pid {first.process.pid}" in second.log and lab.control_socket in second.log
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    assert lab.weir("status")["interfaces"][0]["attach"] == "native"


def test_instance_is_a_short_name_of_the_socket(lab, servers):
    lab.run_file(config(service("web", 8000, 2)))
    result = subprocess.run([weir_binary(), "--instance", lab.pins.name, "status"], text=True,
                            capture_output=True, timeout=10)
    assert result.returncode == 0, result.stderr
    assert "eth0" in result.stdout and lab.pins.is_dir()


def test_stopped_and_started_many_times(lab, servers):
    """The clean way, which is what a service manager does."""
    lab.run_file(config(service("web", 8000, 2)))
    held = [hold(lab)[0] for _ in range(20)]
    for _ in range(3):
        weir = lab.weirs[-1]
        assert weir.stop() == 0
        assert "traffic flows on" in weir.log
        assert visit(lab)
        lab.run_file()
        assert all(echoes(connection) for connection in held)
    assert [row["connections"]["active"] for row in lab.weir("backend", "list")] == [10, 10]
