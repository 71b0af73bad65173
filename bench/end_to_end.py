#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Section "end_to_end" of the bench: weir against nftables and HAProxy, real clients and servers.

Every contestant stands in the same place of the same lab, one after the other within each round, so
that what disturbs the machine disturbs all of them alike.
"""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

import contestants
import section
from contestants import Direct, Field, Flowtable, Haproxy, Nftables, Routed, Weir
from plots import COLOURS, INK, block, svg

CONNECTIONS = 64  # of the client, kept or made anew for each request
PACED_CONNECTIONS = 100
PAUSE_MS = 10  # with PACED_CONNECTIONS nearly 10,000 requests a second

# At most this much of HAProxy's CPU a request, at least this many times nftables' packets.
CPU_TARGET = 0.33
UDP_TARGET = 2

TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Plan:
    rounds: int
    families: tuple = (4,)
    routed: bool = False  # with the contestant Routed
    flows: tuple = (1000, 50000)  # of the flood
    # Seconds of each part.
    kept: float = 1.3
    paced: float = 1.9
    new: float = 0.9
    program: float = 0.8
    flood: float = 0.6


STANDARD = Plan(rounds=3)
THOROUGH = Plan(rounds=5, families=(4, 6), routed=True, kept=2, paced=4, new=2, program=1, flood=1)


def spread(values):
    values = list(values)
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def machine_cpu():
    """Seconds that this machine's CPUs were not idle; only differences mean something. Idle time is
    exact, the kinds of busy time in /proc/stat are sampled."""
    with open("/proc/stat") as file:
        idle, iowait, _, _, steal = map(int, file.readline().split()[4:9])
    return os.cpu_count() * time.monotonic() - (idle + iowait + steal) / TICKS


def foreign_cpu(field):
    """Seconds that processes have used which have nothing to do with the bench, those that have
    ended since (they count with their parents) included. The kernel's threads are the bench's."""
    own = {process.pid for process in field.processes}  # each has a session
    total = 0
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            number, text = int(path.parent.name), path.read_text()
        except OSError:
            continue  # it has ended
        words = text.rpartition(")")[2].split()
        parent, session = int(words[1]), int(words[3])
        if number not in (2, os.getpid()) and parent != 2 and session not in own:
            total += sum(map(int, words[11:15]))
    return total / TICKS


def bench_cpu(field):
    return machine_cpu() - foreign_cpu(field)


# ---- measuring ----


def paced(field, contestant, family, plan):
    """A rate that all of them can serve: latency, and the CPU that a request takes."""
    own, machine = contestant.own_cpu(), bench_cpu(field)
    result = field.wrk(contestant.servers(field, family), plan.paced, PACED_CONNECTIONS, PAUSE_MS)
    requests = result["requests"]
    result["machine_us"] = 1e6 * (bench_cpu(field) - machine) / requests
    result["own_us"] = 1e6 * (contestant.own_cpu() - own) / requests
    return result


def program_us(field, contestant, family, plan):
    """Microseconds of weir's program a request. Counting costs time, so it has a run of its own."""
    with contestant.program_time(field) as run_time:
        began = run_time()
        result = field.wrk(contestant.servers(field, family), plan.program, PACED_CONNECTIONS,
                           PAUSE_MS)
        return (run_time() - began) / 1000 / result["requests"]


def sample(field, contestant, family, plan):
    """All parts of one contestant in one round."""
    with contestant.running(field, family):
        servers = contestant.servers(field, family)
        found = {
            "kept": field.wrk(servers, plan.kept, CONNECTIONS),
            "paced": paced(field, contestant, family, plan),
            "new": field.wrk(servers, plan.new, CONNECTIONS, close=True),
        }
        if isinstance(contestant, Weir):
            found["paced"]["own_us"] += program_us(field, contestant, family, plan)
        if contestant.forwards_udp:
            with contestant.flooded(field):
                found["flood"] = {flows: field.flood(family, flows, plan.flood)
                                  for flows in plan.flows}
        return found


def rounds(field, family, plan):
    """{contestant's name: [sample of each round]}, and what conntrack had no room for. Every other
    round goes backwards."""
    taking_part = [Direct(), Weir(), Nftables(), Haproxy()]
    if Flowtable().is_possible(field):
        taking_part.insert(3, Flowtable())
    if plan.routed:
        taking_part.insert(1, Routed())
    found = {contestant.name: [] for contestant in taking_part}
    for number in range(plan.rounds):
        for contestant in taking_part[::-1] if number % 2 else taking_part:
            found[contestant.name].append(sample(field, contestant, family, plan))
    lost = sum(contestant.lost for contestant in taking_part if isinstance(contestant, Nftables))
    return found, lost


# ---- what comes of it ----


def http(samples, part):
    results = [one[part] for one in samples]
    return {
        "per_s": spread(result["requests"] / result["seconds"] for result in results),
        "p50_us": spread(result["p50_us"] for result in results),
        "p99_us": spread(result["p99_us"] for result in results),
        "errors": sum(result["errors"] for result in results),
    }


def cpu(samples, direct):
    """Microseconds of CPU a request: of the whole machine, what of that is not there without the
    balancer, and what the balancer's own process or program took."""
    machine = [one["paced"]["machine_us"] for one in samples]
    base = [one["paced"]["machine_us"] for one in direct]
    return {
        "machine_us": spread(machine),
        "above_direct_us": spread(mine - least for mine, least in zip(machine, base)),
        "own_us": spread(one["paced"]["own_us"] for one in samples),
    }


def flood(samples, direct, flows):
    def rate(one):
        result = one["flood"][flows]
        return sum(result["arrived"].values()) / result["seconds"]

    def lost(one):
        result = one["flood"][flows]
        return 1 - sum(result["arrived"].values()) / result["sent"]
    return {
        "flows": flows,
        "per_s": spread(map(rate, samples)),
        "above_direct_ns": spread(1e9 / rate(mine) - 1e9 / rate(least)
                                  for mine, least in zip(samples, direct)),
        "lost": spread(map(lost, samples)),
        "astray": sum(one["flood"][flows]["astray"] for one in samples),
        "backends": sorted({name for one in samples for name in one["flood"][flows]["arrived"]}),
    }


def row(name, samples, direct, plan):
    return {
        "name": name,
        "kept": http(samples, "kept"),
        "paced": http(samples, "paced"),
        "new": http(samples, "new"),
        "cpu": cpu(samples, direct),
        "flood": [flood(samples, direct, flows) for flows in plan.flows if "flood" in samples[0]],
    }


def find(rows, name):
    return next(row for row in rows if row["name"] == name)


def targets(family, rows):
    weir, nftables = find(rows, Weir.name), find(rows, Nftables.name)
    haproxy = find(rows, Haproxy.name)
    found = [section.target(
        f"end to end, IPv{family}, balancer's CPU a request",
        weir["cpu"]["own_us"]["median"] / haproxy["cpu"]["own_us"]["median"], "x HAProxy",
        most=CPU_TARGET)]
    for mine, other in zip(weir["flood"], nftables["flood"]):
        found.append(section.target(
            f'end to end, IPv{family}, UDP flood, {mine["flows"]:,} flows',
            mine["per_s"]["median"] / other["per_s"]["median"], "x nftables", least=UDP_TARGET))
    return found


def version(command, place=-1):
    text = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return text.stdout.splitlines()[0].split()[place]


def versions():
    return {
        "haproxy": version(["haproxy", "-v"], 2),
        "nftables": version(["nft", "--version"], 1).lstrip("v"),
        "nginx": version(["nginx", "-v"]).rpartition("/")[2],
        "wrk": version(["wrk", "-v"], 1).rpartition("/")[2],
    }


def background(seconds=0.5):
    """CPUs that are busy while the bench does nothing: numbers are worth less if it is not none."""
    began, before = time.monotonic(), machine_cpu()
    time.sleep(seconds)
    return (machine_cpu() - before) / (time.monotonic() - began)


def check():
    if os.geteuid():
        raise section.Failure("network namespaces need root: sudo make bench")
    missing = [tool for tool in contestants.TOOLS if not shutil.which(tool)]
    if missing:
        raise section.Failure(f'{", ".join(missing)} missing: sudo scripts/install-deps.sh bench')


@contextlib.contextmanager
def ended_by_signals():
    """SIGTERM and SIGHUP end the bench as Ctrl-C does: by way of all that has to be taken down."""
    def end(number, frame):
        sys.exit(128 + number)
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def measure(build, thorough=False, plan=None):
    plan = plan or (THOROUGH if thorough else STANDARD)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    check()
    result = {"plan": dataclasses.asdict(plan), "versions": versions(),
              "background_cpus": background(), "families": [], "targets": []}
    try:
        with ended_by_signals(), Field(build) as field:
            for family in plan.families:
                found, lost = rounds(field, family, plan)
                rows = [row(name, samples, found[Direct.name], plan)
                        for name, samples in found.items()]
                result["families"].append({"family": family, "contestants": rows,
                                           "conntrack_lost": lost})
                result["targets"] += targets(family, rows)
    except (AssertionError, subprocess.SubprocessError) as failure:
        raise section.Failure(f"the lab failed: {failure}") from failure
    return result


# ---- for people ----


LEGEND = f"""medians, least-most of the rounds
kept: {CONNECTIONS} connections, one request after the other on each; new: one for each request;
paced: {PACED_CONNECTIONS} connections that pause {PAUSE_MS} ms in the mean between requests
machine: CPU that the bench took when paced; above direct: what of that is there because of the
balancer, its packets and softirqs included; own: its process, of weir daemon and XDP program
UDP flood: one core makes small frames, forwards and counts them; ns above direct: the forwarding"""


def cell(values, factor=1.0, digits=1):
    """Median and spread."""
    median, least, most = (values[key] * factor for key in ("median", "least", "most"))
    return [f"{median:,.{digits}f}", f"{least:,.{digits}f}-{most:,.{digits}f}"]


def http_lines(rows):
    lines = [["", "kept", "", "p50", "p99", "new", "", "paced", "p50", "p99"],
             ["", "req/s", "spread", "ms", "ms", "req/s", "spread", "req/s", "ms", "ms"]]
    for row in rows:
        line = [row["name"]]
        for part in ("kept", "new", "paced"):
            values = row[part]
            line += cell(values["per_s"], digits=0)[:1 if part == "paced" else 2]
            if part != "new":
                line += [f'{values[key]["median"] / 1000:.2f}' for key in ("p50_us", "p99_us")]
        lines.append(line)
    return section.columns(lines)


def cpu_cells(row, key, haproxy):
    if not row["cpu"][key]["most"]:
        return ["-", "", ""]
    ratio = row["cpu"][key]["median"] / haproxy["cpu"][key]["median"]
    return [*cell(row["cpu"][key]), f"{ratio:.2f}"]


def cpu_lines(rows):
    haproxy = find(rows, Haproxy.name)
    lines = [["us of CPU a request", "machine", "spread", "above direct", "spread", "x HAProxy",
              "own", "spread", "x HAProxy"]]
    for row in rows:
        line = [row["name"], *cell(row["cpu"]["machine_us"])]
        if row["name"] != Direct.name:
            line += cpu_cells(row, "above_direct_us", haproxy) + cpu_cells(row, "own_us", haproxy)
        lines.append(line + [""] * (len(lines[0]) - len(line)))
    return section.columns(lines)


def flood_lines(rows):
    nftables = find(rows, Nftables.name)
    lines = [["UDP flood", "flows", "M packets/s", "spread", "x nftables", "ns above direct",
              "lost"]]
    for row in rows:
        for mine, other in zip(row["flood"], nftables["flood"]):
            lines.append([
                row["name"], f'{mine["flows"]:,}', *cell(mine["per_s"], 1e-6, 2),
                f'{mine["per_s"]["median"] / other["per_s"]["median"]:.2f}',
                f'{mine["above_direct_ns"]["median"]:,.0f}' if row["name"] != Direct.name else "",
                f'{mine["lost"]["median"]:.1%}'])
    return section.columns(lines)


def notes(family):
    errors = {row["name"]: sum(row[part]["errors"] for part in ("kept", "paced", "new"))
              for row in family["contestants"]}
    text = [f"NOTE: {count} requests failed with {name}."
            for name, count in errors.items() if count]
    if family["conntrack_lost"]:
        text.append(f'NOTE: conntrack had no room for {family["conntrack_lost"]} connections.')
    return text


def table(result):
    tools = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    text = [f'{result["plan"]["rounds"]} interleaved rounds, {contestants.BACKENDS} backends; '
            f'{tools}']
    if result["background_cpus"] > 0.1:
        text.append(f'NOTE: the machine was not idle before: {result["background_cpus"]:.1f} CPUs '
                    "were busy.")
    text += LEGEND.splitlines()
    for family in result["families"]:
        rows = family["contestants"]
        text += ["", f'IPv{family["family"]}', "", http_lines(rows), "", cpu_lines(rows), "",
                 flood_lines(rows), *notes(family)]
    return "\n".join(text)


# ---- plots ----


def bars(rows, *values, factor=1.0):
    """Rows of a data block: a name, then median, least and most of each value."""
    return [[name] + [part * factor for value in values
                      for part in (value(row)["median"], value(row)["least"], value(row)["most"])]
            for name, row in rows]


def histogram(ylabel, data, columns):
    """A script for gnuplot: groups of bars with their spread, one for each (title, colour)."""
    parts = [f"$data using {2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i}:xtic(1) title '{title}' "
             f"linecolor rgb '{COLOURS[colour]}'" for i, (title, colour) in enumerate(columns)]
    return "\n".join([
        block("data", data), "set style data histogram",
        "set style histogram errorbars gap 1.5", "set yrange [0:*]",
        f"set errorbars front linecolor rgb '{INK}' linewidth 1.5",
        f"set ylabel '{ylabel}'", "plot " + ", ".join(parts)])


def plots(result, directory):
    family = result["families"][0]
    rows = [(row["name"], row) for row in family["contestants"]]
    version = f'IPv{family["family"]}'
    svg(directory / "end-to-end-requests.svg", histogram(
        f"thousands a second, {version}",
        bars(rows, lambda row: row["kept"]["per_s"], lambda row: row["new"]["per_s"], factor=1e-3),
        [("requests, connections kept", "blue"), ("requests, each on a new connection", "orange")]))
    balancers = [(name, row) for name, row in rows if name != Direct.name]
    svg(directory / "end-to-end-cpu.svg", histogram(
        f"microseconds of CPU a request, {version}",
        bars(balancers, lambda row: row["cpu"]["above_direct_us"],
             lambda row: row["cpu"]["own_us"]),
        [("whole machine, above direct", "blue"), ("own process or program", "orange")]))
    flooded = [(name, row) for name, row in rows if row["flood"]]
    counts = result["plan"]["flows"]
    svg(directory / "end-to-end-udp.svg", histogram(
        f"million UDP packets a second and core, {version}",
        bars(flooded, *(lambda row, i=i: row["flood"][i]["per_s"] for i in range(len(counts))),
             factor=1e-6),
        [(f"{flows:,} flows", colour) for flows, colour in zip(counts, ("blue", "orange"))]))


if __name__ == "__main__":
    section.run_alone(measure, table)
