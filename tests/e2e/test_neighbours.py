# SPDX-License-Identifier: GPL-2.0-only
"""Nobody pings a neighbour by hand: weir finds its next hops, keeps them, and follows changes."""

import threading

import pytest

from frames import ARP, TCP, Ether, Wire
from network import GATEWAY, LB, backend, backend_address, until
from servers import echoes, hold, read_line, visit


def test_first_connection_on_a_silent_network(lab, servers):
    """Straight after `up`: no host has ever heard of another."""
    for host in ("client", "gateway", "lb", *lab.backends()):
        assert lab.neighbours(host) == {}
    lab.balance()
    assert hold(lab)[1] in lab.backends()
    assert {visit(lab) for _ in range(4)} == set(lab.backends())


def test_backends_and_gateway_are_kept_resolved(lab, servers):
    lab.balance()
    found = lab.neighbours("lb")
    for address, host, interface in ((backend_address(1), "backend-1", "eth0"),
                                     (backend_address(2), "backend-2", "eth0"),
                                     (GATEWAY, "gateway", "eth1")):
        assert found[address]["lladdr"] == lab.mac(host, interface)
    managed = lab.exec("lb", "ip", "-4", "neigh").stdout
    assert managed.count("managed") == 3
    lab.weirs[0].stop()
    assert "managed" not in lab.exec("lb", "ip", "neigh").stdout


def test_permanent_neighbours_are_never_touched(lab, servers):
    """Somebody has set one by hand: it is used, and left alone, also at detach."""
    entry = ["ip", "neigh", "replace", backend_address(1), "lladdr", lab.mac("backend-1"), "dev",
             "eth0", "nud", "permanent"]
    lab.exec("lb", *entry)
    before = lab.neighbours("lb")
    lab.balance()
    assert {visit(lab) for _ in range(4)} == set(lab.backends())
    assert lab.neighbours("lb")[backend_address(1)] == before[backend_address(1)]
    lab.weirs[0].stop()
    assert lab.neighbours("lb")[backend_address(1)] == before[backend_address(1)]


def flush(lab, host):
    """Elsewhere than on the lb only what is resolved: Linux itself refuses a connection when an
    entry that is being resolved is deleted. On the lb `ip` may complain that entries come back."""
    resolved = [word for state in ("reachable", "stale", "delay", "probe")
                for word in ("nud", state)]
    lab.exec(host, "ip", "neigh", "flush", *(["all"] if host == "lb" else resolved),
             check=host != "lb")


class Traffic:
    """Clients that connect, echo and close without pause, and one long connection."""

    def __init__(self, lab):
        self.lab = lab
        self.failures = []
        self.rounds = 0
        self.over = threading.Event()
        self.long, _ = hold(lab)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            try:
                connection, _ = hold(self.lab)
                assert echoes(connection) and echoes(self.long)
                connection.close()
                self.rounds += 1
            except Exception as failure:
                self.failures.append(failure)
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()
        assert not self.failures, self.failures

    def go_on(self, rounds=20):
        """Returns when that many more rounds are done, or one has failed."""
        goal = self.rounds + rounds
        until(lambda: self.failures or self.rounds >= goal, what="more rounds")


@pytest.mark.parametrize("host", ["lb", "gateway", "backend-1", "client"])
def test_flush_under_traffic_loses_nothing(lab, servers, host):
    lab.balance()
    with Traffic(lab) as traffic:
        traffic.go_on()
        for _ in range(10):
            flush(lab, host)
            traffic.go_on(5)
        traffic.go_on()
    assert lab.reasons()["no_next_hop"] == 0
    assert all(row["usable"] for row in lab.weir("backend", "list"))
    if host == "lb":
        until(lambda: lab.exec("lb", "ip", "-4", "neigh").stdout.count("managed") == 3,
              what="managed neighbours again")


def test_flush_while_nothing_flows(lab, servers):
    lab.balance()
    flush(lab, "lb")
    for host in lab.backends():
        flush(lab, host)
    assert {visit(lab) for _ in range(4)} == set(lab.backends())


def announce(lab, host, interface, address):
    """Gratuitous ARP."""
    wire = Wire(lab, host, interface)
    wire.send(Ether(src=wire.mac, dst="ff:ff:ff:ff:ff:ff") /
              ARP(op=1, hwsrc=wire.mac, psrc=address, pdst=address))


def test_backend_with_a_new_mac(lab, servers):
    """A machine was exchanged and says so (gratuitous ARP): flows go on at once."""
    lab.balance()
    held = {}
    while len(held) < 2:
        connection, name = hold(lab)
        held[name] = connection
    lab.exec("backend-1", "ip", "link", "set", "eth0", "address", "02:00:00:00:11:11")
    announce(lab, "backend-1", "eth0", backend_address(1))
    until(lambda: lab.neighbours("lb")[backend_address(1)].get("lladdr") == "02:00:00:00:11:11",
          timeout=60, what="the new MAC address")
    assert echoes(held["backend-1"]) and echoes(held["backend-2"])
    assert {visit(lab) for _ in range(4)} == set(lab.backends())


def test_backend_that_stops_answering_leaves(lab, servers):
    """It is gone (link down): after the kernel gives up, nobody is sent there any more."""
    lab.balance()
    lab.exec("backend-1", "ip", "link", "set", "eth0", "down")
    flush(lab, "lb")
    until(lambda: not lab.backend_row(backend(1))["usable"], timeout=60, what="backend-1 unusable")
    assert {visit(lab) for _ in range(6)} == {"backend-2"}


def test_client_on_the_same_link(lab, servers):
    """A backend's machine is a client of the service: answered at its own MAC address."""
    lab.balance()
    names = set()
    for _ in range(4):
        connection, name = hold(lab, host="gateway")
        assert echoes(connection)
        names.add(name)
    assert names == {"backend-1", "backend-2"}


@pytest.mark.backends(3)
def test_backend_is_a_client_itself(lab, servers):
    lab.balance()
    for host in lab.backends():
        for _ in range(3):
            connection, name = hold(lab, host=host)
            assert name in lab.backends() and echoes(connection, b"hairpin" * 1000)


def test_backend_behind_a_gateway(lab, servers):
    """Not on the lb's link: reached through the router, as is the client."""
    servers.open("client", 8000, address="10.0.0.20")
    lab.balance(to=f"10.0.0.20,{backend_address(1)}")
    connections = [hold(lab, host="gateway") for _ in range(4)]
    assert {name for _, name in connections} == {"client", "backend-1"}
    assert all(echoes(connection) for connection, _ in connections)


def test_gateway_changes(lab, servers):
    """A second router takes over: its MAC address is used for old and new clients."""
    lab.balance()
    connection, _ = hold(lab)
    lab.exec("gateway", "ip", "address", "add", "192.168.178.3/24", "dev", "eth1")
    lab.exec("lb", "ip", "route", "replace", "default", "via", "192.168.178.3")
    until(lambda: "192.168.178.3" in lab.exec("lb", "ip", "neigh").stdout and "managed" in
          next(line for line in lab.exec("lb", "ip", "neigh").stdout.splitlines()
               if line.startswith("192.168.178.3 ")), what="the new gateway kept resolved")
    assert echoes(connection)
    assert visit(lab) in lab.backends()


def test_gateway_with_a_new_mac(lab, servers):
    lab.balance()
    connection, _ = hold(lab)
    lab.exec("gateway", "ip", "link", "set", "eth1", "address", "02:00:00:00:22:22")
    announce(lab, "gateway", "eth1", GATEWAY)
    until(lambda: lab.neighbours("lb")[GATEWAY].get("lladdr") == "02:00:00:00:22:22", timeout=60,
          what="the new MAC address")
    assert echoes(connection)
    assert visit(lab) in lab.backends()


def test_replies_take_the_route_not_the_way_back(lab, servers):
    """The client's packets come through one router, the route to it leads through another."""
    lab.exec("gateway", "ip", "link", "add", "other", "link", "eth1", "type", "macvlan", "mode",
             "bridge")
    lab.exec("gateway", "ip", "address", "add", "192.168.178.3/32", "dev", "other")
    lab.exec("gateway", "ip", "link", "set", "other", "up")
    lab.exec("gateway", "sysctl", "-q", "net.ipv4.conf.all.arp_ignore=1")
    lab.exec("lb", "ip", "route", "replace", "default", "via", "192.168.178.3")
    lab.balance()
    until(lambda: lab.neighbours("lb").get("192.168.178.3", {}).get("lladdr") ==
          lab.mac("gateway", "other"), what="the router resolved")
    router = Wire(lab, "gateway", "eth1")
    client = Wire(lab, "lb")
    assert echoes(hold(lab)[0])
    reply = router.wait_for(lambda frame: TCP in frame and frame[TCP].sport == 8000)
    assert reply.dst == lab.mac("gateway", "other") != lab.mac("gateway", "eth1")
    assert not [frame for frame in client.drain() if TCP in frame]  # weir's alone


def test_addresses_come_and_go(lab, servers):
    """The SNAT address follows the egress address of the host (as with VRRP)."""
    lab.exec("lb", "sysctl", "-q", "net.ipv4.conf.eth0.promote_secondaries=1")
    lab.exec("lb", "ip", "address", "add", "192.168.178.50/24", "dev", "eth0")
    lab.balance(listen="192.168.178.50:8000")
    one = lab.connect(("192.168.178.50", 8000))
    assert read_line(one).split()[1].startswith(f"{LB}:")
    lab.exec("lb", "ip", "address", "del", f"{LB}/24", "dev", "eth0")
    lab.exec("lb", "ip", "route", "replace", "default", "via", GATEWAY)

    def new_source():
        try:
            return read_line(lab.connect(("192.168.178.50", 8000), timeout=2)).split()[1]
        except OSError:
            return ""
    until(lambda: new_source().startswith("192.168.178.50:"), what="the other SNAT address")
