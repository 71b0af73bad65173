# SPDX-License-Identifier: GPL-2.0-only
"""How the tests themselves are run: a second try for few, and for all to see."""

import importlib.machinery
import importlib.util
import pathlib

import pytest

PATH = pathlib.Path(__file__).with_name("run")

# Fails as often as its argument says, each time in a process of its own.
TESTS = """
import pathlib
import pytest

@pytest.mark.parametrize("times", {times})
def test_it(times, request):
    count = pathlib.Path(__file__).with_name(f"count-{{request.node.name}}")
    count.open("a").write("x")
    assert len(count.read_text()) > times
"""


@pytest.fixture
def run(tmp_path):
    loader = importlib.machinery.SourceFileLoader("run", str(PATH))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
    loader.exec_module(module)

    def run_tests(*times):
        tests = tmp_path / "tests"
        tests.mkdir()
        (tests / "test_it.py").write_text(TESTS.format(times=list(times)))
        return module.run(tests, tmp_path / "cache", [])
    return run_tests


@pytest.mark.parametrize("times, status, unsteady", [
    ([0, 0], 0, 0),
    ([0, 1, 1], 0, 2),
    ([0, 2], 1, 0),
    ([1, 1, 1, 1], 1, 0),
])
def test_second_try(run, capfd, times, status, unsteady):
    assert run(*times) == status
    printed = capfd.readouterr().out
    assert ("unsteady" in printed) == bool(unsteady)
    assert printed.count("\n  test_it.py::") == unsteady
