//! The TCP and UDP sockets of a network namespace, from the kernel.

use std::io::{self, Read as _};
use std::net::IpAddr;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use socket2::{Domain, Protocol, Socket as KernelSocket, Type};

/// The number of the netlink protocol `NETLINK_SOCK_DIAG`.
const SOCK_DIAG: i32 = libc::NETLINK_SOCK_DIAG;

/// The kernel writes at most 32 KiB into each message of a list.
const MESSAGE_BYTES: usize = 64 << 10;

/// The kernel answers at once. A list that takes longer is an error.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A transport protocol with sockets that are matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// An address and a port.
pub(super) type Endpoint = (IpAddr, u16);

/// The addresses of a socket. IPv4 addresses that are mapped into IPv6 are IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SocketKey {
    pub(super) transport: Transport,
    pub(super) local: Endpoint,
    /// `None` if the socket is not connected.
    pub(super) remote: Option<Endpoint>,
}

/// A socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) key: SocketKey,
    /// The inode, by which a process refers to it; 0 if no process has it.
    pub(super) inode: u64,
}

/// A list of sockets.
#[derive(Debug, Default)]
pub(super) struct SocketList {
    pub(super) sockets: Vec<Socket>,
    /// Whether there are more than the limit.
    pub(super) is_cut: bool,
}

impl SocketList {
    /// Returns the sockets of the thread's network namespace, at most `limit`.
    ///
    /// Of TCP, these are the sockets that are or were connected, without those in TIME_WAIT. Of UDP, these are all
    /// sockets with a port.
    ///
    /// # Errors
    ///
    /// The kernel does not list its sockets.
    pub(super) fn read(limit: usize) -> io::Result<Self> {
        let mut list = Self::default();
        let mut buffer = vec![0; MESSAGE_BYTES];
        for transport in [Transport::Tcp, Transport::Udp] {
            for family in [AF_INET, AF_INET6] {
                list.add(transport, family, limit, &mut buffer)?;
                if list.is_cut {
                    return Ok(list);
                }
            }
        }
        Ok(list)
    }

    /// Adds the sockets of a protocol and an address family.
    fn add(
        &mut self,
        transport: Transport,
        family: u8,
        limit: usize,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        // A socket of its own: the rest of a list that is cut disappears with it.
        let mut kernel = KernelSocket::new(
            Domain::from(libc::AF_NETLINK),
            Type::DGRAM,
            Some(Protocol::from(SOCK_DIAG)),
        )?;
        kernel.set_read_timeout(Some(TIMEOUT))?;
        // Without a name, the receiver is the kernel.
        kernel.send(&request(transport, family))?;
        loop {
            let len = kernel.read(buffer)?;
            let mut rest = buffer.get(..len).unwrap_or_default();
            while !rest.is_empty() {
                let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                match message.payload {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                        let header = &response.header;
                        let Some(key) = key(transport, &header.socket_id) else {
                            continue_after(&mut rest, message.header.length)?;
                            continue;
                        };
                        if self.sockets.len() == limit {
                            self.is_cut = true;
                            return Ok(());
                        }
                        self.sockets.push(Socket {
                            key,
                            inode: header.inode.into(),
                        });
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    // The kernel has no support for this protocol or family, for example without IPv6.
                    NetlinkPayload::Error(error)
                        if error.to_io().kind() == io::ErrorKind::NotFound =>
                    {
                        return Ok(());
                    }
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
                continue_after(&mut rest, message.header.length)?;
            }
        }
    }
}

/// Removes the first message, of this length, from `rest`. Messages begin at multiples of 4 bytes.
fn continue_after(rest: &mut &[u8], length: u32) -> io::Result<()> {
    let length = (length as usize).next_multiple_of(4);
    match length {
        0 => Err(io::Error::other("a message of the kernel has no length")),
        _ => {
            *rest = rest.get(length..).unwrap_or_default();
            Ok(())
        }
    }
}

/// Returns the bytes of a request for all sockets of a protocol and an address family.
fn request(transport: Transport, family: u8) -> Vec<u8> {
    let unconnected = StateFlags::LISTEN | StateFlags::SYN_RECV | StateFlags::TIME_WAIT;
    let (protocol, states) = match transport {
        Transport::Tcp => (
            IPPROTO_TCP,
            StateFlags::all() - unconnected - StateFlags::CLOSE,
        ),
        Transport::Udp => (IPPROTO_UDP, StateFlags::all()),
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol,
        extensions: ExtensionFlags::empty(),
        states,
        socket_id: match family {
            AF_INET6 => SocketId::new_v6(),
            _ => SocketId::new_v4(),
        },
    });
    let mut message = NetlinkMessage::new(header, request.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Returns the key of a socket, or `None` if no flow can have it.
fn key(transport: Transport, id: &SocketId) -> Option<SocketKey> {
    let endpoint = |address: IpAddr, port| (address.to_canonical(), port);
    let local = endpoint(id.source_address, id.source_port);
    let remote = endpoint(id.destination_address, id.destination_port);
    let remote = match (transport, remote) {
        (Transport::Udp, (address, 0)) if address.is_unspecified() => None,
        (_, remote) => Some(remote),
    };
    (local.1 != 0).then_some(SocketKey {
        transport,
        local,
        remote,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn endpoint(address: SocketAddr) -> Endpoint {
        (address.ip().to_canonical(), address.port())
    }

    /// Returns the inode of an open file.
    fn inode(fd: i32) -> u64 {
        std::fs::metadata(format!("/proc/self/fd/{fd}"))
            .unwrap()
            .ino()
    }

    #[test]
    fn the_kernel_lists_connections_and_unconnected_udp_sockets() {
        use std::os::fd::AsRawFd as _;

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let bound = UdpSocket::bind("0.0.0.0:0").unwrap();
        let connected = UdpSocket::bind("127.0.0.1:0").unwrap();
        connected.connect("127.0.0.1:9").unwrap();
        let list = SocketList::read(usize::MAX).unwrap();
        assert!(!list.is_cut);
        let tcp = |socket: &TcpStream| {
            let (local, remote) = (socket.local_addr().unwrap(), socket.peer_addr().unwrap());
            (Transport::Tcp, local, Some(remote), socket.as_raw_fd())
        };
        let remote = Some("127.0.0.1:9".parse().unwrap());
        for (transport, local, remote, fd) in [
            tcp(&client),
            tcp(&server),
            (
                Transport::Udp,
                bound.local_addr().unwrap(),
                None,
                bound.as_raw_fd(),
            ),
            (
                Transport::Udp,
                connected.local_addr().unwrap(),
                remote,
                connected.as_raw_fd(),
            ),
        ] {
            let expected = Socket {
                key: SocketKey {
                    transport,
                    local: endpoint(local),
                    remote: remote.map(endpoint),
                },
                inode: inode(fd),
            };
            assert!(list.sockets.contains(&expected), "{expected:?}");
        }
        let listening = endpoint(listener.local_addr().unwrap());
        assert!(
            !list
                .sockets
                .iter()
                .any(|socket| socket.key.local == listening && socket.key.remote.is_none())
        );
    }

    #[test]
    fn mapped_addresses_are_ipv4_addresses() {
        let Ok(listener) = TcpListener::bind("[::]:0") else {
            eprintln!("skipped: there is no IPv6");
            return;
        };
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _server = listener.accept().unwrap();
        let key = SocketKey {
            transport: Transport::Tcp,
            local: ([127, 0, 0, 1].into(), port),
            remote: Some(endpoint(client.local_addr().unwrap())),
        };
        let list = SocketList::read(usize::MAX).unwrap();
        assert!(list.sockets.iter().any(|socket| socket.key == key));
    }

    #[test]
    fn a_list_is_cut_at_the_limit() {
        let _sockets = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let list = SocketList::read(2).unwrap();
        assert_eq!((list.sockets.len(), list.is_cut), (2, true));
    }

    #[test]
    fn broken_messages_end_the_list() {
        let mut rest: &[u8] = &[0; 8];
        assert!(continue_after(&mut rest, 0).is_err());
        continue_after(&mut rest, 5).unwrap();
        assert!(rest.is_empty());
        continue_after(&mut rest, u32::MAX).unwrap();
        assert!(rest.is_empty());
    }
}
