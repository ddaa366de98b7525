use std::io::{self, Read};

use flowloom::capture::{CaptureError, Files, Filter, LinkType};

use super::bytes::Bytes;

/// The maximum number of packets of an input. A few compressed bytes can contain millions of packets, which need much
/// time but find nothing new.
pub(crate) const MOST_PACKETS: u64 = 20_000;

/// Reads arbitrary bytes as a capture. The input is a byte of choices, and then the capture.
pub fn capture(data: &[u8]) {
    let mut bytes = Bytes(data);
    let choices = bytes.u8();
    let capture = bytes.0;
    let at_once = Outcome::of(capture, capture.len().max(1));
    // The packets do not depend on the sizes of the reads.
    let read_size = usize::from(choices & 0x1f) + 1;
    let in_parts = Outcome::of(capture, read_size);
    assert_eq!(at_once.packets, in_parts.packets);
    assert_eq!(at_once.errors, in_parts.errors);
    if choices & 0x80 != 0 && at_once.is_complete {
        filtered(capture, &at_once, choices);
    }
}

/// Checks that a filter and a snapshot length only remove packets and bytes.
fn filtered(capture: &[u8], all: &Outcome, choices: u8) {
    let expression = match choices >> 5 & 3 {
        0 => "udp port 53 or tcp[13] & 2 != 0",
        1 => "less 80",
        2 => "ip6 protochain 17 or vlan",
        _ => "not (greater 60 and ether[0] & 1 = 0)",
    };
    const CUT: u32 = 40;
    let mut files = files(capture, capture.len().max(1))
        .with_filter(Filter::new(expression).expect("the expression is valid for Ethernet"))
        .with_snapshot_length(CUT);
    let mut rest = all.packets.iter();
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
            let found = rest.any(|(time, link, wire_len, data)| {
                let cut = &data[..data.len().min(CUT as usize)];
                (*time, *link, *wire_len, cut)
                    == (packet.time.ns(), packet.link, packet.wire_len, packet.data)
            });
            assert!(found, "a packet that does not exist without the filter");
        }
    }
    if !failed {
        assert_eq!(passed + files.packets_filtered(), files.packets_read());
    }
}

/// The packets and errors of a capture.
struct Outcome {
    packets: Vec<(u64, LinkType, u32, Vec<u8>)>,
    errors: Vec<String>,
    /// Whether the capture was read to its end.
    is_complete: bool,
}

impl Outcome {
    fn of(capture: &[u8], read_size: usize) -> Self {
        let mut files = files(capture, read_size);
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
                    assert!(
                        !packets.is_empty(),
                        "a read without a filter returns packets"
                    );
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
            // Other sizes of reads stop at another packet, so the packets cannot be compared.
            if files.packets_read() >= MOST_PACKETS || bytes > 16 << 20 {
                outcome.packets.clear();
                outcome.errors.clear();
                return outcome;
            }
        }
        assert!(outcome.errors.len() <= 1, "a capture has at most one error");
        assert!(files.bytes_read() <= capture.len() as u64);
        assert_eq!(files.packets_read(), outcome.packets.len() as u64);
        assert!(
            matches!(files.read(), Ok(None)),
            "reads after the end return nothing"
        );
        outcome.is_complete = true;
        outcome
    }
}

pub(crate) fn files(capture: &[u8], read_size: usize) -> Files {
    Files::from_reader(
        "fuzz",
        SlowReader {
            bytes: capture.to_vec(),
            at: 0,
            read_size,
        },
    )
}

/// A reader that returns at most `read_size` bytes per read, like a slow pipe.
struct SlowReader {
    bytes: Vec<u8>,
    at: usize,
    read_size: usize,
}

impl Read for SlowReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = self.read_size.min(into.len());
        let count = (&self.bytes[self.at..]).read(&mut into[..most])?;
        self.at += count;
        Ok(count)
    }
}
