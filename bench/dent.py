# SPDX-License-Identifier: GPL-2.0-only
"""A million connections through weir: the walk over them, and what traffic notices of changes."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

import plots
import section

BPF = 321  # the system call's number on x86_64
BPF_ENABLE_STATS = 32
PIECE = 16384  # records that the sweep walks over in one go
LONGEST_S = 300  # of traffic; it is ended earlier
AFTER_S = 0.1  # what happened may be felt for that long
PAUSE = "no daemon"
NOISE = 3  # what is less than that many standard deviations is no dent


def binary():
    from network import weir_binary
    return weir_binary()


def weir(lab, *arguments):
    return [binary(), "--socket", lab.control_socket, *arguments]


# ---- flows ----

def wire(lab, sizes, *mode):
    """The command line of the other end of the cable."""
    from network import BUILD, LB, GATEWAY
    return [BUILD / "bench" / "wire", "port-lb", lab.mac("lb"), lab.mac("gateway", "eth1"),
            sizes.listen(0).split(":")[0], sizes.services, "192.168.179.0", sizes.flows, *mode]


def open_flows(lab, sizes):
    began = time.monotonic()
    output = lab.exec("lan", *wire(lab, sizes, "open"), timeout=120).stdout
    took = time.monotonic() - began
    opened = json.loads(output)["opened"]
    if opened != sizes.flows:
        raise section.Failure(f"only {opened} of {sizes.flows} connections could be opened")
    return took


@contextlib.contextmanager
def program_statistics():
    """The kernel counts the time of BPF programs for as long as this is open."""
    kind = ctypes.c_uint32(0)
    fd = ctypes.CDLL(None, use_errno=True).syscall(BPF, BPF_ENABLE_STATS, ctypes.byref(kind), 4)
    if fd < 0:
        raise section.Failure(f"cannot count the time of programs: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        os.close(fd)


def program_file(pid, name):
    """Where the kernel tells about a program of that process."""
    shown = subprocess.run(["/usr/sbin/bpftool", "-j", "prog", "show"], text=True,
                           capture_output=True, check=True).stdout
    ids = {program["id"] for program in json.loads(shown) if program.get("name") == name}
    for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
        found = re.search(r"^prog_id:\s*(\d+)", path.read_text(), re.MULTILINE)
        if found and int(found[1]) in ids:
            return path
    raise section.Failure(f"the daemon has no program {name}")


def program_time(path):
    """Seconds and runs since statistics are counted."""
    text = path.read_text()
    time_ns, runs = (int(re.search(rf"^{key}:\s*(\d+)", text, re.MULTILINE)[1])
                     for key in ("run_time_ns", "run_cnt"))
    return time_ns / 1e9, runs


def process_time(pid):
    """CPU seconds that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def sweep(pid, places, seconds):
    """CPU time of one walk over all records, of its largest piece, and of the whole idle daemon.

    Each piece is the median of several walks: in one of them the machine may have done something else.
    """
    path = program_file(pid, "weir_sweep")
    pieces = sum(-(-count // PIECE) for count in places)
    times = [[] for _ in range(pieces)]
    with program_statistics():
        before = program_time(path)
        used, began = process_time(pid), time.monotonic()
        while time.monotonic() < began + seconds:
            time.sleep(0.002)
            now = program_time(path)
            if now[1] == before[1] + 1:
                times[before[1] % pieces].append(now[0] - before[0])
            before = now
        used = (process_time(pid) - used) / (time.monotonic() - began)
    medians = [statistics.median(some) for some in times if some]
    if not medians:
        raise section.Failure("the sweep does not run")
    return {"sweep_s": statistics.mean(medians) * pieces, "sweep_piece_s": max(medians),
            "sweep_pieces": pieces, "idle_cpu": used}


def timed(command):
    """How long a command takes whose output nobody looks at."""
    began = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def flows(lab, daemon, sizes):
    """Opens all connections, and takes what they cost while they are idle."""
    took = open_flows(lab, sizes)
    count = lab.weir("flow", "count")
    if count["established"] < sizes.flows:
        raise section.Failure(f"{count['established']} of {sizes.flows} connections are established")
    return {"flows": sizes.flows, "open_s": took,
            **sweep(daemon.process.pid, (count["limit"], count["limit_v6"]),
                    sizes.sweep_s),
            "count_s": statistics.median(timed(weir(lab, "flow", "count")) for _ in range(5)),
            "list_s": timed(weir(lab, "--json", "flow", "list")),
            "list_one_s": timed(weir(lab, "flow", "list", "--client", "198.18.0.1"))}


# ---- traffic, and what happens to it ----

PLACES = {"pinned": "traffic on one CPU, the daemon and its commands on the others",
          "free": "all of it wherever the kernel puts it"}


class Traffic:
    """Frames of all connections in turn, both ways, and what happened meanwhile."""

    def __init__(self, lab, sizes, cpu):
        self.path = lab.logs / "traffic"
        with open(self.path, "w") as output:
            self.process = lab.popen("lan", *map(str, wire(lab, sizes, "talk", LONGEST_S, cpu)),
                                     stdout=output)
        self.events = []
        from network import until
        until(lambda: self.path.read_text().count("\n") > 2, what="traffic")

    @contextlib.contextmanager
    def event(self, name):
        began = time.monotonic()
        yield
        self.events.append({"name": name, "from_s": began, "to_s": time.monotonic()})

    def end(self):
        """All samples: the time, frames a second that came out of weir, what the sender got of a CPU."""
        self.process.terminate()
        self.process.wait()
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        samples = []
        for before, row in zip(rows, rows[1:]):
            passed = {key: row[key] - before[key] for key in row}
            got = passed["at_backends"] + passed["at_clients"]
            samples.append((row["ns"] / 1e9, got * 1e9 / passed["ns"],
                            passed["cpu_ns"] / passed["ns"]))
        return samples


def threads(pid):
    return [int(path.name) for path in pathlib.Path(f"/proc/{pid}/task").iterdir()]


@contextlib.contextmanager
def stay_on(pid, cpus):
    """That process, and ours with all that it starts, use these CPUs alone."""
    everywhere = os.sched_getaffinity(0)

    def put(where):
        for thread in threads(pid) + [0]:
            os.sched_setaffinity(thread, where)

    put(cpus or everywhere)
    try:
        yield
    finally:
        put(everywhere)


def pause(daemon, traffic, seconds):
    """Nobody sweeps, nobody does anything: weir forwards on by itself."""
    with traffic.event(PAUSE):
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        daemon.process.send_signal(signal.SIGCONT)


def happen(lab, daemon, sizes, traffic):
    """Everything that may be felt, one after the other."""
    rest = sizes.rest_s
    time.sleep(rest)
    pause(daemon, traffic, rest)
    for number in range(sizes.events):
        lab.configure(sizes.configuration(sizes.limits(), changed=number))
        time.sleep(rest)
        with traffic.event("reload"):
            timed(weir(lab, "reload"))
        time.sleep(rest)
        with traffic.event("flow list"):
            timed(weir(lab, "--json", "flow", "list"))
        time.sleep(rest)
        for state in ("drain", "ready"):
            with traffic.event(f"backend set {state}"):
                timed(weir(lab, "backend", "set", "service-7", sizes.backend(7, 0), state))
            time.sleep(rest / 2)
    pause(daemon, traffic, rest)
    time.sleep(rest / 2)


def is_in(event, moment):
    return event["from_s"] <= moment <= event["to_s"] + AFTER_S


def share_of(samples):
    """What the sender got of a CPU."""
    return statistics.mean(share for _, _, share in samples)


def per_cpu(samples):
    """Frames for a second of the sender's CPU time: others on that CPU do not count."""
    return statistics.mean(rate for _, rate, _ in samples) / max(share_of(samples), 1e-9)


def judge(samples, events):
    """Each event against the time when nothing but the sweep went on."""
    quiet = [one for one in samples if not any(is_in(event, one[0]) for event in events)]
    rates = [rate for _, rate, _ in quiet]
    usual, spread = statistics.mean(rates), statistics.stdev(rates)
    if not usual:
        raise section.Failure("no traffic comes through")
    found = []
    for event in events:
        meanwhile = [one for one in samples if is_in(event, one[0])]
        during = [rate for _, rate, _ in meanwhile]
        mean = statistics.mean(during)
        found.append({**event, "samples": len(during), "mean_ratio": mean / usual,
                      "lowest_ratio": min(during) / usual,
                      "cpu_ratio": per_cpu(meanwhile) / per_cpu(quiet),
                      "dent": mean < usual - NOISE * spread / len(during) ** 0.5})
    return {"usual_pps": usual, "spread_ratio": spread / usual,
            "lowest_ratio": min(rates) / usual, "quiet_samples": len(quiet),
            "usual_pps_cpu": per_cpu(quiet), "cpu_share": share_of(quiet), "events": found}


def run(lab, daemon, sizes, pinned):
    cpus = sorted(os.sched_getaffinity(0))
    pinned = pinned and len(cpus) > 1
    with stay_on(daemon.process.pid, set(cpus[1:]) if pinned else None):
        traffic = Traffic(lab, sizes, cpus[0] if pinned else -1)
        try:
            happen(lab, daemon, sizes, traffic)
        finally:
            samples = traffic.end()
    start = samples[0][0]
    for event in traffic.events:
        event["from_s"] -= start
        event["to_s"] -= start
    samples = [(moment - start, *rates) for moment, *rates in samples]
    return {"pinned": pinned, **judge(samples, traffic.events), "samples": samples}


def dents(lab, daemon, sizes):
    """With weir's traffic on a CPU of its own, and without."""
    return {"flows": sizes.flows, "pinned": run(lab, daemon, sizes, True),
            "free": run(lab, daemon, sizes, False)}


def rows(result):
    lines = [(f'the sender got {100 * result["cpu_share"]:.0f} % of a CPU', "frames", "mean",
              "lowest", "per CPU time", ""),
             ("nothing but the sweep", f'{result["usual_pps"] / 1e6:.2f} Mpps', "100 %",
              f'{100 * result["lowest_ratio"]:.0f} %', "100 %",
              f'+- {100 * result["spread_ratio"]:.1f} %')]
    for event in result["events"]:
        lines.append((f'{event["name"]}, {event["to_s"] - event["from_s"]:.2f} s', "",
                      f'{100 * event["mean_ratio"]:.0f} %', f'{100 * event["lowest_ratio"]:.0f} %',
                      f'{100 * event["cpu_ratio"]:.0f} %',
                      "dent" if event["dent"] else "in the noise"))
    return lines


def table(result):
    return "\n\n".join(
        f'Traffic over {result["flows"]} connections, {text}\n'
        + section.columns(rows(result[key]))
        for key, text in PLACES.items())


def plot(result, text, path):
    """Frames a second over time, with what happened meanwhile."""
    top = max(rate for _, rate, _ in result["samples"]) / 1e6 * 1.6
    script = [plots.block("rate", [(f"{moment:.3f}", f"{rate / 1e6:.4f}")
                                   for moment, rate, _ in result["samples"]])]
    for number, event in enumerate(result["events"], 1):
        colour = plots.COLOURS["grey" if event["name"] == PAUSE else "orange"]
        script += [
            f"set object {number} rectangle from {event['from_s']:.3f},0 to "
            f"{max(event['to_s'], event['from_s'] + 0.05):.3f},{top:.3f} "
            f"fillcolor rgb '{colour}' fillstyle solid 0.3 noborder behind",
            f"set label {number} '{event['name']}' at {event['from_s']:.3f},{top:.3f} "
            f"rotate by -90 offset 0.7,-0.3 font ',11' textcolor rgb '{plots.INK}'",
        ]
    script += [f"set title '{text}'", "set xlabel 'seconds'",
               "set ylabel 'million frames a second'", f"set yrange [0:{top:.3f}]", "unset key",
               f"plot $rate using 1:2 with lines linewidth 1.5 linecolor rgb "
               f"'{plots.COLOURS['blue']}'"]
    plots.svg(path, "\n".join(script))
