//! DHCP messages (RFC 2131) and their options (RFC 2132).

use std::net::Ipv4Addr;

/// The number of bytes before the options, including the magic cookie.
const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

const PAD: u8 = 0;
const END: u8 = 255;

/// A DHCP message. It may be truncated, because the packet was not fully captured.
#[derive(Debug, PartialEq)]
pub(crate) struct Message<'a> {
    /// `ciaddr`: the current address of the client; 0.0.0.0 if it has none.
    pub(crate) client: Ipv4Addr,
    /// The hardware address of the client: the first `hlen` bytes of `chaddr`, at most 16.
    pub(crate) hardware: &'a [u8],
    /// Codes and values of the options in the order of the message, without padding.
    pub(crate) options: Vec<(u8, &'a [u8])>,
}

impl<'a> Message<'a> {
    /// Parses the payload of a UDP packet. Returns `None` if it is not a DHCP message.
    pub(crate) fn parse(payload: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = payload.split_at_checked(HEADER)?;
        if !matches!(header[0], 1 | 2) || header[236..] != COOKIE {
            return None;
        }
        let hardware = usize::from(header[2]).min(16);
        let mut options = Vec::new();
        while let Some((&code, after)) = rest.split_first() {
            rest = after;
            match code {
                PAD => continue,
                END => break,
                _ => {}
            }
            // Ignore an option that is truncated.
            let Some((&length, after)) = rest.split_first() else {
                break;
            };
            let Some((value, after)) = after.split_at_checked(length.into()) else {
                break;
            };
            options.push((code, value));
            rest = after;
        }
        Some(Message {
            client: Ipv4Addr::new(header[12], header[13], header[14], header[15]),
            hardware: &header[28..28 + hardware],
            options,
        })
    }

    /// Returns the type of the message (option 53). `None` if the option is missing, as in BOOTP.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.option(53)? {
            &[number] => Some(Kind(number)),
            _ => None,
        }
    }

    /// Returns the value of an option. If it occurs several times, the last one counts.
    pub(crate) fn option(&self, code: u8) -> Option<&'a [u8]> {
        let mut found = self.options.iter().rev();
        found.find_map(|&(found, value)| (found == code).then_some(value))
    }
}

/// The type of a message, as its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u8);

impl Kind {
    /// The client requests an address, or requests to keep its address.
    pub(crate) const REQUEST: Kind = Kind(3);
    /// The client reports that another host uses the address.
    pub(crate) const DECLINE: Kind = Kind(4);
    /// The server assigns the address.
    pub(crate) const ACK: Kind = Kind(5);
    /// The server rejects the request.
    pub(crate) const NACK: Kind = Kind(6);
    /// The client has an address and requests other parameters.
    pub(crate) const INFORM: Kind = Kind(8);

    /// Returns the name: NFStream's for the first eight types, IANA's for other known ones, and the number
    /// otherwise.
    pub(crate) fn name(self) -> String {
        const NAMES: [&str; 18] = [
            "DISCOVER",
            "OFFER",
            "REQUEST",
            "DECLINE",
            "ACK",
            "NACK",
            "RELEASE",
            "INFORM",
            "FORCERENEW",
            "LEASEQUERY",
            "LEASEUNASSIGNED",
            "LEASEUNKNOWN",
            "LEASEACTIVE",
            "BULKLEASEQUERY",
            "LEASEQUERYDONE",
            "ACTIVELEASEQUERY",
            "LEASEQUERYSTATUS",
            "TLS",
        ];
        let name = usize::from(self.0)
            .checked_sub(1)
            .and_then(|at| NAMES.get(at));
        name.map_or_else(|| self.0.to_string(), |&name| name.to_owned())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Creates a message with this `ciaddr` and these options, without an END option.
    pub(crate) fn message(client: [u8; 4], options: &[(u8, &[u8])]) -> Vec<u8> {
        let mut message = vec![0; HEADER];
        message[..3].copy_from_slice(&[1, 1, 6]);
        message[12..16].copy_from_slice(&client);
        message[28..34].copy_from_slice(&[2, 0, 0x5e, 1, 2, 3]);
        message[236..].copy_from_slice(&COOKIE);
        for &(code, value) in options {
            message.extend([code, value.len() as u8]);
            message.extend(value);
        }
        message
    }

    #[test]
    fn options_stop_at_end_and_padding_is_skipped() {
        let mut bytes = message([192, 0, 2, 1], &[(53, &[3])]);
        bytes.extend([PAD, PAD, 12, 1, b'h', END, 60, 1, b'x']);
        let read = Message::parse(&bytes).expect("a message");
        assert_eq!(read.client, Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(read.hardware, [2, 0, 0x5e, 1, 2, 3]);
        assert_eq!(read.options, [(53, &[3][..]), (12, b"h")]);
        assert_eq!(read.kind(), Some(Kind::REQUEST));
    }

    #[test]
    fn a_truncated_option_is_ignored() {
        let bytes = message([0; 4], &[(53, &[1]), (12, b"host")]);
        for cut in 1..=5 {
            let read = Message::parse(&bytes[..bytes.len() - cut]).expect("the header is whole");
            assert_eq!(read.options, [(53, &[1][..])], "without {cut} bytes");
        }
    }

    #[test]
    fn the_last_of_several_equal_options_counts() {
        let bytes = message([0; 4], &[(12, b"one"), (12, b"two")]);
        let read = Message::parse(&bytes).expect("a message");
        assert_eq!(read.option(12), Some(&b"two"[..]));
        assert_eq!(read.kind(), None);
    }

    #[test]
    fn other_payloads_are_rejected() {
        let good = message([0; 4], &[]);
        assert!(Message::parse(&good).is_some());
        assert_eq!(Message::parse(&good[..HEADER - 1]), None);
        for at in [0, 236, 239] {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert_eq!(Message::parse(&bad), None, "byte {at}");
        }
    }

    #[test]
    fn a_hardware_address_is_not_longer_than_its_field() {
        let mut bytes = message([0; 4], &[]);
        bytes[2] = 255;
        let read = Message::parse(&bytes).expect("a message");
        assert_eq!(read.hardware.len(), 16);
    }

    #[test]
    fn types_have_names() {
        let names = [1, 6, 13, 18, 19, 0].map(|number| Kind(number).name());
        assert_eq!(names, ["DISCOVER", "NACK", "LEASEACTIVE", "TLS", "19", "0"]);
    }

    proptest::proptest! {
        /// Whatever lengths the options declare, their values are inside the message.
        #[test]
        fn any_bytes_are_read_within_their_bounds(hardware: u8, rest: Vec<u8>) {
            let mut bytes = message([0; 4], &[]);
            bytes[2] = hardware;
            bytes.extend(&rest);
            let read = Message::parse(&bytes).expect("the header is whole");
            let taken: usize = read.options.iter().map(|(_, value)| 2 + value.len()).sum();
            assert!(taken <= rest.len() && read.hardware.len() <= 16);
        }
    }
}
