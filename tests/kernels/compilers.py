#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compiles all BPF objects with each clang and loads them on the running kernel; TAP on stdout.

What that costs the verifier is compared with verified.txt."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import records

VERSIONS = ["14", "16", "19"]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def compile_objects(version, flags, folder):
    """All objects of the tree, as paths."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = []
    for source in sorted((ROOT / "bpf").glob("*.bpf.c")):
        objects.append(folder / source.with_suffix(".o").name)
        subprocess.run([f"clang-{version}", *flags, "-c", source, "-o", objects[-1]], check=True,
                       text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return objects


def load(program, objects):
    """What the verifier goes through: {(object, program): count}."""
    result = subprocess.run([program, *objects], check=True, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    return records.parse(result.stdout.splitlines())


def comment(text):
    for line in text.splitlines():
        print(f"# {line}")


def judge(kernel, version, seen):
    """What is wrong. A kernel that nobody recorded anything for only has to take the objects."""
    for name, count in seen.items():
        comment(f"{' '.join(name)}: {count} verified instructions")
    if not records.known(kernel, version) and not os.environ.get("RECORD"):
        comment(f"nothing is recorded for Linux {kernel}")
        return []
    return records.compare(kernel, version, seen)


def check(version, arguments):
    """What is wrong with what this compiler makes."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            objects = compile_objects(version, arguments.flag, pathlib.Path(folder))
            seen = load(arguments.verified, objects)
    except subprocess.CalledProcessError as error:
        return error.stdout.splitlines()[-20:]
    return judge(records.release(os.uname().release), version, seen)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("verified", type=pathlib.Path, help="the program that loads and counts")
    parser.add_argument("flag", nargs="+", help="of the compilers, after --")
    arguments = parser.parse_args()
    failed = False
    print(f"1..{len(VERSIONS)}")
    for number, version in enumerate(VERSIONS, 1):
        if not shutil.which(f"clang-{version}"):
            print(f"ok {number} - clang {version} # SKIP not installed "
                  "(scripts/install-deps.sh long)")
            continue
        wrong = check(version, arguments)
        failed = failed or bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} - clang {version}")
        comment("\n".join(wrong))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
