# SPDX-License-Identifier: GPL-2.0-only
"""Who stands between client and backends in the section "end_to_end", each in the same lab."""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import section

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
import network  # noqa: E402
from network import GATEWAY, GATEWAY6, LB, LB6, backend_address, endpoint, until  # noqa: E402

PORT = 8000
BACKENDS = 2
FLOWS = 262144  # places in weir's table, as many as conntrack has on most machines
WRK = pathlib.Path(__file__).with_name("wrk.lua")
TOOLS = ("wrk", "nginx", "nft", "haproxy", "gnuplot", "ip", "bpftool")

NGINX = """
user root;
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 100000000;
    server {{
        listen {address}:{port} backlog=4096;
        listen [{address6}]:{port} backlog=4096;
        location / {{ return 200 "{host}\\n"; }}
    }}
}}
"""

HAPROXY = """
global
    nbthread {threads}
    maxconn 4000
defaults
    mode tcp
    balance roundrobin
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    option splice-auto
    option tcp-smart-accept
    option tcp-smart-connect
listen web
    bind {listen}
    server one {one}
    server two {two}
"""

# The kernel's bridge asks netfilter about each frame; a switch does not.
PLAIN_SWITCH = """
for name in arptables iptables ip6tables; do
    ! test -e /proc/sys/net/bridge/bridge-nf-call-$name ||
        echo 0 >/proc/sys/net/bridge/bridge-nf-call-$name
done
"""

# What an operator would set: no redirects for what leaves by the interface that it came in on, and
# checksums are left to the receiver, for a network card would have looked at them.
FORWARDING = """
cd /proc/sys/net
echo 0 >ipv4/conf/all/send_redirects
echo 0 >ipv4/conf/eth0/send_redirects
echo 1 >ipv4/conf/eth0/forwarding
echo 1 >ipv6/conf/all/forwarding
"""
NO_FORWARDING = FORWARDING.replace("echo 1", "echo 0")
CONNTRACK = "echo 0 >/proc/sys/net/netfilter/nf_conntrack_checksum"

NFTABLES = """
table inet balancer {{
    {flowtable}
    chain incoming {{
        type nat hook prerouting priority dstnat
        {family} daddr {service} meta l4proto {{ tcp, udp }} th dport {port} \\
            dnat {family} to numgen inc mod 2 map {{ 0 : {one}, 1 : {two} }}
    }}
    chain outgoing {{
        type nat hook postrouting priority srcnat
        {family} daddr {{ {one}, {two} }} meta l4proto {{ tcp, udp }} th dport {port} \\
            snat {family} to {service}
    }}
}}
"""
FLOWTABLE = """
    flowtable fast { hook ingress priority 0; devices = { eth0 }; }
    chain established {
        type filter hook forward priority 0
        meta l4proto { tcp, udp } flow add @fast
    }
"""


def process_cpu(pid):
    """Seconds of CPU that a process has used, all threads together."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


class Field(network.Lab):
    """The lab with fast web servers, for one contestant after the other."""

    def __init__(self, build):
        network.BUILD = build
        self.build = build
        self.directory = None
        super().__init__(f"bench{os.getpid()}", BACKENDS)

    def popen(self, host, *command, **more):
        """Away from the terminal: only the bench itself hears of a Ctrl-C, and ends all others."""
        return super().popen(host, *command, start_new_session=True, **more)

    def __enter__(self):
        try:
            self.directory = self.logs = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-"))
            self.up()
            self.exec("lan", "sh", "-euc", PLAIN_SWITCH)
            self.wire_xdp(None)
            self.serve()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        """Not even an impatient second Ctrl-C leaves something behind."""
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                self.down()
        finally:
            if self.directory:
                shutil.rmtree(self.directory)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    def down(self):
        # A weir that is still there had no chance to end well.
        self.weirs.clear()
        super().down()

    def serve(self):
        for number, host in enumerate(self.backends(), 1):
            directory = self.directory / host
            directory.mkdir()
            (directory / "nginx.conf").write_text(NGINX.format(
                directory=directory, host=host, port=PORT, address=backend_address(number),
                address6=backend_address(number, v6=True)))
            self.popen(host, "nginx", "-e", "stderr", "-c", directory / "nginx.conf",
                       stdin=subprocess.DEVNULL)
        for family in (4, 6):
            for address in self.backend_addresses(family):
                self.wait_served(address)

    def backend_addresses(self, family):
        return [backend_address(number, family == 6) for number in range(1, BACKENDS + 1)]

    def wait_served(self, address):
        def answers():
            return self.exec("client", "curl", "--silent", "--fail", "--max-time", 1, "--globoff",
                             f"http://{endpoint(address, PORT)}/", check=False).stdout
        until(answers, what=f"an answer from {address}")

    def ip(self, host, family, *command):
        self.exec(host, "ip", f"-{family}", *command)

    # ---- XDP programs beside the contestant's own ----

    def set_xdp(self, host, interface, path):
        program = ["off"] if path is None else ["object", self.build / path, "section", "xdp.frags"]
        subprocess.run(["ip", "-n", self.namespace(host), "link", "set", "dev", interface,
                        "xdpdrv" if path else "xdp", *program], check=True)

    def wire_xdp(self, path):
        """At the switch's end of the balancer's cable."""
        self.set_xdp("lan", "port-lb", path)

    def balancer_xdp(self, path):
        self.set_xdp("lb", "eth0", path)

    # ---- traffic ----

    def wrk(self, servers, seconds, connections, pause_ms=None, close=False):
        """wrk's results. It takes whole seconds alone, so it is told when to stop."""
        environment = os.environ | {"BENCH_SERVERS": " ".join(servers), "BENCH_PORT": str(PORT)}
        if pause_ms:
            environment["BENCH_PAUSE"] = str(pause_ms)
        header = ["-H", "Connection: close"] if close else []
        process = self.popen(
            "client", "wrk", "-t", 2, "-c", connections, "-d", f"{int(seconds) + 5}s", "-s", WRK,
            *header, f"http://{endpoint(servers[0], PORT)}/", env=environment,
            stdout=subprocess.PIPE, text=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
        self.processes.remove(process)
        if process.returncode:
            raise section.Failure(f"wrk failed: {output}")
        return json.loads(output.splitlines()[-1])

    def flood(self, family, flows, seconds):
        """What came of a flood of UDP: bench/flood.c."""
        service = LB6 if family == 6 else LB
        done = self.exec("lan", self.build / "bench" / "flood", "port-lb",
                         self.mac("gateway", "eth1"), self.mac("lb"), service, PORT, flows,
                         seconds, 0, timeout=60)
        return json.loads(done.stdout)


class Direct:
    """No balancer: the client knows the backends. Balancers cost what they cost above this."""

    name = "direct"
    forwards_udp = True

    def servers(self, field, family):
        return field.backend_addresses(family)

    @contextlib.contextmanager
    def running(self, field, family):
        yield

    def own_cpu(self):
        return 0

    @contextlib.contextmanager
    def flooded(self, field):
        """Frames come straight back from the balancer's interface: what the flood itself costs."""
        field.balancer_xdp("bench/flood.bpf.o")
        try:
            yield
        finally:
            field.balancer_xdp(None)


class Routed(Direct):
    """No balancer either, but the way to the backends and back leads through its host: the price of
    the place."""

    name = "plain routing"
    forwards_udp = False

    @contextlib.contextmanager
    def running(self, field, family):
        lb, mask = (LB6, 128) if family == 6 else (LB, 32)
        gateway = GATEWAY6 if family == 6 else GATEWAY
        ways = [f"{address}/{mask}" for address in field.backend_addresses(family)]
        field.exec("lb", "sh", "-euc", FORWARDING)
        for way in ways:
            field.ip("gateway", family, "route", "add", way, "via", lb)
        for host in field.backends():
            field.ip(host, family, "route", "replace", "default", "via", lb)
        try:
            yield
        finally:
            for host in field.backends():
                field.ip(host, family, "route", "replace", "default", "via", gateway)
            for way in ways:
                field.ip("gateway", family, "route", "delete", way)
            field.exec("lb", "sh", "-euc", NO_FORWARDING)


class Balancer:
    """What the others have in common: the client knows the service's address alone."""

    forwards_udp = True
    process = None

    def servers(self, field, family):
        return [LB6 if family == 6 else LB]

    def own_cpu(self):
        """Of its process, in seconds."""
        return process_cpu(self.process.pid) if self.process else 0


class Weir(Balancer):
    """The daemon, its program in the driver."""

    name = "weir nat"

    @contextlib.contextmanager
    def running(self, field, family):
        # Without a program on the peer, veth would not take what XDP sends.
        field.wire_xdp("bpf/pass.bpf.o")
        listen = endpoint(LB6 if family == 6 else LB, PORT)
        room = ["--flows-v6" if family == 6 else "--flows", FLOWS]
        weir = field.balance("--attach", "native", *room, listen=[listen, listen + "/udp"],
                             v6=family == 6)
        self.process = weir.process
        try:
            yield
        finally:
            status = weir.stop()
            field.weirs.remove(weir)
            field.processes.remove(weir.process)
            field.wire_xdp(None)
        if status:
            raise section.Failure(f"weir ended with status {status}:\n{weir.log}")

    @contextlib.contextmanager
    def flooded(self, field):
        field.wire_xdp(None)
        try:
            yield
        finally:
            field.wire_xdp("bpf/pass.bpf.o")

    @contextlib.contextmanager
    def program_time(self, field):
        """Yields a function: nanoseconds that weir's program has run so far, by bpf_stats."""
        libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
        switch = libbpf.bpf_enable_stats(0)  # BPF_STATS_RUN_TIME, until the descriptor is closed
        if switch < 0:
            raise section.Failure(f"bpf_stats: {os.strerror(ctypes.get_errno())}")
        shown = json.loads(field.exec("lb", "ip", "-json", "link", "show", "eth0").stdout)
        program = shown[0]["xdp"]["prog"]["id"]

        def run_time():
            output = subprocess.run(["bpftool", "--json", "prog", "show", "id", str(program)],
                                    check=True, text=True, capture_output=True).stdout
            return json.loads(output).get("run_time_ns", 0)
        try:
            yield run_time
        finally:
            os.close(switch)


class Nftables(Balancer):
    """DNAT in turn and SNAT to the balancer's address, by conntrack."""

    name = "nftables"
    flowtable = ""
    lost = 0  # connections that conntrack had no room for: its table must not be the limit

    def refused(self, field):
        """Columns of each CPU, in hexadecimal."""
        head, *rows = field.exec("lb", "cat", "/proc/net/stat/nf_conntrack").stdout.splitlines()
        places = [head.split().index(name) for name in ("drop", "early_drop", "insert_failed")]
        return sum(int(row.split()[place], 16) for row in rows for place in places)

    def rules(self, field, family):
        one, two = field.backend_addresses(family)
        return NFTABLES.format(family="ip6" if family == 6 else "ip", one=one, two=two, port=PORT,
                               service=LB6 if family == 6 else LB, flowtable=self.flowtable)

    def load(self, field, family):
        return subprocess.run(field.command("lb", "nft", "-f", "-"), text=True,
                              input=self.rules(field, family), stderr=subprocess.PIPE)

    @contextlib.contextmanager
    def running(self, field, family):
        field.exec("lb", "sh", "-euc", FORWARDING)
        done = self.load(field, family)
        if done.returncode:
            raise section.Failure(f"nft refused the rules: {done.stderr}")
        field.exec("lb", "sh", "-euc", CONNTRACK)
        before = self.refused(field)
        try:
            yield
        finally:
            self.lost += self.refused(field) - before
            field.exec("lb", "nft", "flush", "ruleset")
            field.exec("lb", "sh", "-euc", NO_FORWARDING)

    @contextlib.contextmanager
    def flooded(self, field):
        # A program that passes everything makes veth take frames as a network card's driver does.
        field.balancer_xdp("bpf/pass.bpf.o")
        try:
            yield
        finally:
            field.balancer_xdp(None)


class Flowtable(Nftables):
    """The same, and established flows take the kernel's short cut."""

    name = "nftables + flowtable"
    flowtable = FLOWTABLE

    def is_possible(self, field):
        """Not every kernel has it."""
        possible = self.load(field, 4).returncode == 0
        field.exec("lb", "nft", "flush", "ruleset")
        return possible


class Haproxy(Balancer):
    """In TCP mode, with as many threads as there are CPUs."""

    name = "haproxy tcp"
    forwards_udp = False

    def __init__(self, threads=None):
        self.threads = threads or os.cpu_count()

    @contextlib.contextmanager
    def running(self, field, family):
        one, two = (endpoint(address, PORT) for address in field.backend_addresses(family))
        listen = endpoint(LB6 if family == 6 else LB, PORT)
        path = field.directory / "haproxy.cfg"
        path.write_text(HAPROXY.format(threads=self.threads, one=one, two=two, listen=listen))
        log = field.directory / "haproxy.log"
        with log.open("w") as output:
            self.process = field.popen("lb", "haproxy", "-db", "-f", path, stderr=output,
                                       stdin=subprocess.DEVNULL)
        try:
            field.wait_served(LB6 if family == 6 else LB)
            yield
        except AssertionError as failure:
            raise section.Failure(f"haproxy: {failure}\n{log.read_text()}") from None
        finally:
            self.process.kill()
            self.process.wait()
            field.processes.remove(self.process)
