# SPDX-License-Identifier: GPL-2.0-only
"""Services over IPv6 in all modes, from the first neighbour solicitation to a flood."""

import contextlib
import re
import socket
import subprocess
import time

import pytest

from direct import decapsulation, wait_ready
from frames import TCP, UDP, Ether, IPv6, IPv6ExtHdrFragment, Raw, Wire
from network import (BUILD, CLIENT, CLIENT6, LB, LB6, SERVICE6, backend, backend_address, backends,
                     config, endpoint, service, until, weir_binary)
from paths import content, echo_servers, transfer
from servers import Servers, echoes, hold, read_exactly, visit
from test_direct import log_lines, own_address, own_service_address

OWN6 = "fd00:b::9"
ROUTED6 = "fd00:cb::80"  # nobody's, routed to the lb
NARROW = 1400
HALF_OPEN = 1024
MODES = pytest.mark.parametrize("mode", ["nat", "dsr", "ipip"])
DIRECT_MODES = pytest.mark.parametrize("mode", ["dsr", "ipip"])
FAST_CHECK = {"type": "http", "interval": "200ms", "timeout": "150ms", "rise": 1, "fall": 2}


def own_address6(lab):
    """As own_address(): the lb talks to backends from another address than the service's."""
    lab.exec("lb", "ip", "-6", "-force", "-batch", "-", input=f"""
        address del {LB6}/64 dev eth0
        address add {OWN6}/64 dev eth0 nodad
        address add {LB6}/128 dev eth0 nodad preferred_lft 0
        """)


def own_service_address6(lab, host):
    lab.exec(host, "ip", "address", "add", f"{LB6}/128", "dev", "lo", "nodad")


def lose_service_address6(lab, host):
    lab.exec(host, "ip", "address", "del", f"{LB6}/128", "dev", "lo")


@contextlib.contextmanager
def path_of(lab, mode):
    """lb and backends are set up for this mode."""
    if mode != "nat":
        own_address6(lab)
        for host in lab.backends():
            own_service_address6(lab, host)
    with decapsulation(lab, *(lab.backends() if mode == "ipip" else [])):
        yield


def curl(lab, address=LB6, path="/"):
    host = f"[{address}]" if ":" in address else address
    command = lab.command("client", "curl", "--silent", "--show-error", "--max-time", 10,
                          f"http://{host}:8000{path}")
    return subprocess.run(command, check=True, capture_output=True, timeout=20).stdout


def check_nginx(lab, seen, address=LB6):
    """Both backends answer in turn, and log this address as their client's."""
    answers = [curl(lab, address).decode() for _ in range(6)]
    assert [answer.split()[0] for answer in answers] == ["backend-1", "backend-2"] * 3
    client = f"client=[{seen}]:" if ":" in seen else f"client={seen}:"
    assert all(client in answer for answer in answers), answers
    for host in lab.backends():
        until(lambda: len(log_lines(lab, host)) == 3, what="three lines in nginx's log")
        assert all(line.startswith(f"{seen} ") and " 200 " in line for line in log_lines(lab, host))


@MODES
def test_nginx(lab, mode):
    big = lab.serve()
    (big / "file").write_bytes(content(2 << 20))
    with path_of(lab, mode):
        lab.balance("--mode", mode, v6=True)
        check_nginx(lab, LB6 if mode == "nat" else CLIENT6)
        assert curl(lab, path="/big/file") == content(2 << 20)
        reasons = lab.reasons()
        assert reasons["new_flow"] == 7
        assert reasons["no_next_hop"] == reasons["malformed_tcp"] == 0
        if mode != "nat":
            assert reasons["to_client"] == reasons["hashed"] == reasons["no_flow"] == 0


@pytest.mark.parametrize("service_v6", [True, False], ids=["6-in-4", "4-in-6"])
def test_ipip_of_the_other_family(lab, service_v6):
    """Backends are named by addresses of the other family than the service's."""
    own_address(lab)
    own_address6(lab)
    for host in lab.backends():
        own_service_address(lab, host)
        own_service_address6(lab, host)
    big = lab.serve()
    (big / "file").write_bytes(content(2 << 20))
    address = LB6 if service_v6 else LB
    with decapsulation(lab, *lab.backends()):
        lab.balance("--mode", "ipip", v6=service_v6, to=backends(2, 8000, v6=not service_v6))
        check_nginx(lab, CLIENT6 if service_v6 else CLIENT, address)
        assert curl(lab, address, "/big/file") == content(2 << 20)


@MODES
def test_two_megabytes_both_ways(lab, mode):
    """In mode ipip weir itself tells the client of the smaller MTU."""
    places = [(host, backend_address(number, v6=True) if mode == "nat" else LB6)
              for number, host in enumerate(lab.backends(), 1)]
    with path_of(lab, mode), echo_servers(lab, *places):
        lab.balance("--mode", mode, v6=True)
        for _ in range(2):
            assert transfer(lab.connect(SERVICE6))
        assert (lab.reasons()["too_big"] > 0) == (mode == "ipip")
        route = lab.exec("client", "ip", "route", "get", LB6).stdout
        assert ("mtu 1460" in route) == (mode == "ipip")


@pytest.mark.backends(1)
def test_datagrams_in_pieces(lab, servers6):
    lab.balance(listen=f"[{LB6}]:8000/udp", v6=True)
    asking = lab.datagrams(SERVICE6)
    sizes = (8192, 1453, 30000)
    for size in sizes:
        for seed in range(5):
            sent = b"!" + bytes([seed]) + content(1 << 15)[:size - 2]
            asking.send(sent)
            assert asking.recv(65536) == sent, f"{size} bytes"
    reasons = lab.reasons()
    assert reasons["new_flow"] == 1 and reasons["fragment"] == 0
    assert reasons["later_fragment"] == 2 * 5 * sum(-(-(size + 8) // 1448) - 1 for size in sizes)


def pieces(lab, client, payload, identification):
    """A datagram of a client's in two fragments, as the gateway hands it on."""
    whole = bytes(IPv6(src=client, dst=LB6) / UDP(sport=20000, dport=8000) / Raw(payload))[40:]
    return [Ether(src=lab.mac("gateway", "eth1"), dst=lab.mac("lb")) /
            IPv6(src=client, dst=LB6, hlim=63) /
            IPv6ExtHdrFragment(nh=17, id=identification, offset=start // 8, m=start == 0) /
            Raw(whole[start:end]) for start, end in ((0, 1200), (1200, len(whole)))]


@pytest.mark.backends(1)
def test_clients_with_the_same_fragment_id(lab):
    """All leave from one address, so weir gives each datagram an id of its own."""
    serving = lab.socket("backend-1", kind=socket.SOCK_DGRAM, bind=("fd00:b::11", 8000))
    lab.balance(listen=f"[{LB6}]:8000/udp", v6=True)
    wire = Wire(lab, "gateway", "eth1")
    sent = {bytes([number]) * 2000: f"fd00:a::{number:x}" for number in range(0x30, 0x38)}
    cut = [pieces(lab, client, payload, 7) for payload, client in sent.items()]
    wire.send(*(first for first, _ in cut), *(second for _, second in cut))
    assert {serving.recv(4000) for _ in sent} == set(sent)


@pytest.mark.backends(1)
def test_path_mtu_of_a_download(lab):
    """The narrow link is the gateway's, towards the client: the backend must hear of it."""
    big = lab.serve()
    (big / "file").write_bytes(content(2 << 20))
    lab.exec("gateway", "ip", "link", "set", "eth0", "mtu", NARROW)
    lab.balance(v6=True)
    assert curl(lab, path="/big/file") == content(2 << 20)
    assert lab.reasons()["icmp_error"] >= 1
    assert f"mtu {NARROW}" in lab.exec("backend-1", "ip", "route", "get", LB6).stdout


def narrow_router(lab):
    """backend-2 is a router to other addresses of backend-1, fd00:c::1 and 10.3.0.1."""
    lab.exec("backend-2", "sh", "-euc", f"""
        ip link add far type veth peer name near netns {lab.namespace("backend-1")}
        echo 1 >/proc/sys/net/ipv6/conf/all/forwarding; echo 1 >/proc/sys/net/ipv4/ip_forward
        ip address add fd00:c::2/64 dev far nodad; ip address add 10.3.0.2/24 dev far
        ip link set far up mtu {NARROW}
        ethtool -K far tx off tso off gso off gro off >/dev/null""")
    lab.exec("backend-1", "sh", "-euc", """
        ip address add fd00:c::1/64 dev near nodad; ip address add 10.3.0.1/24 dev near
        ip link set near up
        ethtool -K near tx off tso off gso off gro off >/dev/null""")


def test_path_mtu_of_an_upload(lab):
    """The narrow link is behind weir, towards the backend: the client must hear of it."""
    narrow_router(lab)
    lab.exec("backend-1", "sh", "-euc", """
        ip -6 route replace default via fd00:c::2; ip address del fd00:b::11/64 dev eth0""")
    lab.exec("lb", "ip", "route", "add", "fd00:c::/64", "via", "fd00:b::12")
    listener = lab.listen("backend-1", "fd00:c::1", 9000)
    lab.balance(v6=True, to="[fd00:c::1]:9000")
    connection = lab.connect(SERVICE6)
    served, _ = listener.accept()
    connection.sendall(content(100 << 10))
    assert read_exactly(served, 100 << 10) == content(100 << 10)
    assert lab.reasons()["icmp_error"] >= 1
    assert f"mtu {NARROW}" in lab.exec("client", "ip", "route", "get", LB6).stdout


@pytest.mark.parametrize("outer_v6", [False, True], ids=["6-in-4", "6-in-6"])
def test_route_mtu_towards_an_ipip_backend(lab, outer_v6):
    """A narrow link behind a router, whose ICMP errors reach nobody: the route says its MTU."""
    far = "fd00:c::1" if outer_v6 else "10.3.0.1"
    own_address(lab)
    own_address6(lab)
    own_service_address6(lab, "backend-1")
    narrow_router(lab)
    lab.exec("backend-2", "ip", "link", "set", "dev", "far", "xdpdrv", "object",
             BUILD / "bpf" / "pass.bpf.o", "section", "xdp.frags")
    lab.exec("lb", "ip", "route", "add", *(["fd00:c::/64", "via", "fd00:b::12"] if outer_v6 else
                                           ["10.3.0.0/24", "via", "192.168.178.12"]),
             "mtu", NARROW)
    decap = lab.popen("backend-1", weir_binary(), "decap", "-i", "near", stdout=subprocess.PIPE)
    wait_ready(decap)
    with echo_servers(lab, ("backend-1", LB6)):
        lab.balance("--mode", "ipip", v6=True, to=endpoint(far, 8000))
        assert transfer(lab.connect(SERVICE6))
        assert lab.reasons()["too_big"] > 0
        route = lab.exec("client", "ip", "route", "get", LB6).stdout
        assert f"mtu {NARROW - (40 if outer_v6 else 20)}" in route
    decap.terminate()
    assert decap.wait(10) == 0
    decap.stdout.close()


@pytest.mark.parametrize("protocol", ["-U", "-I"])
def test_ping_and_traceroute_of_an_address_that_is_nobodys(lab, servers6, protocol):
    lab.exec("gateway", "ip", "route", "add", ROUTED6, "via", LB6)
    lab.balance(listen=[f"[{ROUTED6}]:8000", f"[{ROUTED6}]:8000/udp"], v6=True)
    for length in (0, 56, 1452):
        said = lab.exec("client", "ping", "-6", "-c", 2, "-i", 0.02, "-W", 2, "-s", length, ROUTED6)
        assert "2 received" in said.stdout
    assert lab.reasons()["echo"] == 6
    port = ["-p", 8000] if protocol == "-U" else []
    said = lab.exec("client", "traceroute", "-6", "-n", protocol, *port, "-q", 1, "-N", 1, "-w", 2,
                    "-m", 6, ROUTED6).stdout
    hops = re.findall(r"^ *\d+  (\S+)", said, flags=re.MULTILINE)
    # Datagrams go on to a backend, which answers as the service; weir itself answers echo requests.
    assert hops[:2] == ["fd00:a::2", ROUTED6] and set(hops[1:]) == {ROUTED6}, said
    assert len(hops) == (3 if protocol == "-U" else 2), said
    assert lab.reasons()["ttl_exceeded"] == (protocol == "-U")


@pytest.mark.parametrize("host", ["lb", "gateway", "backend-1"])
def test_flushed_neighbours(lab, servers6, host):
    """Elsewhere than on the lb only what is resolved: see test_neighbours.py."""
    lab.balance(v6=True)
    held = [hold(lab, SERVICE6)[0] for _ in range(2)]
    states = ["all"] if host == "lb" else ["nud", "reachable", "nud", "stale", "nud", "delay"]
    for _ in range(5):
        lab.exec(host, "ip", "-6", "neigh", "flush", *states, check=host != "lb")
        assert all(echoes(connection) for connection in held)
        assert {visit(lab, SERVICE6) for _ in range(2)} == {"backend-1", "backend-2"}
    assert lab.reasons()["no_next_hop"] == 0
    until(lambda: lab.exec("lb", "ip", "-6", "neigh").stdout.count("managed") >= 3,
          what="managed neighbours")


def test_link_local_gateway(lab, servers6):
    """As routers announce themselves; clients on the link itself are answered directly."""
    lab.exec("gateway", "ip", "address", "add", "fe80::1/64", "dev", "eth1", "nodad")
    lab.exec("lb", "ip", "-6", "route", "replace", "default", "via", "fe80::1", "dev", "eth0")
    lab.balance(v6=True)
    held, _ = hold(lab, SERVICE6)
    lab.exec("lb", "ip", "-6", "neigh", "flush", "all", check=False)
    assert echoes(held)
    assert {visit(lab, SERVICE6) for _ in range(2)} == {"backend-1", "backend-2"}
    for host in ("gateway", "backend-1", "backend-1"):
        assert echoes(hold(lab, SERVICE6, host=host)[0], b"hairpin" * 1000)


@DIRECT_MODES
def test_check_by_the_path_of_the_traffic(lab, mode):
    """The backend's own address answers all the time."""
    def until_health(*wanted):
        until(lambda: [row["health"] for row in lab.weir("backend", "list")] == list(wanted),
              what=f"{wanted}")

    lab.serve()
    with path_of(lab, mode):
        lose_service_address6(lab, "backend-2")
        lab.run_file(config(service("web", 8000, 2, v6=True, mode=mode, health=FAST_CHECK)))
        until_health("up", "down")
        why = lab.backend_row(backend(2, v6=True))["why"]
        assert why.startswith(f"{LB6} by way of the backend: no answer")
        assert {curl(lab).split()[0] for _ in range(4)} == {b"backend-1"}
        own_service_address6(lab, "backend-2")
        until_health("up", "up")
        until(lambda: log_lines(lab, "backend-2"), what="a line in nginx's log")
        assert log_lines(lab, "backend-2")[-1].startswith(f"{OWN6} ")
        lose_service_address6(lab, "backend-1")
        until_health("down", "up")
        assert {curl(lab).split()[0] for _ in range(4)} == {b"backend-2"}
        assert lab.weirs[-1].stop() == 0
        assert lab.left_by_checks() == []


def switch(lab, name):
    return lab.exec("lb", "cat", f"/proc/sys/net/ipv6/conf/eth0/{name}").stdout.strip()


def switches(lab):
    return switch(lab, "forwarding"), switch(lab, "accept_ra")


def test_forwarding_comes_and_goes(lab, servers6):
    """With the first IPv6 service; accept_ra follows, so that announced routes stay."""
    lab.exec("lb", "sysctl", "-q", "net.ipv6.conf.eth0.accept_ra=1")
    four, six = service("four", 8000, 2), service("six", 8000, 2, v6=True)
    weir = lab.run_file(config(four))
    assert switches(lab) == ("0", "1")
    lab.reload(config(four, six))
    assert switches(lab) == ("1", "2")
    assert visit(lab, SERVICE6) in lab.backends()
    lab.exec("lb", "sysctl", "-q", "net.ipv6.conf.eth0.forwarding=0")
    weir.wait_log("somebody switched net.ipv6.conf.eth0.forwarding off")
    until(lambda: switch(lab, "forwarding") == "1", what="forwarding on again")
    weir.kill()
    assert switches(lab) == ("1", "2")
    assert visit(lab, SERVICE6) in lab.backends()
    said = lab.detach().stdout
    assert "net.ipv6.conf.eth0.forwarding set back to 0" in said
    assert "net.ipv6.conf.eth0.accept_ra set back to 1" in said
    assert switches(lab) == ("0", "1")
    # A reload keeps run-time changes in a file, which outlives all else.
    assert [name for name in lab.left_behind() if not name.endswith(".changes")] == []
    assert "managed" not in lab.exec("lb", "ip", "-6", "neigh").stdout


def test_accept_ra_that_is_off_stays_off(lab):
    lab.run_file(config(service("six", 8000, 2, v6=True)))
    assert switches(lab) == ("1", "0")
    lab.weirs[-1].stop()
    lab.detach()
    assert switches(lab) == ("0", "0")


@MODES
def test_operated(lab, mode):
    """Killed, started again, drained, reloaded: who is connected stays."""
    six = service("six", 8000, 2, v6=True, mode=mode)
    with path_of(lab, mode), Servers(lab) as servers:
        for number, host in enumerate(lab.backends(), 1):
            servers.open(host, address=backend_address(number, v6=True) if mode == "nat" else LB6)
        lab.run_file(config(six))
        held = dict(reversed(hold(lab, SERVICE6)) for _ in range(2))
        assert set(held) == {"backend-1", "backend-2"}
        lab.weirs[-1].kill()
        assert all(echoes(connection) for connection in held.values())
        lab.run_file()
        assert f"took over {2 if mode == 'nat' else 0} flows" in lab.weirs[-1].log
        assert all(echoes(connection) for connection in held.values())
        lab.weir("backend", "set", "six", backend(1, v6=True), "drain")
        assert [visit(lab, SERVICE6) for _ in range(3)] == ["backend-2"] * 3
        assert all(echoes(connection) for connection in held.values())
        lab.weir("backend", "set", "six", backend(1, v6=True), "reset")
        lab.reload(config(service("six", 8000, 1, v6=True, mode=mode)))
        assert [visit(lab, SERVICE6) for _ in range(3)] == ["backend-1"] * 3
        assert echoes(held["backend-1"])
        if mode == "nat":  # the others know of no flow, so the removed backend took its own with it
            assert echoes(held["backend-2"])
            lab.weir_text("flow", "kill", "--backend", backend(2, v6=True))
            with pytest.raises(ConnectionResetError):
                held["backend-2"].recv(1)
            assert echoes(held["backend-1"])


def syns(lab, count):
    """Forged SYNs, each from another address, which the sequence makes good for in the checksum."""
    template = bytearray(bytes(Ether(src=lab.mac("lan", "port-lb"), dst=lab.mac("lb")) / IPv6(
        src="fd00:f::", dst=LB6) / TCP(sport=40000, dport=8000, seq=0xffff, flags="S")))
    for number in range(count):
        template[36:38] = number.to_bytes(2, "big")
        template[60:62] = (0xffff - number).to_bytes(2, "big")
        yield bytes(template)


def test_syn_flood(lab, servers6):
    """IPv6 has records and a ring of its own: neither family's clients notice."""
    lab.exec("gateway", "ip", "route", "add", "blackhole", "fd00:f::/32")
    for host in lab.backends():
        lab.exec(host, "sysctl", "-q", "net.ipv4.tcp_syncookies=2")
    lab.run_file(config(service("four", 8000, 2), service("six", 8000, 2, v6=True),
                        limits={"flows": 8192, "flows_v6": 4096, "half_open": HALF_OPEN}))
    held = [hold(lab, SERVICE6)[0] for _ in range(50)] + [hold(lab)[0] for _ in range(10)]
    wire, new = Wire(lab, "lan", "port-lb"), []
    for number, frame in enumerate(syns(lab, 20000)):
        wire.send(frame)
        if number % 1000 == 999:
            time.sleep(0.02)
            new.append(hold(lab, SERVICE6)[0])
    counted = lab.weir("flow", "count")
    print(counted)
    reasons = lab.reasons()
    assert reasons["new_flow"] > 20000 * 0.95
    assert reasons["flows_full"] == reasons["snat_exhausted"] == 0
    assert HALF_OPEN * 0.9 < counted["half_open"] <= HALF_OPEN
    assert len(new) == 20
    until(lambda: lab.weir("flow", "count")["half_open_horizon_ms"] < 3000, what="a near horizon")
    assert all(echoes(connection) for connection in held + new)
    assert visit(lab) in lab.backends() and visit(lab, SERVICE6) in lab.backends()
