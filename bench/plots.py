# SPDX-License-Identifier: GPL-2.0-only
"""What all plots share: one look, on a white page and on a dark one.

A script for gnuplot that sets no terminal, no output and no colours but those of COLOURS (as
"rgb '...'") is made into an SVG whose ink and paper follow the reader's choice of a light or a dark
screen.
"""

import pathlib
import re
import subprocess

import section

# Told apart by people who see colours otherwise, readable on both papers: much as Okabe and Ito's.
COLOURS = {
    "blue": "#0a7fc4",
    "orange": "#e08a00",
    "green": "#009e73",
    "red": "#d55e00",
    "purple": "#b86a98",
    "sky": "#56b4e9",
    "yellow": "#c8b400",
    "brown": "#8c6d46",
    "grey": "#808890",
}

FONTS = "Helvetica,Arial,sans-serif"

INK = "#24292f"
FAINT = "#c8ccd1"
PAPER = "#fefefe"
DARK = {INK: "#d6dbe0", FAINT: "#444b53", PAPER: "#14181d"}

PRELUDE = f"""
set terminal svg size {{width}},{{height}} enhanced font 'Helvetica,14' background rgb '{PAPER}'
set border 3 linecolor rgb '{INK}' linewidth 1
set tics nomirror out scale 0.6 textcolor rgb '{INK}'
set grid ytics linecolor rgb '{FAINT}' linewidth 0.6 linetype 1 dashtype 1
set key outside top left horizontal Left reverse samplen 2 textcolor rgb '{INK}'
set title textcolor rgb '{INK}' font ',17' offset 0,-0.2
set xlabel textcolor rgb '{INK}'
set ylabel textcolor rgb '{INK}'
set style fill solid 0.9 noborder
set errorbars small linecolor rgb '{COLOURS["grey"]}' linewidth 1.5
set boxwidth 0.8 relative
set encoding utf8
set datafile separator '\\t'
"""


def block(name, rows):
    """Rows of cells as a named data block of gnuplot, one row a line, cells between tabs."""
    lines = ("\t".join(str(cell) for cell in row) for row in rows)
    return "\n".join([f"${name} << END", *lines, "END", ""])


def forms(text, colour):
    """A colour in all the ways that gnuplot wrote it into @text."""
    red, green, blue = (int(colour[i:i + 2], 16) for i in (1, 3, 5))
    return sorted(set(re.findall(rf"rgb\(\s*{red},\s*{green},\s*{blue}\)|{colour}", text)))


def follow_screen(text):
    """Ink and paper get other colours on a dark screen, where the viewer knows style sheets."""
    rules = "".join(f'[{what}="{form}"]{{{what}:{dark}}}' for colour, dark in DARK.items()
                    for form in forms(text, colour) for what in ("stroke", "fill"))
    style = f"<style>@media(prefers-color-scheme:dark){{{rules}}}</style>\n"
    return re.sub(r"<svg[^>]*>\n?", lambda found: found.group() + style, text, count=1)


def svg(path: pathlib.Path, script: str, width=880, height=440):
    """Draws @script into @path."""
    prelude = PRELUDE.format(width=width, height=height)
    try:
        done = subprocess.run(["gnuplot"], input=prelude + script, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)
    except FileNotFoundError as error:
        raise section.Failure("gnuplot is missing: scripts/install-deps.sh bench") from error
    if done.returncode or "<svg" not in done.stdout:
        raise section.Failure(f"gnuplot: {path.name}: {done.stderr.strip()}")
    text = done.stdout.replace('font-family="Helvetica"', f'font-family="{FONTS}"')
    path.write_text(follow_screen(text), encoding="utf-8")
