# SPDX-License-Identifier: GPL-2.0-only
"""What IPv6 has and IPv4 has not, and what both share: addresses, gateways, several next hops."""
import pytest

from network import ADDRESSES, MAC_A, MAC_B

only_v6 = pytest.mark.parametrize("family", [6], ids=["v6"])
both = pytest.mark.parametrize("family", [4], ids=["both"])
V4, V6 = ADDRESSES[4], ADDRESSES[6]


def link_local(net, namespace, interface="eth0"):
    net.when_up(namespace, interface)
    words = net.ip(namespace, f"-6 addr show dev {interface} scope link").split()
    return words[words.index("inet6") + 1].split("/")[0]


@only_v6
def test_duplicate_addresses_are_none_of_this_host(net):
    """SECOND is tested and then ours; A has its address already."""
    net.sysctl("ipv6/conf/all/accept_dad", 1)
    net.sysctl("ipv6/conf/eth0/accept_dad", 1)
    shell = net.shell(f"add {net.A}")
    net.ip("host", f"addr add {net.A}/64 dev eth0")
    net.ip("host", f"addr add {net.SECOND}/64 dev eth0")
    assert "tentative" in net.ip("host", f"addr show to {net.SECOND}")
    assert [line for line in shell.settle(0.3) if line.kind == "address"] == []
    shell.wait("address", target=net.SECOND, present="1")
    assert "dadfailed" in net.ip("host", f"addr show to {net.A}")
    net.ip("host", f"addr del {net.A}/64 dev eth0")
    net.ip("host", f"addr del {net.SECOND}/64 dev eth0")
    shell.wait("address", target=net.SECOND, present="0")
    assert [line for line in shell.settle(0.3) if line.get("target") == net.A
            and line.kind == "address"] == []


@only_v6
def test_tentative_addresses_are_no_sources(net):
    net.sysctl("ipv6/conf/all/accept_dad", 1)
    net.sysctl("ipv6/conf/eth0/accept_dad", 1)
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1", source=net.HOST)
    net.ip("host", f"addr add {net.SECOND}/64 dev eth0")
    net.ip("host", f"addr del {net.HOST}/64 dev eth0")
    assert shell.hop(net.A)["source"] == net.HOST1  # SECOND is on the way
    shell.hop(net.A, reachable="1", source=net.SECOND)


@only_v6
def test_deprecated_addresses_are_the_last_sources(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1", source=net.HOST)
    net.ip("host", f"addr add {net.SECOND}/64 dev eth0")
    shell.wait("address", target=net.SECOND)
    net.ip("host", f"addr change {net.HOST}/64 dev eth0 preferred_lft 0")
    net.ip("host", f"addr change {net.SECOND}/64 dev eth0 preferred_lft forever")
    shell.hop(net.A, source=net.SECOND)
    net.ip("host", f"addr change {net.SECOND}/64 dev eth0 preferred_lft 0")
    net.ip("host", f"addr change {net.HOST}/64 dev eth0 preferred_lft forever")
    shell.hop(net.A, source=net.HOST)


@only_v6
def test_anycast_address_of_a_router_is_its_own(net):
    net.sysctl("ipv6/conf/eth0/forwarding", 1)
    shell = net.shell("add fd00:178::")
    assert shell.hop("fd00:178::")["local"] == "1"


@only_v6
def test_link_local_gateway(net):
    gateway, near = link_local(net, "a"), link_local(net, "host")
    net.ip("host", f"route add {net.FAR_NET} via {gateway} dev eth0")
    shell = net.shell("watch eth0", f"add {net.FAR}")
    hop = shell.hop(net.FAR, gateway="0", reachable="1")
    assert (hop["mac"], hop["source"]) == (MAC_A, net.HOST)
    assert shell.hop(gateway, gateway="1", reachable="1")["mac"] == MAC_A
    assert "managed" in net.neighbour(gateway) and net.neighbour(net.FAR) == ""
    # With no other address left the kernel would take one that a gateway does not forward.
    for name, interface in (("HOST", "eth0"), ("HOST1", "eth1")):
        net.ip("host", f"addr del {V6[name]}/64 dev {interface}")
    assert near in net.ip("host", f"route get {net.FAR}")
    shell.hop(net.FAR, gateway="0", source="::")


@only_v6
def test_one_link_local_gateway_on_two_interfaces(net):
    """fe80::1 is another router on each of them."""
    net.ip("a", "addr add fe80::1/64 dev eth0")
    net.ip("b", "addr add fe80::1/64 dev eth1")
    net.ip("host", f"route add {net.FAR_NET} via fe80::1 dev eth0")
    net.ip("host", f"route add {net.OTHER_NET} via fe80::1 dev eth1")
    shell = net.shell("watch eth0", "watch eth1")
    shell.hop("fe80::1", interface="eth0", gateway="1", reachable="1", mac=MAC_A)
    mac = net.ip("b", "-br link show eth1").split()[2]
    shell.hop("fe80::1", interface="eth1", gateway="1", reachable="1", mac=mac)
    net.ip("host", f"route del {net.OTHER_NET}")
    shell.wait("gateway_gone", target="fe80::1")
    assert "managed" in net.neighbour("fe80::1") and net.neighbour("fe80::1", "eth1") == ""


@pytest.mark.parametrize("family", [4], ids=["v4"])
def test_ipv4_by_a_gateway_of_ipv6(net):
    net.ip("host", f"route add {net.FAR_NET} via inet6 {V6['A']} dev eth0")
    shell = net.shell("watch eth0", f"add {net.FAR}")
    hop = shell.hop(net.FAR, reachable="1")
    assert (hop["mac"], hop["source"]) == (MAC_A, net.HOST)
    shell.hop(V6["A"], gateway="1", reachable="1", mac=MAC_A)
    net.ip("host", f"route replace {net.FAR_NET} via inet6 {V6['NOBODY']} dev eth0")
    hop = shell.hop(net.FAR, gateway="0", reachable="0",
                    why=f"{V6['NOBODY']} does not answer NDP on eth0")
    shell.wait("gateway_gone", target=V6["A"])


def test_gateways_of_several_next_hops(net):
    """One of them is taken, both are known, and events that change nothing change nothing."""
    net.ip("host", f"route add {net.FAR_NET} nexthop via {net.A} weight 3 nexthop via {net.B}")
    shell = net.shell("watch eth0", f"add {net.FAR}", f"add {net.FAR_TOO}")
    for gateway, mac in ((net.A, MAC_A), (net.B, MAC_B)):
        assert shell.hop(gateway, gateway="1", reachable="1")["mac"] == mac
    for target in (net.FAR, net.FAR_TOO):
        shell.hop(target, reachable="1")
    for i in range(10):
        net.ip("host", f"route add {net.OTHER_NET} dev eth1 metric {i + 1}")
        net.ip("host", f"addr add {net.ALONE} dev eth1")
        net.ip("host", f"addr del {net.ALONE} dev eth1")
    assert [line for line in shell.settle(0.5) if line.kind != "address"] == []
    net.ip("host", f"route replace {net.FAR_NET} via {net.B}")
    shell.wait("gateway_gone", target=net.A)


def test_gateways_of_a_group_of_nexthop_objects(net):
    net.ip("host", f"nexthop add id 5 via {net.A} dev eth0")
    net.ip("host", f"nexthop add id 6 via {net.B} dev eth0")
    net.ip("host", "nexthop add id 7 group 5/6")
    net.ip("host", f"route add {net.FAR_NET} nhid 7")
    shell = net.shell("watch eth0", f"add {net.FAR}")
    shell.hop(net.FAR, gateway="0", reachable="1")
    shell.hop(net.A, gateway="1", reachable="1")
    shell.hop(net.B, gateway="1", reachable="1")
    net.ip("host", "nexthop replace id 7 group 6")
    shell.wait("gateway_gone", target=net.A)


@both
def test_both_families_at_once(net):
    """Each has its gateways; entries of both that a killed run has left go."""
    for family in (V4, V6):
        net.ip("host", f"route add {family['FAR_NET']} via {family['B']}")
    shell = net.shell("watch eth0", f"add {V4['A']}", f"add {V6['A']}")
    for family in (V4, V6):
        shell.hop(family["A"], reachable="1")
        shell.hop(family["B"], gateway="1", reachable="1")
    shell.process.kill()
    shell.process.wait()
    net.shells.remove(shell)
    entries = [family[name] for family in (V4, V6) for name in "AB"]
    assert all("managed" in net.neighbour(entry) for entry in entries)
    second = net.shell(f"add {V6['A']}")
    assert second.do("leftovers now") == 0
    assert [bool(net.neighbour(entry)) for entry in entries] == [False, False, True, False]
