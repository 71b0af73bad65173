# SPDX-License-Identifier: GPL-2.0-only
"""Weir between routers: ways there and back that differ, several next hops, addresses that are nobody's."""

import json
import re
import time

import pytest

from direct import decapsulation
from frames import IP, TCP, Wire
from network import endpoint, until
from paths import (ADDRESSES, BESIDE, CLIENT, FAR, INSIDE, OUTSIDE, SERVICE, SERVICE_ADDRESS,
                   content, echo_servers, no_losses, ready_for, serving, six, transfer)
from pulse import Pulse
from servers import echoes, hold, visit

ALL = ["eth0", "eth1", "eth2"]


def seen_by(paths, host, interface, action):
    """Does TCP of the service pass the host's interface while the action runs? Its result, too."""
    wire = Wire(paths, host, interface)
    result = action()
    return any(IP in frame and SERVICE_ADDRESS in (frame[IP].src, frame[IP].dst)
               for frame in wire.drain()), result


def received(paths, host, interface):
    shown = paths.exec(host, "ip", "-json", "-stats", "link", "show", interface).stdout
    return json.loads(shown)[0]["stats64"]["rx"]["packets"]


@pytest.mark.parametrize("mode", ["nat", "dsr", "ipip"])
def test_service_address_that_is_nobodys(paths, mode):
    """Pinged, traced, asked: it is the gateways that say where it is."""
    with ready_for(paths, mode) as address, serving(paths, address):
        paths.balance_between(mode)
        assert {visit(paths, SERVICE) for _ in range(4)} == {"backend-1", "backend-2"}
        asking = paths.datagrams(SERVICE)
        asking.send(b"?")
        name, seen = asking.recv(100).decode().split()
        assert name in ADDRESSES
        assert seen.split(":")[0] == (INSIDE["lb"] if mode == "nat" else CLIENT)
        paths.exec("client", "ping", "-c", "3", "-i", "0.01", "-W", "2", SERVICE_ADDRESS)
        assert no_losses(paths)["echo"] == 3


@pytest.mark.parametrize("mode", ["nat", "dsr", "ipip"])
@pytest.mark.parametrize("protocol", ["-T", "-U"])
def test_traceroute_shows_weir_as_a_hop(paths, mode, protocol):
    """Gateway, weir (which speaks as the service), backend (the same): all three answer."""
    with ready_for(paths, mode) as address, serving(paths, address):
        paths.balance_between(mode)
        said = paths.exec("client", "traceroute", "-n", protocol, "-p", "8000", "-q", "1", "-N", "1",
                          "-w", "2", "-m", "6", SERVICE_ADDRESS).stdout
        hops = re.findall(r"^ *\d+  (\S+)", said, flags=re.MULTILINE)
        assert hops == ["10.0.0.2", SERVICE_ADDRESS, SERVICE_ADDRESS], said
        assert paths.reasons()["ttl_exceeded"] == 1


def test_8_kilobytes_in_pieces_both_ways(paths):
    with serving(paths):
        paths.balance_between("nat")
        asking = paths.datagrams(SERVICE)
        for size in (8192, 1473, 30000):
            asking.send(b"!" + content(1 << 15)[:size - 1])
            assert asking.recv(65536) == b"!" + content(1 << 15)[:size - 1]
        reasons = no_losses(paths)
        assert reasons["new_flow"] == 1 and reasons["later_fragment"] > 0


def test_replies_of_backends_come_in_elsewhere(paths):
    """Requests leave by eth1, replies come by way of router-a to eth0, where the clients are."""
    for host in ("backend-1", "backend-2"):
        paths.batch(host, f"route add {INSIDE['lb']} via {INSIDE['router-a']}")
    paths.batch("router-a", f"route add {INSIDE['lb']} via {OUTSIDE['lb']}")
    with echo_servers(paths, *((host, ADDRESSES[host]) for host in ("backend-1", "backend-2"))):
        paths.balance_between("nat")
        passed, good = seen_by(paths, "lb", "eth0", lambda: transfer(paths.connect(SERVICE)))
        assert good and not passed  # XDP takes both directions before any socket sees them
        no_losses(paths)
        assert received(paths, "lb", "eth1") < 100 < received(paths, "lb", "eth0")


@pytest.mark.parametrize("way", ["same interface", "another interface"])
def test_clients_are_answered_through_another_gateway(paths, way):
    """Packets come through gateway-a; the way back is the route's."""
    gateway = OUTSIDE["gateway-b"] if way == "same interface" else BESIDE["gateway-b"]
    paths.batch("lb", f"route replace {CLIENT} via {gateway}")
    with serving(paths), echo_servers(paths, ("backend-3", FAR["backend-3"]), port=9000):
        paths.balance_between("nat", ALL)
        back, _ = seen_by(paths, "client", "eth1",
                          lambda: [visit(paths, SERVICE) for _ in range(4)])
        there, _ = seen_by(paths, "client", "eth0",
                           lambda: [visit(paths, SERVICE) for _ in range(4)])
        assert back and not there
        asking = paths.datagrams(SERVICE)
        asking.send(b"!" + content(8192))
        assert asking.recv(65536) == b"!" + content(8192)
        no_losses(paths)


ROUTERS = {"router-a": "router-b", "router-b": "router-a"}
GATEWAYS = {"gateway-a": "gateway-b", "gateway-b": "gateway-a"}


def used_router(paths, weir):
    """Of the two ways to backend-3, as the log tells."""
    def find():
        macs = re.findall(r"backend 10\.7\.0\.13:8000 .* ready via eth1 (\S+)", weir.log)
        return next((name for name in ROUTERS if macs and paths.mac(name) == macs[-1]), None)
    return until(find, what="a router in the log")


@pytest.mark.parametrize("death", ["route", "neighbour"])
def test_two_routers_towards_a_backend(paths, death):
    """The kernel says which one it is: when the other leaves the route, or stops answering."""
    paths.exec("lb", "sh", "-euc", "echo 1 >/proc/sys/net/ipv4/fib_multipath_use_neigh")
    paths.batch("lb", "route replace 10.7.0.0/24 " + " ".join(
        f"nexthop via {INSIDE[router]} dev eth1" for router in ROUTERS))
    with serving(paths, hosts=["backend-3"]):
        weir = paths.balance_between("nat", backends=["backend-3"])
        router = used_router(paths, weir)
        if router == "router-a":  # replies go another way than what dies
            paths.batch("backend-3", f"route replace default via {FAR['router-b']}")
        held, _ = hold(paths, SERVICE)
        with Pulse(paths, to=SERVICE) as pulse:
            since = time.monotonic()
            if death == "route":
                paths.batch(router, "route add blackhole 10.7.0.13/32")
                pulse.wait_loss()
                since = time.monotonic()
                paths.batch("lb", f"route replace 10.7.0.0/24 via {INSIDE[ROUTERS[router]]}")
            else:
                paths.batch("inside", f"link set port-{router} down")
                pulse.wait_loss()
            pulse.wait_back(2 if death == "route" else 12, since)
        assert used_router(paths, weir) == ROUTERS[router]
        assert echoes(held) and visit(paths, SERVICE) == "backend-3"


def spread(paths, gateways):
    """lb's way to the client."""
    hops = " ".join(f"nexthop via {OUTSIDE[name]} dev eth0" for name in gateways)
    paths.batch("lb", f"route replace {CLIENT} " + hops)


def ways_back(paths, connections):
    """The gateways that bring the answers of all these."""
    wires = {"gateway-a": Wire(paths, "client", "eth0"), "gateway-b": Wire(paths, "client", "eth1")}
    assert all(echoes(connection) for connection in connections)
    return {name for name, wire in wires.items()
            if any(TCP in frame and frame[IP].src == SERVICE_ADDRESS for frame in wire.drain())}


@pytest.mark.parametrize("dies", GATEWAYS)
@pytest.mark.parametrize("death", ["route", "neighbour"])
def test_two_gateways_towards_the_clients(paths, dies, death):
    """Flows are spread as the route says; those of one that leaves go on through the other."""
    other = GATEWAYS[dies]
    paths.exec("lb", "sh", "-euc", """
        echo 1 >/proc/sys/net/ipv4/fib_multipath_hash_policy
        echo 1 >/proc/sys/net/ipv4/fib_multipath_use_neigh
        cd /proc/sys/net/ipv4/neigh/eth0
        echo 500 >base_reachable_time_ms
        echo 500 >interval_probe_time_ms
        echo 1 >delay_first_probe_time
        echo 100 >retrans_time_ms""")
    spread(paths, GATEWAYS)
    if dies == "gateway-a":  # the way there must stay
        paths.batch("client", f"route replace default via 10.8.0.2 src {CLIENT}")
    with serving(paths):
        weir = paths.balance_between("nat")
        held = [hold(paths, SERVICE)[0] for _ in range(16)]
        assert ways_back(paths, held) == set(GATEWAYS)
        if death == "route":
            paths.batch(dies, f"route replace blackhole {CLIENT}")
            spread(paths, [other])
        else:
            paths.batch("outside", f"link set port-{dies} down")
            weir.wait_log(f"gateway {OUTSIDE[dies]}: not ready")
        assert ways_back(paths, held) == {other}
        assert ways_back(paths, [hold(paths, SERVICE)[0] for _ in range(8)]) == {other}
        no_losses(paths)


def narrow_the_outside(paths):
    """Backends have not heard of it: clients say that they take 1460 bytes."""
    paths.batch("lb", "link set eth0 mtu 1400")
    paths.batch("gateway-a", "link set eth1 mtu 1400")


def narrow_the_inside(paths):
    """Clients have not heard of it: backends say that they take 1460 bytes."""
    paths.batch("lb", "link set eth1 mtu 1400")
    paths.batch("backend-1", "route replace 192.168.50.0/24 dev eth0 mtu 1400 advmss 1460")


@pytest.mark.parametrize("mode, narrow", [
    ("nat", narrow_the_outside), ("nat", narrow_the_inside), ("dsr", narrow_the_inside)])
def test_interfaces_of_different_mtu(paths, mode, narrow):
    """Whoever sends packets that are too long for the way out is told how long they may be."""
    with ready_for(paths, mode) as address, \
            echo_servers(paths, ("backend-1", address or ADDRESSES["backend-1"])):
        narrow(paths)
        paths.balance_between(mode, backends=["backend-1"])
        assert transfer(paths.connect(SERVICE))
        assert no_losses(paths)["too_big"] > 0


def narrow_the_far_side(paths, mtu):
    """Only router-a knows; backend-3 tells its clients that it takes 1460 bytes."""
    paths.batch("router-a", f"link set eth2 mtu {mtu}")
    paths.batch("backend-3", f"route replace default via {FAR['router-a']} mtu 1400 advmss 1460")


@pytest.mark.parametrize("outer_source", ["spread", "fixed"])
@pytest.mark.parametrize("backend", [ADDRESSES["backend-3"], six(ADDRESSES["backend-3"])])
def test_tunnel_through_a_narrow_link(paths, backend, outer_source):
    """The router's word goes to an address that nobody has; clients are told the right size."""
    paths.own_service_address("backend-3")
    narrow_the_far_side(paths, 1400)
    config = paths.configuration("ipip", outer_source=outer_source)
    config["services"][0]["backends"] = [{"address": endpoint(backend, 8000)}]
    with decapsulation(paths, "backend-3"), echo_servers(paths, ("backend-3", SERVICE_ADDRESS)):
        weir = paths.run_file(config)
        weir.wait_log(f"backend address {backend}: a router on the way takes packets of 1400 bytes")
        assert transfer(paths.connect(SERVICE))
        assert no_losses(paths)["too_big"] > 0
    room = 40 if ":" in backend else 20
    assert f"mtu {1400 - room}" in paths.exec("client", "ip", "route", "get", SERVICE_ADDRESS).stdout


@pytest.mark.long
def test_known_backend_is_asked_when_its_service_becomes_ipip(paths):
    narrow_the_far_side(paths, 1400)
    weir = paths.balance_between("nat", backends=["backend-3"])
    paths.reload(paths.configuration("ipip", backends=["backend-3"]))
    until(lambda: "takes packets of 1400 bytes" in weir.log, timeout=90, what="a router's word")


@pytest.mark.long
def test_narrow_link_becomes_wide(paths):
    """What a router has said is forgotten when three minutes did not bring it again."""
    paths.own_service_address("backend-3")
    narrow_the_far_side(paths, 1400)
    with decapsulation(paths, "backend-3"), echo_servers(paths, ("backend-3", SERVICE_ADDRESS)):
        weir = paths.balance_between("ipip", backends=["backend-3"])
        weir.wait_log("takes packets of 1400 bytes")
        narrow_the_far_side(paths, 1500)
        until(lambda: "no router on the way complains of 1500 bytes any more" in weir.log,
              timeout=300, what="a wider way")
        paths.exec("client", "ip", "route", "flush", "cache")
        assert transfer(paths.connect(SERVICE))


def test_policy_rules_hold(paths):
    """As for a packet that the host forwards: rules by source, another table."""
    paths.batch("lb", f"rule add from {SERVICE_ADDRESS} lookup 100",
                f"route add {CLIENT} via {OUTSIDE['gateway-b']} table 100")
    with serving(paths):
        paths.balance_between("nat")
        assert ways_back(paths, [hold(paths, SERVICE)[0] for _ in range(4)]) == {"gateway-b"}
        no_losses(paths)
