use std::io::{self, Read};

use flowloom::capture::{CaptureError, Files, Filter, LinkType};

use super::bytes::Bytes;

/// More packets than this of one input tell nothing new: a few compressed bytes can be millions.
pub(crate) const MOST_PACKETS: u64 = 20_000;

/// Any bytes for a capture: a byte of choices, then the capture.
pub fn capture(data: &[u8]) {
    let mut bytes = Bytes(data);
    let choices = bytes.u8();
    let capture = bytes.0;
    let at_once = Outcome::of(capture, capture.len().max(1));
    // However its bytes come in, a capture is the same.
    let portion = usize::from(choices & 0x1f) + 1;
    let in_portions = Outcome::of(capture, portion);
    assert_eq!(at_once.packets, in_portions.packets);
    assert_eq!(at_once.errors, in_portions.errors);
    if choices & 0x80 != 0 && at_once.is_complete {
        filtered(capture, &at_once, choices);
    }
}

/// A filter and a snapshot length take away, and the rest stays.
fn filtered(capture: &[u8], all: &Outcome, choices: u8) {
    let expression = match choices >> 5 & 3 {
        0 => "udp port 53 or tcp[13] & 2 != 0",
        1 => "less 80",
        2 => "ip6 protochain 17 or vlan",
        _ => "not (greater 60 and ether[0] & 1 = 0)",
    };
    const CUT: u32 = 40;
    let mut files = files(capture, capture.len().max(1))
        .with_filter(Filter::new(expression).expect("the expression is good for Ethernet"))
        .with_snapshot_length(CUT);
    let mut left = all.packets.iter();
    let mut passed = 0;
    let mut failed = false;
    while files.packets_read() < MOST_PACKETS {
        let packets = match files.read() {
            Ok(Some(packets)) => packets,
            Ok(None) => break,
            Err(CaptureError::Filter(_)) => {
                failed = true;
                continue;
            }
            Err(_) => continue,
        };
        for packet in packets.iter() {
            passed += 1;
            let found = left.any(|(time, link, wire_len, data)| {
                let cut = &data[..data.len().min(CUT as usize)];
                (*time, *link, *wire_len, cut)
                    == (packet.time.ns(), packet.link, packet.wire_len, packet.data)
            });
            assert!(found, "a packet that was not there without the filter");
        }
    }
    if !failed {
        assert_eq!(passed + files.packets_filtered(), files.packets_read());
    }
}

/// What became of a capture.
struct Outcome {
    packets: Vec<(u64, LinkType, u32, Vec<u8>)>,
    errors: Vec<String>,
    /// Whether it was read to its end.
    is_complete: bool,
}

impl Outcome {
    fn of(capture: &[u8], portion: usize) -> Self {
        let mut files = files(capture, portion);
        let mut outcome = Self {
            packets: Vec::new(),
            errors: Vec::new(),
            is_complete: false,
        };
        let mut bytes = 0;
        loop {
            match files.read() {
                Ok(Some(packets)) => {
                    assert_eq!(packets.is_empty(), packets.iter().len() == 0);
                    assert!(!packets.is_empty(), "no filter, and no packet");
                    for packet in packets.iter() {
                        assert!(packet.wire_len as usize >= packet.data.len());
                        bytes += packet.data.len();
                        outcome.packets.push((
                            packet.time.ns(),
                            packet.link,
                            packet.wire_len,
                            packet.data.to_vec(),
                        ));
                    }
                }
                Ok(None) => break,
                Err(error) => outcome.errors.push(error.to_string()),
            }
            // That is not the same place for any portion, so there is nothing to compare.
            if files.packets_read() >= MOST_PACKETS || bytes > 16 << 20 {
                outcome.packets.clear();
                outcome.errors.clear();
                return outcome;
            }
        }
        assert!(outcome.errors.len() <= 1, "one capture ends once");
        assert!(files.bytes_read() <= capture.len() as u64);
        assert_eq!(files.packets_read(), outcome.packets.len() as u64);
        assert!(matches!(files.read(), Ok(None)), "the end is the end");
        outcome.is_complete = true;
        outcome
    }
}

pub(crate) fn files(capture: &[u8], portion: usize) -> Files {
    Files::from_reader(
        "fuzz",
        Portions {
            bytes: capture.to_vec(),
            at: 0,
            portion,
        },
    )
}

/// Gives so many bytes at a time, as a slow pipe does.
struct Portions {
    bytes: Vec<u8>,
    at: usize,
    portion: usize,
}

impl Read for Portions {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = self.portion.min(into.len());
        let count = (&self.bytes[self.at..]).read(&mut into[..most])?;
        self.at += count;
        Ok(count)
    }
}
