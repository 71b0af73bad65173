# SPDX-License-Identifier: GPL-2.0-only
"""Heavy traffic (flood.c) and clients far away (delay.py), for the tests that need them."""

import atexit
import functools
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile

from network import NETNS, SERVICE, until

HERE = pathlib.Path(__file__).parent
FAR = "10.9.0.2"


@functools.cache
def flood_binary():
    directory = tempfile.mkdtemp(prefix="weir-e2e-")
    atexit.register(shutil.rmtree, directory)
    binary = pathlib.Path(directory) / "flood"
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
                    "-o", binary, HERE / "flood.c"], check=True)
    return binary


def wait_line(process, wanted):
    line = process.stdout.readline().decode()
    assert line == wanted + "\n", f"{line!r} instead of {wanted!r}"


class Flood:
    """Sends to the lb as it is told, in a process of its own: from the other end of its cable, or,
    to see the answers and connect, from the gateway."""

    def __init__(self, lab, mode, count, rate, to=SERVICE):
        # Answers to the forged addresses end here. Twice is no harm.
        lab.exec("gateway", "ip", "route", "replace", "blackhole", "198.18.0.0/15")
        place = ("gateway", "eth1") if mode == "connect" else ("lan", "port-lb")
        self.process = lab.popen(place[0], flood_binary(), mode, place[1], lab.mac("lb"), to[0],
                                 to[1], count, rate, stdout=subprocess.PIPE)

    @property
    def runs(self):
        return self.process.poll() is None

    def end(self):
        """Waits for it; returns how many clients it had: sent, or really connected."""
        output = self.process.communicate(timeout=120)[0].decode()
        assert self.process.returncode == 0
        return int(re.fullmatch(r"(?:sent|connected) (\d+)\n", output)[1])


def echo_server(lab, host, address, port=8000):
    """UDP at full speed: echoes, and answers "?" with the client's and its own address."""
    process = lab.popen(host, flood_binary(), "echo", address, port, stdout=subprocess.PIPE)
    wait_line(process, "ready")
    return process


def cookies(lab):
    """Backends that stand a flood themselves, so that the test is about weir alone."""
    for host in lab.backends():
        lab.exec(host, "sysctl", "-q", "net.ipv4.tcp_syncookies=2")


def far_client(lab, round_trip=0.05):
    """The client gets one more address, FAR, that is as far away as told: bind to it."""
    process = subprocess.Popen(
        [sys.executable, HERE / "delay.py", str(round_trip / 2),
         NETNS / lab.namespace("client"), "far", NETNS / lab.namespace("gateway"), "far"],
        stdout=subprocess.PIPE)
    lab.processes.append(process)
    wait_line(process, "ready")
    lab.exec("client", "sh", "-ec", f"""
        ip address add {FAR}/24 dev far; ip link set far up
        ip route add default dev far table 9; ip rule add from {FAR} lookup 9""")
    lab.exec("gateway", "sh", "-ec", """
        echo 0 >/proc/sys/net/ipv4/conf/far/rp_filter
        ip address add 10.9.0.1/24 dev far; ip link set far up""")


def flows_of(lab, connections):
    """What weir has noted about each of these, but for the time; None: nothing."""
    clients = ["%s:%d" % one.getsockname() for one in connections]
    found = {}
    for address in {client.split(":")[0] for client in clients}:
        for flow in lab.weir("flow", "list", "--client", address):
            del flow["idle_ms"]
            found[flow["client"], flow["protocol"]] = flow
    protocols = {socket.SOCK_STREAM: "tcp", socket.SOCK_DGRAM: "udp"}
    return [found.get((client, protocols[one.type]))
            for client, one in zip(clients, connections)]


def counts(lab):
    return lab.weir("flow", "count")


def until_counts(lab, timeout=10, **wanted):
    """Waits until `flow count` says so."""
    return until(lambda: counts(lab) | wanted == counts(lab), timeout, f"{wanted}")
