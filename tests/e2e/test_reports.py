# SPDX-License-Identifier: GPL-2.0-only
"""What weir says about itself: the JSON that scripts rely on, lists, trace."""

import json
import signal
import subprocess
import threading

import pytest

from frames import IP, TCP, Ether, Raw, Wire
from network import CLIENT, LB, TCP_SERVICE, UDP_SERVICE, backend, until, weir_binary
from servers import echoes, hold, read_line, visit

IN_OUT = {"in": int, "out": int}
CONNECTIONS = {"active": int, "total": int}
COUNTS = {"half_open": int, "established": int, "closing": int, "limit": int,
          "half_open_horizon_ms": int}
# The contract: these fields are there, with these types. There may be more.
BACKEND = {"service": str, "address": str, "weight": int, "state": str, "health": str,
           "connections": CONNECTIONS, "packets": IN_OUT, "bytes": IN_OUT}
SERVICE_ROW = {"name": str, "listen": [str], "protocol": str, "mode": str, "scheduler": str,
               "backends": int, "healthy": int, "connections": CONNECTIONS, "packets": IN_OUT,
               "bytes": IN_OUT}
FLOW = {"service": str, "protocol": str, "client": str, "listen": str, "backend": str, "snat": str,
        "state": str, "idle_ms": int}
STATUS = {"version": str, "generation": int,
          "interfaces": [{"name": str, "attach": str, "program_id": int, "driver": str}],
          "reasons": dict, "packets": int, "per_second": {"packets": int, "flows": int},
          "flows": COUNTS,
          "snat": [{"backend": str, "used": int, "limit": int}], "memory_bytes": int,
          "sweep_age_ms": int}


def conforms(value, shape, path="document"):
    if isinstance(shape, dict):
        assert isinstance(value, dict), path
        for key, inner in shape.items():
            assert key in value, f"{path} has no {key}"
            conforms(value[key], inner, f"{path}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list) and value, path
        for one in value:
            conforms(one, shape[0], f"{path}[]")
    else:
        assert type(value) is shape, f"{path} is {value!r}"
        assert shape is not int or value >= 0, f"{path} is {value}"


@pytest.fixture
def busy(lab, servers):
    """Four connections, two of them closed, and a datagram."""
    lab.balance(listen=[f"{LB}:8000", f"{LB}:8000/udp"])
    lab.held = [hold(lab)[0] for _ in range(4)]
    for connection in lab.held[:2]:
        connection.close()
    asking = lab.datagrams()
    asking.send(b"?")
    asking.recv(100)
    until(lambda: sum(lab.active()[:2]) == 2, what="two closed")
    return lab


def test_documents_have_their_fields(busy):
    for shape, *command in (([BACKEND], "backend", "list"), ([SERVICE_ROW], "service", "list"),
                            ([FLOW], "flow", "list"), (COUNTS, "flow", "count"),
                            (STATUS, "status")):
        conforms(busy.weir(*command), shape, " ".join(command))


def test_documents_tell_the_truth(busy):
    tcp, udp = busy.weir("service", "list")
    assert (tcp["name"], udp["name"]) == (TCP_SERVICE, UDP_SERVICE)
    assert tcp["listen"] == udp["listen"] == [f"{LB}:8000"]
    assert (tcp["protocol"], udp["protocol"]) == ("tcp", "udp")
    assert (tcp["mode"], tcp["scheduler"], tcp["backends"], tcp["healthy"]) == ("nat", "rr", 2, 2)
    assert tcp["connections"]["active"] == 2 and tcp["connections"]["total"] == 4
    assert udp["packets"] == {"in": 1, "out": 1}

    rows = busy.weir("backend", "list", TCP_SERVICE)
    assert [row["address"] for row in rows] == [backend(1), backend(2)]
    for row in rows:
        assert (row["service"], row["weight"], row["state"]) == (TCP_SERVICE, 1, "ready")
        assert row["connections"]["total"] == 2
    for key in ("packets", "bytes"):
        for way in ("in", "out"):
            assert sum(row[key][way] for row in rows) == tcp[key][way] > 0

    flows = busy.weir("flow", "list")
    states = sorted((flow["protocol"], flow["state"]) for flow in flows)
    assert states == [("tcp", "closing")] * 2 + [("tcp", "established")] * 2 + [
        ("udp", "half_open")]
    clients = {flow["client"] for flow in flows if flow["state"] == "established"}
    assert clients == {"%s:%d" % one.getsockname() for one in busy.held[2:]}
    counts = busy.weir("flow", "count")
    assert (counts["established"], counts["closing"], counts["half_open"]) == (2, 2, 1)
    assert counts["limit"] == 262144

    status = busy.weir("status")
    assert status["version"] == busy.weir_text("--version").stdout.split()[1]
    assert status["generation"] == 1
    assert {key: status["flows"][key] for key in COUNTS} | {"half_open_horizon_ms": 0} == {
        key: counts[key] for key in COUNTS} | {"half_open_horizon_ms": 0}
    assert sum(row["used"] for row in status["snat"]) == len(flows)
    assert status["sweep_age_ms"] < 5000


def test_counters_are_exact(lab, servers):
    """A known exchange, packet by packet and byte by byte, frames as on the wire."""
    lab.balance(listen=f"{LB}:8000/udp")
    asking = lab.datagrams()
    for size in (10, 100, 1000):
        asking.send(b"x" * size)
        assert len(asking.recv(2000)) == size
    service, = lab.weir("service", "list")
    assert service["packets"] == {"in": 3, "out": 3}
    assert service["bytes"] == {"in": 1110 + 3 * 42, "out": 1110 + 3 * 42}
    status = lab.weir("status")
    reasons = {name: count for name, count in lab.reasons().items()
               if count and name != "not_ip"}  # ARP
    assert reasons == {"new_flow": 1, "to_backend": 2, "to_client": 3}
    assert status["packets"] == sum(status["reasons"].values())


def test_sum_of_reasons_is_the_number_of_frames(lab, servers):
    """A known number of frames of all kinds, counted apart from the reasons."""
    lab.balance()
    wire = Wire(lab, "lan", "port-lb")
    ether = Ether(src="02:00:00:00:00:01", dst=lab.mac("lb"))
    before = lab.weir("status")["packets"]
    packets = [TCP(dport=8000, flags="S"), TCP(dport=8000, flags="A"), TCP(dport=1, flags="R")]
    for number in range(100):
        for packet in packets:
            wire.send(ether / IP(src=f"192.168.178.{number + 100}", dst=LB) / packet)
        wire.send(Ether(src=ether.src, dst=ether.dst, type=0x88b5) / Raw(b"x" * 50))
    until(lambda: lab.weir("status")["packets"] >= before + 400, what="all frames")
    reasons = lab.reasons()
    assert reasons["new_flow"] == 100
    assert reasons["no_flow"] + reasons["to_backend"] >= 100
    assert reasons["not_ours"] >= 100 and reasons["not_ip"] >= 100


@pytest.mark.parametrize("arguments,count", [
    (["--service", TCP_SERVICE], 4), (["--service", UDP_SERVICE], 1),
    (["--backend", backend(1), "--service", TCP_SERVICE], 2), (["--client", CLIENT], 5),
    (["--client", "10.0.0.99"], 0)])
def test_flow_filters(busy, arguments, count):
    assert len(busy.weir("flow", "list", *arguments)) == count


@pytest.mark.parametrize("arguments,status", [
    (["flow", "list", "--service", "nonsense"], 1), (["backend", "list", "nonsense"], 1),
    (["flow", "list", "--client", "nobody"], 2), (["flow", "list", "--backend", "10.0.0.1"], 2),
    (["flow", "list", "--frob"], 2), (["flow"], 2), (["flow", "frob"], 2), (["frob"], 2), ([], 2),
    (["status", "more"], 2), (["trace", "--reason", "none_such"], 2)])
def test_wrong_questions(lab, servers, arguments, status):
    lab.balance()
    result = lab.weir_text(*arguments, check=False)
    assert result.returncode == status, result.stderr
    assert result.stderr.startswith("weir: ") and result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_text_says_the_same(busy):
    text = busy.weir_text("status").stdout
    for word in ("eth0", "native", TCP_SERVICE, UDP_SERVICE, backend(1), "new_flow", "to_client"):
        assert word in text
    assert busy.weir_text("flow", "list").stdout.count("established") == 2
    assert backend(2) in busy.weir_text("backend", "list").stdout
    assert TCP_SERVICE in busy.weir_text("service", "list").stdout
    assert "\x1b" not in text  # no colours into a pipe


@pytest.mark.parametrize("command", ["", "run", "status", "service list", "backend list",
                                     "flow list", "flow count", "trace"])
def test_help_for_each(lab, command):
    result = lab.weir_text(*command.split(), "--help")
    assert f"weir {command}".strip() in result.stdout and result.stderr == ""


class Trace:
    """`weir trace` running beside the test; `lines` grows as it prints."""

    def __init__(self, lab, *arguments):
        self.process = subprocess.Popen(
            [weir_binary(), "--socket", lab.control_socket, *arguments], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lab.processes.append(self.process)
        self.lines = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def documents(self):
        return [json.loads(line) for line in list(self.lines)]

    def count(self, reason):
        return sum(one["reason"] == reason for one in self.documents())

    def stop(self, sent=signal.SIGINT):
        """Returns the exit status; `lines` is complete then."""
        self.process.send_signal(sent)
        return self.wait()

    def wait(self):
        status = self.process.wait(10)
        self.reader.join(10)
        assert self.process.stderr.read() == "" or status == 1
        return status


def traced(lab):
    """Is the switch on? Looked at in the map of the program that sits on the interface."""
    program = lab.weir("status")["interfaces"][0]["program_id"]
    shown = json.loads(lab.exec("lb", "/usr/sbin/bpftool", "-j", "prog", "show", "id", program)
                       .stdout)
    for number in shown["map_ids"]:
        about = json.loads(lab.exec("lb", "/usr/sbin/bpftool", "-j", "map", "show", "id", number)
                           .stdout)
        if about.get("name") == "runtime":
            value = json.loads(lab.exec("lb", "/usr/sbin/bpftool", "-j", "map", "lookup", "id",
                                        number, "key", 0, 0, 0, 0).stdout)["value"]
            return int(value[0], 0) != 0
    raise AssertionError("no map \"runtime\"")


def test_trace_shows_each_decision(lab, servers):
    lab.balance()
    assert not traced(lab)
    trace = Trace(lab, "--json", "trace")
    until(lambda: traced(lab), what="the switch")
    connection, name = hold(lab)
    assert echoes(connection)
    client, address = "%s:%d" % connection.getsockname(), backend(int(name[-1]))
    # The name, what is to be echoed, and the echo.
    until(lambda: [one["tcp_flags"] for one in trace.documents()].count("PA") == 3)
    found = [one for one in trace.documents() if one["protocol"]]  # without ARP
    first, answer = found[0], found[1]
    assert (first["reason"], first["verdict"], first["tcp_flags"]) == ("new_flow", "send", "S")
    assert (first["source"], first["destination"]) == (client, f"{LB}:8000")
    assert (first["service"], first["backend"]) == (TCP_SERVICE, address)
    assert (answer["reason"], answer["tcp_flags"], answer["source"]) == ("to_client", "SA", address)
    assert found == sorted(found, key=lambda one: one["time"])
    trace.stop()
    until(lambda: not traced(lab), what="the switch off again")
    assert echoes(connection)


def test_trace_counts_match_the_reasons(lab, servers):
    """One line a decision, none lost, none twice."""
    lab.balance()
    trace = Trace(lab, "--json", "trace")
    until(lambda: traced(lab), what="the switch")
    before = lab.reasons()
    for _ in range(20):
        visit(lab)
    until(lambda: lab.active() == [0, 0], what="all closed")
    after = lab.reasons()
    expected = {reason: after[reason] - before[reason]
                for reason in ("new_flow", "to_backend", "to_client")}
    assert expected["new_flow"] == 20

    def seen():
        return {reason: trace.count(reason) for reason in expected}
    until(lambda: seen() == expected, what="a line for each decision")
    trace.stop()
    assert seen() == expected


def test_trace_filters_and_text(lab, servers):
    lab.balance()
    trace = Trace(lab, "trace", "--reason", "new_flow", "--backend", backend(2))
    until(lambda: traced(lab), what="the switch")
    for _ in range(6):
        visit(lab)
    until(lambda: len(trace.lines) >= 3, what="three lines")
    trace.stop()
    assert len(trace.lines) == 3
    assert all("new_flow" in line and backend(2) in line for line in trace.lines)


def test_two_traces_and_a_killed_one(lab, servers):
    lab.balance()
    one, two = Trace(lab, "--json", "trace"), Trace(lab, "--json", "trace", "--reason", "new_flow")
    until(lambda: traced(lab), what="the switch")
    until(lambda: visit(lab) and one.lines and two.lines, what="both connected")
    assert two.documents()[0]["reason"] == "new_flow"
    two.stop(signal.SIGKILL)
    seen = one.count("new_flow")
    until(lambda: visit(lab) and one.count("new_flow") > seen, what="the other one goes on")
    assert traced(lab)
    one.stop(signal.SIGKILL)
    until(lambda: not traced(lab), what="the switch off again")


def test_trace_ends_with_the_daemon(lab, servers):
    weir = lab.balance()
    trace = Trace(lab, "trace")
    until(lambda: traced(lab), what="the switch")
    weir.stop()
    assert trace.wait() in (0, 1)


def test_a_client_that_does_not_read_stops_nobody(lab, servers):
    lab.balance()
    idle = subprocess.Popen([weir_binary(), "--socket", lab.control_socket, "--json", "trace"],
                            stdout=subprocess.PIPE)
    lab.processes.append(idle)
    until(lambda: traced(lab), what="the switch")
    for _ in range(1500):  # far more than the pipe holds
        visit(lab)
    assert lab.weir("flow", "count")["limit"]
    idle.kill()
    until(lambda: not traced(lab), what="the switch off again")


def test_long_lists_are_complete(lab, servers):
    lab.balance()
    held = [lab.connect() for _ in range(3000)]
    names = {read_line(connection) for connection in held}
    assert len(names) == 3000
    flows = lab.weir("flow", "list")
    assert {flow["client"] for flow in flows} == {"%s:%d" % one.getsockname() for one in held}
    assert len(lab.weir_text("flow", "list").stdout.splitlines()) == 3001
