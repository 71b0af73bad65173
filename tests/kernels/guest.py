# SPDX-License-Identifier: GPL-2.0-only
"""Debian's kernels in qemu, with the files of this machine.

The guest sees this machine's root directory through virtiofs, so nothing is copied into it but a
busybox, the first script and the kernel's modules. It is emulated: no KVM is needed."""

import contextlib
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
VIRTIOFSD = "/usr/lib/qemu/virtiofsd"

# Packages that depend on the newest kernel of a version.
NEWEST = {"6.1": "linux-image-cloud-amd64", "6.12": "linux-image-6.12-cloud-amd64"}

# For the files; and what tests need. What a kernel has built in is not missed.
MODULES = ["virtio_pci", "virtiofs", "overlay", "veth", "bridge", "8021q", "ipip", "sit",
           "ip6_tunnel", "cls_bpf", "sch_ingress", "tcp_diag", "udp_diag"]

MEMORY = "2048M"
BUSYBOX = "/bin/busybox"


class GuestError(Exception):
    """What happened, and how to mend it."""


def run(*command, **more):
    return subprocess.run(command, check=True, text=True, capture_output=True, **more).stdout


def newest_package(version):
    """The package of the newest kernel of this version, or None: apt does not know."""
    try:
        said = run("apt-cache", "depends", "--important", NEWEST[version])
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(rf"Depends: (linux-image-{re.escape(version)}\.\S+)", said)
    return found and found.group(1)


def unpack(archive, into):
    shutil.rmtree(into, ignore_errors=True)
    run("dpkg-deb", "--extract", archive, into)


def fetch(version, cache):
    """Directory with the unpacked kernel package: downloaded, unless it is there already."""
    package = newest_package(version)
    if not package:
        there = sorted(cache.glob(f"linux-image-{version}.*"))
        if there:
            return there[-1]
        raise GuestError(f"apt knows no kernel {version} ({NEWEST[version]}); this wants Debian 12 "
                         "with its security updates: apt-get update")
    kernel = cache / package
    if not kernel.exists():
        download = cache / f"download-{version}"
        shutil.rmtree(download, ignore_errors=True)
        download.mkdir(parents=True)
        try:
            run("apt-get", "download", package, cwd=download)
        except subprocess.CalledProcessError as error:
            raise GuestError(f"cannot download {package}: {error.stderr.strip()}; try: "
                             "apt-get update") from error
        unpack(next(download.glob("*.deb")), download / "unpacked")
        (download / "unpacked").rename(kernel)
        shutil.rmtree(download)
    return kernel


def module_name(path):
    return path.name.partition(".ko")[0].replace("-", "_")


def read_module(path):
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def load_order(kernel):
    """The modules with all that they need, each behind what it depends on: {name: content}."""
    files = {module_name(path): path for path in kernel.glob("lib/modules/*/kernel/**/*.ko*")}
    order = {}

    def add(name):
        if name in order or name not in files:
            return
        data = read_module(files[name])
        needed = re.search(rb"\0depends=([^\0]+)\0", data)
        for other in needed.group(1).decode().split(",") if needed else []:
            add(other.replace("-", "_"))
        order[name] = data

    for name in MODULES:
        add(name)
    return order


def make_initramfs(kernel, folder):
    root = folder / "initramfs"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "dev", "proc", "modules"):
        (root / name).mkdir(parents=True)
    shutil.copy(HERE / "init", root / "init")
    shutil.copy(BUSYBOX, root / "bin")
    order = load_order(kernel)
    for name, data in order.items():
        (root / "modules" / f"{name}.ko").write_bytes(data)
    (root / "modules" / "order").write_text("".join(f"{name}\n" for name in order))
    names = "".join(f"{path.relative_to(root)}\n" for path in sorted(root.rglob("*")))
    archive = folder / "initramfs.cpio"
    with open(archive, "wb") as out:
        subprocess.run(["cpio", "--create", "--format=newc", "--quiet"], input=names.encode(),
                       stdout=out, cwd=root, check=True)
    shutil.rmtree(root)
    return archive


@contextlib.contextmanager
def shared_files(folder):
    """This machine's files for a guest; gives the socket to reach them."""
    with tempfile.TemporaryDirectory() as short, open(folder / "virtiofsd.log", "w") as log:
        where = pathlib.Path(short) / "socket"  # paths of sockets have 107 characters at most
        server = subprocess.Popen([VIRTIOFSD, f"--socket-path={where}", "-o", "source=/",
                                   "-o", "cache=always", "-o", "sandbox=chroot"],
                                  stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 10
            while not where.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise GuestError("virtiofsd does not start, see " + log.name)
                time.sleep(0.05)
            yield where
        finally:
            server.kill()
            server.wait()


def qemu_command(kernel, archive, files, plan):
    return ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=single", "-cpu", "max",
            "-smp", "1", "-m", MEMORY, "-nodefaults", "-display", "none", "-serial", "stdio",
            "-no-reboot",
            "-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on",
            "-numa", "node,memdev=memory", "-chardev", f"socket,id=files,path={files}",
            "-device", "vhost-user-fs-pci,chardev=files,tag=machine",
            "-kernel", str(next(kernel.glob("boot/vmlinuz-*"))), "-initrd", str(archive),
            "-append", f"console=ttyS0 panic=-1 loglevel=3 weir.plan={plan}"]


@contextlib.contextmanager
def booted(kernel, folder, plan, timeout):
    """Runs the script `plan` in the guest; gives an iterator over the lines that it prints.

    It ends when the guest has ended, which is after `timeout` seconds at the latest."""
    archive = make_initramfs(kernel, folder)
    with shared_files(folder) as files:
        guest = subprocess.Popen(
            ["timeout", "--foreground", str(timeout), *qemu_command(kernel, archive, files, plan)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            errors="replace", text=True)
        try:
            yield (line.rstrip() for line in guest.stdout)
        finally:
            guest.terminate()  # timeout hands it on
            guest.wait()


def lower_priority():
    """Two emulators for minutes: whoever works on this machine comes first."""
    os.nice(10)
