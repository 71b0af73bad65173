# SPDX-License-Identifier: GPL-2.0-only
"""What a number is worth nothing without: the machine that it was taken on."""

import os
import pathlib
import re
import subprocess

VULNERABILITIES = pathlib.Path("/sys/devices/system/cpu/vulnerabilities")


def processor():
    names = re.findall(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(),
                       re.MULTILINE)
    return names[0] if names else os.uname().machine


def memory_gib():
    kib = re.search(r"^MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE)
    return round(int(kib.group(1)) / (1 << 20))


def is_virtual():
    return " hypervisor " in pathlib.Path("/proc/cpuinfo").read_text()


def mitigations():
    """Those that the kernel knows to be of concern, by their names in sysfs."""
    found = {}
    for path in sorted(VULNERABILITIES.glob("*")):
        text = path.read_text().strip()
        if text != "Not affected":
            found[path.name] = text
    return found


def compiler(build):
    """That of the BPF programs: only the build knows."""
    return subprocess.run([build / "bench" / "bench", "--compiler"], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def describe(build):
    return {
        "processor": processor(),
        "cpus": os.cpu_count(),
        "virtual": is_virtual(),
        "memory_gib": memory_gib(),
        "kernel": os.uname().release,
        "compiler": compiler(build),
        "mitigations": mitigations(),
        "load": os.getloadavg()[0],
    }


def lines(machine):
    """The same for people."""
    kind = "virtual CPUs" if machine["virtual"] else "CPUs"
    concerns = "; ".join(f"{name}: {text}" for name, text in machine["mitigations"].items())
    return [
        f'{machine["processor"]}, {machine["cpus"]} {kind}, {machine["memory_gib"]} GiB, '
        f'Linux {machine["kernel"]}, {machine["compiler"]}',
        f"mitigations: {concerns or 'none needed'}",
        f'load when it began: {machine["load"]:.2f}',
    ]
