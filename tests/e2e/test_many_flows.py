# SPDX-License-Identifier: GPL-2.0-only
"""A hundred thousand flows, and live traffic beside them that does not notice."""

import threading
import time

import pytest

from floods import Flood, counts, until_counts
from network import LB, backend_address, until
from servers import echoes, hold


MANY = 100000
PORT = 9000  # of the service that the many connect to; nobody ever accepts them


def listen_deeply(lab):
    """The kernel alone completes the handshakes and keeps the connections."""
    listeners = []
    for number, host in enumerate(lab.backends(), 1):
        lab.exec(host, "sh", "-ec", "cd /proc/sys/net; echo 200000 >core/somaxconn; "
                 "echo 200000 >ipv4/tcp_max_syn_backlog")
        listeners.append(lab.listen(host, backend_address(number), PORT, backlog=200000))
    return listeners


class Live:
    """Connects, echoes over an old and a new connection, closes; ends with the first failure."""

    def __init__(self, lab):
        self.lab = lab
        self.slowest = self.rounds = 0
        self.failure = None
        self.over = threading.Event()
        self.old = [hold(lab)[0] for _ in range(20)]
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.over.is_set():
                began = time.monotonic()
                connection, _ = hold(self.lab)
                assert echoes(connection) and echoes(self.old[self.rounds % len(self.old)])
                connection.close()
                self.rounds += 1
                self.slowest = max(self.slowest, time.monotonic() - began)
                time.sleep(0.01)
        except Exception as failure:
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()


@pytest.mark.backends(3)
def test_a_hundred_thousand_flows(lab, servers):
    listen_deeply(lab)
    lab.exec("lb", "ip", "address", "add", "192.168.178.41/24", "dev", "eth0")
    weir = lab.balance("--snat-address", f"{LB},192.168.178.41", "--half-open", "32k",
                       listen=[f"{LB}:8000", f"{LB}:{PORT}"])
    with Live(lab) as live:
        flood = Flood(lab, "connect", MANY, 60000, (LB, PORT))
        assert flood.end() == MANY
        until_counts(lab, half_open=0)
        done = live.rounds
        began = time.monotonic()
        assert counts(lab)["established"] >= MANY + len(live.old)
        status = lab.weir("status")
        assert status["flows"]["used"] >= MANY + len(live.old)
        assert {row["limit"] for row in status["snat"]} == {2 * 36278}  # all but the services' own
        assert sum(row["used"] for row in status["snat"]) >= MANY
        many = lab.weir("flow", "list", "--service", f"tcp-192-168-178-10-{PORT}")
        assert len(many) == MANY == len({flow["client"] for flow in many})
        assert len({(flow["backend"], flow["snat"]) for flow in many}) == MANY
        assert {flow["state"] for flow in many} == {"established"}
        print(f"status and lists took {time.monotonic() - began:.2f} s")
        # Two whole sweeps beside it.
        for _ in range(2):
            until(lambda: lab.weir("status")["sweep_age_ms"] > 300, what="an old sweep")
            until(lambda: lab.weir("status")["sweep_age_ms"] < 300, what="a new sweep")
        until(lambda: live.failure or live.rounds > done + 20, what="live traffic")
    assert live.failure is None, live.failure
    print(f"{live.rounds} rounds of live traffic, the slowest {live.slowest:.3f} s")
    assert lab.reasons()["snat_exhausted"] == lab.reasons()["flows_full"] == 0
    assert "corrected" not in weir.log
