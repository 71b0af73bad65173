# SPDX-License-Identifier: GPL-2.0-only
"""weir with a file outlives its daemon; `weir detach` ends it and leaves nothing."""

import os
import pty
import signal

import pytest

from network import config, service
from servers import echoes, hold, visit

FILE = config(service("web", 8000, 2))


def test_detach_after_a_stop(lab, servers):
    assert lab.left_behind() == []
    weir = lab.run_file(FILE)
    connection, _ = hold(lab)
    assert weir.stop() == 0
    assert "traffic flows on" in weir.log and "detach" in weir.log
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    assert echoes(connection)
    assert {"xdp on eth0", "pins", "forwarding"} <= set(lab.left_behind())
    assert lab.detach().returncode == 0
    assert lab.left_behind() == []
    with pytest.raises(ConnectionRefusedError):  # the host itself answers again
        lab.connect()


def test_detach_after_a_kill(lab, servers):
    lab.run_file(FILE)
    assert visit(lab)
    lab.weirs[-1].kill()
    assert lab.detach().returncode == 0
    assert lab.left_behind() == []


def test_detach_is_refused_while_a_daemon_runs(lab, servers):
    weir = lab.run_file(FILE)
    refused = lab.detach(check=False)
    assert refused.returncode == 1
    assert "--force" in refused.stderr and refused.stderr.count("\n") == 1
    assert weir.process.poll() is None
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}


def test_detach_by_force_stops_the_daemon(lab, servers):
    weir = lab.run_file(FILE)
    assert visit(lab)
    assert lab.detach("--force").returncode == 0
    assert weir.wait() == 0
    assert lab.left_behind() == []


def test_interrupt_detaches_on_a_terminal(lab, servers):
    """Who types Ctrl-C is done with trying; a service manager that sends SIGINT is not."""
    here, there = pty.openpty()
    try:
        weir = lab.run_file(FILE, stdin=there)
        assert visit(lab)
        assert weir.stop(signal.SIGINT) == 0
        assert lab.left_behind() == []
        weir = lab.run_file()
        assert weir.stop(signal.SIGINT) == 0
        assert "traffic flows on" in weir.log and visit(lab)
    finally:
        os.close(here)
        os.close(there)


def test_lost_socket(lab, servers):
    """Somebody has removed the socket of a daemon: its tables still tell that it lives."""
    weir = lab.run_file(FILE)
    weir.may_complain = True
    os.unlink(lab.control_socket)
    refused = lab.detach(check=False)
    assert refused.returncode == 1 and "another weir daemon" in refused.stderr
    second = lab.run_file(ready=False)
    second.may_complain = True
    assert second.wait() == 1
    assert f"instance '{lab.pins.name}'" in second.log
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    weir.kill()  # nobody can ask it how it is


def test_forwarding_that_was_on_stays_on(lab, servers):
    lab.exec("lb", "sysctl", "-q", "net.ipv4.conf.eth0.forwarding=1")
    lab.run_file(FILE).stop()
    lab.detach()
    assert lab.forwarding() == "1"
    assert lab.left_behind() == ["forwarding"]


def test_started_after_a_detach(lab, servers):
    """Nothing of the former life: counts begin at 0."""
    for _ in range(2):
        weir = lab.run_file(FILE)
        assert "took over" not in weir.log
        assert visit(lab)
        assert sum(row["connections"]["total"] for row in lab.weir("backend", "list")) == 1
        weir.stop()
        lab.detach()


def test_detach_with_nothing_there(lab):
    """Says so, breaks nothing."""
    result = lab.detach(check=False)
    assert result.returncode in (0, 1)
    assert "nothing" in result.stdout + result.stderr
    assert lab.left_behind() == []


def test_flags_leave_nothing(lab, servers):
    """Without a file SIGTERM detaches: there are no pins."""
    weir = lab.balance()
    assert visit(lab) and not lab.pins.exists()
    assert weir.stop() == 0
    assert lab.left_behind() == []
