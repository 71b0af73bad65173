# SPDX-License-Identifier: GPL-2.0-only
"""The lab itself: what it gives to the other tests, and that it leaves nothing behind."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "lab" / "lab"
NETNS = pathlib.Path("/run/netns")


def run_lab(name, *arguments, check=True):
    result = subprocess.run([LAB, "--name", name, *map(str, arguments)], text=True,
                            capture_output=True, timeout=60)
    if check:
        assert result.returncode == 0, result.stderr
    return result


def traces(name):
    """Everything a lab of this name has left on the machine."""
    found = list(NETNS.glob(f"weir-{name}-*"))
    found += pathlib.Path("/run/weir-lab").glob(name)
    found += pathlib.Path("/run/weir").glob(f"lab-{name}.*")
    for link in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"/run/weir-lab/{name}/" in link.read_bytes().decode(errors="replace"):
                found.append(link)
        except OSError:
            pass  # the process ended meanwhile
    return found


@pytest.fixture
def names(request):
    """Two lab names that nobody else uses; whatever runs under them is removed afterwards."""
    pair = [f"t{os.getpid()}{letter}" for letter in "ab"]
    yield pair
    for name in pair:
        run_lab(name, "down", check=False)


def fetch(name, address):
    return run_lab(name, "exec", "client", "curl", "--silent", "--fail", "--max-time", 2,
               f"http://{address}:8000/", check=False)


def ask_by_datagram(name, address):
    program = ("import socket, sys; family = socket.AF_INET6 if ':' in sys.argv[1] else "
               "socket.AF_INET; s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(2); "
               "s.sendto(b'?', (sys.argv[1], 8000)); print(s.recv(200).decode(), end='')")
    return run_lab(name, "exec", "client", sys.executable, "-c", program, address).stdout


def test_client_reaches_each_backend_by_ipv6(names):
    name = names[0]
    run_lab(name, "up", "--backends", 2)
    run_lab(name, "serve")
    for number in (1, 2):
        address = f"fd00:b::{10 + number}"
        expected = f"backend-{number} [{address}]:8000 client=[fd00:a::20]:"
        assert fetch(name, f"[{address}]").stdout.startswith(expected)
        assert ask_by_datagram(name, address).startswith(expected)
        assert ask_by_datagram(name, f"192.168.178.{10 + number}").startswith(
            f"backend-{number} 192.168.178.{10 + number}:8000 client=10.0.0.20:")
    lines = {line.split()[0]: line for line in run_lab(name, "status").stdout.splitlines() if line}
    for host, addresses in {"client": ["10.0.0.20/16", "fd00:a::20/64"],
                            "gateway": ["10.0.0.2/16", "fd00:a::2/64", "192.168.178.2/24",
                                        "fd00:b::2/64"],
                            "lb": ["192.168.178.10/24", "fd00:b::10/64"],
                            "backend-2": ["192.168.178.12/24", "fd00:b::12/64"]}.items():
        assert lines[host].split()[1:1 + len(addresses)] == addresses


# Prints each frame that comes in within a second and a half.
LISTENER = """
import socket, time
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
raw.bind(("eth0", 3))
end = time.monotonic() + 1.5
while time.monotonic() < end:
    raw.settimeout(max(end - time.monotonic(), 0.001))
    try:
        print(raw.recv(2048).hex())
    except TimeoutError:
        pass
"""


def test_nobody_talks_unasked(names):
    """No solicitation, no report: tests count what weir sees."""
    name = names[0]
    run_lab(name, "up", "--backends", 8)
    assert run_lab(name, "exec", "lb", sys.executable, "-c", LISTENER).stdout == ""


def test_client_reaches_each_backend(names):
    name = names[0]
    run_lab(name, "up", "--backends", 5)
    run_lab(name, "serve")
    for number in range(1, 6):
        address = f"192.168.178.{10 + number}"
        answer = fetch(name, address).stdout
        assert answer.startswith(f"backend-{number} {address}:8000 client=10.0.0.20:")
    status = run_lab(name, "status").stdout
    assert "weir_pass on port-lb" in status
    assert "nginx" in next(line for line in status.splitlines() if line.startswith("backend-5"))


def test_two_labs_do_not_meet(names):
    one, two = names
    run_lab(one, "up")
    run_lab(two, "up")
    run_lab(one, "serve")
    assert fetch(one, "192.168.178.11").returncode == 0
    assert fetch(two, "192.168.178.11").returncode != 0
    run_lab(two, "down")
    assert not traces(two)
    assert fetch(one, "192.168.178.12").returncode == 0


def test_a_name_that_starts_with_another_is_another_lab(names):
    one, longer = names[0], names[0] + "-backend"
    try:
        run_lab(longer, "up", "--backends", 1)
        run_lab(one, "up", "--backends", 1)
        run_lab(one, "down")
        assert run_lab(longer, "exec", "client", "true").returncode == 0
    finally:
        run_lab(longer, "down")


def test_up_twice_is_refused(names):
    name = names[0]
    run_lab(name, "up")
    again = run_lab(name, "up", check=False)
    assert again.returncode == 1
    assert "up already" in again.stderr
    assert run_lab(name, "exec", "lb", "true").returncode == 0


def test_down_is_idempotent_and_ends_processes(names):
    name = names[0]
    run_lab(name, "up")
    run_lab(name, "serve")
    stubborn = subprocess.Popen([LAB, "--name", name, "exec", "lb", "bash", "-c",
                                 "trap '' TERM; echo ready; while :; do sleep 1; done"],
                                stdout=subprocess.PIPE)
    assert stubborn.stdout.readline() == b"ready\n"
    run_lab(name, "down")
    assert stubborn.wait(timeout=1) == -signal.SIGKILL
    assert not traces(name)
    assert run_lab(name, "down").returncode == 0


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("hosts", [1, 4, 9, 40])
def test_interrupted_up_leaves_nothing(names, sent, hosts):
    name = names[0]
    rising = subprocess.Popen([LAB, "--name", name, "up", "--backends", "64"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              start_new_session=True)
    deadline = time.monotonic() + 20
    while len(list(NETNS.glob(f"weir-{name}-*"))) < hosts:
        assert time.monotonic() < deadline and rising.poll() is None
        time.sleep(0.002)
    os.killpg(rising.pid, sent)  # as a terminal does
    _, errors = rising.communicate(timeout=30)
    assert rising.returncode == 128 + sent, errors
    assert "removing what was made" in errors
    assert not traces(name)


def test_failed_step_leaves_nothing(names, tmp_path):
    name = names[0]
    (tmp_path / "bpf").mkdir()
    (tmp_path / "bpf" / "pass.bpf.o").write_text("no object")
    result = subprocess.run([LAB, "--name", name, "up"], text=True, capture_output=True,
                            env=os.environ | {"WEIR_BUILD": str(tmp_path)}, timeout=60)
    assert result.returncode not in (0, 2)
    assert not traces(name)


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["up", "--backends", "65"],
                                       ["--name", "../etc", "up"], ["up", "down"], ["exec", "lb"]])
def test_wrong_usage(arguments):
    result = subprocess.run([LAB, *arguments], text=True, capture_output=True, timeout=10)
    assert result.returncode == 2
    assert result.stderr.startswith("lab: ")


REFLECTOR = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int reflect(struct xdp_md *ctx)
{
	unsigned char *frame = (void *)(long)ctx->data, mac[6];

	if (frame + 14 > (unsigned char *)(long)ctx->data_end || frame[12] != 0x88 || frame[13] != 0xb5)
		return XDP_PASS;
	__builtin_memcpy(mac, frame, 6);
	__builtin_memcpy(frame, frame + 6, 6);
	__builtin_memcpy(frame + 6, mac, 6);
	return XDP_TX;
}
"""

# Runs in backend-1: sends frames to the lb one by one, prints the slowest echo in milliseconds.
PROBE = """
import pathlib, socket, sys, time
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b5))
raw.bind(("eth0", 0x88b5))
raw.settimeout(1)
own = raw.getsockname()[4]
slowest = 0
for number in range(30):
    frame = bytes.fromhex(sys.argv[1].replace(":", "")) + own + b"\\x88\\xb5" + bytes([number]) * 50
    start = time.monotonic()
    raw.send(frame)
    assert raw.recv(2048)[14:] == frame[14:]
    slowest = max(slowest, time.monotonic() - start)
    time.sleep(0.005)
print(slowest * 1000)
"""


def test_frames_sent_by_xdp_arrive_at_once(names, tmp_path):
    name = names[0]
    source, program = tmp_path / "reflect.c", tmp_path / "reflect.o"
    source.write_text(REFLECTOR)
    subprocess.run(["clang-14", "-target", "bpf", "-O2", "-g", "-isystem",
                    f"/usr/include/{os.uname().machine}-linux-gnu", "-c", source, "-o", program],
                   check=True)
    run_lab(name, "up")
    in_lb = ["ip", "-n", f"weir-{name}-lb"]
    subprocess.run([*in_lb, "link", "set", "eth0", "xdpdrv", "object", program, "section", "xdp"],
                   check=True)
    address = subprocess.run([*in_lb, "-brief", "link", "show", "eth0"], check=True, text=True,
                             capture_output=True).stdout.split()[2]
    probe = run_lab(name, "exec", "backend-1", sys.executable, "-c", PROBE, address)
    assert float(probe.stdout) < 50
