# SPDX-License-Identifier: GPL-2.0-only
"""What backends of mode ipip run."""

import contextlib
import select
import signal

from network import weir_binary


def wait_ready(process):
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    assert poll.poll(10000), "weir decap is not ready"
    assert process.stdout.readline() == b"weir: ready\n"


@contextlib.contextmanager
def decapsulation(lab, *hosts, more=()):
    started = [lab.popen(host, weir_binary(), "decap", "-i", "eth0", *more, stdout=-1)
               for host in hosts]
    for process in started:
        wait_ready(process)
    yield started
    for process, sent in zip(started, (signal.SIGTERM, signal.SIGINT)):
        process.send_signal(sent)
        assert process.wait(10) == 0
        process.stdout.close()
    assert all(lab.xdp(host) is None for host in hosts)
