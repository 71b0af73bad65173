# SPDX-License-Identifier: GPL-2.0-only
import pytest

from network import Network


@pytest.fixture
def net():
    with Network() as network:
        yield network
        for shell in network.shells:
            assert shell.close() == 0
