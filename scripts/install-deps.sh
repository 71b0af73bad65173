#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Installs what building, trying and testing weir needs, on Debian 12. Says nothing if all is there.
# `bench` and `long` as arguments add what `make bench` and `make check-long` need.

set -euo pipefail

build=(gcc make libc6-dev linux-libc-dev meson ninja-build pkg-config clang-14 bpftool libbpf-dev
	libuv1-dev libjansson-dev libmnl-dev libyaml-dev libcurl4-openssl-dev libcap-ng-dev)
lab=(iproute2 ethtool util-linux procps nginx-light openssl curl python3)
tests=(libcmocka-dev libclang-rt-14-dev python3-pytest python3-pytest-xdist python3-scapy traceroute
	valgrind)
lint=(clang-format-14 clang-tidy-14 shellcheck scdoc mandoc)
bench=(haproxy nftables wrk gnuplot-nox)
long=(clang-16 clang-19 qemu-system-x86 seabios busybox-static cpio)
wanted=("${build[@]}" "${lab[@]}" "${tests[@]}" "${lint[@]}")
for group in "$@"; do
	case $group in
	bench) wanted+=("${bench[@]}") ;;
	long) wanted+=("${long[@]}") ;;
	*)
		echo "install-deps: unknown group '$group', there are bench and long" >&2
		exit 2
		;;
	esac
done

installed() {
	[ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

if ! command -v apt-get >/dev/null; then
	echo "install-deps: this is no Debian; weir needs what Debian 12 calls:"
	printf '  %s\n' "${wanted[*]}"
	exit 0
fi

# One query for the usual case that all is there; what it does not name is looked at one by one.
present=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' "${wanted[@]}" \
	2>/dev/null | sed -n 's/^installed //p') || true
missing=()
for package in "${wanted[@]}"; do
	grep -qx "$package" <<<"$present" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "install-deps: missing: ${missing[*]}" >&2
	echo "install-deps: run as root: sudo scripts/install-deps.sh $*" >&2
	exit 1
fi

# Lab and bench run servers of their own in their own namespaces: the machine must not get them as
# services. A policy-rc.d keeps packages from starting them, and they are disabled before anything
# else can start them.
policy=/usr/sbin/policy-rc.d
made_policy=
services=()
if ! installed nginx-common; then services+=(nginx); fi
if ! installed haproxy; then services+=(haproxy); fi

finish() {
	if [ -n "$made_policy" ]; then rm -f "$policy"; fi
}
trap finish EXIT

if [ ! -e "$policy" ]; then
	made_policy=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
apt() {
	apt-get --quiet=2 --option Dpkg::Use-Pty=0 "$@" >"$log" 2>&1
}

echo "install-deps: installing ${missing[*]}"
# Package lists that know all names and still lead to the files spare the update.
if ! apt install --no-install-recommends "${missing[@]}"; then
	if ! apt update || ! apt install --no-install-recommends "${missing[@]}"; then
		cat "$log" >&2
		echo "install-deps: apt-get failed, see above (log: $log)" >&2
		exit 1
	fi
fi
rm -f "$log"

for service in "${services[@]}"; do
	[ -e "/etc/init.d/$service" ] || continue
	if command -v systemctl >/dev/null; then
		systemctl disable "$service.service" >/dev/null 2>&1 || true
	fi
	update-rc.d "$service" disable >/dev/null 2>&1 || true
	echo "install-deps: $service is there for lab and bench; its system service is neither started nor enabled"
done
echo "install-deps: done"
