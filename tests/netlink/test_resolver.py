# SPDX-License-Identifier: GPL-2.0-only
import subprocess
import time

import pytest

from network import ADDRESSES, MAC_A, MAC_B, MAC_OTHER

ANNOUNCE = """
import sys, socket
name, mac, address = sys.argv[1:]
mac, address = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(address)
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((name, 0x0806))
everyone = b"\\xff" * 6
header = bytes.fromhex("08060001080006040002")
s.send(everyone + mac + header + mac + address + everyone + address)
"""


# Unsolicited, overriding; with the MAC address as option 2.
ADVERTISE = """
import sys, socket
name, mac, address = sys.argv[1:]
mac, address = bytes.fromhex(mac.replace(":", "")), socket.inet_pton(socket.AF_INET6, address)
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
message = bytes.fromhex("8800000020000000") + address + b"\\x02\\x01" + mac
s.sendto(message, ("ff02::1", 0, 0, socket.if_nametoindex(name)))
"""


def announce(net, namespace, mac, address):
    """A gratuitous ARP reply, or a neighbour advertisement."""
    script = ANNOUNCE if net.family == 4 else ADVERTISE
    net.execute(namespace, "/usr/bin/python3", "-c", script, "eth0", mac, address)


def own_mac(net, interface="eth0"):
    return net.ip("host", f"-br link show {interface}").split()[2]


def test_on_link_target_resolves_without_traffic(net):
    shell = net.shell(f"add {net.A}")
    first = shell.wait("hop", target=net.A)
    assert first["reachable"] == "1" or first["why"] == f"{net.A} has not answered {net.ARP} on eth0 yet"
    hop = first if first["reachable"] == "1" else shell.hop(net.A)
    assert hop == {"target": net.A, "gateway": "0", "reachable": "1", "local": "0", "mac": MAC_A,
                   "source_mac": own_mac(net), "interface": "eth0", "device": "eth0",
                   "vlan": "0", "mtu": "1500",
                   "source": net.HOST, "why": ""}
    entry = net.neighbour(net.A)
    assert "managed" in entry and "extern_learn" in entry and "proto 119" in entry


def test_added_twice_is_one_target(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1")
    assert shell.do(f"add {net.A}") == 0
    assert shell.settle(0.2) == []
    assert shell.do(f"remove {net.A}") == 0
    assert shell.do(f"remove {net.A}") == -2
    assert shell.do("add ::") == -22
    assert net.neighbour(net.A) == ""


def test_target_behind_gateway(net):
    net.ip("host", f"route add {net.FAR_NET} via {net.A} mtu 1400")
    shell = net.shell(f"add {net.FAR}")
    hop = shell.hop(net.FAR, reachable="1")
    assert (hop["mac"], hop["mtu"], hop["source"]) == (MAC_A, "1400", net.HOST)
    assert "managed" in net.neighbour(net.A)
    assert net.neighbour(net.FAR) == ""


def test_targets_share_a_neighbour(net):
    net.ip("host", f"route add {net.FAR_NET} via {net.A}")
    shell = net.shell(f"add {net.FAR}", f"add {net.FAR_TOO}", f"add {net.A}")
    for target in (net.FAR, net.FAR_TOO, net.A):
        assert "managed" in net.neighbour(net.A)
        assert shell.do(f"remove {target}") == 0
    assert net.neighbour(net.A) == ""


def test_announcement_changes_mac(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, mac=MAC_A)
    time.sleep(1.2)  # The kernel ignores a new MAC address within locktime (1 s) of the last.
    announce(net, "a", MAC_OTHER, net.A)
    assert shell.hop(net.A, mac=MAC_OTHER)["reachable"] == "1"


def test_flush_keeps_reachable_and_entry_returns(net):
    shell = net.shell(f"add {net.A}", f"add {net.B}")
    shell.hop(net.A, reachable="1")
    shell.hop(net.B, reachable="1")
    shell.settle(0.3)
    for _ in range(20):
        # Gives up after ten rounds when entries come back as fast as it flushes them.
        net.ip("host", "neigh flush all", check=False)
    told = shell.settle(0.6)
    assert told == []
    for address, mac in ((net.A, MAC_A), (net.B, MAC_B)):
        entry = net.neighbour(address)
        assert "managed" in entry and "extern_learn" in entry and mac in entry


def test_plain_entry_instead_of_ours_is_managed_again(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1")
    net.ip("host", f"neigh replace {net.A} lladdr {MAC_A} dev eth0 nud reachable")
    assert shell.settle(0.3) == []
    assert "managed" in net.neighbour(net.A)


def test_entry_set_to_failed_by_hand_is_probed_again(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1")
    net.ip("host", f"neigh change {net.A} dev eth0 nud failed")
    assert shell.settle(0.3) == []
    assert "managed" in net.neighbour(net.A) and MAC_A in net.neighbour(net.A)


def test_existing_plain_entry_keeps_its_mac(net):
    net.ip("host", f"neigh add {net.NOBODY} lladdr {MAC_OTHER} dev eth0 nud stale")
    shell = net.shell(f"add {net.NOBODY}")
    assert shell.wait("hop")["mac"] == MAC_OTHER
    assert "managed" in net.neighbour(net.NOBODY)


@pytest.mark.parametrize("kind", ["nud permanent", "nud noarp", "nud reachable extern_learn"])
def test_foreign_entry_untouched(net, kind):
    net.ip("host", f"neigh add {net.A} lladdr {MAC_OTHER} dev eth0 {kind}")
    before = net.neighbour(net.A)
    shell = net.shell(f"add {net.A}")
    assert shell.hop(net.A)["mac"] == MAC_OTHER
    assert net.neighbour(net.A) == before
    assert shell.close() == 0
    assert net.neighbour(net.A) == before


def test_permanent_entry_takes_over_and_leaves(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1")
    net.ip("host", f"neigh replace {net.A} lladdr {MAC_OTHER} dev eth0 nud permanent")
    shell.hop(net.A, mac=MAC_OTHER)
    shell.settle(0.2)
    assert "PERMANENT" in net.neighbour(net.A)
    net.ip("host", f"neigh del {net.A} dev eth0")
    assert shell.hop(net.A, mac=MAC_A)["reachable"] == "1"
    assert "managed" in net.neighbour(net.A)


def test_dead_target_tells_once(net):
    shell = net.shell(f"add {net.NOBODY}")
    hop = shell.hop(net.NOBODY, why=f"{net.NOBODY} does not answer {net.ARP} on eth0")
    assert hop["reachable"] == "0"
    told = shell.settle(11)
    assert told == []
    net.ip("a", f"addr add {net.NOBODY}/{net.BITS} dev eth0")
    assert shell.hop(net.NOBODY, timeout=12, reachable="1")["mac"] == MAC_A


def test_target_that_dies_keeps_its_mac(net):
    net.sysctl(f"{net.SYSCTL}/neigh/eth0/base_reachable_time_ms", 1000)
    net.sysctl(f"{net.SYSCTL}/neigh/eth0/delay_first_probe_time", 1)
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1")
    net.ip("a", "link set eth0 down")
    hop = shell.hop(net.A, timeout=20, reachable="0")
    assert hop["why"] == f"{net.A} does not answer {net.ARP} on eth0" and hop["mac"] == MAC_A
    net.ip("a", "link set eth0 up")
    shell.hop(net.A, timeout=12, reachable="1", mac=MAC_A)


def test_probe_finds_out_soon(net):
    """Without it the kernel trusts a confirmed neighbour for another 15 to 45 seconds."""
    shell = net.shell(f"add {net.A}", f"add {net.B}", f"add {net.NOBODY}")
    shell.hop(net.A, reachable="1")
    shell.hop(net.B, reachable="1")
    shell.hop(net.NOBODY, why=f"{net.NOBODY} does not answer {net.ARP} on eth0")
    net.ip("a", "link set eth0 down")
    for target in (net.A, net.B, net.NOBODY, net.FAR):
        assert shell.do(f"probe {target}") == 0
    shell.hop(net.A, timeout=6, reachable="0", why=f"{net.A} does not answer {net.ARP} on eth0")
    assert shell.settle(0.3) == []
    assert "managed" in net.neighbour(net.A) and "managed" in net.neighbour(net.B)


def test_probe_leaves_foreign_entries_alone(net):
    net.ip("host", f"neigh add {net.A} lladdr {MAC_OTHER} dev eth0 nud permanent")
    before = net.neighbour(net.A)
    shell = net.shell(f"add {net.A}", f"probe {net.A}")
    assert net.neighbour(net.A) == before
    assert shell.hop(net.A)["mac"] == MAC_OTHER


def test_state_chatter_is_silent(net):
    net.sysctl(f"{net.SYSCTL}/neigh/eth0/base_reachable_time_ms", 500)
    net.sysctl(f"{net.SYSCTL}/neigh/eth0/delay_first_probe_time", 1)
    monitor = subprocess.Popen(["ip", f"-{net.family}", "-n", net.name("host"), "monitor", "neigh"],
                               stdout=subprocess.PIPE, text=True)
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1")
    shell.settle(0.2)
    # Traffic makes the kernel probe again and again.
    traffic = (f"import socket, time\ns = socket.socket({[2, 10][net.family == 6]}, socket.SOCK_DGRAM)\n"
               f"for i in range(25): s.sendto(b'x', ('{net.A}', 9)); time.sleep(0.2)")
    net.execute("host", "/usr/bin/python3", "-c", traffic)
    told = shell.settle(0.2)
    monitor.terminate()
    states = [line.split()[-3] for line in monitor.communicate()[0].splitlines()]
    assert states.count("PROBE") >= 2 and states.count("REACHABLE") >= 3, states
    assert told == []


def test_route_moves_to_another_gateway(net):
    net.ip("host", f"route add {net.FAR_NET} via {net.A}")
    shell = net.shell(f"add {net.FAR}")
    shell.hop(net.FAR, mac=MAC_A, reachable="1")
    net.ip("host", f"route replace {net.FAR_NET} via {net.B}")
    shell.hop(net.FAR, mac=MAC_B, reachable="1")
    assert net.neighbour(net.A) == ""
    net.ip("host", f"-{net.family} rule add to {net.FAR_NET} lookup 77 priority 50")
    shell.settle(0.2)
    net.ip("host", f"route add default via {net.A} table 77")
    shell.hop(net.FAR, mac=MAC_A, reachable="1")
    net.ip("host", f"-{net.family} rule del priority 50")
    shell.hop(net.FAR, mac=MAC_B, reachable="1")


def test_backup_route_when_the_interface_goes_down(net):
    """Routes vanish with a link without a word, and later than the link is announced down."""
    net.ip("host", f"route add {net.FAR_NET} via {net.A} metric 10")
    net.ip("host", f"route add {net.FAR_NET} via {net.B1} metric 20")
    net.many_routes("eth0", 5000)
    shell = net.shell(f"add {net.FAR}")
    shell.hop(net.FAR, interface="eth0", reachable="1")
    for _ in range(15):
        net.ip("host", "link set eth0 down")
        shell.hop(net.FAR, timeout=2, interface="eth1", reachable="1")
        net.ip("host", "link set eth0 up")
        net.ip("host", f"route add {net.FAR_NET} via {net.A} metric 10")
        shell.hop(net.FAR, timeout=4, interface="eth0", reachable="1")


def test_prefsrc_follows_addresses(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1", source=net.HOST)
    net.ip("host", f"addr add {net.SECOND}/{net.BITS} dev eth0")
    assert shell.wait("address")["target"] == net.SECOND
    net.ip("host", f"addr del {net.HOST}/{net.BITS} dev eth0")
    # Secondary addresses go with the primary one unless the host promotes them.
    net.ip("host", f"addr replace {net.SECOND}/{net.BITS} dev eth0")
    shell.hop(net.A, reachable="1", source=net.SECOND)


def test_addresses_told_at_start_and_by_count(net):
    shell = net.shell()
    told = {line["target"]: line["present"] for line in shell.at_start}
    link_local = {address for address in told if address.startswith("fe80::")}
    assert len(link_local) == 2
    assert told == {"127.0.0.1": "1", "::1": "1", **{address: "1" for address in link_local},
                    **{family[name]: "1" for family in ADDRESSES.values()
                       for name in ("HOST", "HOST1")}}
    net.ip("host", f"addr add {net.ALONE} dev eth0")
    alone = net.ALONE.split("/")[0]
    shell.wait("address", target=alone, present="1")
    net.ip("host", f"addr add {net.ALONE} dev eth1")
    net.ip("host", f"addr del {net.ALONE} dev eth0")
    net.ip("host", f"addr change {net.ALONE} dev eth1 valid_lft 100 preferred_lft 100")
    assert shell.settle(0.3) == []
    net.ip("host", f"addr del {net.ALONE} dev eth1")
    shell.wait("address", target=alone, present="0")


def test_link_down_and_up(net):
    shell = net.shell("watch eth0", f"add {net.A}")
    shell.hop(net.A, reachable="1")
    net.ip("host", "link set eth0 down")
    shell.wait("link", name="eth0", up="0", present="1")
    assert shell.hop(net.A, reachable="0")["why"] == f"no route to {net.A}"
    net.ip("host", "link set eth0 up")
    shell.wait("link", name="eth0", up="1")
    shell.hop(net.A, reachable="1", mac=MAC_A, timeout=4)


def test_carrier_lost_and_back(net):
    shell = net.shell("watch eth0", f"add {net.A}")
    shell.hop(net.A, reachable="1")
    net.ip("switch", "link set to-host down")
    shell.wait("link", name="eth0", up="0")
    assert shell.hop(net.A, reachable="0")["why"] == "eth0 has no carrier"
    net.ip("switch", "link set to-host up")
    shell.wait("link", name="eth0", up="1")
    shell.hop(net.A, reachable="1", timeout=2)


def test_neighbour_that_failed_without_carrier_is_probed_at_once(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1")
    net.ip("switch", "link set to-host down")
    shell.hop(net.A, why="eth0 has no carrier")
    # As if the carrier had gone between a flush and its repair.
    net.ip("host", f"neigh replace {net.A} dev eth0 managed extern_learn proto 119")
    # The kernel asks every 5 s and gives up after 3: just then 2 s are left until it would ask.
    for failed in (True, False, True):
        end = time.monotonic() + 8
        while ("FAILED" in net.neighbour(net.A)) != failed:
            assert time.monotonic() < end
            time.sleep(0.1)
    net.ip("switch", "link set to-host up")
    shell.hop(net.A, reachable="1", timeout=1.3)


def test_unwatched_link_is_not_told(net):
    shell = net.shell("watch eth0")
    net.ip("host", "link set eth1 down")
    net.sysctl(f"{net.SYSCTL}/conf/eth1/forwarding", 1)
    assert [line for line in shell.settle(0.3) if line.kind != "address"] == []


def test_own_mac_and_mtu_change(net):
    shell = net.shell("watch eth0", f"add {net.A}")
    shell.hop(net.A, reachable="1")
    net.ip("host", f"link set eth0 address {MAC_OTHER}")
    shell.wait("link", name="eth0", up="1")
    shell.hop(net.A, source_mac=MAC_OTHER, reachable="1")
    net.ip("host", "link set eth0 mtu 1300")
    shell.hop(net.A, mtu="1300", reachable="1")


def test_interface_deleted(net):
    net.ip("host", f"route add {net.FAR_NET} via {net.B1}")
    shell = net.shell("watch eth1", f"add {net.FAR}")
    shell.hop(net.FAR, gateway="0", reachable="1")
    net.ip("host", "link del eth1")
    shell.wait("link", name="eth1", present="0", up="0")
    assert shell.hop(net.FAR, reachable="0", gateway="0")["why"] == f"no route to {net.FAR}"
    shell.wait("gateway_gone", target=net.B1)
    assert shell.do("watch eth1") == -19


def test_bridge_port_that_leaves_is_no_deleted_interface(net):
    net.ip("host", "link add br9 type bridge")
    net.ip("host", "link set eth1 master br9")
    shell = net.shell("watch eth1")
    shell.settle(0.2)
    net.ip("host", "link set eth1 nomaster")
    assert shell.settle(0.3) == []


def test_forwarding_toggled_by_hand(net):
    shell = net.shell("watch eth0")
    net.sysctl(f"{net.SYSCTL}/conf/eth0/forwarding", 1)
    shell.wait("forwarding", interface="eth0", family=str(net.family), on="1")
    if net.family == 4:
        net.sysctl("ipv4/conf/all/forwarding", 0)
        assert shell.settle(0.3) == []  # all was 0 already: nothing changes
    net.sysctl(f"{net.SYSCTL}/conf/all/forwarding", 1)
    assert shell.settle(0.3) == []  # eth0 was on already
    net.sysctl(f"{net.SYSCTL}/conf/all/forwarding", 0)
    shell.wait("forwarding", interface="eth0", family=str(net.family), on="0")
    assert shell.do(f"switch forwarding{net.family} eth0 1") == 0
    shell.wait("forwarding", interface="eth0", family=str(net.family), on="1")


def test_local_address(net):
    shell = net.shell(f"add {net.HOST}")
    hop = shell.hop(net.HOST)
    assert (hop["local"], hop["reachable"], hop["interface"]) == ("1", "0", "lo")
    assert hop["why"] == f"{net.HOST} is an address of this host"
    shell.do(f"add {net.SECOND}")
    shell.hop(net.SECOND, local="0")
    net.ip("host", f"addr add {net.SECOND}/{net.BITS} dev eth0")
    shell.hop(net.SECOND, local="1")


@pytest.mark.parametrize("kind", ["unreachable", "blackhole", "prohibit", "throw"])
def test_routes_that_lead_nowhere(net, kind):
    net.ip("host", f"route add {kind} {net.FAR_NET}")
    shell = net.shell(f"add {net.FAR}")
    hop = shell.hop(net.FAR)
    assert (hop["reachable"], hop["interface"], hop["mac"]) == ("0", "-", "00:00:00:00:00:00")
    expected = "no" if kind == "throw" else kind
    assert hop["why"] == f"{expected} route to {net.FAR}"
    net.ip("host", f"route replace {net.FAR_PART} via {net.A}")
    shell.hop(net.FAR, reachable="1", mac=MAC_A)


@pytest.mark.parametrize("family, address", [(4, "192.168.178.255"), (6, "ff0e::1")])
def test_broadcast_or_multicast_address_is_no_target(net, address):
    shell = net.shell(f"add {address}")
    assert shell.hop(address)["why"] == f"{address} is a broadcast or multicast address"


def test_interface_without_arp(net):
    net.ip("host", "tuntap add tun9 mode tun")
    net.ip("host", f"addr add {net.TUN}/{net.BITS} dev tun9")
    net.ip("host", "link set tun9 up")
    shell = net.shell(f"add {net.TUN_PEER}")
    hop = shell.hop(net.TUN_PEER, why="tun9 is no Ethernet interface with ARP")
    assert (hop["interface"], hop["reachable"]) == ("tun9", "0")
    assert hop["source_mac"] == "00:00:00:00:00:00"


def test_gateways_come_and_go(net):
    net.ip("host", f"route add {net.FAR_NET} via {net.A}")
    net.ip("host", f"route add {net.OTHER_NET} via {net.B1}")
    shell = net.shell("watch eth0")
    hop = shell.hop(net.A, gateway="1", reachable="1")
    assert (hop["mac"], hop["interface"], hop["source"]) == (MAC_A, "eth0", "::")
    net.ip("host", f"route add {net.THIRD_NET} nexthop via {net.A} nexthop via {net.B} "
                   f"nexthop via {net.B1}")
    shell.hop(net.B, gateway="1", reachable="1", mac=MAC_B)
    assert net.neighbour(net.B1, "eth1") == ""
    net.ip("host", f"route del {net.FAR_NET}")
    assert shell.settle(0.3) == []
    net.ip("host", f"route del {net.THIRD_NET}")
    shell.wait("gateway_gone", target=net.A)
    shell.wait("gateway_gone", target=net.B)
    assert net.neighbour(net.A) == "" and net.neighbour(net.B) == ""
    net.ip("host", f"route add default via {net.B} table 99")
    shell.hop(net.B, gateway="1", reachable="1")
    assert shell.do("watch eth1") == 0
    shell.hop(net.B1, gateway="1", reachable="1")


def test_gateway_of_nexthop_object(net):
    net.ip("host", f"nexthop add id 5 via {net.A} dev eth0")
    net.ip("host", f"route add {net.FAR_NET} nhid 5")
    shell = net.shell("watch eth0")
    shell.hop(net.A, gateway="1", reachable="1")
    net.ip("host", f"nexthop replace id 5 via {net.B} dev eth0")
    shell.hop(net.B, gateway="1", reachable="1")
    shell.wait("gateway_gone", target=net.A)


def test_gateway_and_target_are_two_hops(net):
    net.ip("host", f"route add {net.FAR_NET} via {net.A}")
    shell = net.shell("watch eth0")
    shell.hop(net.A, gateway="1", reachable="1")
    assert shell.do(f"add {net.A}") == 0
    hop = shell.hop(net.A, gateway="0")
    assert (hop["reachable"], hop["source"]) == ("1", net.HOST)
    net.ip("host", f"route del {net.FAR_NET}")
    shell.wait("gateway_gone", target=net.A)
    assert "managed" in net.neighbour(net.A)


def test_free_removes_only_its_own_entries(net):
    net.ip("host", f"neigh add {net.NOBODY} lladdr {MAC_OTHER} dev eth0 nud permanent")
    net.ip("host", f"route add {net.FAR_NET} via {net.B}")
    shell = net.shell("watch eth0", f"add {net.A}", f"add {net.NOBODY}")
    shell.hop(net.A, gateway="0", reachable="1")
    assert "managed" in net.neighbour(net.A) and "managed" in net.neighbour(net.B)
    assert shell.close() == 0
    assert net.neighbour(net.A) == "" and net.neighbour(net.B) == ""
    assert "PERMANENT" in net.neighbour(net.NOBODY)


def test_entry_of_a_killed_run_is_adopted_and_removed(net):
    shell = net.shell(f"add {net.A}")
    shell.hop(net.A, reachable="1")
    shell.process.kill()
    shell.process.wait()
    net.shells.remove(shell)
    assert "managed" in net.neighbour(net.A)
    second = net.shell(f"add {net.A}")
    assert second.hop(net.A)["reachable"] == "1"
    assert second.close() == 0
    assert net.neighbour(net.A) == ""


def test_lost_events_are_made_good(net):
    """While the resolver sleeps its buffer overflows: all that changed must still be told."""
    net.ip("host", f"route add {net.FAR_NET} via {net.A}")
    shell = net.shell("watch eth0", f"add {net.FAR}", f"add {net.B}")
    shell.hop(net.FAR, gateway="0", reachable="1")
    shell.hop(net.B, reachable="1")
    shell.settle(0.2)
    shell.process.stdin.write(b"sleep 6000\n")
    time.sleep(0.2)
    net.many_routes("eth1", 12000)
    net.ip("host", f"route replace {net.FAR_NET} via {net.B}")
    net.ip("host", f"addr del {net.HOST1}/{net.BITS} dev eth1")
    net.ip("host", f"addr add {net.HOST1_LATER}/{net.BITS} dev eth1")
    net.ip("host", "neigh flush all", check=False)
    net.sysctl(f"{net.SYSCTL}/conf/eth0/forwarding", 1)
    net.ip("host", "link set eth0 mtu 1400")
    shell.wait("forwarding", timeout=15, on="1")
    shell.wait("address", target=net.HOST1, present="0")
    shell.wait("address", target=net.HOST1_LATER, present="1")
    shell.hop(net.FAR, gateway="0", mac=MAC_B, mtu="1400")
    told = shell.settle(1)
    assert all(line["reachable"] == "1" for line in told if line.kind == "hop"), told
    assert "managed" in net.neighbour(net.B)


def test_ten_thousand_targets(net):
    net.ip("host", f"route add {net.MANY_NET} via {net.A}")
    shell = net.shell()
    start = time.monotonic()
    assert shell.do(f"many {net.MANY}") == 0
    added = time.monotonic() - start
    shell.hop(net.MANY_LAST, reachable="1")
    shell.settle(0.5)
    shell.process.stdin.write(b"time\n")
    time.sleep(0.1)
    net.ip("host", f"route replace {net.MANY_NET} via {net.B}")
    milliseconds = int(shell.wait("done").rest)
    print(f"10,000 targets: added in {added:.2f} s, resolved anew in {milliseconds} ms")
    assert 0 <= milliseconds < 900
    hops = [line for line in shell.settle(1) if line.get("mac") == MAC_B]
    assert len(hops) == 10000
