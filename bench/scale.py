#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A large configuration and a million connections: what they cost, and who notices when they change."""

import contextlib
import io
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import dent
import section

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

SERVICES = 10000
BACKENDS = 10  # of each service
FLOWS = 1000000
MIB = 1 << 20


class Sizes:
    """How much of everything, and for how long it is looked at. The tests take less."""

    def __init__(self, services=SERVICES, backends=BACKENDS, flows=FLOWS, thorough=False):
        self.services = services
        self.backends = backends
        self.flows = flows
        self.reloads = 7 if thorough else 3
        self.changes = 100 if thorough else 20
        self.sweep_s = 10 if thorough else 4
        self.rest_s = 3 if thorough else 1.5  # before each event that traffic may feel
        self.events = 2 if thorough else 1  # of each kind

    def backend(self, service, number):
        """Backends live on all addresses of a /24; no two of them are the same."""
        place = service * self.backends + number
        return f"192.168.179.{1 + place % 250}:{1024 + place // 250}"

    def listen(self, service):
        return f"10.64.{service // 256}.{service % 256}:80"

    def limits(self):
        """Room for all connections."""
        return {"flows": self.flows, "flows_v6": max(1, self.flows // 4)}

    def configuration(self, limits=None, changed=None, services=None):
        """As people write it; @changed: this service differs from what it is else."""
        lines = ["interfaces: [eth0]", f"limits: {json.dumps(limits or {})}",
                 "defaults: {health: {type: none}}", "services:"]
        for service in range(services or self.services):
            lines += [f"  - name: service-{service}", f"    listen: {self.listen(service)}",
                      f"    scheduler: {'lc' if service == changed else 'wrr'}", "    backends:"]
            lines += [f"      - {{address: {self.backend(service, number)}, weight: {number % 3 + 1}}}"
                      for number in range(self.backends)]
        return "\n".join(lines) + "\n"


def seconds(command, **more):
    """How long a command takes; it must succeed."""
    began = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, **more)
    took = time.monotonic() - began
    if result.returncode:
        raise section.Failure(f"{' '.join(map(str, command))}: {result.stderr.strip()}")
    return took


def memory_of(pid):
    """Of a process, in bytes."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return {name: int(re.search(rf"^{key}:\s*(\d+) kB", text, re.MULTILINE)[1]) * 1024
            for name, key in (("resident", "VmRSS"), ("peak", "VmHWM"), ("own", "RssAnon"))}


@contextlib.contextmanager
def network(build):
    """The lab of the tests, with all addresses that the configuration names."""
    if os.geteuid():
        raise section.Failure("network namespaces need root: sudo make bench")
    os.environ["WEIR_BUILD"] = str(build)
    from network import Lab
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as logs:
        lab = Lab(f"s{os.getpid()}", 1, logs)
        lab.up()
        try:
            addresses = "".join(f"address add 192.168.179.{i}/32 dev eth0\n" for i in range(1, 251))
            lab.exec("backend-1", "ip", "-batch", "-", input=addresses)
            lab.exec("lb", "ip", "route", "add", "192.168.179.0/24", "dev", "eth0")
            yield lab
        finally:
            with contextlib.redirect_stdout(io.StringIO()):  # the daemons' logs
                lab.down()


def started(lab, text):
    """A daemon over that configuration, and how long it took to be ready."""
    lab.configure(text)
    began = time.monotonic()
    weir = lab.run_file(ready=False)
    weir.wait_ready(60)
    return weir, time.monotonic() - began


def stopped(lab, weir):
    weir.stop()
    lab.detach()


def reloads(lab, sizes):
    """Nothing changed, and one service of all; median."""
    took = {"reload_same_s": [], "reload_one_s": []}
    for number in range(sizes.reloads):
        lab.configure(sizes.configuration(changed=number % 2))
        took["reload_one_s"].append(seconds(dent.weir(lab, "reload")))
        took["reload_same_s"].append(seconds(dent.weir(lab, "reload")))
    return {name: statistics.median(values) for name, values in took.items()}


def change_times(lab, sizes):
    """Of `weir backend set`, as somebody who waits for it sees it."""
    took = []
    for number in range(sizes.changes):
        service = number * 7919 % sizes.services
        words = ["drain", "ready"][number % 2]
        took.append(seconds(dent.weir(lab, "backend", "set", f"service-{service}",
                                      sizes.backend(service, 0), words)))
    return {"backend_set_s": statistics.median(took), "backend_set_worst_s": max(took)}


def configuration(lab, sizes):
    """Check, start, reload and change; memory once all of that is over."""
    text = sizes.configuration()
    lab.configure(text)
    check = min(seconds(lab.command("lb", dent.binary(), "check", "-c", lab.config_path))
                for _ in range(3))
    weir, ready = started(lab, text)
    idle = memory_of(weir.process.pid)
    result = {"services": sizes.services, "backends": sizes.services * sizes.backends,
              "check_s": check, "ready_s": ready,
              **reloads(lab, sizes), **change_times(lab, sizes)}
    after = memory_of(weir.process.pid)
    result["resident_bytes"] = max(idle["resident"], after["resident"])
    result["own_bytes"] = max(idle["own"], after["own"])
    result["peak_bytes"] = after["peak"]
    result["kernel_bytes"] = lab.weir("status")["memory_bytes"]
    stopped(lab, weir)
    return result


def memory_of_flows(lab, sizes):
    """What the kernel holds for one more flow, from daemons whose limits alone differ."""
    def kernel(flows, flows_v6):
        limits = {"flows": flows, "flows_v6": flows_v6}
        weir, _ = started(lab, sizes.configuration(limits, services=1))
        status = lab.weir("status")
        stopped(lab, weir)
        return status["memory_bytes"]

    few = 4 * 65536  # from here on, IPv6 has all of its places for half-open flows, too
    base = kernel(few, few)
    return {"v4_bytes": (kernel(few + sizes.flows, few) - base) / sizes.flows,
            "v6_bytes": (kernel(few, few + sizes.flows) - base) / sizes.flows}


def measure_sizes(build, sizes):
    with network(build) as lab:
        result = {"memory_of_flows": memory_of_flows(lab, sizes)}
        result["configuration"] = configuration(lab, sizes)
        weir, _ = started(lab, sizes.configuration(sizes.limits()))
        result["flows"] = dent.flows(lab, weir, sizes)
        result["dent"] = dent.dents(lab, weir, sizes)
        stopped(lab, weir)
    return result


def targets(result):
    config, memory, flows = (result[key] for key in ("configuration", "memory_of_flows", "flows"))
    return [
        section.target("check and full load of 10,000 services x 10 backends",
                       config["check_s"] + config["ready_s"], "s", most=2),
        section.target("weir backend set", 1000 * config["backend_set_s"], "ms", most=50),
        section.target("reload, one service changed", config["reload_one_s"], "s", most=1),
        section.target("memory of the daemon, steady", config["resident_bytes"] / MIB, "MiB",
                       most=200),
        section.target("memory of the daemon, at its peak", config["peak_bytes"] / MIB, "MiB",
                       most=400),
        section.target("kernel memory of an IPv4 flow", memory["v4_bytes"], "B", most=256),
        section.target("kernel memory of an IPv6 flow", memory["v6_bytes"], "B", most=400),
        section.target("sweep of all flows", 1000 * flows["sweep_s"], "ms", most=50),
        section.target("largest piece of the sweep", 1000 * flows["sweep_piece_s"], "ms", most=2),
    ]


def measure(build, thorough):
    result = measure_sizes(build, Sizes(thorough=thorough))
    result["targets"] = targets(result)
    return result


def config_rows(config):
    return [
        (f'{config["services"]} services, {config["backends"]} backends', ""),
        ("weir check", f'{config["check_s"]:.2f} s'),
        ("start until ready", f'{config["ready_s"]:.2f} s'),
        ("reload, nothing changed", f'{config["reload_same_s"]:.3f} s'),
        ("reload, one service changed", f'{config["reload_one_s"]:.3f} s'),
        ("weir backend set, median", f'{1000 * config["backend_set_s"]:.1f} ms'),
        ("weir backend set, worst", f'{1000 * config["backend_set_worst_s"]:.1f} ms'),
        ("daemon's memory, steady", f'{config["resident_bytes"] / MIB:.0f} MiB'),
        ("  of that, not tables of the datapath", f'{config["own_bytes"] / MIB:.0f} MiB'),
        ("daemon's memory, peak", f'{config["peak_bytes"] / MIB:.0f} MiB'),
        ("kernel memory of all tables", f'{config["kernel_bytes"] / MIB:.0f} MiB'),
    ]


def flow_rows(memory, flows):
    return [
        (f'{flows["flows"]} flows', ""),
        ("kernel memory of one, IPv4", f'{memory["v4_bytes"]:.0f} B'),
        ("kernel memory of one, IPv6", f'{memory["v6_bytes"]:.0f} B'),
        ("opened with handshakes in", f'{flows["open_s"]:.1f} s'),
        ("sweep of all", f'{1000 * flows["sweep_s"]:.1f} ms of CPU'),
        ("sweep, largest piece", f'{1000 * flows["sweep_piece_s"]:.2f} ms'),
        ("weir flow count", f'{1000 * flows["count_s"]:.1f} ms'),
        ("weir --json flow list", f'{flows["list_s"]:.1f} s'),
        ("weir flow list of one client", f'{flows["list_one_s"]:.2f} s'),
    ]


def table(result):
    rows = config_rows(result["configuration"])
    rows += [("", "")] + flow_rows(result["memory_of_flows"], result["flows"])
    return section.columns(rows) + "\n\n" + dent.table(result["dent"])


def plots(result, directory):
    """What happened to traffic, as one picture for each place of the daemon."""
    for where, text in dent.PLACES.items():
        dent.plot(result["dent"][where], text, directory / f"scale-dent-{where}.svg")


if __name__ == "__main__":
    section.run_alone(measure, table)
