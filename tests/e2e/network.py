# SPDX-License-Identifier: GPL-2.0-only
"""The lab and weir in it, as the tests see them."""

import contextlib
import ctypes
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WEIR_BUILD", ROOT / "build"))
LAB = ROOT / "lab" / "lab"
NETNS = pathlib.Path("/run/netns")
PINS = pathlib.Path("/sys/fs/bpf/weir")

CLIENT = "10.0.0.20"
GATEWAY = "192.168.178.2"
LB = "192.168.178.10"
SERVICE = (LB, 8000)
TCP_SERVICE = "tcp-192-168-178-10-8000"
UDP_SERVICE = "udp-192-168-178-10-8000"

# The same hosts.
CLIENT6 = "fd00:a::20"
GATEWAY6 = "fd00:b::2"
LB6 = "fd00:b::10"
SERVICE6 = (LB6, 8000)
TCP_SERVICE6 = "tcp-fd00-b--10-8000"
UDP_SERVICE6 = "udp-fd00-b--10-8000"

# Seconds; only a failing test waits that long. An emulated machine needs more.
PATIENCE = int(os.environ.get("WEIR_PATIENCE", 30))
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
libc = ctypes.CDLL(None, use_errno=True)


def weir_binary():
    if "WEIR_BIN" in os.environ:
        return os.environ["WEIR_BIN"]
    for path in (BUILD / "weir", BUILD / "src" / "weir"):
        if path.exists():
            return str(path)
    raise FileNotFoundError(f"no weir in {BUILD}; build it with: make")


def until(condition, timeout=PATIENCE, what="it"):
    """Waits for the condition to hold and returns its value. It is looked at twice at least."""
    deadline = time.monotonic() + timeout
    value = condition()
    while not value:
        late = time.monotonic() > deadline
        time.sleep(0.01)
        value = condition()
        assert value or not late, f"{what} did not come true within {timeout} s: {value!r}"
    return value


def endpoint(address, port):
    """As weir writes it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def backend_address(number, v6=False):
    return f"fd00:b::{10 + number}" if v6 else f"192.168.178.{10 + number}"


def backend(number, port=8000, v6=False):
    return endpoint(backend_address(number, v6), port)


def backends(count, port=None, v6=False):
    """The value of --backends for the first backends of the lab."""
    return ",".join(backend(number, port, v6) if port else backend_address(number, v6)
                    for number in range(1, count + 1))


def service(name, port, count, v6=False, **more):
    """A service of a configuration file, over the first backends of the lab."""
    return {"name": name, "listen": endpoint(LB6 if v6 else LB, port), **more,
            "backends": [{"address": backend(number, port, v6)} for number in range(1, count + 1)]}


def config(*services, **more):
    """A configuration file; nobody's health is checked unless a service says so."""
    return {"interfaces": ["eth0"], "defaults": {"health": {"type": "none"}}, **more,
            "services": list(services)}


def _setns(fd):
    if libc.setns(fd, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")


class Lab:
    """A lab of its own name. Sockets are made inside a host and used from here."""

    def __init__(self, name, backend_count=2, logs=None):
        self.name = name
        self.backend_count = backend_count
        self.logs = pathlib.Path(logs or "/tmp")
        self.control_socket = f"/run/weir/lab-{name}.sock"
        self.pins = PINS / f"lab-{name}"
        self.config_path = self.logs / "weir.yaml"
        self.weirs = []
        self.processes = []
        self.open = contextlib.ExitStack()

    # ---- up and down ----

    def run_lab(self, *arguments):
        subprocess.run([LAB, "--name", self.name, *map(str, arguments)], check=True, timeout=60,
                       stdout=subprocess.DEVNULL, env=os.environ | {"WEIR_BUILD": str(BUILD)})

    def up(self):
        self.run_lab("up", "--backends", self.backend_count)

    def down(self):
        """Ends everything. Weirs that still run must stop without complaint."""
        try:
            for weir in self.weirs:
                weir.finish()
        finally:
            if self.pins.exists():
                self.detach(check=False)
            self.open.close()
            for process in self.processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
            self.run_lab("down")

    def serve(self):
        """nginx on port 8000 of each backend; returns the directory that it serves as /big/."""
        self.run_lab("serve")
        return pathlib.Path(f"/run/weir-lab/{self.name}/big")

    # ---- hosts ----

    def namespace(self, host):
        return f"weir-{self.name}-{host}"

    def backends(self):
        return [f"backend-{number}" for number in range(1, self.backend_count + 1)]

    def command(self, host, *command):
        return ["nsenter", f"--net={NETNS / self.namespace(host)}", "--", *map(str, command)]

    def exec(self, host, *command, check=True, timeout=30, **more):
        result = subprocess.run(self.command(host, *command), text=True, capture_output=True,
                                timeout=timeout, **more)
        assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
        return result

    def popen(self, host, *command, **more):
        process = subprocess.Popen(self.command(host, *command), **more)
        self.processes.append(process)
        return process

    @contextlib.contextmanager
    def inside(self, host):
        """This thread is in the host's network; a socket made here stays there."""
        with open("/proc/thread-self/ns/net") as home, open(NETNS / self.namespace(host)) as there:
            _setns(there.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def socket(self, host, family=None, kind=socket.SOCK_STREAM, protocol=0, bind=None,
               timeout=PATIENCE):
        """Without a family that of the address to bind to, or IPv4."""
        if family is None:
            family = family_of(bind[0]) if bind else socket.AF_INET
        with self.inside(host):
            made = socket.socket(family, kind, protocol)
        self.open.callback(made.close)
        made.settimeout(timeout)
        if kind != socket.SOCK_STREAM:  # a burst must not be lost because its reader waits for a CPU
            made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        if bind:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(bind)
        return made

    def connect(self, to=SERVICE, host="client", bind=None, timeout=PATIENCE):
        made = self.socket(host, family_of(to[0]), bind=bind, timeout=timeout)
        try:
            made.connect(to)
        except OSError:
            made.close()  # else it goes on trying as long as the exception is looked at
            raise
        return made

    def datagrams(self, to=SERVICE, host="client", bind=None, timeout=PATIENCE):
        made = self.socket(host, family_of(to[0]), socket.SOCK_DGRAM, bind=bind, timeout=timeout)
        made.connect(to)
        return made

    def listen(self, host, address, port, backlog=1024):
        made = self.socket(host, bind=(address, port), timeout=None)
        made.listen(backlog)
        return made

    def mac(self, host, interface="eth0"):
        return json.loads(self.exec(host, "ip", "-json", "link", "show", interface).stdout)[0][
            "address"]

    def neighbours(self, host):
        found = json.loads(self.exec(host, "ip", "-json", "neigh").stdout or "[]")
        return {entry["dst"]: entry for entry in found}

    def forwarding(self, interface="eth0", host="lb", v6=False):
        path = f"/proc/sys/net/{'ipv6' if v6 else 'ipv4'}/conf/{interface}/forwarding"
        return self.exec(host, "cat", path).stdout.strip()

    def xdp(self, host="lb", interface="eth0"):
        """None, or how an XDP program sits on the interface: "xdp" (native) or "xdpgeneric"."""
        words = self.exec(host, "ip", "link", "show", interface).stdout.split()
        return next((word for word in words if word.startswith("xdp")), None)

    # ---- weir ----

    def run_weir(self, *arguments, ready=True, **more):
        weir = Weir(self, arguments, **more)
        self.weirs.append(weir)
        if ready:
            weir.wait_ready()
        return weir

    def balance(self, *more, listen=None, to=None, v6=False):
        """weir as in the tutorials: one service (or several) over all backends of the lab."""
        listen = listen or endpoint(LB6 if v6 else LB, 8000)
        listens = [listen] if isinstance(listen, str) else listen
        return self.run_weir("-i", "eth0", *(word for one in listens for word in ("--listen", one)),
                             "--backends", to or backends(self.backend_count, v6=v6), *more)

    def configure(self, config):
        """Writes the configuration file: YAML as it is, or a dictionary as JSON, which is YAML."""
        text = config if isinstance(config, str) else json.dumps(config, indent=1)
        self.config_path.write_text(text)

    def run_file(self, config=None, **more):
        """weir with a configuration file: its tables outlive it."""
        if config is not None:
            self.configure(config)
        return self.run_weir("-c", self.config_path, **more)

    def reload(self, config, *arguments, **more):
        self.configure(config)
        return self.weir_text("reload", *arguments, **more)

    def detach(self, *arguments, **more):
        """`weir detach`, which needs the lb's network: no daemon does it for us."""
        return self.exec("lb", weir_binary(), "--socket", self.control_socket, "detach",
                         *arguments, **more)

    def left_behind(self):
        """Everything of weir that is on the lb and on this machine for it."""
        found = [f"xdp on {name}" for name in ("eth0", "lo") if self.xdp(interface=name)]
        found += [path.name for path in pathlib.Path("/run/weir").glob(f"lab-{self.name}.*")
                  if not path.name.endswith(".mark")]  # the lab's own
        if self.pins.exists():
            found.append("pins")
        if self.forwarding() != "0":
            found.append("forwarding")
        if "managed" in self.exec("lb", "ip", "neigh").stdout:
            found.append("managed neighbours")
        found += self.left_by_checks()
        return found

    def left_by_checks(self):
        """Of health checks by the path of the traffic: an interface, a route, filters."""
        links = json.loads(self.exec("lb", "ip", "-json", "link").stdout)
        found = [f"interface {link['ifname']}" for link in links
                 if link["ifname"].startswith("weir-")]
        for family in ("-4", "-6"):
            if "proto 119" in self.exec("lb", "ip", family, "route").stdout:
                found.append("a route of weir's")
        if self.exec("lb", "tc", "filter", "show", "dev", "eth0", "ingress").stdout:
            found.append("a filter")
        return found

    def weir_text(self, *arguments, check=True, socket_path=None, timeout=30):
        result = subprocess.run(
            [weir_binary(), "--socket", socket_path or self.control_socket, *arguments],
            text=True, capture_output=True, timeout=timeout)
        assert not check or result.returncode == 0, result.stderr
        return result

    def weir(self, *arguments, **more):
        return json.loads(self.weir_text("--json", *arguments, **more).stdout)

    def backend_row(self, address, service=None):
        return next(row for row in self.weir("backend", "list", *([service] if service else []))
                    if row["address"] == address)

    def active(self):
        """Active connections of each backend, in the order of the command line."""
        return [row["connections"]["active"] for row in self.weir("backend", "list")]

    def reasons(self, socket_path=None):
        """The counters of `weir status`, read when no packet was under way."""
        def settled():
            status = self.weir("status", socket_path=socket_path)
            return status if sum(status["reasons"].values()) == status["packets"] else None
        return until(settled, what="sum of reasons == packets")["reasons"]


class Weir:
    """A running daemon on the lb."""

    def __init__(self, lab, arguments, host="lb", socket_path=None, binary=None,
                 stdin=subprocess.DEVNULL):
        self.lab = lab
        self.socket_path = socket_path or lab.control_socket
        self.log_path = lab.logs / f"weir-{len(lab.weirs)}.log"
        self.may_complain = False
        self.killed = False
        with open(self.log_path, "w") as log:
            self.process = lab.popen(
                host, binary or weir_binary(), "--socket", self.socket_path, "run", *arguments,
                stdout=subprocess.PIPE, stderr=log, stdin=stdin)

    @property
    def log(self):
        return self.log_path.read_text()

    def wait_ready(self, timeout=PATIENCE):
        poll = select.poll()
        poll.register(self.process.stdout, select.POLLIN)
        line = self.process.stdout.readline() if poll.poll(timeout * 1000) else b"(nothing)"
        assert line == b"weir: ready\n", f"weir is not ready: {line}\n{self.log}"

    def wait_log(self, text):
        until(lambda: text in self.log, what=f'"{text}" in the log')

    def wait(self, timeout=PATIENCE):
        return self.process.wait(timeout)

    def stop(self, sent=signal.SIGTERM):
        self.process.send_signal(sent)
        return self.wait()

    def kill(self):
        """No chance to say farewell."""
        self.killed = True
        self.process.kill()
        self.wait()

    def finish(self):
        """What must hold after each test: a clean stop, exact counts, no complaint."""
        if self.process.poll() is None:
            self.lab.reasons(self.socket_path)
            status = self.stop()
        else:
            status = self.process.returncode
        print(f"---- {self.log_path.name}: exit status {status}\n{self.log}", end="")
        assert "was off and is corrected" not in self.log, self.log
        if not self.may_complain:
            assert status == (-signal.SIGKILL if self.killed else 0)
            assert "error:" not in self.log, self.log
