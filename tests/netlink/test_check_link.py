# SPDX-License-Identifier: GPL-2.0-only
"""The interface that check addresses are routed to."""

import json


def links(net):
    return {link["ifname"]: link for link in json.loads(net.ip("host", "-json link"))}


def routes(net, family=4):
    return [line for line in net.ip("host", f"-{family} route").splitlines()
            if line.startswith(("198.1", "2001:2:"))]


def make(shell, name):
    assert shell.do(f"make_check_link {name}") == 0
    return shell.wait("check_link", interface=name)


def test_made_and_removed(net):
    shell = net.shell()
    before = links(net)
    made = make(shell, "weir-check")
    assert made["v4"] == "198.18.0.2" and made["v6"] == "2001:2::3" and made["has_v6"] == "1"
    own = links(net)["weir-check"]
    assert {"UP", "NOARP", "LOWER_UP"} <= set(own["flags"])
    assert own["address"] == "02:77:65:69:72:00"
    assert routes(net) == ["198.18.0.0/18 dev weir-check proto 119 scope link mtu 1280 "]
    assert "2001:2::/64 dev weir-check proto 119" in routes(net, 6)[0]
    assert shell.do("remove_check_link weir-check") == 1
    assert shell.do("remove_check_link weir-check") == 0
    assert links(net).keys() == before.keys() and routes(net) == routes(net, 6) == []


def test_one_that_was_left_is_replaced(net):
    shell = net.shell()
    make(shell, "weir-check")
    before = links(net)["weir-check"]["ifindex"]
    assert make(shell, "weir-check")["v4"] == "198.18.0.2"
    assert links(net)["weir-check"]["ifindex"] != before
    assert len(routes(net)) == 1


def test_each_has_a_part_of_its_own(net):
    shell = net.shell()
    net.ip("host", "route add 198.18.64.0/18 dev eth1")  # somebody else's
    assert [make(shell, f"weir-{i}")["v4"] for i in range(2)] == ["198.18.0.2", "198.18.128.2"]
    assert make(shell, "weir-2")["v6"] == "2001:2:0:3::3"
    for i in range(3, 7):
        make(shell, f"weir-{i}")
    assert shell.do("make_check_link weir-7") == -17
    assert "198.18.0.0/15" in shell.wait("failed").rest
    assert "weir-7" not in links(net)


def test_without_ipv6(net):
    shell = net.shell()
    net.sysctl("ipv6/conf/default/disable_ipv6", 1)
    assert make(shell, "weir-check")["has_v6"] == "0"
    assert routes(net, 6) == []
