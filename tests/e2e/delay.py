# SPDX-License-Identifier: GPL-2.0-only
"""usage: delay.py SECONDS /run/netns/A DEVICE-A /run/netns/B DEVICE-B

A long cable between two network namespaces: TUN devices, whose packets arrive SECONDS later."""

import collections
import ctypes
import fcntl
import os
import select
import struct
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454ca
IFF_TUN_NO_PI = 0x1001
libc = ctypes.CDLL(None, use_errno=True)


def plug(namespace, device):
    with open(namespace) as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), "setns", namespace)
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN_NO_PI))
    return end


def relay(delay, ends):
    other = dict(zip(ends, reversed(ends)))
    under_way = collections.deque()  # (arrival, to, packet)
    while True:
        pause = max(0, under_way[0][0] - time.monotonic()) if under_way else None
        for end in select.select(ends, [], [], pause)[0]:
            under_way.append((time.monotonic() + delay, other[end], os.read(end, 65536)))
        while under_way and under_way[0][0] <= time.monotonic():
            _, to, packet = under_way.popleft()
            try:
                os.write(to, packet)
            except OSError:  # the device is down
                pass


def main():
    delay, *places = sys.argv[1:]
    ends = [plug(*places[at:at + 2]) for at in (0, 2)]
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # a busy machine is no longer cable
    print("ready", flush=True)
    relay(float(delay), ends)


main()
