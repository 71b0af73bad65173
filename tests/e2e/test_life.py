# SPDX-License-Identifier: GPL-2.0-only
"""Start, stop, being killed, being refused: what weir sets on the host, it takes back."""

import os
import pathlib
import signal
import subprocess
import threading

import pytest

from network import BUILD, LB, backends, config, service, until, weir_binary
from servers import echoes, hold, visit


def left_behind(lab):
    """Everything of weir that is on the host now."""
    found = [f"xdp on {name}" for name in ("eth0", "lo") if lab.xdp(interface=name)]
    found += [path for path in pathlib.Path("/run/weir").glob(f"lab-{lab.name}.*")
              if not path.name.endswith(".mark")]  # the lab's own
    if lab.forwarding() != "0":
        found.append("forwarding")
    if "managed" in lab.exec("lb", "ip", "neigh").stdout:
        found.append("managed neighbours")
    return found


def test_native_attachment(lab, servers):
    lab.balance("--attach", "native")
    interface, = lab.weir("status")["interfaces"]
    assert (interface["name"], interface["attach"]) == ("eth0", "native")
    assert interface["driver"] == "veth"
    assert lab.xdp() == "xdp"
    shown = lab.exec("lb", "ip", "-details", "link", "show", "eth0").stdout
    assert f"prog/xdp id {interface['program_id']} name weir_xdp" in shown
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}


def test_native_is_what_auto_takes(lab):
    lab.balance()
    assert lab.weir("status")["interfaces"][0]["attach"] == "native"


def test_generic_attachment(lab, servers):
    lab.balance("--attach", "generic")
    assert lab.weir("status")["interfaces"][0]["attach"] == "generic"
    assert lab.xdp() == "xdpgeneric"
    connection, _ = hold(lab)
    assert echoes(connection, os.urandom(30000))
    asking = [visit(lab) for _ in range(6)]
    assert asking == asking[:2] * 3
    lab.weirs[0].stop()
    assert left_behind(lab) == []


def test_driver_without_native_xdp(lab, servers):
    """The loopback device has none: auto falls back with a warning, native is refused."""
    refused = lab.run_weir("-i", "lo", "--attach", "native", "--listen", "10.9.9.9:80",
                           "--backends", backends(2), ready=False)
    refused.may_complain = True
    assert refused.wait() == 1
    assert "no native XDP" in refused.log and "--attach" in refused.log
    fallen = lab.run_weir("-i", "lo", "--listen", "10.9.9.9:80", "--backends", backends(2, 8000))
    assert "generic mode, which is slower" in fallen.log
    assert lab.weir("status")["interfaces"][0]["attach"] == "generic"
    fallen.stop()
    assert lab.xdp(interface="lo") is None


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_leaves_nothing(lab, servers, sent):
    assert left_behind(lab) == []
    weir = lab.balance()
    connections = [hold(lab)[0] for _ in range(4)]
    assert sorted(str(thing).replace(f"/run/weir/lab-{lab.name}.", "") for thing in
                  left_behind(lab)) == ["forwarding", "managed neighbours", "sock", "state",
                                        "xdp on eth0"]
    assert weir.stop(sent) == 0
    assert left_behind(lab) == []
    assert f"{sent.name}: stopping" in weir.log and "detached from eth0" in weir.log
    for connection in connections:
        connection.close()
    with pytest.raises(ConnectionRefusedError):  # the host itself answers again
        lab.connect()


def test_stop_in_the_middle_of_the_start(lab):
    """Whenever the signal comes: nothing stays."""
    for step in range(12):
        weir = lab.balance() if step == 11 else lab.run_weir(
            "-i", "eth0", "--listen", f"{LB}:8000", "--backends", f"{backends(2)},192.168.178.77",
            ready=False)
        if step < 11:
            weir.may_complain = True  # the very first moments are before the signals are caught
            threading.Event().wait(step * 0.02)
        weir.process.send_signal(signal.SIGTERM)
        assert weir.wait() in (0, -signal.SIGTERM)
        assert left_behind(lab) == [], f"step {step}: {weir.log}"


def test_forwarding_that_was_on_stays_on(lab, servers):
    lab.exec("lb", "sysctl", "-q", "net.ipv4.conf.eth0.forwarding=1")
    weir = lab.balance()
    assert visit(lab)
    weir.stop()
    assert lab.forwarding() == "1"
    assert "forwarding" not in weir.log


def test_killed_and_started_again(lab, servers):
    """kill -9 twice in a row; the clean stop at last restores what was before the first start."""
    for _ in range(2):
        weir = lab.balance()
        weir.may_complain = True
        assert visit(lab)
        weir.process.kill()
        assert weir.wait() == -signal.SIGKILL
        assert lab.forwarding() == "1"  # nobody could put it back
    last = lab.balance()
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    assert last.stop() == 0
    assert left_behind(lab) == []
    assert "earlier weir was killed" in last.log


def test_killed_and_started_for_another_interface(lab, servers):
    """What the killed one has set on eth0 is put back even though nobody works there any more."""
    first = lab.balance()
    first.may_complain = True
    first.process.kill()
    first.wait()
    second = lab.run_weir("-i", "lo", "--listen", "10.9.9.9:80", "--backends", backends(1, 8000))
    assert lab.forwarding() == "0"
    second.stop()
    assert lab.forwarding(interface="lo") == "0"


def test_neighbours_of_a_killed_one_leave(lab):
    """Also those that the next one does not need."""
    first = lab.balance()
    first.may_complain = True
    first.process.kill()
    first.wait()
    lab.balance(to=backends(1)).stop()
    assert left_behind(lab) == []


def refuse(lab, *arguments, **more):
    """Runs weir, which must end by itself: (exit status, what it says)."""
    weir = lab.run_weir(*arguments, ready=False, **more)
    weir.may_complain = True
    status = weir.wait()
    return status, weir.log


GOOD = ["-i", "eth0", "--listen", f"{LB}:8000", "--backends", backends(2)]


def test_second_daemon_on_the_same_socket(lab, servers):
    first = lab.balance()
    status, said = refuse(lab, *GOOD)
    assert status == 1
    assert f"pid {first.process.pid}" in said and lab.control_socket in said
    assert visit(lab) and lab.weir("status")["version"]


def test_second_daemon_on_the_same_interface(lab, servers):
    lab.balance()
    status, said = refuse(lab, *GOOD, socket_path=f"{lab.logs}/other.sock")
    assert status == 1
    assert "another XDP program sits on eth0" in said
    assert lab.forwarding() == "1"  # the first one needs it
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    assert lab.exec("lb", "ip", "-4", "neigh").stdout.count("managed") == 3


def test_foreign_xdp_program_is_left_alone(lab):
    lab.exec("lb", "ip", "link", "set", "eth0", "xdpdrv", "object", BUILD / "bpf" / "pass.bpf.o",
             "section", "xdp.frags")
    status, said = refuse(lab, *GOOD)
    assert status == 1 and "another XDP program sits on eth0" in said
    shown = lab.exec("lb", "ip", "-details", "link", "show", "eth0").stdout
    assert "name weir_pass" in shown
    lab.exec("lb", "ip", "link", "set", "eth0", "xdp", "off")
    assert left_behind(lab) == []


def test_unknown_interface(lab):
    status, said = refuse(lab, "-i", "eth7", *GOOD[2:])
    assert status == 1
    assert "'eth7' does not exist" in said and "eth0" in said
    assert left_behind(lab) == []


def test_socket_that_is_no_socket(lab):
    path = lab.logs / "precious"
    path.write_text("data")
    status, said = refuse(lab, *GOOD, socket_path=str(path))
    assert status == 1 and "not a socket" in said
    assert path.read_text() == "data"
    assert left_behind(lab) == []


@pytest.mark.parametrize("arguments,said", [
    ([], "-i: missing"),
    (["-i", "eth0"], "--listen: missing"),
    (["-i", "eth0", "--listen", f"{LB}:8000"], "--backends: missing"),
    ([*GOOD, "--scheduler", "best"], "'best'"),
    ([*GOOD, "--mode", "teleport"], "'teleport'"),
    ([*GOOD, "--frobnicate"], "'--frobnicate'"),
    ([*GOOD, "--flows", "many"], "--flows"),
    ([*GOOD, "--flows", "0"], "--flows"),
    ([*GOOD, "--timeout-tcp", "5 fortnights"], "--timeout-tcp"),
    ([*GOOD, "--snat-ports", "9-1"], "--snat-ports"),
    ([*GOOD, "--attach", "offload"], "'offload'"),
    ([*GOOD, "-i", "eth1"], "given twice"),
    ([*GOOD, "--listen", f"{LB}:8000"], f"{LB}:8000"),
    (["-i", "eth0", "--listen", LB, "--backends", backends(1)], f"'{LB}'"),
    (["-i", "eth0", "--listen", f"{LB}:70000", "--backends", backends(1)], "--listen"),
    (["-i", "eth0", "--listen", f"{LB}:8000/sctp", "--backends", backends(1)], "'sctp'"),
    (["-i", "eth0", "--listen", f"{LB}:8000", "--backends", "10.0.0.300"], "'10.0.0.300'"),
    (["-i", "eth0", "--listen", f"{LB}:8000", "--backends", "10.0.0.3=300"], "'300'"),
    (["-i", "eth0", "--listen", f"{LB}:8000", "--backends", "10.0.0.3,,10.0.0.4"], "--backends"),
])
def test_wrong_usage_of_run(arguments, said):
    """Exit status 2, one line that names the flag, before anything is touched: no lab needed."""
    result = subprocess.run([weir_binary(), "--socket", "/nonexistent/weir.sock", "run",
                             *arguments], capture_output=True, text=True, timeout=10)
    assert result.returncode == 2
    assert said in result.stderr and result.stderr.count("\n") == 1
    assert result.stdout == ""


def nobody(lab, *arguments):
    """weir on the lb, as somebody who may do nothing."""
    return lab.exec("lb", "setpriv", "--reuid", 65534, "--regid", 65534, "--clear-groups",
                    weir_binary(), "--socket", lab.control_socket, *arguments, check=False)


def test_without_privileges(lab):
    """One line, which says what would help."""
    flags = ["run", "-i", "eth0", "--listen", f"{LB}:8000", "--backends", backends(1)]
    for arguments in (flags, ["decap", "-i", "eth0"]):
        result = nobody(lab, *arguments)
        assert result.returncode == 1 and "needs root" in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1 and result.stdout == ""
    weir = lab.run_file(config(service("web", 8000, 2)))
    result = nobody(lab, "status")
    assert result.returncode == 1 and "become root" in result.stderr
    weir.stop()
    result = nobody(lab, "detach")
    assert result.returncode == 1 and "become root" in result.stderr


def test_commands_without_a_daemon(lab):
    result = lab.weir_text("status", check=False)
    assert result.returncode == 1
    assert lab.control_socket in result.stderr and result.stderr.count("\n") == 1


def test_daemon_outlives_who_reads_its_output(lab, servers):
    weir = lab.balance()
    weir.process.stdout.close()
    assert visit(lab)
    weir.process.send_signal(signal.SIGTERM)
    assert weir.wait() == 0


def test_two_instances_on_two_hosts(lab, servers):
    """Each namespace its own weir: the gateway runs one too, on the link to the client."""
    lab.balance()
    lab.run_weir("-i", "eth0", "--listen", "10.0.0.2:8000", "--backends", backends(2), "--attach",
                 "generic", host="gateway", socket_path=str(lab.logs / "gateway.sock"))
    assert {visit(lab) for _ in range(4)} == {"backend-1", "backend-2"}
    assert len(lab.weir("flow", "list")) == 4
    assert lab.weir("flow", "list", socket_path=str(lab.logs / "gateway.sock")) == []


def served(lab):
    try:
        return visit(lab, timeout=2)
    except OSError:
        return None


def test_interface_goes_down_and_up(lab, servers):
    lab.balance()
    connection, _ = hold(lab)
    lab.exec("lb", "ip", "link", "set", "eth0", "down")
    lab.exec("lb", "ip", "link", "set", "eth0", "up")
    lab.exec("lb", "ip", "route", "add", "default", "via", "192.168.178.2")
    until(lambda: all(row["usable"] for row in lab.weir("backend", "list")), timeout=30,
          what="backends usable again")
    assert echoes(connection)
    until(lambda: served(lab), what="a connection")


def test_interface_vanishes_and_comes_back(lab, servers):
    """Unplugged and made anew under its name: attached again, nothing to restart."""
    weir = lab.balance()
    weir.may_complain = True
    lab.exec("lan", "ip", "link", "del", "port-lb")
    weir.wait_log("vanished")
    assert lab.weir("status")["interfaces"][0]["attach"] == "none"
    lab.exec("lan", "ip", "link", "add", "port-lb", "type", "veth", "peer", "name", "eth0", "netns",
             lab.namespace("lb"))
    lab.exec("lan", "ip", "link", "set", "port-lb", "master", "bridge", "up", "xdpdrv", "object",
             BUILD / "bpf" / "pass.bpf.o", "section", "xdp.frags")
    lab.exec("lb", "ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")
    lab.exec("lb", "ip", "address", "add", f"{LB}/24", "dev", "eth0")
    lab.exec("lb", "ip", "link", "set", "eth0", "up")
    lab.exec("lb", "ip", "route", "add", "default", "via", "192.168.178.2")
    until(lambda: all(row["usable"] for row in lab.weir("backend", "list")), timeout=30,
          what="backends usable again")
    until(lambda: served(lab), timeout=30, what="a connection")
    assert lab.weir("status")["interfaces"][0]["attach"] == "native"
    assert weir.stop() == 0
    assert left_behind(lab) == []
