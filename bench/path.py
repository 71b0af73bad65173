#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Section "path" of the bench: what a packet costs in weir's XDP programs, times *bare*.

The program build/bench/bench measures and prints raw numbers, one for each fresh load of all
tables; here they become medians, ratios and targets.
"""

import json
import statistics
import subprocess

import path_plots
import section
import where

# Times bare with as many flows: path -> at most.
ESTABLISHED = {"nat, to backend": 1.4, "nat, to client": 1.4, "dsr": 1.4, "ipip": 1.8,
               "not ours, passed": 2}
MILLION = {"nat, to backend": 1.5, "nat, to client": 1.5, "dsr": 1.5, "ipip": 1.8,
           "not ours, passed": 2}
NEW = {"new nat flow": 10, "new nat flow, flood": 16}
# Times the same path in IPv4.
IPV6 = 1.3


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def net(row):
    """Nanoseconds per packet without the wrapper that made the frame, one number for each load."""
    return [raw - wrapper for raw, wrapper in zip(row["raw_ns"], row["wrapper_ns"])]


def find(rows, path, family, flows):
    for row in rows:
        if (row["path"], row["family"], row["flows"]) == (path, family, flows):
            return row
    return None


def add_ratios(rows):
    bare = {(row["plan"], row["flows"]): spread(net(row))["median"]
            for row in rows if row["path"] == "bare"}
    for row in rows:
        row["ns"] = spread(net(row))
        row["loads"] = len(row["raw_ns"])
        row["bare_ns"] = bare[row["plan"], row["flows"]]
        row["ratio"] = row["ns"]["median"] / row["bare_ns"]
    for row in rows:
        if row["family"] == 6:
            ipv4 = find(rows, row["path"], 4, row["flows"])
            row["ratio_to_ipv4"] = row["ns"]["median"] / ipv4["ns"]["median"]


def limit(row):
    """What is promised of a row, times bare; IPv6 is compared with IPv4."""
    if row["family"] == 6 or row["flows"] == 1000:
        return None
    if row["flows"] >= 1000000:
        return MILLION.get(row["path"])
    return {**ESTABLISHED, **NEW}.get(row["path"])


def name(row):
    family = ", IPv6" if row["family"] == 6 else ""
    return f'{row["path"]}{family}, {row["flows"]:,} flow{"s" if row["flows"] > 1 else ""}'


def targets(rows):
    found = [section.target(name(row), row["ratio"], "x bare", most=limit(row))
             for row in rows if limit(row)]
    for path in ESTABLISHED:
        worst = max((row for row in rows if row["family"] == 6 and row["path"] == path and
                     row["flows"] < 1000000), key=lambda row: row["ratio_to_ipv4"])
        found.append(section.target(f"{name(worst)} (the worst)", worst["ratio_to_ipv4"],
                                    "x IPv4", most=IPV6))
    return found


def measure(build, thorough, quick=False):
    """@quick: not more than 50,000 flows and few loads, for who tries things out."""
    command = [build / "bench" / "bench"]
    command += ["--full"] if thorough else []
    command += ["--few", "--loads", "3"] if quick else []
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode:
        raise section.Failure(done.stderr.strip())
    return digest(json.loads(done.stdout))


def digest(result):
    """What the program has measured, with medians, ratios and targets."""
    add_ratios(result["rows"])
    result["targets"] = targets(result["rows"])
    result["where"] = [where.analyse(row) for row in result["rows"] if row.get("profile")]
    for row in result["rows"]:
        row.pop("profile", None)
        row.pop("wrapper_profile", None)
    for primitive in result["primitives"]:
        primitive["ns"] = statistics.median(primitive["ns"]) / primitive["times"]
    return result


def cell(row):
    if row is None:
        return ["", "", ""]
    ns = row["ns"]
    return [f'{ns["median"]:.1f}', f'{ns["least"]:.0f}-{ns["most"]:.0f}', f'{row["ratio"]:.2f}']


def yardstick(rows, family, flows):
    """The bare row that the rows of this family were compared with."""
    plans = {row["plan"] for row in rows if (row["family"], row["flows"]) == (family, flows)}
    return next(row for row in rows
                if row["path"] == "bare" and row["flows"] == flows and row["plan"] in plans)


def family_table(rows, family):
    """One line for each path, three columns for each number of flows."""
    counts = sorted({row["flows"] for row in rows})
    paths = dict.fromkeys(row["path"] for row in rows
                          if row["family"] == family or row["path"] == "bare")
    lines = [["flows:"], ["path"]]
    for count in counts:
        lines[0] += [f"{count:,}", "", ""]
        lines[1] += ["ns", "spread", "x bare"]
    for path in paths:
        line = [path]
        for count in counts:
            line += cell(yardstick(rows, family, count) if path == "bare" else
                         find(rows, path, family, count))
        lines.append(line)
    return section.columns(lines)


def loads_text(rows):
    loads = sorted({(row["flows"], row["loads"]) for row in rows})
    return "Loads: " + ", ".join(f"{n} with {flows:,}" for flows, n in loads) + " flows."


def table(result):
    rows = result["rows"]
    text = [
        "ns a packet: median of several fresh loads of all tables, interleaved, without the",
        "wrapper that makes the frames; spread: least and most; x bare: times parse + one LRU",
        "lookup + send, with as many flows. " + loads_text(rows),
        "",
    ]
    for family in (4, 6):
        size = next(row["frame_bytes"] for row in rows if row["family"] == family)
        text += [f"IPv{family}, frames of {size} bytes", family_table(rows, family), ""]
    sizes = [("program", "verified instructions", "machine code")]
    for name, program in result["programs"].items():
        sizes.append((name, f'{program["verified_instructions"]:,}',
                      f'{program["jited_bytes"]:,} B'))
    return "\n\n".join(["\n".join(text) + "\n" + section.columns(sizes), where.table(result)])


def best_worst(row):
    ns = row["ns"]
    return f'{ns["median"]:.1f} ({ns["least"]:.0f}-{ns["most"]:.0f})'


def markdown_table(rows, family):
    """One line for each path: ns (least-most) and the ratio for each number of flows."""
    counts = sorted({row["flows"] for row in rows})
    lines = [[f"IPv{family}", *(f"{count:,} flow{'s' if count > 1 else ''}" for count in counts)]]
    for path in dict.fromkeys(row["path"] for row in rows
                              if row["family"] == family or row["path"] == "bare"):
        line = [path]
        for count in counts:
            row = (yardstick(rows, family, count) if path == "bare" else
                   find(rows, path, family, count))
            line.append(f'{best_worst(row)} **{row["ratio"]:.2f}**' if row else "")
        lines.append(line)
    return section.markdown(lines)


def texts(result):
    rows = result["rows"]
    sizes = [["program", "verified instructions", "machine code"]]
    for name, program in result["programs"].items():
        sizes.append([name, f'{program["verified_instructions"]:,}',
                      f'{program["jited_bytes"]:,} B'])
    return {
        "ipv4": markdown_table(rows, 4),
        "ipv6": markdown_table(rows, 6),
        "loads": loads_text(rows),
        "programs": section.markdown(sizes),
        "groups": section.markdown(where.group_rows(result["where"])),
        "top": section.markdown(where.top_rows(result["where"]), left=3),
        "primitives": section.markdown(where.primitive_rows(result["primitives"])),
        "short": section.markdown(short_rows(rows)),
    }


def short_rows(rows):
    """Times bare, for the first look: one line for each path."""
    counts = sorted({row["flows"] for row in rows})
    lines = [["times *bare*, IPv4", *(f"{count:,} flow{'s' if count > 1 else ''}"
                                      for count in counts), "target"]]
    for path, limit in {**ESTABLISHED, **NEW}.items():
        cells = [find(rows, path, 4, count) for count in counts]
        lines.append([path, *(f'{row["ratio"]:.2f}' if row else "" for row in cells), limit])
    return lines


def plots(result, directory):
    path_plots.draw(result, directory, ESTABLISHED, NEW)


def parse():
    parser = section.options("Cost of a packet.")
    parser.add_argument("--quick", action="store_true",
                        help="three loads, no more than 50,000 flows")
    return parser


if __name__ == "__main__":
    section.run_alone(measure, table, parse())
