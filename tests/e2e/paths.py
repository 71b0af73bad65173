# SPDX-License-Identifier: GPL-2.0-only
"""A network with more than one way: weir between two LANs, routers on both sides.

    client                     10.99.0.20 on lo, behind both gateways
     |eth0 10.0.0.20           |eth1 10.8.0.20
    gateway-a 10.0.0.2        gateway-b 10.8.0.2
     |eth1 192.0.2.2           |eth1 192.0.2.3   |eth2 198.51.100.3
     +----- outside -----------+                 |
     |eth0 192.0.2.10          |eth1 192.0.2.4   |
    lb ------------------------)-----------------+eth2 198.51.100.10
     |eth1 192.168.50.10       router-a          router-b
     |                         |eth0 .2          |eth0 .3        192.168.50.0/24
     +----- inside ------------+-----------------+---- backend-1 .11, backend-2 .12
                               |eth2 10.7.0.2    |eth2 10.7.0.3
                               +----- far -------+---- backend-3 10.7.0.13

The service address is nobody's: the gateways route it to lb. Backends answer lb's address directly,
and clients through router-a.
"""

import contextlib
import ipaddress
import re
import subprocess
import threading

from direct import decapsulation
from network import BUILD, Lab
from servers import Servers

CLIENT = "10.99.0.20"
SERVICE_ADDRESS = "203.0.113.5"
SERVICE = (SERVICE_ADDRESS, 8000)
OUTSIDE = {"gateway-a": "192.0.2.2", "gateway-b": "192.0.2.3", "router-a": "192.0.2.4",
           "lb": "192.0.2.10"}
INSIDE = {"router-a": "192.168.50.2", "router-b": "192.168.50.3", "lb": "192.168.50.10",
          "backend-1": "192.168.50.11", "backend-2": "192.168.50.12"}
FAR = {"router-a": "10.7.0.2", "router-b": "10.7.0.3", "backend-3": "10.7.0.13"}
BESIDE = {"gateway-b": "198.51.100.3", "lb": "198.51.100.10"}
ADDRESSES = {"backend-1": INSIDE["backend-1"], "backend-2": INSIDE["backend-2"],
             "backend-3": FAR["backend-3"]}

LANS = {"outside": OUTSIDE, "inside": INSIDE, "far": FAR}
INTERFACES = {  # of each host in each LAN
    "outside": {"lb": "eth0"}, "inside": {"lb": "eth1"}, "far": {"backend-3": "eth0"}}
DEFAULT_INTERFACE = {"outside": "eth1", "inside": "eth0", "far": "eth2"}
ROUTERS = ("gateway-a", "gateway-b", "router-a", "router-b")
ROUTES = {
    "client": [f"default via 10.0.0.2 src {CLIENT}"],
    "gateway-a": [f"{CLIENT} via 10.0.0.20", f"{SERVICE_ADDRESS} via {OUTSIDE['lb']}"],
    "gateway-b": [f"{CLIENT} via 10.8.0.20", f"{SERVICE_ADDRESS} via {OUTSIDE['lb']}"],
    "router-a": [f"{CLIENT} via {OUTSIDE['gateway-a']}"],
    "router-b": [f"{CLIENT} via {INSIDE['router-a']}"],
    "lb": [f"{CLIENT} via {OUTSIDE['gateway-a']}", f"10.7.0.0/24 via {INSIDE['router-a']}"],
    "backend-1": [f"{CLIENT} via {INSIDE['router-a']}"],
    "backend-2": [f"{CLIENT} via {INSIDE['router-a']}"],
    "backend-3": [f"default via {FAR['router-a']}"],
}
SETTINGS = """
    cd /proc/sys/net
    echo "$1" >ipv4/ip_forward
    for scope in all default; do
        echo 0 >ipv4/conf/$scope/rp_filter
        echo 0 >ipv4/conf/$scope/send_redirects
        echo 0 >ipv4/conf/$scope/accept_redirects
        echo 0 >ipv6/conf/$scope/disable_ipv6
        echo "$1" >ipv6/conf/$scope/forwarding
        echo 0 >ipv6/conf/$scope/accept_ra
        echo 0 >ipv6/conf/$scope/accept_dad
    done
    echo 0 >ipv4/icmp_ratelimit
    echo 0 >ipv6/icmp/ratelimit
    ip link set lo up"""


def six(text):
    """Each network has an IPv6 one beside it: 10.99.0.20 is also fd00:a:63::14."""
    def address(match):
        one, two, three, four, prefix = match.groups()
        mapped = ipaddress.ip_address(
            f"fd00:{int(one):x}:{int(two):x}:{int(three):x}::{int(four):x}")
        return str(mapped) + {"/24": "/64", "/32": "/128"}.get(prefix, "")
    return re.sub(r"(\d+)\.(\d+)\.(\d+)\.(\d+)(/\d+)?", address, text)


def run(*command, **more):
    subprocess.run([str(word) for word in command], check=True, timeout=30, text=True, **more)


class Paths(Lab):
    """Stands in for the lab: the same commands on other hosts."""

    def __init__(self, name, logs):
        super().__init__(name, 3, logs)
        self.hosts = ["client", *ROUTERS, "lb", *self.backends(), *LANS]

    def up(self):
        for host in self.hosts:
            run("ip", "netns", "add", self.namespace(host))
            self.exec(host, "sh", "-euc", SETTINGS, "sh", int(host in ROUTERS))
        for lan in LANS:
            self.batch(lan, "link add bridge type bridge stp_state 0 forward_delay 0 "
                       "mcast_snooping 0", "link set bridge up")
            for host, address in LANS[lan].items():
                self.plug(lan, host, address)
        self.cable(("client", "eth0", "10.0.0.20"), ("gateway-a", "eth0", "10.0.0.2"))
        self.cable(("client", "eth1", "10.8.0.20"), ("gateway-b", "eth0", "10.8.0.2"))
        self.cable(("lb", "eth2", BESIDE["lb"]), ("gateway-b", "eth2", BESIDE["gateway-b"]))
        self.both("client", f"address add {CLIENT}/32 dev lo")
        for host, routes in ROUTES.items():
            self.both(host, *(f"route add {route}" for route in routes))
        for host, interface in (("outside", "port-lb"), ("inside", "port-lb"),
                                ("gateway-b", "eth2")):
            self.receive_from_xdp(host, interface)

    def run_lab(self, *arguments):
        assert arguments == ("down",)
        for host in self.hosts:
            subprocess.run(["ip", "netns", "delete", self.namespace(host)], timeout=30,
                           stderr=subprocess.DEVNULL)

    def batch(self, host, *lines, version=4):
        run("ip", f"-{version}", "-n", self.namespace(host), "-batch", "-",
            input="\n".join(lines) + "\n")

    def both(self, host, *lines):
        """About addresses and routes, for IPv4 and IPv6."""
        self.batch(host, *lines)
        self.batch(host, *map(six, lines), version=6)

    def plain_frames(self, host, interface):
        """What XDP sees is what real hardware would give it."""
        self.exec(host, "ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro",
                  "off")

    def cable(self, one, other):
        (host, interface, _), (peer, peer_interface, _) = one, other
        self.batch(host, f"link add {interface} type veth peer name {peer_interface} netns "
                   f"{self.namespace(peer)}")
        for end, name, address in (one, other):
            self.both(end, f"address add {address}/24 dev {name}")
            self.batch(end, f"link set {name} up")
            self.plain_frames(end, name)

    def plug(self, lan, host, address):
        interface = INTERFACES[lan].get(host, DEFAULT_INTERFACE[lan])
        self.batch(lan, f"link add port-{host} type veth peer name {interface} netns "
                   f"{self.namespace(host)}", f"link set port-{host} master bridge up")
        self.both(host, f"address add {address}/24 dev {interface}")
        self.batch(host, f"link set {interface} up")
        self.plain_frames(host, interface)

    def receive_from_xdp(self, host, interface):
        self.batch(host, f"link set dev {interface} xdpdrv object {BUILD}/bpf/pass.bpf.o section "
                   "xdp.frags")

    # ---- weir ----

    def configuration(self, mode="nat", interfaces=("eth0", "eth1"), backends=("backend-1",
                      "backend-2"), **more):
        """TCP and UDP on the service address."""
        return {"interfaces": list(interfaces), "defaults": {"health": {"type": "none"}},
                "services": [{"name": "web", "listen": f"{SERVICE_ADDRESS}:8000",
                              "protocol": ["tcp", "udp"], "mode": mode, **more,
                              "backends": [{"address": f"{ADDRESSES[name]}:8000"}
                                           for name in backends]}]}

    def balance_between(self, *arguments, **more):
        return self.run_file(self.configuration(*arguments, **more))

    def failures(self):
        return self.weir("status")["redirect_failures"]

    def own_service_address(self, host):
        self.exec(host, "sh", "-euc", f"""
            for scope in all eth0; do
                echo 1 >/proc/sys/net/ipv4/conf/$scope/arp_ignore
                echo 2 >/proc/sys/net/ipv4/conf/$scope/arp_announce
            done
            ip address add {SERVICE_ADDRESS}/32 dev lo""")


@contextlib.contextmanager
def echo_servers(lab, *places, port=8000):
    """Each (host, address) echoes whatever comes, of any length, on TCP."""
    listeners = [lab.listen(host, address, port) for host, address in places]

    def serve(connection):
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept(listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    for listener in listeners:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
    yield
    for listener in listeners:
        listener.close()


def content(size):
    return bytes((place * 7 + place // 251) & 0xff for place in range(4096)) * (size // 4096)


def transfer(connection, size=2 << 20):
    """There and back at once; True if every byte came back."""
    data, got = content(size), bytearray()
    sender = threading.Thread(target=connection.sendall, args=(data,), daemon=True)
    sender.start()
    while len(got) < size:
        piece = connection.recv(65536)
        assert piece, f"closed after {len(got)} of {size} bytes"
        got += piece
    sender.join()
    return got == data


@contextlib.contextmanager
def ready_for(paths, mode):
    """The first two backends are set up for this mode; yields the address that they serve."""
    if mode == "nat":
        yield None
        return
    for host in ("backend-1", "backend-2"):
        paths.own_service_address(host)
    if mode == "dsr":
        yield SERVICE_ADDRESS
        return
    with decapsulation(paths, "backend-1", "backend-2"):
        yield SERVICE_ADDRESS


@contextlib.contextmanager
def serving(paths, address=None, hosts=("backend-1", "backend-2")):
    with Servers(paths) as servers:
        for host in hosts:
            servers.open(host, address=address or ADDRESSES[host])
        yield servers


def no_losses(paths):
    reasons = paths.reasons()
    lost = {name: reasons[name] for name in ("no_egress", "no_next_hop") if reasons[name]}
    assert (lost, paths.failures()) == ({}, 0)
    return reasons
