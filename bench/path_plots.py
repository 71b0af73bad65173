# SPDX-License-Identifier: GPL-2.0-only
"""Plots of section "path": cost by number of flows, ratios and targets, where the time goes."""

import plots
import where

# path: what it is called in a plot, colour, dash type
LINES = {
    "bare": ("bare", plots.COLOURS["grey"], 2),
    "nat, to backend": ("nat, to backend", plots.COLOURS["blue"], 1),
    "nat, to client": ("nat, to client", plots.COLOURS["sky"], 1),
    "dsr": ("dsr", plots.COLOURS["green"], 1),
    "ipip": ("ipip", plots.COLOURS["orange"], 1),
    "not ours, passed": ("not ours, passed", plots.COLOURS["purple"], 1),
    "new nat flow": ("new nat flow", plots.COLOURS["red"], 1),
    "new nat flow, flood": ("new, under flood", plots.COLOURS["red"], 3),
}

SHADES = ("#a9d3ee", "#5ba8d8", "#2a7fb8", "#1f5f93")
GROUP_COLOURS = ("sky", "blue", "green", "orange", "purple", "yellow", "red", "brown", "grey")


def short(flows):
    return "1 million" if flows == 1000000 else f"{flows:,}"


def panel(rows, family, counts):
    """Data blocks and plot command of one family: a band from least to most, the median in it."""
    blocks, bands, lines = [], [], []
    for number, (path, (name, colour, dash)) in enumerate(LINES.items()):
        mine = [row for row in rows if row["path"] == path and row["family"] in (family, 4)
                and (row["family"] == family or path == "bare")]
        if path == "bare":
            plans = {row["plan"] for row in rows if row["family"] == family}
            mine = [row for row in mine if row["plan"] in plans]
        cells = {row["flows"]: row["ns"] for row in mine}
        data = f"d{family}_{number}"
        blocks.append(plots.block(data, [
            (counts.index(flows), ns["least"], ns["median"], ns["most"])
            for flows, ns in sorted(cells.items())]))
        bands.append(f"${data} using 1:2:4 with filledcurves lc rgb '{colour}' fs transparent "
                     f"solid 0.25 noborder notitle")
        lines.append(f"${data} using 1:3 with linespoints lc rgb '{colour}' lw 2.2 dt {dash} pt 7 "
                     f"ps 0.6 title '{name}'")
    return "".join(blocks), "plot " + ", \\\n  ".join(bands + lines)


def cost(rows):
    counts = sorted({row["flows"] for row in rows})
    tics = ", ".join(f"'{short(flows)}' {place}" for place, flows in enumerate(counts))
    blocks4, plot4 = panel(rows, 4, counts)
    blocks6, plot6 = panel(rows, 6, counts)
    return f"""{blocks4}{blocks6}
set logscale y
set yrange [20:2500]
set ytics (20, 50, 100, 200, 500, 1000, 2000)
set xrange [-0.2:{len(counts) - 0.8}]
set xtics ({tics}) font ',12'
set xlabel 'flows in the table'
set multiplot
set tmargin at screen 0.9
set bmargin at screen 0.16
set lmargin at screen 0.075
set rmargin at screen 0.41
set ylabel 'ns per packet' offset 0.5,0
set label 1 'IPv4, frames of 64 bytes' at graph 0.03,1.05 left textcolor rgb '{plots.INK}'
set key at screen 0.795,0.86 left top vertical maxcols 1 spacing 1.25
{plot4}
unset key
unset ylabel
set label 1 'IPv6, frames of 84 bytes'
set lmargin at screen 0.455
set rmargin at screen 0.79
{plot6}
unset multiplot
"""


def ratio_bars(paths, rows, counts, limit, width):
    """Bars of each path, one for each number of flows, and above them the target as a line."""
    blocks, commands = [], []
    present = [flows for flows in counts if any(row["path"] in paths and row["flows"] == flows
                                                for row in rows)]
    for flows in present:
        cells, number = [], counts.index(flows)
        for place, path in enumerate(paths):
            for row in rows:
                if (row["path"], row["family"], row["flows"]) == (path, 4, flows):
                    bare = row["bare_ns"]
                    at = place + (present.index(flows) - (len(present) - 1) / 2) * width
                    cells.append((f"{at:.3f}", row["ratio"], row["ns"]["least"] / bare,
                                  row["ns"]["most"] / bare, width * 0.92))
        data = f"r{limit['name']}{number}"
        blocks.append(plots.block(data, cells))
        commands.append(f"${data} using 1:2:5 with boxes lc rgb '{SHADES[number]}' title "
                        f"'{short(flows)} flow{'s' if flows > 1 else ''}'")
        commands.append(f"${data} using 1:3:(0):($4-$3) with vectors nohead lc rgb "
                        f"'{plots.COLOURS['grey']}' lw 1.5 notitle")
    targets = [(f"{place - 0.45:.2f}", limit["of"][path], 0.9, 0)
               for place, path in enumerate(paths)]
    data = f"t{limit['name']}"
    blocks.append(plots.block(data, targets))
    commands.append(f"${data} using 1:2:3:4 with vectors nohead lc rgb '{plots.COLOURS['red']}' "
                    f"lw 3 title 'target'")
    return "".join(blocks), "plot " + ", \\\n  ".join(commands)


def ratios(rows, established, new):
    counts = sorted({row["flows"] for row in rows})
    known = [path for path in LINES if path in established]
    fresh = [path for path in LINES if path in new]
    top = max(row["ns"]["most"] / row["bare_ns"] for row in rows
              if row["path"] in established and row["family"] == 4)
    blocks, plot = ratio_bars(known, rows, counts, {"name": "k", "of": established}, 0.2)
    blocks_new, plot_new = ratio_bars(fresh, rows, counts, {"name": "n", "of": new}, 0.2)
    tics, tics_new = (", ".join(f'"{LINES[path][0]}" {place}'.replace(", ", "\\n")
                                for place, path in enumerate(paths)) for paths in (known, fresh))
    return f"""{blocks}{blocks_new}
set multiplot
set tmargin at screen 0.84
set bmargin at screen 0.15
set lmargin at screen 0.07
set rmargin at screen 0.66
set xtics ({tics}) scale 0 font ',12'
set xrange [-0.55:{len(known) - 0.45}]
set yrange [0:{max(2.2, top * 1.05):.2f}]
set ylabel 'times bare, IPv4' offset 1.5,0
set key at screen 0.06,0.985 left top horizontal maxrows 2 width -4 font ',12'
{plot}
unset key
unset ylabel
set lmargin at screen 0.73
set rmargin at screen 0.985
set xtics ({tics_new})
set xrange [-0.55:{len(fresh) - 0.45}]
set yrange [0:17.5]
{plot_new}
unset multiplot
"""


def stack(wheres, name, names):
    """Data block and plot command: one bar for each path, its groups beside each other."""
    rows = []
    for place, found in enumerate(wheres):
        cells, at = where.groups(found), 0.0
        for number, group in enumerate(names):
            rows.append((at, at + cells[group], place, number))
            at += cells[group]
    commands = []
    for number, group in enumerate(names):
        colour = plots.COLOURS[GROUP_COLOURS[number]]
        commands.append(f"${name} using ($4=={number} ? ($1+$2)/2 : NaN):3:1:2:($3-0.33):($3+0.33) "
                        f"with boxxyerror lc rgb '{colour}' title '{group}'")
    return plots.block(name, rows), "plot " + ", \\\n  ".join(commands)


def where_plot(wheres):
    few = min(found["flows"] for found in wheres)
    many = max(found["flows"] for found in wheres)
    names = [name for name in [*where.GROUPS, "other"]
             if max(where.groups(found)[name] for found in wheres) >= 1]
    text = [f"set style fill solid 0.9 noborder\nset multiplot\nset grid noytics xtics linecolor "
            f"rgb '{plots.FAINT}' linewidth 0.6 linetype 1 dashtype 1\n"
            "set tmargin at screen 0.95\nset bmargin at screen 0.2\n"]
    for side, flows, left, right in (("few", few, 0.135, 0.43), ("many", many, 0.475, 0.77)):
        mine = [found for found in wheres if found["flows"] == flows][::-1]
        data, plot = stack(mine, side, names)
        tics = ", ".join(f"\"{found['path'] if side == 'few' else ''}\" {place}"
                         for place, found in enumerate(mine))
        key = "set key at screen 0.785,0.95 left top vertical maxcols 1 spacing 1.2"
        text.append(f"""{data}
set lmargin at screen {left}
set rmargin at screen {right}
set yrange [-0.6:{len(mine) - 0.4}]
set xrange [0:*]
set ytics ({tics}) scale 0
set xlabel 'ns per packet, {flows:,} flow{"s" if flows > 1 else ""}'
{key if side == "few" else "unset key"}
{plot}
""")
    return "".join(text) + "unset multiplot\n"


def draw(result, directory, established, new):
    rows = result["rows"]
    plots.svg(directory / "path-cost.svg", cost(rows), width=980)
    plots.svg(directory / "path-ratio.svg", ratios(rows, established, new), width=980)
    plots.svg(directory / "path-where.svg", where_plot(result["where"]), width=980, height=330)
