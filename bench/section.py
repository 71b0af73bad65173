# SPDX-License-Identifier: GPL-2.0-only
"""What all sections of the bench share.

A section is a module of this directory with two functions:

measure(build: pathlib.Path, thorough: bool) -> dict
    Measures with the programs of that build. What it returns goes into the JSON document as it is.
    Under "targets" stands a list of what target() makes, one for each promise of the section.
table(result: dict) -> str
    The same for people.
plots(result: dict, directory: pathlib.Path)
    May be left out: draws SVG files there (plots.py), named after the section.
texts(result: dict) -> dict
    May be left out: parts of the table in Markdown, by name, for <!-- bench:SECTION-NAME --> in
    README.md and doc/performance.md; table() itself goes to <!-- bench:SECTION -->.

A section that cannot measure (a tool is missing, not root) raises Failure with what to do about it.
"""

import argparse
import json
import pathlib
import sys


class Failure(Exception):
    """Nothing was measured; the text says why and how to mend it."""


def target(what, measured, unit, most=None, least=None):
    """A promise: the measured value is at most, or at least, that."""
    if (most is None) == (least is None):
        raise ValueError(f"{what}: a target is either most or least")
    met = measured <= most if least is None else measured >= least
    return {"what": what, "measured": measured, "unit": unit, "most": most, "least": least,
            "met": met}


def target_texts(target):
    """What was measured and what was wanted, for people."""
    unit = target["unit"]
    wanted = f'<= {target["most"]:.3g}' if target["least"] is None else f'>= {target["least"]:.3g}'
    return f'{target["measured"]:.3g} {unit}', f"{wanted} {unit}"


def target_rows(results):
    """Cells: all targets of sections, and whether they are met."""
    rows = [["target", "measured", "wanted", ""]]
    for result in results:
        for one in result.get("targets", []):
            rows.append([one["what"], *target_texts(one), "met" if one["met"] else "missed"])
    return rows


def markdown(rows, left=1):
    """A table in Markdown of rows of cells, the first row being the heading."""
    heading, *lines = [[str(cell) for cell in row] for row in rows]
    marks = ["---" if i < left else "--:" for i in range(len(heading))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heading, marks, *lines])


def columns(rows, left=1):
    """Aligned text of rows of cells, the first @left columns to the left, others to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = (cell.ljust(width) if i < left else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(row, widths)))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def options(description):
    """The options of bench/run and of each section that runs alone."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=pathlib.Path("build"),
                        metavar="BUILD", help="build directory (build)")
    parser.add_argument("--full", action="store_true", help="take more rounds and more time")
    return parser


def run_alone(measure, table, parser=None):
    """The main function of a section: BUILD [--full] [--json], and what @parser has besides."""
    parser = parser or options("One section of make bench alone.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = vars(parser.parse_args())
    build, full, as_json = (arguments.pop(name) for name in ("build", "full", "json"))
    try:
        result = measure(build.resolve(), full, **arguments)
    except Failure as failure:
        sys.exit(str(failure))
    print(json.dumps(result, indent=1) if as_json else table(result))
