# SPDX-License-Identifier: GPL-2.0-only
"""End to end on another kernel, and with devices that not every machine has: tunnels and VLANs.

Run by tests/kernels/run in the guest, with the fixtures of tests/e2e. Emulation is slow: no time
in here is short."""

import contextlib
import json

import pytest

from direct import decapsulation
from network import LB, LB6, backend_address, config, endpoint, service, until
from test_direct import own_address, own_service_address
from test_ipv6 import own_address6, own_service_address6

PORT = 8000
CHECK = {"type": "http", "interval": "5s", "timeout": "4s", "rise": 1, "fall": 2}


def curl(lab, address, port=PORT):
    return lab.exec("client", "curl", "--silent", "--show-error", "--max-time", 30,
                    f"http://{endpoint(address, port)}/").stdout


def assert_served(lab, address, port=PORT):
    """In turn, by both backends."""
    answers = [curl(lab, address, port).split()[0] for _ in range(4)]
    assert sorted(answers) == ["backend-1"] * 2 + ["backend-2"] * 2


def both_families(mode, check):
    more = {"mode": mode, "health": check} if check else {"mode": mode}
    return config(service("web", PORT, 2, **more), service("web6", PORT, 2, v6=True, **more))


def assert_nothing_left(lab):
    lab.detach()
    assert lab.left_behind() == []


def test_nat_and_a_restart(lab):
    """The second daemon takes over the tables of the first one, whose traffic went on meanwhile."""
    lab.serve()
    weir = lab.run_file(both_families("nat", CHECK))
    for address in (LB, LB6):
        assert_served(lab, address)
    weir.kill()
    for address in (LB, LB6):
        assert_served(lab, address)
    lab.run_file()
    for address in (LB, LB6):
        assert_served(lab, address)
    assert [row["health"] for row in lab.weir("backend", "list")] == ["up"] * 4
    assert lab.reasons()["new_flow"] == 24
    lab.weirs[-1].stop()
    assert_nothing_left(lab)


@contextlib.contextmanager
def direct(lab):
    """Both families have what dsr and ipip need."""
    lab.serve()
    own_address(lab)
    own_address6(lab)
    for host in lab.backends():
        own_service_address(lab, host)
        own_service_address6(lab, host)
    yield


@pytest.mark.parametrize("mode", ["dsr", "ipip"])
def test_direct_replies_and_checks(lab, mode):
    """Checks by the path of the traffic hang on tc: before 6.6 as filters, since then as links."""
    hosts = lab.backends() if mode == "ipip" else []
    with direct(lab), decapsulation(lab, *hosts):
        weir = lab.run_file(both_families(mode, CHECK))
        until(lambda: [row["health"] for row in lab.weir("backend", "list")] == ["up"] * 4,
              what="all backends are up")
        for address in (LB, LB6):
            assert_served(lab, address)
        weir.stop()
        assert_nothing_left(lab)


def tunnel_devices(lab, host, number):
    """As weir.yaml(5) says."""
    lab.exec(host, "ip", "-force", "-batch", "-", input=f"""
        link set tunl0 up
        link set sit0 up
        link add t0 type ip6tnl mode any local {backend_address(number, True)} remote any
        link set t0 up
        """)
    for device in ("tunl0", "t0"):
        lab.exec(host, "sh", "-c", f"echo 0 >/proc/sys/net/ipv4/conf/{device}/rp_filter")


def received(lab, host, device):
    shown = lab.exec(host, "ip", "-json", "-statistics", "link", "show", "dev", device).stdout
    return json.loads(shown)[0]["stats64"]["rx"]["packets"]


def tunneled(over6):
    """Both services over backends of one family."""
    return config(*({"name": name, "listen": endpoint(address, PORT), "mode": "ipip",
                     "backends": [{"address": endpoint(backend_address(number, over6), PORT)}
                                  for number in (1, 2)]}
                    for name, address in (("web", LB), ("web6", LB6))))


def test_tunnel_devices_of_the_kernel(lab):
    """Each family in each: they take what weir sends, and the backends answer the client."""
    with direct(lab):
        for number, host in enumerate(lab.backends(), 1):
            tunnel_devices(lab, host, number)
        lab.run_file(tunneled(over6=False))
        for address, device in ((LB, "tunl0"), (LB6, "sit0")):
            assert_served(lab, address)
            assert all(received(lab, host, device) >= 6 for host in lab.backends())
        lab.reload(tunneled(over6=True))
        for address in (LB, LB6):
            before = [received(lab, host, "t0") for host in lab.backends()]
            assert_served(lab, address)
            assert all(received(lab, host, "t0") >= count + 6
                       for host, count in zip(lab.backends(), before))


def move_to_vlan(lab, host, interface, number):
    """The host's addresses of the LAN and its routes; tags are in the frames themselves."""
    lab.exec(host, "ethtool", "-K", interface, "txvlan", "off", "rxvlan", "off")
    lab.exec(host, "ip", "-force", "-batch", "-", input=f"""
        link add link {interface} name vlan7 type vlan id 7
        address flush dev {interface} scope global
        link set vlan7 up
        address add 192.168.178.{number}/24 dev vlan7
        address add fd00:b::{number}/64 dev vlan7 nodad
        """)
    lab.exec(host, "ethtool", "-K", "vlan7", "tx", "off", "tso", "off", "gso", "off")
    if host != "gateway":
        lab.exec(host, "ip", "route", "replace", "default", "via", "192.168.178.2")
        lab.exec(host, "ip", "-6", "route", "replace", "default", "via", "fd00:b::2")


def test_vlan_devices(lab):
    """weir sits below them and sees the tags."""
    lab.serve()
    move_to_vlan(lab, "gateway", "eth1", 2)
    move_to_vlan(lab, "lb", "eth0", 10)
    for number, host in enumerate(lab.backends(), 11):
        move_to_vlan(lab, host, "eth0", number)
    lab.run_file(both_families("nat", None))
    for address in (LB, LB6):
        assert_served(lab, address)
    assert lab.reasons()["new_flow"] == 8
