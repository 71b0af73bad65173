# SPDX-License-Identifier: GPL-2.0-only
"""What the lints share: which files belong to weir, and how a finding is reported."""

import pathlib
import sys

SKIPPED = {".git", "build", "__pycache__", "node_modules"}


def tree_from_arguments():
    """The tree to look at: the first argument, or the one that this file lies in."""
    if len(sys.argv) > 1:
        return pathlib.Path(sys.argv[1])
    return pathlib.Path(__file__).resolve().parents[2]


def files(tree, *suffixes):
    """All files below `tree` with one of the suffixes, sorted; builds left out."""
    found = []
    for path in sorted(tree.iterdir()):
        if path.name in SKIPPED or path.is_symlink():
            continue
        if path.is_dir():
            found += files(path, *suffixes)
        elif path.suffix in suffixes:
            found.append(path)
    return found


def scripts(tree):
    """Programs without a suffix, told by their first line: (path, interpreter)."""
    found = []
    for path in files(tree, "", ".sh", ".py"):
        first = path.open("rb").readline()
        if first.startswith(b"#!"):
            words = first[2:].decode(errors="replace").split()
            found.append((path, "python" if "python" in words[-1] else "shell"))
    return found


def finish(tree, findings):
    """Prints findings (path, line, text) and ends the lint."""
    for path, line, text in findings:
        print(f"{path.relative_to(tree)}:{line}: {text}")
    sys.exit(1 if findings else 0)
