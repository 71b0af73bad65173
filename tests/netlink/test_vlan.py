# SPDX-License-Identifier: GPL-2.0-only
"""
VLAN devices: frames are sent from the device below them, where XDP sees their tags. Needs the kernel's
8021q; test_vlan.c asks the same without.
"""
import pytest

from network import MAC_A, MAC_B

PREFIX = {4: "192.168.{}.{}", 6: "fd00:1{}::{}"}


@pytest.fixture(autouse=True)
def need_vlan(net):
    net.ip("switch", "link add link br0 name probe type vlan id 9", check=False)
    if "probe" not in net.ip("switch", "link show"):
        pytest.skip("this kernel has no VLAN devices (8021q)")


def add_vlan(net, namespace, number, host, lower="eth0", tag=None, protocol="802.1Q"):
    """LOWER.TAG with address HOST of network NUMBER."""
    tag = tag or number
    name = f"{lower}.{tag}"
    address = PREFIX[net.family].format(number, host)
    net.ip(namespace, f"link add link {lower} name {name} type vlan id {tag} protocol {protocol}")
    net.ip(namespace, f"addr add {address}/{net.BITS} dev {name}")
    net.ip(namespace, f"link set {name} up")
    return address


def test_target_on_a_vlan_device(net):
    net.ip("host", "link set eth0 mtu 1600")
    source = add_vlan(net, "host", 100, 1)
    target = add_vlan(net, "a", 100, 2)
    net.ip("host", "link set eth0.100 mtu 1400")
    shell = net.shell("watch eth0", f"add {target}")
    hop = shell.hop(target, reachable="1")
    assert (hop["interface"], hop["device"], hop["vlan"]) == ("eth0.100", "eth0", "100")
    assert (hop["mac"], hop["mtu"], hop["source"]) == (MAC_A, "1400", source)
    assert "managed" in net.neighbour(target, "eth0.100")
    assert net.neighbour(target, "eth0") == ""


def test_stacked_vlan_devices(net):
    for namespace in ("host", "a"):
        net.ip(namespace, "link add link eth0 name eth0.5 type vlan id 5 protocol 802.1ad")
        net.ip(namespace, "link set eth0.5 up")
    add_vlan(net, "host", 100, 1, lower="eth0.5")
    target = add_vlan(net, "a", 100, 2, lower="eth0.5")
    shell = net.shell("watch eth0", f"add {target}")
    hop = shell.hop(target, reachable="1")
    assert (hop["interface"], hop["device"], hop["vlan"]) == ("eth0.5.100", "eth0", "100")


def test_gateway_behind_a_vlan_device(net):
    """Found because its device lies on a watched one; known by the route's interface."""
    add_vlan(net, "host", 100, 1)
    gateway = add_vlan(net, "b", 100, 2)
    net.ip("host", f"route add {net.FAR_NET} via {gateway}")
    shell = net.shell("watch eth1")
    assert [line for line in shell.settle(0.3) if line.kind == "hop"] == []
    assert shell.do("watch eth0") == 0
    hop = shell.hop(gateway, gateway="1", reachable="1", mac=MAC_B)
    assert (hop["interface"], hop["device"], hop["vlan"]) == ("eth0.100", "eth0", "100")
    net.ip("host", "link del eth0.100")
    shell.wait("gateway_gone", target=gateway)


def test_weir_on_the_vlan_device_itself(net):
    """There the tag is off already; on both, the lower one sees the frames first."""
    add_vlan(net, "host", 100, 1)
    target = add_vlan(net, "a", 100, 2)
    shell = net.shell("watch eth0.100", f"add {target}")
    hop = shell.hop(target, reachable="1")
    assert (hop["interface"], hop["device"], hop["vlan"]) == ("eth0.100", "eth0.100", "0")
    assert shell.do("watch eth0") == 0
    hop = shell.hop(target, device="eth0")
    assert (hop["interface"], hop["vlan"]) == ("eth0.100", "100")


def test_target_moves_to_a_vlan_device(net):
    shell = net.shell("watch eth0", f"add {net.A}")
    shell.hop(net.A, reachable="1", device="eth0", vlan="0")
    add_vlan(net, "host", 100, 1)
    add_vlan(net, "a", 100, 2)
    host_bits = 32 if net.family == 4 else 128
    net.ip("a", f"addr add {net.A}/{host_bits} dev eth0.100")  # NDP answers for its own interface
    net.ip("host", f"route add {net.A}/{host_bits} dev eth0.100")
    hop = shell.hop(net.A, reachable="1", interface="eth0.100")
    assert (hop["device"], hop["vlan"]) == ("eth0", "100")
    net.ip("host", "link set eth0 down")
    shell.hop(net.A, reachable="0")
    net.ip("host", "link set eth0 up")
    shell.hop(net.A, reachable="1", vlan="0", timeout=4)


@pytest.mark.parametrize("family", [4], ids=["v4"])
def test_vlan_device_from_another_namespace(net):
    """Its lower device is not here: the number would be another device's."""
    net.ip("switch", "link add link br0 name moved type vlan id 100")
    net.ip("switch", f"link set moved netns {net.name('host')}")
    net.ip("host", f"addr add {net.TUN}/{net.BITS} dev moved")
    net.ip("host", "link set moved up")
    shell = net.shell("watch eth0", f"add {net.TUN_PEER}")
    hop = shell.hop(net.TUN_PEER)
    assert (hop["interface"], hop["device"], hop["vlan"]) == ("moved", "moved", "0")
