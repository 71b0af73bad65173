# SPDX-License-Identifier: GPL-2.0-only
"""Frames of 9,000 bytes: the driver hands them to XDP in several pieces."""

import pytest

from network import LB, LB6, backend_address
from test_ipv6 import echo_servers, path_of, transfer

LARGE = 9000


def widen(lab):
    """All links, also the bridge's, from end to end."""
    for host in ("client", "gateway", "lan", "lb", *lab.backends()):
        shown = lab.exec(host, "ip", "-o", "link", "show", "up").stdout
        for line in shown.splitlines():
            name = line.split(":")[1].split("@")[0].strip()
            if name != "lo":
                lab.exec(host, "ip", "link", "set", name, "mtu", LARGE)


@pytest.mark.parametrize("mode, v6", [("nat", False), ("nat", True), ("dsr", True)])
def test_jumbo_frames(lab, mode, v6):
    widen(lab)
    service = LB6 if v6 else LB
    places = [(host, backend_address(number, v6=v6) if mode == "nat" else service)
              for number, host in enumerate(lab.backends(), 1)]
    with path_of(lab, mode), echo_servers(lab, *places):
        lab.balance("--mode", mode, "--attach", "native", v6=v6)
        for _ in range(2):
            assert transfer(lab.connect((service, 8000)))
    packets = sum(row["packets"]["in"] for row in lab.weir("backend", "list"))
    carried = sum(row["bytes"]["in"] for row in lab.weir("backend", "list"))
    assert carried / packets > 1514  # ACKs of what comes back are among them
