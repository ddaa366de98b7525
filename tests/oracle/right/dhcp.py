"""The expected values of the DHCP plugin, and the message at which it ends a flow."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from right.transport import payload

REASONS = {
    "unknown-type": "NFStream's meter ends at a message of an unknown type.",
    "no-type": "NFStream gives 0 for the type of a message without a type.",
    "not-utf8": "NFStream's meter ends at a class that is not UTF-8.",
    "cut-option": "NFStream's meter ends at an option without a length, and accepts a truncated "
    "option.",
    "odd-value": "NFStream converts an option of any length to an address.",
    "hardware-address": "NFStream's meter ends at a hardware address that does not have six bytes.",
    "no-cookie": "NFStream reads all packets to port 67 as DHCP.",
}

COOKIE = bytes((99, 130, 83, 99))
NAMES = "DISCOVER OFFER REQUEST DECLINE ACK NACK RELEASE INFORM".split()
MORE_NAMES = (
    "FORCERENEW LEASEQUERY LEASEUNASSIGNED LEASEUNKNOWN LEASEACTIVE BULKLEASEQUERY "
    "LEASEQUERYDONE ACTIVELEASEQUERY LEASEQUERYSTATUS TLS"
).split()
ENDS = ("ACK", "NACK", "INFORM", "DECLINE")


class Client:
    """The client of a flow."""

    def __init__(self, flow: Any) -> None:
        self.is_dhcp = flow.dst_port == 67 and flow.protocol == 17
        self.src_ip = flow.src_ip
        self.is_done = False
        self.reasons: set[str] = set()
        self.all: dict[str, Any] = dict.fromkeys(
            ("dhcp_12", "dhcp_50", "dhcp_55", "dhcp_57", "dhcp_60", "dhcp_77")
        )
        self.all |= {"dhcp_options": [], "dhcp_addr": None}
        self.all |= {"dhcp_msg_type": None, "dhcp_oui": None}

    def values(self) -> dict[str, Any]:
        return self.all

    def add(self, packet: Any) -> None:
        data = payload(packet.ip_packet) if self.is_dhcp else b""
        if len(data) < 240:
            return
        if data[236:240] != COOKIE or data[0] not in (1, 2):
            self.reasons.add("no-cookie")
            return
        options = self.options(data[240:])
        for number, value in options:
            if number == 12 and value:
                self.all["dhcp_12"] = value.decode("utf-8", "replace")
            elif number in (60, 77):
                self.all[f"dhcp_{number}"] = text = value.decode("utf-8", "replace")
                if text.encode() != value:
                    self.reasons.add("not-utf8")
            elif number == 57:
                fits = len(value) < 8
                self.all["dhcp_57"] = int.from_bytes(value, "big") if fits else None
        kind = self.kind(dict(options))
        if kind == "REQUEST":
            self.request(data, options)
        if kind in ENDS or self.src_ip == "0.0.0.0":
            self.is_done = True
        self.all["dhcp_msg_type"] = self.all["dhcp_msg_type"] or kind

    def options(self, rest: bytes) -> list[tuple[int, bytes]]:
        options = []
        while rest and rest[0] != 255:
            if rest[0] == 0:
                rest = rest[1:]
                continue
            if len(rest) < 2 or len(rest) < 2 + rest[1]:
                self.reasons.add("cut-option")
                break
            options.append((rest[0], rest[2 : 2 + rest[1]]))
            rest = rest[2 + rest[1] :]
        return options

    def kind(self, options: dict[int, bytes]) -> str | None:
        value = options.get(53)
        if value is None:
            self.reasons.add("no-type")
            return None
        if len(value) != 1 or not 1 <= value[0] <= len(NAMES):
            self.reasons.add("unknown-type")
        if len(value) != 1:
            return None
        return dict(enumerate(NAMES + MORE_NAMES, 1)).get(value[0], str(value[0]))

    def request(self, data: bytes, options: list[tuple[int, bytes]]) -> None:
        values = dict(options)
        address = values.get(50)
        self.all["dhcp_50"] = None
        if address is not None and len(address) == 4:
            self.all["dhcp_50"] = str(IPv4Address(address))
        elif address is not None:
            self.reasons.add("odd-value")
        self.all["dhcp_55"] = None
        if 55 in values:
            self.all["dhcp_55"] = ",".join(map(str, values[55]))
        self.all["dhcp_oui"] = data[28:31].hex(":")
        if data[2] != 6:
            self.reasons.add("hardware-address")
            self.all["dhcp_oui"] = None
        self.all["dhcp_options"] = [number for number, _ in options]
        if data[12:16] != bytes(4):
            self.all["dhcp_addr"] = str(IPv4Address(data[12:16]))
