# SPDX-License-Identifier: GPL-2.0-only
"""The section "scale" of the bench runs, with little of everything. How fast does not matter here."""

import sys

import pytest

from network import BUILD, ROOT

sys.path.insert(0, str(ROOT / "bench"))

import scale  # noqa: E402
import section  # noqa: E402


def little():
    sizes = scale.Sizes(services=20, backends=3, flows=4000)
    sizes.reloads, sizes.changes, sizes.sweep_s, sizes.rest_s = 1, 2, 2.5, 0.15
    return sizes


@pytest.fixture(scope="module")
def result():
    if not (BUILD / "bench" / "wire").exists():
        pytest.skip("the bench is not built")
    return scale.measure_sizes(BUILD, little())


def test_everything_is_measured(result):
    config, flows = result["configuration"], result["flows"]
    assert config["services"] == 20 and config["backends"] == 60
    assert all(value > 0 for value in config.values())
    assert config["peak_bytes"] >= config["resident_bytes"] > config["own_bytes"]
    assert flows["flows"] == 4000
    assert all(value > 0 for name, value in flows.items() if name != "idle_cpu")
    assert flows["sweep_pieces"] == 2  # one of each family
    assert flows["sweep_s"] >= flows["sweep_piece_s"]


def test_memory_is_what_the_limits_say(result):
    memory = result["memory_of_flows"]
    # A record, its place in the queue of free ones, and 3/4 of a bucket of the index.
    assert memory["v4_bytes"] == pytest.approx(64 + 4 + 96, abs=4)
    assert memory["v6_bytes"] == pytest.approx(128 + 4 + 96, abs=4)


def test_traffic_went_on(result):
    for where in ("pinned", "free"):
        dent = result["dent"][where]
        assert dent["usual_pps"] > 1000
        assert [event["name"] for event in dent["events"]] == [
            "no daemon", "reload", "flow list", "backend set drain", "backend set ready",
            "no daemon"]
        assert all(event["from_s"] < event["to_s"] and event["samples"] > 0
                   for event in dent["events"])
        moments = [moment for moment, _, _ in dent["samples"]]
        assert moments == sorted(moments) and len(moments) > 10


def test_people_can_read_it(result, tmp_path):
    text = scale.table(result)
    assert "weir backend set" in text and "4000 connections" in text
    for target in scale.targets(result):
        assert section.target_texts(target)
    scale.plots(result, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scale-dent-free.svg",
                                                                "scale-dent-pinned.svg"]
