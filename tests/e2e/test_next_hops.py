# SPDX-License-Identifier: GPL-2.0-only
"""Next hops that change under traffic: how long the loss lasts. Each test sees the loss first."""

import time

import pytest

from frames import ARP, Ether, Wire
from network import GATEWAY, LB, backend, backend_address, until
from pulse import Pulse
from servers import echoes, hold, read_exactly, read_line, visit


ROUTED = "203.0.113.80"
NEW_MAC = "02:00:00:00:11:11"


def balance(lab, *more, **others):
    """TCP and UDP; all over the first backend, unless told otherwise."""
    return lab.balance(*more, listen=[f"{LB}:8000", f"{LB}:8000/udp"],
                       **{"to": backend_address(1)} | others)


def change_mac(lab, host, interface="eth0"):
    """A machine was exchanged, and keeps silent about it: it does not even ask for the lb."""
    lab.exec(host, "ip", "-batch", "-", input=f"""
        link set {interface} address {NEW_MAC}
        neigh replace {LB} lladdr {lab.mac("lb")} dev {interface} nud permanent""")


def announce(lab, host, address, interface="eth0"):
    """Gratuitous ARP."""
    wire = Wire(lab, host, interface)
    wire.send(Ether(dst="ff:ff:ff:ff:ff:ff", src=wire.mac) /
              ARP(op=1, hwsrc=wire.mac, psrc=address, pdst=address))


def test_mac_changed_and_announced(lab, servers):
    balance(lab)
    held, _ = hold(lab)
    with Pulse(lab) as pulse:
        change_mac(lab, "backend-1")
        pulse.wait_loss()
        since = time.monotonic()
        announce(lab, "backend-1", backend_address(1))
        pulse.wait_back(2, since)
    assert lab.neighbours("lb")[backend_address(1)]["lladdr"] == NEW_MAC
    assert echoes(held) and visit(lab) == "backend-1"


def test_mac_changed_silently(lab, servers):
    """Nobody says so: weir notices that the backend only gets packets, and has the kernel ask."""
    balance(lab)
    held, _ = hold(lab)
    with Pulse(lab) as pulse:
        since = time.monotonic()
        change_mac(lab, "backend-1")
        pulse.wait_loss()
        pulse.wait_back(5, since)
    assert lab.neighbours("lb")[backend_address(1)]["lladdr"] == NEW_MAC
    assert echoes(held) and visit(lab) == "backend-1"


def test_mac_of_the_gateway_changed(lab, servers):
    """It is a silent one, too: all that it gets are answers."""
    balance(lab)
    held, _ = hold(lab)
    with Pulse(lab) as pulse:
        change_mac(lab, "gateway", "eth1")
        pulse.wait_loss()
        since = time.monotonic()
        announce(lab, "gateway", GATEWAY, "eth1")
        pulse.wait_back(2, since)
    assert lab.neighbours("lb")[GATEWAY]["lladdr"] == NEW_MAC
    assert echoes(held) and visit(lab) == "backend-1"


def second_gateway(lab):
    """backend-2 routes, too: a cable of its own to the client."""
    lab.exec("backend-2", "sh", "-ec", f"""
        echo 1 >/proc/sys/net/ipv4/ip_forward
        ip link add eth1 type veth peer name eth1 netns weir-{lab.name}-client
        ip address add 10.8.0.1/24 dev eth1; ip link set eth1 up
        ethtool -K eth1 tx off tso off gso off gro off >/dev/null
        ip route add 10.0.0.20 via 10.8.0.2""")
    lab.exec("client", "sh", "-ec", "ip address add 10.8.0.2/24 dev eth1; ip link set eth1 up; "
             "ethtool -K eth1 tx off tso off gso off gro off >/dev/null")


def test_route_to_the_clients_changed(lab, servers):
    """The first gateway still brings their packets, but it does not take the answers any more."""
    second_gateway(lab)
    balance(lab)
    held, _ = hold(lab)
    with Pulse(lab) as pulse:
        lab.exec("gateway", "ip", "route", "add", "blackhole", "10.0.0.20/32")
        pulse.wait_loss()
        since = time.monotonic()
        lab.exec("lb", "ip", "route", "replace", "default", "via", backend_address(2))
        pulse.wait_back(2, since)
    assert echoes(held) and visit(lab) == "backend-1"


@pytest.mark.backends(3)
def test_route_to_a_backend_changed(lab, servers):
    """Its address lies behind other machines of the LAN: the second takes over from the first."""
    far = "10.7.0.1"
    lab.exec("backend-1", "ip", "address", "add", f"{far}/32", "dev", "lo")
    servers.open("backend-1", address=far, port=9000)
    for router in ("backend-2", "backend-3"):
        lab.exec(router, "sh", "-ec", f"""
            for scope in all eth0; do echo 0 >/proc/sys/net/ipv4/conf/$scope/send_redirects; done
            echo 1 >/proc/sys/net/ipv4/ip_forward
            ip route add {far} via {backend_address(1)}""")
    lab.exec("lb", "ip", "route", "add", far, "via", backend_address(2))
    balance(lab, to=f"{far}:9000")
    held, _ = hold(lab)
    with Pulse(lab) as pulse:
        lab.exec("backend-2", "ip", "route", "replace", "blackhole", far)
        pulse.wait_loss()
        since = time.monotonic()
        lab.exec("lb", "ip", "route", "replace", far, "via", backend_address(3))
        pulse.wait_back(2, since)
    assert echoes(held) and visit(lab) == "backend-1"
    assert lab.backend_row(f"{far}:9000")["usable"]


def test_backend_dies_and_comes_back(lab, servers):
    """Nobody is sent there while it is dead; it need not announce itself."""
    balance(lab, to=None)
    held = dict(reversed(hold(lab)) for _ in range(2))
    lab.exec("backend-1", "ip", "link", "set", "eth0", "down")
    held["backend-1"].sendall(b"are you there?")
    with pytest.raises(TimeoutError):
        hold_until_lost(lab)
    until(lambda: not lab.backend_row(backend(1))["usable"], timeout=8, what="backend-1 unusable")
    assert {visit(lab) for _ in range(6)} == {"backend-2"}
    lab.exec("backend-1", "ip", "link", "set", "eth0", "up")
    lab.exec("backend-1", "ip", "route", "replace", "default", "via", GATEWAY)
    until(lambda: lab.backend_row(backend(1))["usable"], timeout=8, what="backend-1 usable")
    assert {visit(lab) for _ in range(4)} == set(lab.backends())
    assert read_exactly(held["backend-1"], 14) == b"are you there?"
    assert echoes(held["backend-2"])


def hold_until_lost(lab):
    for _ in range(10):
        hold(lab, timeout=0.5)


def test_link_of_the_lb_goes_down_and_up(lab, servers):
    """The kernel forgets routes and neighbours then; weir has to find all of them again."""
    weir = balance(lab, to=None)
    held = [hold(lab)[0] for _ in range(2)]
    with Pulse(lab) as pulse:
        lab.exec("lb", "ip", "link", "set", "eth0", "down")
        pulse.wait_loss()
        lab.exec("lb", "sh", "-ec", f"ip link set eth0 up; ip route add default via {GATEWAY}")
        pulse.wait_back(5, time.monotonic())
    assert all(echoes(connection) for connection in held)
    assert {visit(lab) for _ in range(4)} == set(lab.backends())
    assert "error" not in weir.log
    until(lambda: lab.exec("lb", "ip", "neigh").stdout.count("managed") == 3,
          what="managed neighbours again")


def test_address_of_the_lb_changed(lab, servers):
    """As when it is renumbered; the service's own address stays. Old flows are lost with the address."""
    lab.exec("lb", "ip", "address", "add", "192.168.178.50/24", "dev", "eth0", "noprefixroute")
    lab.balance(listen=["192.168.178.50:8000"])
    to = ("192.168.178.50", 8000)
    assert read_line(lab.connect(to)).split()[1].startswith(f"{LB}:")
    lab.exec("lb", "sh", "-ec", f"""
        ip address add 192.168.178.60/24 dev eth0; ip address del {LB}/24 dev eth0
        ip address add 192.168.178.60/24 dev eth0 2>/dev/null || true
        ip route replace 192.168.178.0/24 dev eth0 src 192.168.178.60
        ip route replace default via {GATEWAY} src 192.168.178.60""")
    changed = time.monotonic()
    for host in lab.backends():  # nobody answers for the old address any more
        lab.exec(host, "ip", "neigh", "flush", "to", LB)

    def source():
        try:
            return read_line(lab.connect(to, timeout=0.5)).split()[1].split(":")[0]
        except OSError as failure:
            return failure
    seen = [source()]
    until(lambda: seen.append(source()) or seen[-1] == "192.168.178.60", timeout=5,
          what="the new source address")
    print(f"{time.monotonic() - changed:.2f} s, {seen}")
    assert {visit(lab, to) for _ in range(4)} == set(lab.backends())


def test_service_address_that_is_only_routed_here(lab, servers):
    """As of a row of balancers behind ECMP: the host has no such address, its own route even drops it."""
    lab.exec("gateway", "ip", "route", "add", ROUTED, "via", LB)
    lab.exec("lb", "ip", "route", "add", "blackhole", ROUTED)
    lab.balance(listen=[f"{ROUTED}:8000", f"{ROUTED}:8000/udp"], to=backend_address(1))
    held, name = hold(lab, (ROUTED, 8000))
    assert name == "backend-1" and echoes(held, b"x" * 20000)
    datagrams = lab.datagrams((ROUTED, 8000))
    datagrams.send(b"ping")
    assert datagrams.recv(100).endswith(b"ping")
    lab.exec("lb", "ip", "address", "add", f"{ROUTED}/32", "dev", "lo")
    lab.exec("lb", "ip", "address", "del", f"{ROUTED}/32", "dev", "lo")
    assert echoes(held) and visit(lab, (ROUTED, 8000)) == "backend-1"


@pytest.mark.parametrize("scope", ["conf/eth0/forwarding", "conf/all/forwarding", "ip_forward"])
def test_forwarding_switched_off_is_healed(lab, servers, scope):
    weir = balance(lab)
    assert lab.forwarding() == "1"
    with Pulse(lab) as pulse:
        lab.exec("lb", "sh", "-ec", f"""
            cd /proc/sys/net/ipv4; echo 1 >{scope}; echo 0 >{scope}""")
        weir.wait_log("somebody switched net.ipv4.conf.eth0.forwarding off")
        until(lambda: lab.forwarding() == "1", timeout=2, what="forwarding on again")
        pulse.wait_healthy()
        assert pulse.unanswered() == 0
    assert visit(lab) == "backend-1"
    weir.stop()
    assert lab.forwarding() == "0"
