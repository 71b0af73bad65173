#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Installs what building, trying and testing weir needs, on Debian 12. Says nothing if all is there.

set -euo pipefail

build=(gcc make libc6-dev linux-libc-dev meson ninja-build pkg-config clang-14 bpftool libbpf-dev
	libuv1-dev libjansson-dev libmnl-dev libyaml-dev libcurl4-openssl-dev libcap-ng-dev)
lab=(iproute2 ethtool util-linux procps nginx-light openssl curl python3)
tests=(libcmocka-dev libclang-rt-14-dev python3-pytest python3-pytest-xdist python3-scapy traceroute)
lint=(clang-format-14 clang-tidy-14 shellcheck scdoc mandoc)
wanted=("${build[@]}" "${lab[@]}" "${tests[@]}" "${lint[@]}")

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
	echo "install-deps: run as root: sudo scripts/install-deps.sh" >&2
	exit 1
fi

# The lab runs its own nginx in its own namespaces: the machine must not get one as a service. A
# policy-rc.d keeps the package from starting it, and it is disabled before anything else can.
policy=/usr/sbin/policy-rc.d
made_policy=
had_nginx=yes
installed nginx-common || had_nginx=

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

if [ -z "$had_nginx" ] && installed nginx-common; then
	if command -v systemctl >/dev/null; then
		systemctl disable nginx.service >/dev/null 2>&1 || true
	fi
	update-rc.d nginx disable >/dev/null 2>&1 || true
	echo "install-deps: nginx was installed for the lab; its system service is neither started nor enabled"
fi
echo "install-deps: done"
