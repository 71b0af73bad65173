# SPDX-License-Identifier: GPL-2.0-only
"""How many instructions the verifier goes through: tests/kernels/verified.txt and what is seen.

A line for each program: KERNEL CLANG OBJECT PROGRAM COUNT. With RECORD=1 in the environment what is
seen is written there."""

import fcntl
import os
import pathlib

RECORDS = pathlib.Path(__file__).resolve().parent / "verified.txt"

# More than this above what is recorded fails. A few instructions say nothing about small programs.
GROWTH = 1.10
FREE = 20


def read():
    rows = {}
    for line in RECORDS.read_text().splitlines():
        if line and not line.startswith("#"):
            *key, count = line.split()
            rows[tuple(key)] = int(count)
    return rows


def head():
    return "".join(f"{line}\n" for line in RECORDS.read_text().splitlines()
                   if line.startswith("#"))


def write(kernel, clang, seen):
    """Puts what was seen with this kernel and compiler in place of what is recorded."""
    with open(RECORDS) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several kernels are tried at once
        rows = {key: count for key, count in read().items() if key[:2] != (kernel, clang)}
        rows |= {(kernel, clang, *name): count for name, count in seen.items()}
        order = sorted(rows, key=lambda key: ([int(part) for part in key[0].split(".")],
                                              int(key[1]), *key[2:]))
        RECORDS.write_text(head() + "".join(f"{' '.join(key)} {rows[key]}\n" for key in order))


def parse(lines):
    """What the program `verified` printed: {(object, program): count}."""
    rows = (line.split() for line in lines)
    return {(row[0], row[1]): int(row[2]) for row in rows if len(row) == 3 and row[2].isdigit()}


def release(kernel):
    """6.1 of 6.1.0-56-cloud-amd64."""
    return ".".join(kernel.split(".")[:2])


def known(kernel, clang):
    return any(key[:2] == (kernel, clang) for key in read())


def compare(kernel, clang, seen):
    """What is wrong with what was seen, as lines."""
    if os.environ.get("RECORD"):
        write(kernel, clang, seen)
    recorded = {key[2:]: count for key, count in read().items() if key[:2] == (kernel, clang)}
    wrong = [f"{' '.join(name)}: recorded, but not seen" for name in recorded.keys() - seen.keys()]
    for name, count in seen.items():
        if name not in recorded:
            wrong.append(f"{' '.join(name)}: {count} instructions, none recorded")
        elif count > recorded[name] * GROWTH + FREE:
            wrong.append(f"{' '.join(name)}: {count} instructions, recorded are {recorded[name]}")
    return sorted(wrong)
