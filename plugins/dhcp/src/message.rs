//! DHCP messages (RFC 2131) and their options (RFC 2132).

use std::net::Ipv4Addr;

/// Bytes before the options, the magic cookie included.
const HEADER: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

const PAD: u8 = 0;
const END: u8 = 255;

/// A DHCP message, as far as it was captured.
#[derive(Debug, PartialEq)]
pub(crate) struct Message<'a> {
    /// `ciaddr`: the address that the client already has; 0.0.0.0 without one.
    pub(crate) client: Ipv4Addr,
    /// The client's hardware address, `hlen` bytes of `chaddr`.
    pub(crate) hardware: &'a [u8],
    /// Codes and values of the options in the order of the message, without padding.
    pub(crate) options: Vec<(u8, &'a [u8])>,
}

impl<'a> Message<'a> {
    /// Reads the payload of a UDP packet; none where that is no DHCP message.
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
            // One that was cut off is as good as missing.
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

    /// The type of the message (option 53); none where it does not say, as in BOOTP.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.option(53)? {
            &[number] => Some(Kind(number)),
            _ => None,
        }
    }

    /// The value of an option, of the last one where it is there more than once.
    pub(crate) fn option(&self, code: u8) -> Option<&'a [u8]> {
        let mut found = self.options.iter().rev();
        found.find_map(|&(found, value)| (found == code).then_some(value))
    }
}

/// The type of a message, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u8);

impl Kind {
    /// The client asks for an address, or asks to keep one.
    pub(crate) const REQUEST: Kind = Kind(3);
    /// The client found that somebody else has the address.
    pub(crate) const DECLINE: Kind = Kind(4);
    /// The server gives the address.
    pub(crate) const ACK: Kind = Kind(5);
    /// The server refuses.
    pub(crate) const NACK: Kind = Kind(6);
    /// The client has an address and asks for the rest.
    pub(crate) const INFORM: Kind = Kind(8);

    /// NFStream's name of the first eight, IANA's name of the others, or the number.
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

    /// A message of a client with that address and those options, without an end.
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
    fn options_end_at_the_end_and_padding_is_none() {
        let mut bytes = message([192, 0, 2, 1], &[(53, &[3])]);
        bytes.extend([PAD, PAD, 12, 1, b'h', END, 60, 1, b'x']);
        let read = Message::parse(&bytes).expect("a message");
        assert_eq!(read.client, Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(read.hardware, [2, 0, 0x5e, 1, 2, 3]);
        assert_eq!(read.options, [(53, &[3][..]), (12, b"h")]);
        assert_eq!(read.kind(), Some(Kind::REQUEST));
    }

    #[test]
    fn an_option_that_is_cut_off_is_missing_wherever_it_is_cut() {
        let bytes = message([0; 4], &[(53, &[1]), (12, b"host")]);
        for cut in 1..=5 {
            let read = Message::parse(&bytes[..bytes.len() - cut]).expect("the header is whole");
            assert_eq!(read.options, [(53, &[1][..])], "without {cut} bytes");
        }
    }

    #[test]
    fn the_last_of_an_option_counts() {
        let bytes = message([0; 4], &[(12, b"one"), (12, b"two")]);
        let read = Message::parse(&bytes).expect("a message");
        assert_eq!(read.option(12), Some(&b"two"[..]));
        assert_eq!(read.kind(), None);
    }

    #[test]
    fn what_is_no_dhcp_is_none() {
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
        /// Whatever the options say of their lengths, they are within the message.
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
