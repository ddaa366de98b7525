//! The table in which the sockets of ended flows are looked up.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flowloom_core::record::{FlowKey, SystemProcess};

use super::socket_list::{Endpoint, SocketKey, Transport};

/// The IANA numbers of the protocols.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The number of changes that are made before another thread can look up a flow.
const CHANGES_AT_ONCE: usize = 256;

/// A change of the table: the new process of a socket, or `None` to remove the socket.
pub(super) type Change = (SocketKey, Option<SystemProcess>);

/// The sockets whose process is known. Threads share it.
#[derive(Debug, Default)]
pub(super) struct ProcessTable(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    processes: HashMap<SocketKey, SystemProcess>,
    /// The addresses of this machine.
    addresses: HashSet<IpAddr>,
}

impl ProcessTable {
    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Each change is complete, even if a later one panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes changes. A thread that looks up a flow waits for a part of them at most.
    pub(super) fn apply(&self, changes: &[Change]) {
        for part in changes.chunks(CHANGES_AT_ONCE) {
            let mut contents = self.lock();
            for (key, process) in part {
                match process {
                    Some(process) => {
                        contents.processes.insert(*key, process.clone());
                    }
                    None => {
                        contents.processes.remove(key);
                    }
                }
            }
        }
    }

    /// Replaces the addresses of this machine.
    pub(super) fn set_addresses(&self, addresses: HashSet<IpAddr>) {
        self.lock().addresses = addresses;
    }

    /// Removes all sockets.
    pub(super) fn clear(&self) {
        self.lock().processes = HashMap::new();
    }

    /// Returns the process that owns a socket of this flow: of the source, else of the destination.
    pub(super) fn find(&self, flow: &FlowKey) -> Option<SystemProcess> {
        let transport = match flow.protocol {
            TCP => Transport::Tcp,
            UDP => Transport::Udp,
            _ => return None,
        };
        let src = (flow.src_ip.to_canonical(), flow.src_port);
        let dst = (flow.dst_ip.to_canonical(), flow.dst_port);
        let contents = self.lock();
        let found = contents.owner(transport, src, dst);
        found
            .or_else(|| contents.owner(transport, dst, src))
            .cloned()
    }
}

impl Contents {
    /// Returns the process of a socket at `local` that exchanges packets with `remote`. The kernel prefers the sockets
    /// in the same order.
    fn owner(
        &self,
        transport: Transport,
        local: Endpoint,
        remote: Endpoint,
    ) -> Option<&SystemProcess> {
        let get = |local, remote| {
            let key = SocketKey {
                transport,
                local,
                remote,
            };
            self.processes.get(&key)
        };
        let connected = get(local, Some(remote));
        if transport == Transport::Tcp {
            return connected;
        }
        let wildcard = || {
            // A port of another machine is no port of this one.
            let (address, port) = local;
            let same_family: IpAddr = match address {
                IpAddr::V4(_) if self.is_local(address) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) if self.is_local(address) => Ipv6Addr::UNSPECIFIED.into(),
                _ => return None,
            };
            // A socket of IPv6 receives packets of IPv4 too.
            let of_both = || get((Ipv6Addr::UNSPECIFIED.into(), port), None);
            get((same_family, port), None).or_else(of_both)
        };
        connected.or_else(|| get(local, None)).or_else(wildcard)
    }

    /// Returns whether packets with this address can come from this machine or are for it.
    fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || address.is_multicast()
            // A host without an address asks for one (DHCP).
            || address.is_unspecified()
            || address == IpAddr::V4(Ipv4Addr::BROADCAST)
            || self.addresses.contains(&address)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use flowloom_core::decode::Tunnel;

    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        let address: std::net::SocketAddr = text.parse().unwrap();
        (address.ip(), address.port())
    }

    pub(in crate::processes) fn key(
        transport: Transport,
        local: &str,
        remote: Option<&str>,
    ) -> SocketKey {
        SocketKey {
            transport,
            local: endpoint(local),
            remote: remote.map(endpoint),
        }
    }

    pub(in crate::processes) fn process(pid: u32) -> SystemProcess {
        SystemProcess {
            pid,
            name: Some(format!("p{pid}").into()),
        }
    }

    pub(in crate::processes) fn flow(protocol: u8, src: &str, dst: &str) -> FlowKey {
        let ((src_ip, src_port), (dst_ip, dst_port)) = (endpoint(src), endpoint(dst));
        FlowKey {
            src_ip,
            dst_ip,
            src_port,
            dst_port,
            protocol,
            vlan_id: 0,
            tunnel: Tunnel::None,
        }
    }

    /// Returns a table with sockets, whose processes have the numbers 1, 2, …, on a machine with the addresses 192.0.2.1
    /// and 2001:db8::1.
    fn table(sockets: &[(Transport, &str, Option<&str>)]) -> ProcessTable {
        let table = ProcessTable::default();
        let changes = sockets
            .iter()
            .zip(1..)
            .map(|(&(transport, local, remote), pid)| {
                (key(transport, local, remote), Some(process(pid)))
            });
        table.apply(&changes.collect::<Vec<_>>());
        let addresses = ["192.0.2.1", "192.0.2.255", "2001:db8::1"];
        table.set_addresses(addresses.map(|text| text.parse().unwrap()).into());
        table
    }

    fn pid(table: &ProcessTable, protocol: u8, src: &str, dst: &str) -> Option<u32> {
        Some(table.find(&flow(protocol, src, dst))?.pid)
    }

    #[test]
    fn tcp_is_matched_by_all_addresses_and_ports_in_both_directions() {
        let table = table(&[
            (Transport::Tcp, "192.168.1.5:50000", Some("8.8.8.8:443")),
            (Transport::Tcp, "19.1.1.1:50000", Some("8.8.4.4:443")),
            (Transport::Udp, "192.0.2.1:50001", Some("8.8.8.8:443")),
        ]);
        let find = |src, dst| pid(&table, TCP, src, dst);
        assert_eq!(find("192.168.1.5:50000", "8.8.8.8:443"), Some(1));
        assert_eq!(find("8.8.8.8:443", "192.168.1.5:50000"), Some(1));
        assert_eq!(find("19.1.1.1:50000", "8.8.4.4:443"), Some(2));
        for other in ["192.168.1.5:50001", "192.168.1.6:50000", "19.1.1.1:50000"] {
            assert_eq!(find(other, "8.8.8.8:443"), None, "{other}");
        }
        assert_eq!(find("192.0.2.1:50001", "8.8.8.8:443"), None);
        assert_eq!(pid(&table, UDP, "192.0.2.1:50001", "8.8.8.8:443"), Some(3));
        assert_eq!(pid(&table, 132, "192.0.2.1:50001", "8.8.8.8:443"), None);
    }

    #[test]
    fn udp_is_matched_by_connected_then_bound_then_wildcard_sockets() {
        let sockets = [
            (Transport::Udp, "0.0.0.0:53", None),
            (Transport::Udp, "192.0.2.1:53", None),
            (Transport::Udp, "192.0.2.1:53", Some("198.51.100.9:999")),
        ];
        let flow = |table: &ProcessTable| {
            let there = pid(table, UDP, "198.51.100.9:999", "192.0.2.1:53");
            assert_eq!(there, pid(table, UDP, "192.0.2.1:53", "198.51.100.9:999"));
            there
        };
        for count in 1..=3 {
            let table = table(&sockets[..count as usize]);
            assert_eq!(flow(&table), Some(count));
            let other = pid(&table, UDP, "198.51.100.8:999", "192.0.2.1:53");
            assert_eq!(other, Some(count.min(2)));
        }
    }

    #[test]
    fn a_wildcard_is_for_addresses_of_this_machine() {
        let table = table(&[
            (Transport::Udp, "0.0.0.0:123", None),
            (Transport::Udp, "[::]:53", None),
            (Transport::Udp, "[::]:123", None),
        ]);
        let find = |src, dst| pid(&table, UDP, src, dst);
        // The remote port is that of another local socket.
        assert_eq!(find("198.51.100.9:123", "192.0.2.1:53"), Some(2));
        assert_eq!(find("198.51.100.9:123", "198.51.100.8:53"), None);
        for dst in ["192.0.2.255:123", "255.255.255.255:123", "224.0.0.251:123"] {
            assert_eq!(find("198.51.100.9:5", dst), Some(1), "{dst}");
        }
        assert_eq!(find("0.0.0.0:123", "198.51.100.9:1"), Some(1));
        assert_eq!(find("[2001:db8::1]:123", "[2001:db8::9]:1"), Some(3));
        assert_eq!(find("[2001:db8::9]:53", "[ff02::fb]:123"), Some(3));
        assert_eq!(find("[2001:db8::9]:1", "[2001:db8::8]:123"), None);
    }

    #[test]
    fn the_process_of_the_source_counts_if_both_ends_are_here() {
        let table = table(&[
            (Transport::Tcp, "127.0.0.1:80", Some("127.0.0.1:5")),
            (Transport::Tcp, "127.0.0.1:5", Some("127.0.0.1:80")),
            (Transport::Udp, "127.0.0.1:53", None),
            (Transport::Udp, "0.0.0.0:6", None),
        ]);
        assert_eq!(pid(&table, TCP, "127.0.0.1:5", "127.0.0.1:80"), Some(2));
        assert_eq!(pid(&table, TCP, "127.0.0.1:80", "127.0.0.1:5"), Some(1));
        assert_eq!(pid(&table, UDP, "127.0.0.1:6", "127.0.0.1:53"), Some(4));
        assert_eq!(pid(&table, UDP, "127.0.0.1:7", "127.0.0.1:53"), Some(3));
    }

    #[test]
    fn changes_replace_and_remove_sockets() {
        let socket = (Transport::Tcp, "192.0.2.1:5", Some("8.8.8.8:443"));
        let table = table(&[socket]);
        let key = key(socket.0, socket.1, socket.2);
        let find = || pid(&table, TCP, "192.0.2.1:5", "8.8.8.8:443");
        table.apply(&[(key, Some(process(9)))]);
        assert_eq!(find(), Some(9));
        table.apply(&[(key, None), (key, None)]);
        assert_eq!(find(), None);
        table.apply(&[(key, Some(process(9)))]);
        table.clear();
        assert_eq!(find(), None);
    }
}
