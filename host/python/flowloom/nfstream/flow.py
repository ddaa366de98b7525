"""Flows and packets as NFStream's plugins see them."""

from collections import namedtuple

from .._flowloom import NFlow, NFPacket

__all__ = ["UDPS", "NFPacket", "NFlow", "columns", "nf_packet"]

# What a packet becomes in another process.
nf_packet = namedtuple("nf_packet", NFPacket._fields)  # type: ignore[misc]


class UDPS:
    """The values of plugins for a flow. It takes any attribute."""

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"UDPS({values})"


_IDENTITY = """id expiration_id src_ip src_mac src_oui src_port dst_ip dst_mac dst_oui dst_port protocol ip_version
    vlan_id""".split()
_APPLICATION = """application_name application_category_name application_is_guessed application_confidence
    requested_server_name client_fingerprint server_fingerprint user_agent content_type""".split()
_DIRECTIONS = ("bidirectional", "src2dst", "dst2src")


def columns(*, tunnels: bool, statistics: bool, splt: bool, dissection: bool, system: bool) -> list[str]:
    """Return the attributes of flows, in NFStream's order. Those of plugins are not among them."""

    def of_each_direction(form: str, names: str) -> list[str]:
        return [form.format(direction, name) for direction in _DIRECTIONS for name in names.split()]

    names = list(_IDENTITY)
    if tunnels:
        names.append("tunnel_id")
    names += of_each_direction("{}_{}", "first_seen_ms last_seen_ms duration_ms packets bytes")
    if statistics:
        names += of_each_direction("{}_{}_ps", "min mean stddev max")
        names += of_each_direction("{}_{}_piat_ms", "min mean stddev max")
        names += of_each_direction("{}_{}_packets", "syn cwr ece urg ack psh rst fin")
    if splt:
        names += ["splt_direction", "splt_ps", "splt_piat_ms"]
    if dissection:
        names += _APPLICATION
    if system:
        names += ["system_process_pid", "system_process_name"]
    return names
