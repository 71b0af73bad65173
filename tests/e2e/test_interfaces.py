# SPDX-License-Identifier: GPL-2.0-only
"""Several interfaces and routes: packets leave by another interface than they came in on."""

import contextlib

import pytest

from network import until
from paths import (ADDRESSES, BESIDE, INSIDE, SERVICE, echo_servers, no_losses, ready_for, serving,
                   transfer)
from servers import echoes, hold, visit


@pytest.mark.parametrize("mode", ["nat", "dsr", "ipip"])
@pytest.mark.parametrize("attach", ["native", "generic"])
def test_two_megabytes(paths, mode, attach):
    with ready_for(paths, mode) as address, \
            echo_servers(paths, *((host, address or ADDRESSES[host])
                                  for host in ("backend-1", "backend-2"))):
        paths.balance_between(mode, [{"name": name, "attach": attach}
                                     for name in ("eth0", "eth1")])
        assert all(transfer(paths.connect(SERVICE)) for _ in range(2))
        assert [row["connections"]["total"] for row in paths.weir("backend", "list")] == [1, 1]
        no_losses(paths)


@pytest.mark.parametrize("mode", ["dsr", "ipip"])
def test_backends_behind_an_interface_that_is_not_weirs(paths, mode):
    """A program that passes everything makes its driver take what weir sends."""
    with ready_for(paths, mode) as address, serving(paths, address):
        weir = paths.balance_between(mode, ["eth0"])
        assert {visit(paths, SERVICE) for _ in range(4)} == {"backend-1", "backend-2"}
        assert paths.xdp(interface="eth1") == "xdp"
        assert weir.log.index("eth1: attached a program that passes everything") < weir.log.index(
            "attached to eth0 in"), "the first packet has a way out"
        no_losses(paths)
        held, _ = hold(paths, SERVICE)
        weir.kill()
        assert echoes(held)
        weir = paths.run_file()
        assert paths.xdp(interface="eth1") == "xdp"
        assert echoes(held) and visit(paths, SERVICE)
        weir.stop()
        assert echoes(held) and paths.xdp(interface="eth1") == "xdp"
        paths.detach()
        assert paths.xdp() is None and paths.xdp(interface="eth1") is None
        assert not paths.pins.exists()


def test_nat_says_that_replies_pass_by(paths):
    weir = paths.balance_between("nat", ["eth0"])
    weir.wait_log("weir must run on that interface, too")


def test_interface_becomes_weirs_and_is_no_longer(paths):
    """From passing to balancing and back, by the same link; connections go on."""
    with ready_for(paths, "dsr") as address, serving(paths, address):
        held = None
        for interfaces in (["eth0"], ["eth0", "eth1"], ["eth0"]):
            weir = paths.balance_between("dsr", interfaces)
            shown = paths.exec("lb", "ip", "-details", "link", "show", "eth1").stdout
            assert f"name weir_{'pass' if len(interfaces) == 1 else 'xdp'}" in shown
            held = held or hold(paths, SERVICE)[0]
            assert echoes(held) and visit(paths, SERVICE)
            weir.stop()
        no_daemon = paths.detach().stdout
        assert "taken off all interfaces" in no_daemon
        assert paths.xdp(interface="eth1") is None


@pytest.mark.parametrize("where", ["weirs", "others"])
def test_interface_is_made_anew(paths, where):
    """Another device of the same name; then its name changes, which changes nothing."""
    with ready_for(paths, "dsr") as address, serving(paths, address):
        weir = paths.balance_between("dsr", ["eth0", "eth1"] if where == "weirs" else ["eth0"])
        weir.may_complain = True
        held, _ = hold(paths, SERVICE)
        paths.batch("inside", "link delete port-lb")
        until(lambda: not any(row["usable"] for row in paths.weir("backend", "list")),
              what="no backend")
        paths.plug("inside", "lb", INSIDE["lb"])
        paths.receive_from_xdp("inside", "port-lb")
        until(lambda: all(row["usable"] for row in paths.weir("backend", "list")), timeout=30,
              what="backends usable again")
        until(lambda: paths.xdp(interface="eth1") == "xdp", what="a program on eth1")
        assert echoes(held) and visit(paths, SERVICE)
        if where == "others":
            paths.batch("lb", "link set eth1 down", "link set eth1 name server0",
                        "link set server0 up")
            until(lambda: all(row["usable"] for row in paths.weir("backend", "list")), timeout=30,
                  what="backends usable again")
            assert echoes(held) and visit(paths, SERVICE)
        assert paths.weir("status")["interfaces"][0]["attach"] == "native"


def test_a_program_of_somebody_else_stays(paths):
    """It does what weir's would do there."""
    with ready_for(paths, "dsr") as address, serving(paths, address):
        paths.receive_from_xdp("lb", "eth1")
        before = paths.exec("lb", "ip", "-details", "link", "show", "eth1").stdout
        weir = paths.balance_between("dsr", ["eth0"])
        assert "eth1 has an XDP program of its own, which stays" in weir.log
        assert visit(paths, SERVICE)
        no_losses(paths)
        weir.stop()
        paths.detach()
        after = paths.exec("lb", "ip", "-details", "link", "show", "eth1").stdout
        assert "xdp" in after and before.split("prog/xdp")[1] == after.split("prog/xdp")[1]


def test_route_moves_to_an_interface_that_weir_never_used(paths):
    """Its driver is made ready when the route comes, and left alone when it has gone."""
    with ready_for(paths, "dsr") as address, serving(paths, address):
        paths.balance_between("dsr", ["eth0"])
        assert paths.xdp(interface="eth2") is None
        route = f"{ADDRESSES['backend-1']} via {BESIDE['gateway-b']}"
        paths.batch("lb", f"route add {route}")
        until(lambda: paths.xdp(interface="eth2") == "xdp", what="a program on eth2")
        paths.batch("lb", f"route delete {route}")
        until(lambda: paths.xdp(interface="eth2") is None, what="no program on eth2")
        assert visit(paths, SERVICE)


@pytest.mark.parametrize("host, interface", [("lb", "eth1"), ("inside", "port-lb")])
def test_what_the_kernel_cannot_send_is_counted(paths, host, interface):
    """Once it refuses the packet itself, once its driver does: the program's verdict was right."""
    with ready_for(paths, "dsr") as address, serving(paths, address):
        weir = paths.balance_between("dsr")
        held, _ = hold(paths, SERVICE)
        no_losses(paths)
        paths.batch(host, f"link set {interface} down")
        weir.kill()
        held.send(b"lost")
        paths.run_file()
        assert paths.failures() > 0
        assert "could not be sent from another interface" in paths.weir_text("status").stdout


def bridge_on_lb(paths):
    """lb's inner side is a bridge now: its driver knows no native XDP."""
    paths.batch("lb", "address flush dev eth1", "link add br0 type bridge", "link set br0 up",
                "link set eth1 master br0", f"address add {INSIDE['lb']}/24 dev br0",
                f"route replace 10.7.0.0/24 via {INSIDE['router-a']}")


@pytest.mark.parametrize("mode", ["nat", "dsr"])
def test_driver_without_native_xdp_behind(paths, mode):
    """Said in words with what mends it; and that does mend it."""
    bridge_on_lb(paths)
    ours = ["eth0", "br0"] if mode == "nat" else ["eth0"]
    with ready_for(paths, mode) as address, serving(paths, address):
        weir = paths.balance_between(mode, ours)
        assert "br0 takes no packets from native XDP (driver: bridge)" in weir.log
        assert "'attach: generic'" in weir.log
        with pytest.raises(TimeoutError):
            hold(paths, SERVICE, timeout=0.5)
        assert paths.failures() > 0
        weir.stop()
        paths.detach()
        weir = paths.balance_between(mode, [{"name": name, "attach": "generic"} for name in ours])
        assert "takes no packets" not in weir.log
        assert visit(paths, SERVICE)
        no_losses(paths)


def test_native_and_generic_mixed(paths):
    """veth takes frames whatever its own program's mode is, if only its peer has one."""
    with serving(paths):
        weir = paths.balance_between("nat", [{"name": "eth0", "attach": "native"},
                                             {"name": "eth1", "attach": "generic"}])
        assert "takes no packets" not in weir.log
        assert visit(paths, SERVICE)
        no_losses(paths)


def test_peer_without_a_program(paths):
    paths.batch("inside", "link set dev port-lb xdp off")
    weir = paths.balance_between("nat")
    assert "eth1 takes no packets from native XDP: its peer needs an XDP program" in weir.log
