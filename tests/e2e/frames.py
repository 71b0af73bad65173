# SPDX-License-Identifier: GPL-2.0-only
"""Raw frames: crafted with scapy, sent and observed through AF_PACKET inside a host."""

import logging
import socket
import struct

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment  # noqa: E402,F401
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment  # noqa: E402,F401
from scapy.layers.l2 import ARP, Dot1Q, Ether  # noqa: E402,F401
from scapy.packet import Raw  # noqa: E402,F401

from network import PATIENCE  # noqa: E402

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
VLAN_VALID = 1 << 4


class Wire:
    """An interface of a host: sends frames as they are, sees all that its stack is given."""

    def __init__(self, lab, host, interface="eth0"):
        self.mac = lab.mac(host, interface)
        self.socket = lab.socket(host, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.bind((interface, ETH_P_ALL))

    def send(self, *frames):
        for frame in frames:
            self.socket.send(bytes(frame))

    def receive(self, timeout=PATIENCE):
        """The next frame, with the VLAN tag that the kernel takes out put back."""
        self.socket.settimeout(timeout)
        frame, ancillary, _, _ = self.socket.recvmsg(65536, 256)
        for level, kind, data in ancillary:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci, tpid = struct.unpack("=IIIHHHH", data[:20])
                if status & VLAN_VALID:
                    frame = frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
        return frame

    def wait_for(self, wanted, timeout=PATIENCE, what="the frame"):
        """The first frame that is wanted, as scapy sees it; others are skipped."""
        skipped = []
        try:
            while True:
                frame = Ether(self.receive(timeout))
                if wanted(frame):
                    return frame
                skipped.append(bytes(frame).hex())
        except TimeoutError:
            raise AssertionError(f"{what} did not arrive, but: {skipped}") from None

    def drain(self):
        """All that has arrived until now."""
        found = []
        try:
            while True:
                found.append(Ether(self.receive(timeout=0)))
        except (BlockingIOError, TimeoutError):
            return found


def checksums_hold(packet):
    """IP, TCP, UDP and ICMP checksums are what scapy would write."""
    again = Ether(bytes(packet))
    for layer in (IP, TCP, UDP, ICMP):
        if layer in again:
            del again[layer].chksum
    again = Ether(bytes(again))
    return all(packet[layer].chksum == again[layer].chksum
               for layer in (IP, TCP, UDP, ICMP) if layer in packet)
