# SPDX-License-Identifier: GPL-2.0-only
"""Addresses and ports are translated, payloads are not touched, replies find who asked."""

import hashlib
import socket
import subprocess
import sys

import pytest

from network import CLIENT, LB, backend, backend_address, backends, until
from servers import echoes, hold, read_exactly, read_line

SECOND_CLIENT = "10.0.0.21"
GIBIBYTE = 1 << 30


@pytest.fixture
def two_clients(lab):
    lab.exec("client", "ip", "address", "add", f"{SECOND_CLIENT}/16", "dev", "eth0")
    return CLIENT, SECOND_CLIENT


def test_ports_of_both_sides_are_translated(lab, servers):
    lab.balance(listen=[f"{LB}:80", f"{LB}:53/udp"], to=backends(2, 8000))
    connection = lab.connect((LB, 80))
    name, seen = read_line(connection).split()
    assert connection.getpeername() == (LB, 80)
    assert seen.startswith(f"{LB}:")  # the backend talks to weir, not to the client
    assert echoes(connection)

    flow = lab.weir("flow", "list")[0]
    own = "%s:%d" % connection.getsockname()
    assert (flow["client"], flow["listen"], flow["snat"]) == (own, f"{LB}:80", seen)
    assert flow["backend"] == backend(int(name[-1]))

    asking = lab.datagrams((LB, 53))
    asking.send(b"?")
    assert asking.recv(100).decode().split()[0] in lab.backends()


@pytest.mark.backends(1)
def test_same_source_port_of_two_clients(lab, servers, two_clients):
    lab.balance()
    pair = [lab.connect(bind=(client, 33333)) for client in two_clients]
    peers = [read_line(one).split()[1] for one in pair]
    assert peers[0] != peers[1]
    for client, connection in zip(two_clients, pair):
        connection.sendall(client.encode())
    for client, connection in zip(two_clients, pair):
        assert read_exactly(connection, len(client)) == client.encode()


def labelled(connection):
    """A payload that names its owner, of a length of its own."""
    address, port = connection.getsockname()
    return f"{address}:{port} ".encode() * (1 + port % 50)


@pytest.mark.backends(1)
def test_1000_pairs_with_one_source_port_tcp(lab, servers, two_clients):
    lab.balance()
    ports = range(20000, 21000)
    every = [lab.connect(bind=(client, port)) for port in ports for client in two_clients]
    peers = {read_line(connection) for connection in every}
    assert len(peers) == len(every)
    for round_ in (every, every[::-1]):
        for connection in round_:
            connection.sendall(labelled(connection))
        for connection in every:
            expected = labelled(connection)
            assert read_exactly(connection, len(expected)) == expected
    assert lab.active() == [2000]


@pytest.mark.backends(1)
def test_1000_pairs_with_one_source_port_udp(lab, servers, two_clients):
    lab.balance(listen=f"{LB}:8000/udp")
    ports = range(20000, 21000)
    every = [lab.datagrams(bind=(client, port)) for port in ports for client in two_clients]
    for first in range(0, len(every), 100):  # what is under way at once fits into the buffers
        for connection in every[first:first + 100]:
            connection.send(labelled(connection))
        for connection in every[first:first + 100]:
            assert connection.recv(65536) == labelled(connection)
    assert len(lab.weir("flow", "list")) == 2000


@pytest.mark.backends(1)
def test_same_source_port_on_two_services(lab, servers):
    """One client socket address, two services, one backend: two flows."""
    lab.balance(listen=[f"{LB}:8000", f"{LB}:81"], to=backends(1, 8000))
    one, two = (lab.connect((LB, port), bind=("0.0.0.0", 33333)) for port in (8000, 81))
    assert read_line(one) != read_line(two)
    assert echoes(one, b"to 8000") and echoes(two, b"to 81")


def test_udp_echo_of_every_size(lab, servers):
    lab.balance(listen=f"{LB}:8000/udp")
    connection = lab.datagrams()
    for size in range(1, 1473):
        payload = bytes((size * 31 + place * 7) & 0xff for place in range(size))
        if payload.startswith(b"?"):
            payload = b"!" + payload[1:]
        connection.send(payload)
        assert connection.recv(65536) == payload, f"{size} bytes"
    reasons = lab.reasons()
    assert reasons["new_flow"] == 1
    assert reasons["to_backend"] == 1471 and reasons["to_client"] == 1472


def test_udp_without_checksum_stays_without(lab, servers):
    """What comes in as 0 goes out as 0; a checksum that weir made up would be wrong."""
    lab.balance(listen=f"{LB}:8000/udp")
    connection = lab.datagrams()
    connection.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
    for payload in (b"x", b"xy", b"\xff" * 1471):
        connection.send(payload)
        assert connection.recv(65536) == payload


def test_tcp_echo_of_odd_sizes(lab, servers):
    lab.balance()
    for size in (1, 2, 3, 5, 535, 536, 537, 1447, 1448, 1449, 2897, 40001):
        connection, _ = hold(lab)
        assert echoes(connection, bytes((place * 13 + size) & 0xff for place in range(size)))


def test_packets_beyond_1500_bytes(lab, servers):
    """The tutorials' checksum ends there. As large as native XDP takes them on one page."""
    for host, interface in (("lan", "port-lb"), ("lan", "port-gateway"), ("lan", "port-backend-1"),
                            ("gateway", "eth0"), ("gateway", "eth1"), ("client", "eth0"),
                            ("backend-1", "eth0"), ("lb", "eth0")):
        lab.exec(host, "ip", "link", "set", interface, "mtu", 3400)
    lab.balance(listen=[f"{LB}:8000", f"{LB}:8000/udp"], to=backends(1))
    assert lab.weir("status")["interfaces"][0]["attach"] == "native"
    asking = lab.datagrams()
    for size in range(1400, 3373, 17):
        payload = bytes(place * 5 + size & 0xff for place in range(size)).replace(b"?", b"!")
        asking.send(payload)
        assert asking.recv(65536) == payload, f"{size} bytes"
    connection, _ = hold(lab)
    assert echoes(connection, bytes(range(256)) * 160)


def test_half_closed_goes_on(lab):
    """A client that has said all it has to say still gets its download."""
    server = lab.listen("backend-1", backend_address(1), 9000)
    lab.balance(to=f"{backend_address(1)}:9000")
    client = lab.connect()
    served, _ = server.accept()
    client.shutdown(socket.SHUT_WR)
    assert served.recv(10) == b""
    until(lambda: lab.active() == [1], what="half-closed counts as active")
    for number in range(50):
        served.sendall(bytes([number]) * 3000)
    served.close()
    data = read_exactly(client, 150000)
    assert hashlib.sha256(data).digest() == hashlib.sha256(
        b"".join(bytes([number]) * 3000 for number in range(50))).digest()
    assert client.recv(1) == b""
    until(lambda: lab.active() == [0], what="closed on both sides")


# Pseudo-random bytes of a 64 KiB block, each block differently rotated: cheap to make, and no two
# blocks are alike. Run as: stream.py send|receive HOST PORT BYTES, or serve-send, serve-receive.
STREAM = """
import hashlib, random, socket, sys
how, host, port, length = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
block = random.Random(length).randbytes(1 << 16) * 2
if how.startswith("serve-"):
    server = socket.create_server((host, port))
    print("listening", flush=True)
    connection, _ = server.accept()
else:
    connection = socket.create_connection((host, port))
digest = hashlib.sha256()
if how.endswith("send"):
    for number in range(length >> 16):
        part = memoryview(block)[number * 257 & 0xffff:][:1 << 16]
        digest.update(part)
        connection.sendall(part)
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
else:
    buffer, left = bytearray(1 << 20), length
    while size := connection.recv_into(buffer):
        digest.update(memoryview(buffer)[:size])
        left -= size
    assert left == 0, left
print(digest.hexdigest(), flush=True)
"""


@pytest.mark.backends(1)
@pytest.mark.parametrize("client,server", [("send", "serve-receive"), ("receive", "serve-send")])
def test_one_gibibyte(lab, client, server):
    lab.balance()

    def stream(host, how, address):
        return lab.popen(host, sys.executable, "-c", STREAM, how, address, 8000, GIBIBYTE,
                         stdout=subprocess.PIPE, text=True)

    serving = stream("backend-1", server, backend_address(1))
    assert serving.stdout.readline() == "listening\n"
    asking = stream("client", client, LB)
    sent, _ = asking.communicate(timeout=120)
    received, _ = serving.communicate(timeout=120)
    assert asking.returncode == serving.returncode == 0
    assert len(sent) == 65 and sent == received
    row = lab.backend_row(backend(1))
    many = "in" if client == "send" else "out"
    assert row["bytes"][many] > GIBIBYTE
    assert row["connections"] == row["connections"] | {"active": 0, "total": 1}


def test_curl_and_nginx(lab):
    """The tutorials' own way: real clients and servers, keep-alive, a big file."""
    directory = lab.serve()
    (directory / "file").write_bytes(bytes(range(256)) * 40000)
    lab.balance()
    answers = lab.exec("client", "curl", "-sS", *[f"http://{LB}:8000/"] * 4).stdout
    assert len({line.split()[0] for line in answers.splitlines()}) == 1  # one connection
    answers = [lab.exec("client", "curl", "-sS", f"http://{LB}:8000/").stdout for _ in range(4)]
    assert len({answer.split()[0] for answer in answers}) == 2
    assert all(f"client={LB}:" in answer for answer in answers)
    got = subprocess.run(lab.command("client", "curl", "-sS", f"http://{LB}:8000/big/file"),
                         check=True, capture_output=True).stdout
    assert got == bytes(range(256)) * 40000


def test_snat_address_pool(lab, servers):
    for number in (100, 101):
        lab.exec("lb", "ip", "address", "add", f"192.168.178.{number}/24", "dev", "eth0")
    lab.balance("--snat-address", "192.168.178.100,192.168.178.101")
    peers = {read_line(lab.connect()).split()[1].split(":")[0] for _ in range(40)}
    assert peers == {"192.168.178.100", "192.168.178.101"}


def test_snat_ports_stay_in_their_range(lab, servers):
    lab.balance("--snat-ports", "5000-5063", "--timeout-tcp-close", "200ms")
    held = [lab.connect() for _ in range(128)]
    ports = [int(read_line(one).rsplit(":", 1)[1]) for one in held]
    assert set(ports) == set(range(5000, 5064))
    with pytest.raises(ConnectionRefusedError):
        lab.connect()
    assert lab.reasons()["snat_exhausted"] == 1
    assert all(echoes(one) for one in held)
    for one in held:
        one.close()

    def free():
        return all(row["used"] == 0 for row in lab.weir("status")["snat"])
    until(free, what="ports are free again")
