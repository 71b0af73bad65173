# SPDX-License-Identifier: GPL-2.0-only
"""allow and deny: who is served, without a word to the others."""

import time

import pytest

from network import CLIENT, LB, backend, config, service
from servers import echoes, hold, visit
from test_direct import path_of

OTHER_CLIENT = "10.0.0.21"
URL = f"http://{LB}:8000/"


@pytest.fixture
def two_clients(lab):
    """The client has a second address."""
    lab.exec("client", "ip", "address", "add", f"{OTHER_CLIENT}/16", "dev", "eth0")


def web(**more):
    return service("web", 8000, 2, **more)


def curl(lab, source, seconds=10):
    return lab.exec("client", "curl", "--silent", "--show-error", "--interface", source,
                    "--max-time", seconds, URL, check=False)


def served(lab, source):
    return curl(lab, source).stdout.startswith("backend-")


def silent(lab, source):
    """Neither refused nor answered in any way: curl waits to the end of its time."""
    began = time.monotonic()
    result = curl(lab, source, 1)
    return result.returncode == 28 and time.monotonic() - began >= 0.9


@pytest.mark.parametrize("rules", [{"deny": [OTHER_CLIENT]},
                                   {"allow": [CLIENT]},
                                   {"allow": ["10.0.0.0/8"], "deny": ["10.0.0.21/32"]},
                                   {"allow": [f"{CLIENT}/32"], "deny": ["10.0.0.0/8"]}])
def test_one_is_served_the_other_waits_in_vain(lab, two_clients, rules):
    lab.serve()
    lab.run_file(config(web(**rules)))
    assert served(lab, CLIENT)
    before = lab.reasons()
    assert before["denied"] == 0
    assert silent(lab, OTHER_CLIENT)
    after = lab.reasons()
    assert after["denied"] >= 1
    assert after["new_flow"] == before["new_flow"]
    assert served(lab, CLIENT)


@pytest.mark.parametrize("mode", ["dsr", "ipip"])
def test_direct_replies(lab, two_clients, mode):
    lab.serve()
    with path_of(lab, mode):
        lab.run_file(config(web(mode=mode, scheduler="maglev", deny=[OTHER_CLIENT])))
        assert served(lab, CLIENT)
        assert silent(lab, OTHER_CLIENT)
        assert lab.reasons()["denied"] >= 1
        lab.reload(config(web(mode=mode, scheduler="maglev", deny=[CLIENT])))
        assert served(lab, OTHER_CLIENT)
        assert silent(lab, CLIENT)


def test_a_reload_is_for_new_connections(lab, two_clients, servers):
    """Whoever is connected goes on, until he connects anew; defaults are the services' own."""
    lab.run_file(config(web()))
    connection, _ = hold(lab)
    lab.reload(config(web(), defaults={"health": {"type": "none"}, "deny": ["10.0.0.0/16"]}))
    assert lab.weir("config", "diff") == []
    assert "deny: [\"10.0.0.0/16\"]" in lab.weir_text("config", "show").stdout
    assert echoes(connection)
    with pytest.raises(TimeoutError):
        lab.connect(timeout=0.5)
    assert lab.reasons()["denied"] >= 1
    lab.reload(config(web(allow=[CLIENT]),
                      defaults={"health": {"type": "none"}, "deny": ["10.0.0.0/16"]}))
    assert visit(lab)
    with pytest.raises(TimeoutError):
        lab.connect(bind=(OTHER_CLIENT, 0), timeout=0.5)
    lab.reload(config(web()))
    assert visit(lab, bind=(OTHER_CLIENT, 0))
    assert echoes(connection)


def test_rules_survive_a_restart(lab, two_clients, servers):
    weir = lab.run_file(config(web(deny=[OTHER_CLIENT])))
    weir.kill()
    with pytest.raises(TimeoutError):
        lab.connect(bind=(OTHER_CLIENT, 0), timeout=0.5)
    lab.run_file(config(web(deny=[CLIENT])))
    assert visit(lab, bind=(OTHER_CLIENT, 0))
    with pytest.raises(TimeoutError):
        lab.connect(timeout=0.5)


def test_datagrams_of_the_denied_vanish(lab, two_clients, servers):
    lab.run_file(config(web(protocol="udp", deny=[OTHER_CLIENT])))
    allowed, denied = lab.datagrams(), lab.datagrams(bind=(OTHER_CLIENT, 0), timeout=0.5)
    allowed.send(b"x")
    assert allowed.recv(10) == b"x"
    denied.send(b"x")
    with pytest.raises(TimeoutError):  # nor is it refused: an ICMP error would be told
        denied.recv(10)
    assert lab.reasons()["denied"] == 1


def test_ten_thousand_services_share_one_list(lab, servers):
    """A list of defaults is in the datapath once, and costs a reload next to nothing."""
    prefixes = [f"172.{16 + i // 256}.{i % 256}.0/24" for i in range(1000)]

    def many(**defaults):
        return config(web(), *({"name": f"s{i}", "listen": f"10.9.{i // 256}.{i % 256}:80",
                                "backends": [backend(1)]} for i in range(10000)),
                      defaults={"health": {"type": "none"}, **defaults})

    def seconds(configuration):
        lab.configure(configuration)
        began = time.monotonic()
        lab.weir_text("reload", timeout=60)
        return time.monotonic() - began

    weir = lab.run_file(many())
    without = seconds(many())
    with_list = seconds(many(deny=prefixes))
    again = seconds(many(deny=prefixes[1:]))
    resident = next(line for line in open(f"/proc/{weir.process.pid}/status")
                    if line.startswith("VmRSS"))
    print(f"reload: {without:.2f} s, with 1000 prefixes for 10001 services: {with_list:.2f} s, "
          f"{again:.2f} s; {resident.strip()}")
    assert visit(lab)
    assert with_list < 2 * without + 1 and again < 2 * without + 1
    assert int(resident.split()[1]) < 300 * 1024
