# SPDX-License-Identifier: GPL-2.0-only
"""What a service manager is told, and what it tells."""

import contextlib
import pathlib
import signal
import socket

import pytest

from network import backend, config, service, until


@pytest.fixture
def manager(tmp_path, monkeypatch):
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def status(manager):
    """The next that it is to show, ahead of which nothing else may be shown."""
    while True:
        said = manager.recv(1000).decode()
        if said.startswith("STATUS="):
            return said.removeprefix("STATUS=")


def web(count=2, **more):
    return service("web", 8000, count, **more)


def test_status_is_true(lab, servers, manager):
    health = {"type": "tcp", "interval": "100ms", "timeout": "100ms", "rise": 1, "fall": 1}
    lab.run_file(config(web(health=health)))
    assert status(manager) == "forwarding: 1 service, 2 of 2 backends up"
    servers.close("backend-2")
    assert status(manager) == "forwarding: 1 service, 1 of 2 backends up"
    servers.open("backend-2")
    assert status(manager) == "forwarding: 1 service, 2 of 2 backends up"
    other = web(1) | {"name": "other", "listen": "192.168.178.10:8001"}
    lab.reload(config(web(health=health), other))
    assert status(manager) == "forwarding: 2 services, 3 of 3 backends up"
    lab.weir("backend", "remove", "web", backend(2))
    assert status(manager) == "forwarding: 2 services, 2 of 2 backends up"
    assert lab.weirs[-1].stop() == 0
    assert status(manager) == "forwarding without the daemon: weir detach ends it"


def test_status_when_it_detaches(lab, servers, manager):
    weir = lab.balance()
    assert status(manager) == "forwarding: 1 service, 2 of 2 backends up"
    assert weir.stop() == 0
    assert status(manager) == "stopped, not forwarding"


def test_hangup_before_it_is_ready(lab, servers):
    """It waits a second for a backend that is nowhere; meanwhile the file becomes another one."""
    nowhere = web(1)
    nowhere["backends"].append({"address": backend(9)})
    weir = lab.run_file(config(nowhere), ready=False)
    until(pathlib.Path(lab.control_socket).exists, what="the control socket")
    lab.configure(config(nowhere, web(1) | {"name": "other", "listen": "192.168.178.10:8001"}))
    weir.process.send_signal(signal.SIGHUP)
    weir.wait_ready()
    until(lambda: len(lab.weir("service", "list")) == 2, what="the service of the other file")
