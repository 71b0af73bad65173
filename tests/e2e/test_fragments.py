# SPDX-License-Identifier: GPL-2.0-only
"""Datagrams larger than a packet, in pieces both ways."""

import pytest

from network import CLIENT, LB
from servers import echoes, hold


def payload(size, seed):
    return bytes((place * 7 + place // 251 + seed) & 0xff for place in range(size)).replace(
        b"?", b"!")


@pytest.mark.backends(1)
def test_8_kilobytes_both_ways(lab, servers):
    lab.balance(listen=f"{LB}:8000/udp")
    asking = lab.datagrams()
    for size in (8192, 1473, 2953, 30000, 65507):
        for seed in range(10):
            asking.send(payload(size, seed))
            assert asking.recv(65536) == payload(size, seed), f"{size} bytes"
    reasons = lab.reasons()
    assert reasons["new_flow"] == 1 and reasons["fragment"] == 0
    pieces = [-(-(size + 8) // 1480) - 1 for size in (8192, 1473, 2953, 30000, 65507)]
    assert reasons["later_fragment"] == 2 * 10 * sum(pieces)


@pytest.mark.backends(1)
def test_many_clients_at_once(lab, servers):
    """All of them leave from one address, with ids of their own that may be the same."""
    lab.exec("client", "ip", "address", "add", "10.0.0.21/16", "dev", "eth0")
    lab.balance(listen=f"{LB}:8000/udp")
    every = [lab.datagrams(bind=(client, 20000 + number))
             for number in range(20) for client in (CLIENT, "10.0.0.21")]
    for _ in range(5):
        for number, asking in enumerate(every):
            asking.send(payload(4000, number))
        for number, asking in enumerate(every):
            assert asking.recv(65536) == payload(4000, number)


@pytest.mark.backends(1)
def test_the_hosts_own_fragments(lab, servers):
    servers.open("lb", 22, address=LB)
    lab.balance(listen=[f"{LB}:8000/udp", f"{LB}:8000"])
    asking = lab.datagrams((LB, 22))
    asking.send(payload(8192, 1))
    assert asking.recv(65536) == payload(8192, 1)
    assert lab.reasons()["later_fragment"] == 0
    assert lab.reasons()["fragment"] > 0
    assert echoes(hold(lab)[0])
