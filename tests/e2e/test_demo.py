# SPDX-License-Identifier: GPL-2.0-only
"""`make demo`: every answer is as expected; nothing stays behind, whenever it is interrupted."""

import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

DEMO = pathlib.Path(__file__).resolve().parents[2] / "lab" / "demo"


@pytest.fixture
def demo(tmp_path):
    """Starts the demo in a process group of its own; afterwards, nothing of it may be left."""
    process = subprocess.Popen([DEMO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               start_new_session=True, env=os.environ | {"TMPDIR": str(tmp_path)})
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
    name = f"demo-{process.pid}"
    left = [path for directory, pattern in (("/run/netns", f"weir-{name}-*"),
                                            ("/run/weir-lab", name),
                                            ("/run/weir", f"lab-{name}.*"),
                                            (tmp_path, "*"))
            for path in pathlib.Path(directory).glob(pattern)]
    assert not left


def in_group(group):
    """Processes of a process group, zombies left out."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # the process ended meanwhile
        if int(its_group) == group and state != "Z":
            found.append(stat.parent.name)
    return found


def test_demo_shows_every_scheduler_and_mode(demo):
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, output
    for scheduler in ("rr", "rr, udp", "wrr 1:2", "hash", "lc", "wlc 1:2", "nat", "dsr", "ipip"):
        assert re.search(rf"^{scheduler} +[12 ]+", output, re.MULTILINE), output
    for command in ("weir status", "weir backend list", "weir flow list"):
        assert f"$ {command}\n" in output
    assert "failed" not in output


@pytest.mark.parametrize("line, sent", [
    ("weir demo", signal.SIGINT), ("weir demo", signal.SIGTERM), ("scheduler", signal.SIGTERM),
    ("rr ", signal.SIGINT), ("rr, udp", signal.SIGTERM), ("wlc", signal.SIGINT),
    ("$ weir status", signal.SIGTERM), ("nat ", signal.SIGINT), ("dsr ", signal.SIGTERM)])
def test_interrupted_demo_leaves_nothing(demo, line, sent):
    for said in demo.stdout:
        if said.startswith(line):
            break
    time.sleep(0.02)
    os.killpg(demo.pid, sent)
    output, _ = demo.communicate(timeout=30)
    assert demo.returncode != 0, output
    assert not in_group(demo.pid)
