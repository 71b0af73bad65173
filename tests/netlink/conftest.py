# SPDX-License-Identifier: GPL-2.0-only
import pytest

from network import Network


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def family(request):
    return request.param


@pytest.fixture
def net(family):
    with Network(family) as network:
        yield network
        for shell in network.shells:
            assert shell.close() == 0
