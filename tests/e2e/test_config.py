# SPDX-License-Identifier: GPL-2.0-only
"""Configuration files through the real binary: what is wrong is told with its position."""

import re
import subprocess

import pytest

from network import config, service, weir_binary
from servers import echoes, hold, visit

GOOD = """\
interfaces: [eth0]
services:
  - name: web
    listen: 192.168.178.10:8000
    scheduler: wrr
    backends:
      - {address: 192.168.178.11:8000, weight: 1}
      - {address: 192.168.178.12, weight: 2}
"""


def check(path, text, **more):
    path.write_text(text)
    return subprocess.run([weir_binary(), "check", "-c", path], capture_output=True, text=True,
                          timeout=10, **more)


def positions(path, result):
    """[(line, column, what)] of the messages; there must be no other output."""
    found = []
    for line in (result.stdout + result.stderr).splitlines():
        match = re.fullmatch(re.escape(str(path)) + r":(\d+):(\d+): error: (.+)", line)
        if match:
            found.append((int(match[1]), int(match[2]), match[3]))
    return found


def test_good_file(tmp_path):
    result = check(tmp_path / "weir.yaml", GOOD)
    assert result.returncode == 0, result.stderr
    assert "error" not in result.stdout + result.stderr


@pytest.mark.parametrize("old,new,line,said", [
    ("scheduler: wrr", "scheduler: best", 5, "best"),
    ("scheduler: wrr", "schedular: wrr", 5, "schedular"),
    ("weight: 2", "weight: 300", 8, "256"),
    ("weight: 2", "weight: heavy", 8, "heavy"),
    ("weight: 2", "weight: 1, weight: 2", 8, "weight"),
    ("192.168.178.10:8000", "192.168.178.300:8000", 4, "192.168.178.300"),
    ("192.168.178.10:8000", "[::1]:8000", 4, "quote"),
    ("192.168.178.10:8000", "*:8000", 4, "quote"),
    ("192.168.178.10:8000", '"[fe80::1]:8000"', 4, "link-local"),
    ("192.168.178.10:8000", '"[2001:db8::10]:8000"', 7, "nat does not translate"),
    ("192.168.178.12,", '"[2001:db8::12]:8000",', 8, "nat does not translate"),
    ("scheduler: wrr", "clear_df: true", 5, "does not go with mode nat"),
    ("interfaces: [eth0]", "interfaces: [eth0", 2, ""),
    ("interfaces: [eth0]\n", "", None, "interfaces"),
    ("name: web", "name: Web!", 3, "Web!"),
    ("name: web", "name: &web web", 3, "anchor"),
    ("192.168.178.12,", "192.168.178.11:8000,", 8, "192.168.178.11"),
    ("scheduler: wrr", "scheduler: hash\n    slow_start: 5s", 6, "slow_start"),
    ("scheduler: wrr", "timeouts: {tcp: 5 fortnights}", 5, "fortnights"),
    ("scheduler: wrr", "mode: dsr\n    scheduler: lc", 6, "does not go with mode dsr"),
])
def test_one_error(tmp_path, old, new, line, said):
    path = tmp_path / "weir.yaml"
    assert old in GOOD
    result = check(path, GOOD.replace(old, new))
    assert result.returncode == 1
    found = positions(path, result)
    assert found, result
    assert any((line is None or line == at) and said in text for at, _, text in found), found


def test_every_error_is_told(tmp_path):
    """In the order of their lines, each with its column."""
    path = tmp_path / "weir.yaml"
    result = check(path, GOOD.replace("wrr", "best").replace("weight: 1", "weight: 1000")
                   .replace("192.168.178.12", "nowhere").replace("weight: 2", "weigth: 2"))
    assert result.returncode == 1
    assert [found[:2] for found in positions(path, result)] == [(5, 16), (7, 48), (8, 19), (8, 28)]


def test_file_that_is_not_there(tmp_path):
    result = subprocess.run([weir_binary(), "check", "-c", tmp_path / "no.yaml"], text=True,
                            capture_output=True, timeout=10)
    assert result.returncode == 1
    assert "no.yaml" in result.stderr and "No such file" in result.stderr


@pytest.mark.parametrize("arguments", [["check", "--frobnicate"], ["check", "-c"],
                                       ["run", "-c", "x", "-i", "eth0"], ["run"]])
def test_wrong_usage(arguments):
    result = subprocess.run([weir_binary(), *arguments], text=True, capture_output=True, timeout=10)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1 and result.stdout == ""


def test_run_refuses_a_broken_file(lab):
    """Before anything is touched."""
    weir = lab.run_file(GOOD.replace("wrr", "best"), ready=False)
    weir.may_complain = True
    assert weir.wait() == 1
    assert f"{lab.config_path}:5:16: error: " in weir.log
    assert lab.left_behind() == []


def test_broken_files_change_nothing_that_runs(lab, servers):
    lab.run_file(GOOD).may_complain = True
    connection, _ = hold(lab)
    before = lab.weir_text("config", "show").stdout
    generation = lab.weir("status")["generation"]
    for old, new in [("wrr", "best"), ("weight: 2", "weight: -1"), ("services:", "servces:"),
                     ("eth0]", "eth0"), ("- {address", "- [address"), (GOOD, ""), (GOOD, "\0")]:
        result = lab.reload(GOOD.replace(old, new), check=False)
        assert result.returncode == 1
        assert str(lab.config_path) in result.stderr and result.stderr.count("\n") == 1
        assert lab.weir_text("config", "show").stdout == before
    assert lab.weir("status")["generation"] == generation
    assert echoes(connection) and visit(lab)


def test_shown_configuration_loads_again(lab, servers, tmp_path):
    """Also with everything that is not a default."""
    full = config(
        service("web", 8000, 2, scheduler="wlc", slow_start="3s", fail_open=True,
                health={"type": "http", "path": "/x?\"y\":%20#z", "host": "a.example",
                        "status": 204, "interval": "1s", "timeout": "500ms", "rise": 4, "fall": 5}),
        service("talk", 9000, 1, protocol=["tcp", "udp"], on_no_backend="drop", snat="off",
                timeouts={"udp": "5s"}, health={"type": "none"}),
        limits={"flows": 10240, "flows_v6": 1024, "half_open": 1024, "udp_share": 20},
        snat={"ports": "2000-2999"})
    full["services"][0]["backends"][0] |= {"weight": 7, "max_connections": 9, "state": "drain"}
    full["services"][0]["backends"][1] |= {"backup": True, "weight": 0}
    lab.run_file(full)
    shown = lab.weir_text("config", "show").stdout
    result = check(tmp_path / "shown.yaml", shown)
    assert result.returncode == 0, shown + result.stderr
    assert lab.weir("config", "diff") == []
    lab.reload(shown)
    assert lab.weir_text("config", "show").stdout == shown
    assert lab.weir("config", "diff") == []


def test_backend_of_the_other_family_is_refused_at_run_time(lab):
    """nat does not translate: said when the backend is added, and nothing changes."""
    def backends():  # not their health, which is being found out
        return [(row["service"], row["address"], row["weight"], row["state"], row["removed"])
                for row in lab.weir("backend", "list")]

    lab.run_file(GOOD)
    before = backends()
    result = lab.weir_text("backend", "add", "web", "[fd00:b::11]:8000", check=False)
    assert result.returncode == 1
    assert "backend [fd00:b::11]:8000 is IPv6, the service IPv4" in result.stderr
    assert backends() == before
    assert lab.weir("config", "diff") == []
