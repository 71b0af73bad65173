# SPDX-License-Identifier: GPL-2.0-only
"""Three hosts on one switch, each in a network namespace; one runs the resolver under test."""
import itertools
import os
import re
import select
import subprocess
import time

SHELL = os.environ.get("RESOLVER_SHELL", "resolver_shell")
MAC_A, MAC_B, MAC_OTHER = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:99"
numbers = itertools.count()
# The hosts on the switch; HOST1 and B1 on eth1; FAR and what lies behind some gateway.
ADDRESSES = {
    4: {"HOST": "192.168.178.10", "A": "192.168.178.11", "B": "192.168.178.12", "BITS": 24,
        "SECOND": "192.168.178.20", "NOBODY": "192.168.178.77",
        "HOST1": "10.200.0.1", "B1": "10.200.0.2", "HOST1_LATER": "10.201.0.1",
        "FAR": "10.9.1.1", "FAR_TOO": "10.9.1.2", "FAR_NET": "10.9.0.0/16",
        "FAR_PART": "10.9.1.0/24", "OTHER_NET": "10.10.0.0/16", "THIRD_NET": "10.11.0.0/16",
        "ALONE": "10.77.0.1/32", "MANY": "10.100.0.0", "MANY_LAST": "10.100.39.15",
        "MANY_NET": "10.100.0.0/16", "TUN": "10.50.0.1", "TUN_PEER": "10.50.0.2",
        "ARP": "ARP", "SYSCTL": "ipv4"},
    6: {"HOST": "fd00:178::10", "A": "fd00:178::11", "B": "fd00:178::12", "BITS": 64,
        "SECOND": "fd00:178::20", "NOBODY": "fd00:178::77",
        "HOST1": "fd00:200::1", "B1": "fd00:200::2", "HOST1_LATER": "fd00:201::1",
        "FAR": "fd09:0:1::1", "FAR_TOO": "fd09:0:1::2", "FAR_NET": "fd09::/32",
        "FAR_PART": "fd09:0:1::/48", "OTHER_NET": "fd10::/32", "THIRD_NET": "fd11::/32",
        "ALONE": "fd00:77::1/128", "MANY": "fd00:100::", "MANY_LAST": "fd00:100::270f",
        "MANY_NET": "fd00:100::/64", "TUN": "fd00:50::1", "TUN_PEER": "fd00:50::2",
        "ARP": "NDP", "SYSCTL": "ipv6"},
}


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Network:
    """host: eth0 HOST, eth1 HOST1 (to b's B1); a: A; b: B. All have both families."""

    def __init__(self, family):
        self.family = family
        self.__dict__.update(ADDRESSES[family])
        self.prefix = f"weirnl{os.getpid()}-{next(numbers)}"
        self.made = []
        self.shells = []

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _build(self):
        for name in ("host", "switch", "a", "b"):
            run("ip", "netns", "add", self.name(name))
            self.made.append(name)
            self.ip(name, "link set lo up")
            # As IPv4 does: no waiting for duplicates, and an interface that is down keeps its own.
            for option in ("default/accept_dad=0", "all/accept_dad=0", "all/keep_addr_on_down=1"):
                self.sysctl(f"ipv6/conf/{option.split('=')[0]}", option[-1], name)
        self.ip("switch", "link add br0 type bridge")
        self.ip("switch", "link set br0 up")
        for name, address in (("host", "HOST"), ("a", "A"), ("b", "B")):
            switch = self.name("switch")
            self.ip(name, f"link add eth0 type veth peer name to-{name} netns {switch}")
            self.ip("switch", f"link set to-{name} master br0 up")
            self.add_addresses(name, address, "eth0")
        self.ip("a", f"link set eth0 address {MAC_A}")
        self.ip("b", f"link set eth0 address {MAC_B}")
        for name in ("host", "a", "b"):
            self.ip(name, "link set eth0 up")
        self.ip("host", f"link add eth1 type veth peer name eth1 netns {self.name('b')}")
        self.add_addresses("host", "HOST1", "eth1")
        self.ip("host", "link set eth1 up")
        self.add_addresses("b", "B1", "eth1")
        self.ip("b", "link set eth1 up")
        self.when_up("host", "eth0", "eth1")

    def add_addresses(self, namespace, which, interface):
        for addresses in ADDRESSES.values():
            self.ip(namespace, f"addr add {addresses[which]}/{addresses['BITS']} dev {interface}")

    def when_up(self, namespace, *interfaces):
        """Waits for the carrier, and until IPv6 can send: a moment after it was set up."""
        end = time.monotonic() + 5
        for interface in interfaces:
            while "fe80::" not in self.ip(namespace, f"-6 addr show dev {interface} -tentative"):
                assert time.monotonic() < end, interface
                time.sleep(0.02)

    def close(self):
        for shell in self.shells:
            shell.close()
        for name in self.made:
            run("ip", "netns", "del", self.name(name), check=False)
        self.made = []

    def name(self, namespace):
        return f"{self.prefix}-{namespace}"

    def ip(self, namespace, arguments, check=True):
        return run("ip", "-n", self.name(namespace), *arguments.split(), check=check)

    def execute(self, namespace, *command):
        return run("nsenter", f"--net=/run/netns/{self.name(namespace)}", *command)

    def many_routes(self, interface, count):
        """Routes that nobody uses, of a table that nobody asks."""
        # Each its own metric, so that the kernel has many next hops to go through, not one.
        prefix = "fd55:{}:{}::/48" if self.family == 6 else "10.{}.{}.0/24"
        routes = "".join(f"route add {prefix.format(i // 250, i % 250)} dev {interface} table 55 "
                         f"metric {i + 100}\n" for i in range(count))
        command = ("ip", "-n", self.name("host"), "-batch", "-")
        subprocess.run(command, input=routes, text=True, check=True)

    def neighbour(self, address, interface="eth0"):
        return self.ip("host", f"-d neigh show {address} dev {interface}").strip()

    def sysctl(self, path, value, namespace="host"):
        self.execute(namespace, "sh", "-c", f"echo {value} > /proc/sys/net/{path}")

    def shell(self, *commands):
        shell = Shell(self, commands)
        self.shells.append(shell)
        return shell


class Line(dict):
    """hop target=... why=...: the first word is .kind, the rest the dictionary."""

    def __init__(self, text):
        words, _, why = text.partition(" why=")
        self.kind, _, rest = words.partition(" ")
        self.rest = rest
        super().__init__(re.findall(r"(\S+)=(\S+)", rest), why=why)

    def __repr__(self):
        return f"{self.kind} {dict(self)}"


class Shell:
    def __init__(self, network, commands):
        self.lines = []
        self.buffer = b""
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{network.name('host')}", SHELL],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.wait("ready")
        self.at_start, self.lines = self.lines, []
        for command in commands:
            assert self.do(command) == 0, command

    def _read(self, timeout):
        ready, _, _ = select.select([self.process.stdout], [], [], max(timeout, 0))
        if not ready:
            return False
        data = os.read(self.process.stdout.fileno(), 1 << 20)
        assert data, f"the resolver died: {self.process.wait()}"
        *whole, self.buffer = (self.buffer + data).split(b"\n")
        self.lines += [Line(line.decode()) for line in whole]
        return True

    def wait(self, kind, timeout=8, **wanted):
        """Takes the first line that matches, and what was told of the same thing before it."""
        end = time.monotonic() + timeout
        place = 0
        while True:
            for place in range(place, len(self.lines)):
                line = self.lines[place]
                if line.kind == kind and wanted.items() <= line.items():
                    self.lines = [other for other in self.lines[:place]
                                  if (other.kind, other.get("target")) != (kind, line.get("target"))
                                  ] + self.lines[place + 1:]
                    return line
            place = len(self.lines)
            assert self._read(end - time.monotonic()), f"no {kind} {wanted}, but {self.lines}"

    def do(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        kept = len(self.lines)
        end = time.monotonic() + 30
        while True:
            for place in range(kept, len(self.lines)):
                if self.lines[place].kind == "done":
                    return int(self.lines.pop(place).rest)
            assert self._read(end - time.monotonic()), f"no answer to {command}"

    def settle(self, seconds=0.5):
        """What was told within some time, without the notes about dispatches."""
        end = time.monotonic() + seconds
        while self._read(end - time.monotonic()):
            pass
        told, self.lines = [line for line in self.lines if line.kind != "dispatched"], []
        return told

    def hop(self, target, timeout=8, **wanted):
        return self.wait("hop", timeout, target=target, **wanted)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.stdout.read()
        return self.process.wait(10)
