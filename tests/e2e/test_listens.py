# SPDX-License-Identifier: GPL-2.0-only
"""Several listen addresses and protocols of one service, in every mode."""

import pytest

from network import LB, backend_address, config
from servers import echoes, hold, visit
from test_direct import path_of

SECOND = "192.168.178.81"


@pytest.fixture
def second(lab):
    """One more address that leads to lb."""
    lab.exec("gateway", "ip", "route", "add", f"{SECOND}/32", "via", LB)
    return SECOND


def web(*listens, **more):
    return {"name": "web", "listen": list(listens), "protocol": ["tcp", "udp"], **more,
            "backends": [f"{backend_address(number)}:8000" for number in (1, 2)]}


def both(*addresses, **more):
    return config(web(*(f"{address}:8000" for address in addresses), **more))


def answers(lab, address):
    """TCP and UDP."""
    datagrams = lab.datagrams((address, 8000))
    datagrams.send(b"?")
    return datagrams.recv(100).startswith(b"backend-") and visit(lab, (address, 8000))


def test_nat(lab, second, servers):
    """One comes and goes while flows of the other go on, and its own go on, too."""
    lab.run_file(both(LB))
    first, _ = hold(lab)
    datagrams = lab.datagrams()
    lab.reload(both(LB, SECOND))
    assert answers(lab, LB) and answers(lab, SECOND)
    added, _ = hold(lab, (SECOND, 8000))
    assert echoes(first) and echoes(added)
    assert lab.weir("service", "list")[0]["listen"] == [f"{LB}:8000", f"{SECOND}:8000"]
    lab.reload(both(SECOND))
    assert answers(lab, SECOND)
    assert echoes(first) and echoes(added)
    with pytest.raises(ConnectionRefusedError):  # the host's again
        lab.connect((LB, 8000))
    lab.reload(both(LB))
    assert answers(lab, LB)
    assert echoes(first) and echoes(added)
    with pytest.raises(OSError):
        lab.connect((SECOND, 8000), timeout=0.5)
    datagrams.send(b"x")
    assert datagrams.recv(10) == b"x"


@pytest.mark.backends(3)
@pytest.mark.parametrize("mode", ["dsr", "ipip"])
def test_direct_replies(lab, second, mode):
    """The backends have both addresses."""
    more = {"mode": mode, "scheduler": "maglev"}
    with path_of(lab, mode):
        for number in (1, 2):
            lab.exec(f"backend-{number}", "ip", "address", "add", f"{SECOND}/32", "dev", "lo")
        listeners = {(number, address): lab.listen(f"backend-{number}", address, 8000)
                     for number in (1, 2) for address in (LB, SECOND)}
        lab.run_file(both(LB, **more))
        first = lab.connect((LB, 8000))
        lab.reload(both(LB, SECOND, **more))
        added = lab.connect((SECOND, 8000))
        lab.reload(both(SECOND, **more))
        again = lab.connect((SECOND, 8000))
        for listener in listeners.values():
            listener.setblocking(False)
        served = []
        for listener in listeners.values():
            try:
                while True:
                    served.append(listener.accept()[0])
            except BlockingIOError:
                pass
        assert len(served) == 3
        for client in (added, again):
            client.send(b"x")
        got = []
        for connection in served:
            connection.settimeout(0.5)
            try:
                got.append(connection.recv(10))
            except TimeoutError:
                pass
        assert got == [b"x", b"x"]
        # Direct replies need no record: who goes on talking to an address that is gone talks to the host.
        first.send(b"x")
        with pytest.raises((ConnectionResetError, TimeoutError)):
            first.settimeout(1)
            first.recv(1)
        lab.reload(both(LB, SECOND, **more))
        assert lab.connect((LB, 8000)) and lab.connect((SECOND, 8000))
