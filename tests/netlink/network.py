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
HOST, A, B = "192.168.178.10", "192.168.178.11", "192.168.178.12"
numbers = itertools.count()


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Network:
    """host: eth0 192.168.178.10/24, eth1 10.200.0.1/24 (to b's 10.200.0.2); a: .11; b: .12."""

    def __init__(self):
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
        self.ip("switch", "link add br0 type bridge")
        self.ip("switch", "link set br0 up")
        for name, address in (("host", HOST), ("a", A), ("b", B)):
            switch = self.name("switch")
            self.ip(name, f"link add eth0 type veth peer name to-{name} netns {switch}")
            self.ip("switch", f"link set to-{name} master br0 up")
            self.ip(name, f"addr add {address}/24 dev eth0")
        self.ip("a", f"link set eth0 address {MAC_A}")
        self.ip("b", f"link set eth0 address {MAC_B}")
        for name in ("host", "a", "b"):
            self.ip(name, "link set eth0 up")
        self.ip("host", f"link add eth1 type veth peer name eth1 netns {self.name('b')}")
        self.ip("host", "addr add 10.200.0.1/24 dev eth1")
        self.ip("host", "link set eth1 up")
        self.ip("b", "addr add 10.200.0.2/24 dev eth1")
        self.ip("b", "link set eth1 up")

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
        routes = "".join(f"route add 10.{i // 250}.{i % 250}.0/24 dev {interface} table 55 "
                         f"metric {i + 100}\n" for i in range(count))
        command = ("ip", "-n", self.name("host"), "-batch", "-")
        subprocess.run(command, input=routes, text=True, check=True)

    def neighbour(self, address, interface="eth0"):
        return self.ip("host", f"-d neigh show {address} dev {interface}").strip()

    def sysctl(self, path, value):
        self.execute("host", "sh", "-c", f"echo {value} > /proc/sys/net/{path}")

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
