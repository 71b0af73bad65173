# SPDX-License-Identifier: GPL-2.0-only
"""Where the nanoseconds of a packet go, from samples of the processor's place (bench/profile.c).

Samples of the wrapper and of the loop around it are left out; the rest is scaled to what the packet
costs. A stall shows at the instruction that waits, which may be behind the one that is to blame.
"""

import bisect
import functools
import pathlib
import re

import section

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = ("bpf", "abi", "bench")

# By the file that a line is in; whatever has no group stands for itself under "other".
GROUPS = {
    "parse": ("packet.h", "ip6.h"),
    "find the flow": ("hash.h", "index.h", "session.h"),
    "state of the flow": ("flow.h", "tcp.h", "known.h"),
    "rewrite": ("nat.h", "checksum.h", "address.h", "direct.h", "reply.h"),
    "count": ("stats.h",),
    "table access": ("maps.h",),
    "helpers of the kernel": ("kernel",),
    "enter and leave": ("weir.bpf.c", "slow.h", "yardstick.bpf.c"),
}

# What runs around the program: the test loop, and what the clock's interrupts let happen.
AROUND = re.compile(r"bpf_test_|bpf_prog_test|__local_bh|finish_task|sched|ktime|read_tsc|rcu|irq|"
                    r"timer|perf_|tick|mutex|preempt|dispatcher")


@functools.cache
def kernel_symbols():
    found = []
    for line in pathlib.Path("/proc/kallsyms").read_text(encoding="ascii").splitlines():
        address, _, name = line.split()[:3]
        found.append((int(address, 16), name))
    return sorted(found)


def kernel_symbol(address):
    symbols = kernel_symbols()
    return symbols[bisect.bisect_right(symbols, (address, "\x7f")) - 1][1]


@functools.cache
def source(name):
    for directory in SOURCES:
        path = ROOT / directory / name
        if path.exists():
            return path.read_text(encoding="utf-8").splitlines()
    return []


def function_of(name, line):
    """The function that a line of a source file is in."""
    for text in reversed(source(name)[:line]):
        found = re.match(r"[a-z_].*?\b(\w+)\(", text)
        if found:
            return found.group(1)
    return ""


def places(profile):
    """Samples by (file, function), without what runs around the program; and the sum of all."""
    found, total = {}, 0
    for *place, samples in profile:
        total += samples
        if len(place) == 1:
            name = kernel_symbol(int(place[0], 16))
            key = None if AROUND.search(name) else ("kernel", name)
        else:
            program, name, line = place
            key = None if program == "wrapper" else (name, function_of(name, line))
        if key:
            found[key] = found.get(key, 0) + samples
    return found, total


def analyse(row):
    """A row with its profiles -> nanoseconds by place, adding up to what the packet costs."""
    mine, total = places(row["profile"])
    wrapper, wrapper_total = places(row["wrapper_profile"])
    ratio = total / max(wrapper_total, 1) * row["wrapper_ns"][-1] / row["raw_ns"][-1]
    net = {key: samples - wrapper.get(key, 0) * ratio for key, samples in mine.items()}
    net = {key: samples for key, samples in net.items() if samples > 0}
    scale = row["ns"]["median"] / max(sum(net.values()), 1)
    parts = [{"file": name, "function": function, "ns": samples * scale}
             for (name, function), samples in net.items()]
    parts.sort(key=lambda part: -part["ns"])
    return {"path": row["path"], "flows": row["flows"], "ns": row["ns"]["median"],
            "samples": round(sum(net.values())), "parts": parts}


def groups(where):
    """Nanoseconds of each group; the sum is the cost of the packet."""
    found = dict.fromkeys([*GROUPS, "other"], 0.0)
    for part in where["parts"]:
        group = next((name for name, files in GROUPS.items() if part["file"] in files), "other")
        found[group] += part["ns"]
    return found


def title(where):
    return f'{where["path"]}, {where["flows"]:,} flow{"s" if where["flows"] > 1 else ""}'


def group_rows(wheres):
    """Cells: one line for each group that is worth one, one column for each path."""
    lines = [["ns in", *(title(where) for where in wheres)]]
    for name in [*GROUPS, "other"]:
        cells = [groups(where)[name] for where in wheres]
        if max(cells) >= 0.5:
            lines.append([name, *(f"{cell:.1f}" for cell in cells)])
    lines.append(["sum", *(f'{where["ns"]:.1f}' for where in wheres)])
    return lines


def top_rows(wheres, most=4):
    """Cells: the functions that cost most."""
    lines = [["path", "function", "file", "ns", "share"]]
    for where in wheres:
        for part in where["parts"][:most]:
            lines.append([title(where), part["function"], part["file"], f'{part["ns"]:.1f}',
                          f'{part["ns"] / where["ns"]:.0%}'])
    return lines


def primitive_rows(primitives):
    lines = [["what programs are made of", "ns"]]
    for primitive in primitives:
        lines.append([primitive["name"], f'{max(primitive["ns"], 0):.1f}'])
    return lines


def table(result):
    return "\n\n".join([
        "Where it goes (samples of the processor's place, every 0.1 ms)",
        section.columns(group_rows(result["where"])),
        section.columns(top_rows(result["where"]), left=3),
        section.columns(primitive_rows(result["primitives"]))])
