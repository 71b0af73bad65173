# SPDX-License-Identifier: GPL-2.0-only
"""Source ports towards the backends: reused in time, left to the host where it needs them."""

import selectors
import socket
import time
from collections import Counter

import pytest

from frames import IP, TCP, Ether, Wire, checksums_hold
from network import LB, SERVICE, backend, backend_address, until
from servers import echoes, hold, read_line, visit


SECOND_ADDRESS = "192.168.178.40"


class Rush:
    """HTTP clients at a steady rate: the server closes first and keeps each in TIME_WAIT."""

    REQUEST = b"GET / HTTP/1.0\r\n\r\n"

    def __init__(self, lab, rate, total, sources=("0.0.0.0",)):
        self.rate, self.total, self.sources = rate, total, sources
        self.selector = selectors.DefaultSelector()
        self.started = self.open = self.answered = 0
        self.waits = []  # seconds until the SYN-ACK
        self.failures = []
        with lab.inside("client"):
            self.run()

    def run(self):
        begin = time.monotonic()
        while self.started < self.total or self.open:
            due = min(self.total, int((time.monotonic() - begin) * self.rate))
            while self.started < due:
                self.start()
            for key, events in self.selector.select(0.002):
                try:
                    self.step(key.fileobj, key.data)
                except OSError as failure:
                    self.failures.append(failure)
                    self.end(key.fileobj)
            assert time.monotonic() - begin < 30 + 2 * self.total / self.rate, "it hangs"

    def start(self):
        one = socket.socket()
        one.setblocking(False)
        one.bind((self.sources[self.started % len(self.sources)], 0))
        self.started += 1
        self.open += 1
        one.connect_ex(SERVICE)
        self.selector.register(one, selectors.EVENT_WRITE, time.monotonic())

    def step(self, one, began):
        if began:
            one.send(self.REQUEST)
            self.waits.append(time.monotonic() - began)
            self.selector.modify(one, selectors.EVENT_READ, None)
            return
        data = one.recv(4096)
        self.answered += data.startswith(b"HTTP/1.1 200")
        if not data:
            self.end(one)

    def end(self, one):
        self.selector.unregister(one)
        one.close()
        self.open -= 1


def repeated_syns(lab):
    """Linux repeats at once a SYN that TIME_WAIT has answered with an old ACK; others wait a second."""
    names, values = [line.split() for line in lab.exec("client", "cat", "/proc/net/netstat")
                     .stdout.splitlines() if line.startswith("TcpExt:")]
    return int(values[names.index("TCPSynRetrans")])


def time_waits(lab, host="backend-1"):
    """Connections that the backend's kernel will hold on to for a minute."""
    found = lab.exec(host, "ss", "-Htan", "state", "time-wait", "sport", "=", ":8000").stdout
    return len(found.splitlines())


def rush_with_reuse(lab, rate, total, ports, **more):
    """More connections to one backend, within its TIME_WAIT, than there are source ports."""
    rush = Rush(lab, rate, total, **more)
    slow = [wait for wait in rush.waits if wait > 0.9]
    print(f"{total} connections over {ports} ports, longest wait {max(rush.waits):.3f} s")
    assert not rush.failures, Counter(map(str, rush.failures))
    assert rush.answered == total > ports
    assert time_waits(lab) > ports * 0.9  # it is as bad as it can be
    assert not slow, f"{len(slow)} connections waited a second for their SYN-ACK"


def few_ports(lab):
    """1,000 ports for one backend, closed connections forgotten in a second."""
    lab.serve()
    lab.balance("--snat-ports", "2000-2999", "--timeout-tcp-close", "500ms", to=backend_address(1))


def test_ports_in_time_wait_are_reused(lab):
    """Without timestamps, Linux accepts a SYN in TIME_WAIT if its sequence number is newer."""
    lab.exec("client", "sysctl", "-q", "net.ipv4.tcp_timestamps=0")
    few_ports(lab)
    rush_with_reuse(lab, 300, 1800, 1000)
    assert repeated_syns(lab) == 0


def test_ports_in_time_wait_of_other_clients_are_reused(lab):
    """Timestamps of different clients have nothing to do with each other: half of them are older."""
    clients = [f"10.0.1.{number}" for number in range(1, 21)]
    for client in clients:
        lab.exec("client", "ip", "address", "add", f"{client}/16", "dev", "eth0")
    few_ports(lab)
    rush_with_reuse(lab, 300, 1500, 1000, sources=clients)
    assert repeated_syns(lab) == 0


OPTIONS = {
    "linux": [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (7, 0)), ("NOP", None),
              ("WScale", 7)],
    "odd": [("NOP", None), ("Timestamp", (0xffffffff, 1)), ("MSS", 1461), ("NOP", None)],
    "full": [("MSS", 1460), ("SAckOK", b""), ("WScale", 7), ("Timestamp", (5, 0)),
             ("NOP", None)] + [("NOP", None)] * 20,
    "last": [("MSS", 1460), ("WScale", 3), ("NOP", None), ("NOP", None), ("NOP", None),
             ("Timestamp", (1, 2))],
    "none": [("MSS", 536)],
}


def options_of(segment):
    return [option for option in segment.options if option[0] not in ("NOP", "EOL")]


@pytest.mark.parametrize("kind", OPTIONS)
def test_reused_port_carries_no_timestamp(lab, kind):
    """Of a port in quarantine only the sequence number counts then; nothing else is changed."""
    listener = lab.listen("backend-1", backend_address(1), 8000)
    lab.balance("--snat-ports", "2000-2000", "--timeout-tcp-close", "100ms", "--flows", "100",
                "--half-open", "64", to=backend_address(1))
    wire, backend_wire = Wire(lab, "client"), Wire(lab, "backend-1")

    def syn_at_backend():
        return backend_wire.wait_for(lambda frame: TCP in frame and frame[TCP].flags == "S",
                                     what="a SYN")
    client = lab.connect()
    first = syn_at_backend()
    assert "Timestamp" in dict(options_of(first[TCP]))
    listener.accept()[0].close()
    assert client.recv(1) == b""
    client.close()
    until(lambda: lab.weir("flow", "count")["quarantine"] == 1, what="the port in quarantine")
    sent = (Ether(dst=lab.mac("gateway", "eth0"), src=wire.mac) / IP(src="10.0.77.1", dst=LB) /
            TCP(sport=5000, dport=8000, flags="S", seq=(first[TCP].seq + 9000) % (1 << 32),
                options=OPTIONS[kind]))
    wire.send(sent)
    came = syn_at_backend()
    assert (came[TCP].sport, came[TCP].seq) == (2000, sent[TCP].seq)
    assert checksums_hold(came)
    assert options_of(came[TCP]) == [option for option in OPTIONS[kind]
                                     if option[0] not in ("NOP", "Timestamp")]
    assert came[TCP].dataofs == Ether(bytes(sent))[TCP].dataofs


@pytest.mark.long
def test_thousand_connections_a_second_for_a_minute(lab):
    """All ports of the default range, one backend with 60 s of TIME_WAIT."""
    lab.serve()
    lab.balance(to=backend_address(1))
    rush_with_reuse(lab, 1000, 66000, lab.weir("status")["snat"][0]["limit"])
    assert repeated_syns(lab) == 0


def limits(lab):
    return [row["limit"] for row in lab.weir("status")["snat"]]


def used(lab):
    return [row["used"] for row in lab.weir("status")["snat"]]


def source_of(connection):
    """The address and port that the backend sees."""
    address, port = read_line(connection).split()[1].split(":")
    return address, int(port)


def fill(lab, most=1000):
    """Connections until one is refused, and where they come from."""
    held = []
    try:
        while len(held) < most:
            held.append(lab.connect())
    except ConnectionRefusedError:
        pass
    return held, [source_of(connection) for connection in held]


def test_several_addresses_make_a_pool(lab, servers):
    for number in (41, 42):
        lab.exec("lb", "ip", "address", "add", f"192.168.178.{number}/24", "dev", "eth0")
    lab.balance("--snat-address", "192.168.178.41,192.168.178.42", "--snat-address", LB,
                "--snat-ports", "2000-2019", to=backend_address(1))
    assert limits(lab) == [60]
    held, sources = fill(lab)
    assert len(set(sources)) == len(sources) == 60  # every port of every address, none twice
    assert {address for address, _ in sources} == {LB, "192.168.178.41", "192.168.178.42"}
    assert used(lab) == [60]
    assert lab.reasons()["snat_exhausted"] == 1
    assert all(echoes(connection) for connection in held)
    for connection in held[:10]:
        connection.close()


def test_address_that_is_not_there(lab, servers):
    """It may come later (VRRP): weir says so, and goes on."""
    weir = lab.balance("--snat-address", SECOND_ADDRESS)
    assert f"SNAT address {SECOND_ADDRESS} is no address of this host" in weir.log
    lab.exec("lb", "ip", "address", "add", f"{SECOND_ADDRESS}/24", "dev", "eth0")
    weir.wait_log(f"SNAT address {SECOND_ADDRESS} came to this host")
    assert source_of(lab.connect())[0] == SECOND_ADDRESS
    lab.exec("lb", "ip", "address", "del", f"{SECOND_ADDRESS}/24", "dev", "eth0")
    weir.wait_log(f"SNAT address {SECOND_ADDRESS} left this host")


def test_ports_of_the_host_are_left_out(lab, servers):
    """Listeners and the ephemeral range, as they are now and as they become."""
    lab.listen("lb", "0.0.0.0", 2003)
    lab.exec("lb", "sysctl", "-q", "net.ipv4.ip_local_port_range=2008 2009")
    weir = lab.balance("--snat-ports", "2000-2009", "--timeout-tcp-close", "100ms",
                       to=backend_address(1))
    held, sources = fill(lab)
    assert {port for _, port in sources} == {2000, 2001, 2002, 2004, 2005, 2006, 2007}
    weir.wait_log("7 of 7 source ports are in use")  # from now on, weir keeps a queue of free ones
    late = lab.listen("lb", "0.0.0.0", 2005)
    lab.socket("lb", kind=socket.SOCK_DGRAM, bind=("0.0.0.0", 2006))
    lab.exec("lb", "sysctl", "-q", "net.ipv4.ip_local_port_range=2000 2001")
    until(lambda: limits(lab) == [5], timeout=7, what="the others left out")
    assert all(echoes(connection) for connection in held)  # who is there stays
    for connection in held:
        connection.close()
    until(lambda: used(lab) == [0])
    held, sources = fill(lab)
    assert {port for _, port in sources} == {2002, 2004, 2007, 2008, 2009}
    # The host has its own ports for itself: nobody translates what is sent there.
    servers.close("backend-1")
    guest = lab.connect((LB, 2005), host="backend-1", bind=(backend_address(1), 8000))
    late.accept()[0].sendall(b"hello from the host\n")
    assert read_line(guest) == "hello from the host"


def test_range_inside_the_ephemeral_one_is_refused(lab):
    """No port is left: that is an error at the start, which tells what to do."""
    lab.exec("lb", "sysctl", "-q", "net.ipv4.ip_local_port_range=1024 65535")
    weir = lab.run_weir("-i", "eth0", "--listen", f"{LB}:8000", "--backends", backend(1),
                        ready=False)
    weir.may_complain = True
    assert weir.wait() == 1
    assert "--snat-ports" in weir.log and "ip_local_port_range" in weir.log


def test_capacity_is_told(lab, servers):
    weir = lab.balance("--snat-ports", "2000-2999")
    assert "SNAT: 1,000 ports x 1 address per backend" in weir.log
    assert ("warning: SNAT: ports for 2,000 connections in all, below the limit of 262,144 flows"
            in weir.log)
    assert visit(lab) in lab.backends()


def test_capacity_of_defaults_is_no_warning(lab):
    """Nobody asked for 262,144 flows through two backends: it is told, not warned of."""
    weir = lab.balance()
    assert "info: SNAT: ports for " in weir.log
    assert "warning" not in weir.log


def test_enough_capacity_is_no_warning(lab):
    weir = lab.balance("--flows", "10k", "--half-open", "1k")
    assert "warning" not in weir.log


def test_shortage_is_told_while_it_lasts(lab, servers):
    """80 % of the ports in use: the operator hears of it before the last one is gone."""
    weir = lab.balance("--snat-ports", "2000-2099", "--flows", "100", "--half-open", "64",
                       to=backend_address(1))
    assert "warning" not in weir.log
    held = [hold(lab)[0] for _ in range(85)]
    weir.wait_log("85 of 100 source ports are in use")
    assert used(lab) == [85]
    assert all(echoes(connection) for connection in held)
