# SPDX-License-Identifier: GPL-2.0-only
"""The bench's section end_to_end, with tiny durations: that it measures, not what."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

from network import BUILD, NETNS, ROOT

sys.path.insert(0, str(ROOT / "bench"))
import contestants  # noqa: E402
import end_to_end  # noqa: E402

TINY = end_to_end.Plan(rounds=1, flows=(1000,), kept=0.3, paced=0.3, new=0.3, program=0.3,
                       flood=0.01)
NAMES = ["direct", "weir nat", "nftables", "haproxy tcp"]

pytestmark = pytest.mark.skipif(
    not all(shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
            for tool in contestants.TOOLS), reason="scripts/install-deps.sh bench")


def left_by(pid):
    """Of a bench that ran as this process."""
    found = list(NETNS.glob(f"weir-bench{pid}-*"))
    for place in ("/run/weir-lab", "/run/weir"):
        found += pathlib.Path(place).glob(f"*bench{pid}*")
    return found


def test_every_contestant_is_measured(tmp_path):
    result = end_to_end.measure(BUILD, plan=TINY)
    assert left_by(os.getpid()) == []
    result = json.loads(json.dumps(result))
    (family,) = result["families"]
    assert family["conntrack_lost"] == 0
    rows = {row["name"]: row for row in family["contestants"]}
    assert [name for name in rows if "flowtable" not in name] == NAMES
    for row in rows.values():
        for part in ("kept", "paced", "new"):
            assert row[part]["per_s"]["least"] > 0 and row[part]["p99_us"]["least"] > 0
        assert row["cpu"]["machine_us"]["least"] > 0
        for flood in row["flood"]:
            assert flood["flows"] == 1000 and flood["astray"] == 0
            assert flood["per_s"]["least"] > 0
    assert rows["weir nat"]["cpu"]["own_us"]["least"] > 0.01
    assert rows["haproxy tcp"]["cpu"]["own_us"]["least"] > 0.01
    for name in ("weir nat", "nftables"):
        assert rows[name]["flood"][0]["backends"] == ["11", "12"]
    assert len(result["targets"]) == 2
    lines = end_to_end.table(result).splitlines()
    assert all(any(line.startswith(name) for line in lines) for name in rows)
    end_to_end.plots(result, tmp_path)
    assert len(list(tmp_path.glob("end-to-end-*.svg"))) == 3


@pytest.mark.parametrize("sent, after", [(signal.SIGINT, 2), (signal.SIGTERM, 0.05)])
def test_interrupted_bench_leaves_nothing(sent, after, tmp_path):
    bench = subprocess.Popen([sys.executable, ROOT / "bench" / "end_to_end.py", BUILD],
                             env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 20
    while not left_by(bench.pid):
        assert time.monotonic() < deadline and bench.poll() is None
        time.sleep(0.01)
    time.sleep(after)
    os.killpg(bench.pid, sent)  # as a terminal does
    errors = bench.communicate(timeout=30)[1]
    assert bench.returncode != 0, errors
    assert left_by(bench.pid) == [] and list(tmp_path.iterdir()) == [], errors
