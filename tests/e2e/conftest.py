# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of the end-to-end tests. They run weir from build/ (or WEIR_BIN, WEIR_BUILD)."""

import os
import resource

import pytest

pytest.register_assert_rewrite("direct", "floods", "load", "network", "paths", "pulse", "servers")

from network import Lab  # noqa: E402: an assertion there says its values, too
from paths import Paths  # noqa: E402
from servers import Servers  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "backends(count): how many backends the lab has (2)")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))


@pytest.fixture
def lab(request, tmp_path):
    """A lab that nobody else uses, for this test alone: bringing one up takes 0.2 s."""
    marker = request.node.get_closest_marker("backends")
    made = Lab(f"e{os.getpid()}", marker.args[0] if marker else 2, tmp_path)
    made.up()
    try:
        yield made
    finally:
        made.down()


@pytest.fixture
def paths(tmp_path):
    """The same with more than one way: see paths.py."""
    made = Paths(f"p{os.getpid()}", tmp_path)
    try:
        made.up()
        yield made
    finally:
        made.down()


@pytest.fixture
def servers(lab):
    """Each backend says its name and echoes, on port 8000 of TCP and UDP."""
    with Servers(lab) as made:
        made.open_all()
        yield made


@pytest.fixture
def servers6(servers):
    """The same, on the backends' IPv6 addresses, too."""
    servers.open_all(v6=True)
    return servers
