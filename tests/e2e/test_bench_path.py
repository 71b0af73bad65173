# SPDX-License-Identifier: GPL-2.0-only
"""The bench's section path, targets, and how numbers get into the documentation; not their size."""

import importlib.machinery
import importlib.util
import json
import shutil
import subprocess
import sys

import pytest

from network import BUILD, ROOT

sys.path.insert(0, str(ROOT / "bench"))
import path  # noqa: E402
import plots  # noqa: E402
import section  # noqa: E402
import where  # noqa: E402


def script(name):
    """A program of the bench, which has no suffix, as a module."""
    loader = importlib.machinery.SourceFileLoader(name, str(ROOT / "bench" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def row(name, ns, family=4, flows=1, plan=0):
    """Its wrapper takes 10 ns, and each load 1 ns more than the one before."""
    return {"plan": plan, "path": name, "program": "weir", "family": family, "flows": flows,
            "frame_bytes": 64, "raw_ns": [ns + 10 + load for load in range(3)],
            "wrapper_ns": [10, 10, 10]}


def rows(established=1.0):
    """All paths at *established* times bare, those of IPv6 twice that."""
    found = [row("bare", 99)]
    for name in path.ESTABLISHED:
        found += [row(name, 100 * established - 1), row(name, 200 * established - 1, family=6)]
    path.add_ratios(found)
    return found


def test_ratios_are_medians_without_the_wrapper():
    found = rows(established=1.3)
    nat = path.find(found, "nat, to backend", 4, 1)
    assert nat["ns"] == {"median": 130, "least": 129, "most": 131}
    assert nat["ratio"] == 1.3
    assert path.find(found, "nat, to backend", 6, 1)["ratio_to_ipv4"] == 2


@pytest.mark.parametrize("established, met", [(1.3, True), (1.5, False)])
def test_targets_are_met_or_missed(established, met):
    found = {one["what"]: one for one in path.targets(rows(established))}
    assert found["nat, to backend, 1 flow"]["met"] is met
    assert found["not ours, passed, 1 flow"]["met"]
    assert not found["nat, to backend, IPv6, 1 flow (the worst)"]["met"]


def test_a_target_is_most_or_least():
    assert not section.target("speed", 1.9, "x nftables", least=2)["met"]
    assert section.target("speed", 2, "x nftables", least=2)["met"]
    with pytest.raises(ValueError):
        section.target("speed", 1, "x")


def test_samples_become_nanoseconds():
    """Those of the wrapper do not count, nor those of lines elsewhere that the wrapper has, too."""
    line = next(number for number, text in enumerate(where.source("index.h"), 1)
                if "index_bears(entry, hash)" in text)
    sampled = row("nat, to backend", 40)
    sampled["profile"] = [["wrapper", "wrapper.bpf.c", 50, 100], ["weir_xdp", "index.h", line, 60],
                          ["weir_xdp", "packet.h", 1, 20]]
    sampled["wrapper_profile"] = [["wrapper", "wrapper.bpf.c", 50, 100]]
    sampled["ns"] = path.spread(path.net(sampled))
    found = where.analyse(sampled)
    assert found["parts"][0]["function"] in ("index_candidate", "index_search")
    assert [round(part["ns"], 2) for part in found["parts"]] == [30.75, 10.25]
    assert round(where.groups(found)["find the flow"], 2) == 30.75


def test_numbers_go_between_their_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench:one -->\nold\n<!-- end -->\nbetween\n"
                    "<!-- bench:two -->\nkept\n<!-- end -->\nafter\n")
    assert script("publish").fill(page, {"one": "new"}) == ["two"]
    assert page.read_text() == ("before\n<!-- bench:one -->\nnew\n<!-- end -->\nbetween\n"
                                "<!-- bench:two -->\nkept\n<!-- end -->\nafter\n")


@pytest.mark.skipif(not shutil.which("gnuplot"), reason="scripts/install-deps.sh bench")
def test_a_plot_follows_the_screen(tmp_path):
    plots.svg(tmp_path / "plot.svg", plots.block("data", [(1, 2), (2, 3)]) +
              "set ylabel 'ns'\nplot $data using 1:2 with lines\n")
    text = (tmp_path / "plot.svg").read_text()
    rules = text[text.index("prefers-color-scheme:dark"):text.index("</style>")]
    assert all(f"fill:{plots.DARK[colour]}" in rules for colour in (plots.INK, plots.PAPER))
    with pytest.raises(section.Failure):
        plots.svg(tmp_path / "broken.svg", "plot nonsense(\n")


@pytest.mark.parametrize("status, said", [(1, "path: bench: broken"), (0, "JSONDecodeError")])
def test_a_failed_section_does_not_cost_the_others(tmp_path, status, said):
    """The bench fails, or says what nobody expects: the rest is written."""
    (tmp_path / "bench").mkdir()
    program = tmp_path / "bench" / "bench"
    program.write_text("#!/bin/sh\n[ \"$1\" = --compiler ] && exec echo clang\n"
                       f"echo 'bench: broken' >&2\nexit {status}\n")
    program.chmod(0o755)
    done = subprocess.run([ROOT / "bench" / "run", tmp_path, "--section", "path", "--json",
                           tmp_path / "numbers.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert json.loads((tmp_path / "numbers.json").read_text())["sections"] == {}


@pytest.mark.long
def test_everything_is_measured(tmp_path):
    """Each packet meets its fate, or the program fails; samples are found in its source."""
    result = path.measure(BUILD, False, quick=True)
    found = {(one["path"], one["family"]) for one in result["rows"] if one["flows"] == 50000}
    assert found >= {(name, family) for name in [*path.ESTABLISHED, *path.NEW] for family in (4, 6)}
    assert all(one["verified_instructions"] and one["jited_bytes"]
               for one in result["programs"].values())
    nat = next(one for one in result["where"] if one["path"].startswith("nat"))
    assert {"index.h", "packet.h"} <= {part["file"] for part in nat["parts"]}
    assert "nat, to backend" in path.table(result)
    if shutil.which("gnuplot"):
        path.plots(result, tmp_path)
        assert len(list(tmp_path.glob("path-*.svg"))) == 3
