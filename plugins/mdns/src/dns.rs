//! The PTR answers of a DNS message (RFC 1035).

/// The maximum length of a name, in bytes.
const LONGEST_NAME: usize = 255;

/// The maximum number of labels that are read per message. An attacker could let each record of a message point to
/// the longest name, and increase the cost of the message.
const MOST_LABELS: usize = 1024;

const PTR: u16 = 12;

/// Calls `show` for each name to which a PTR record in the answer section points, in the order of the records. If
/// the message is truncated, it stops there. Labels are joined with dots.
pub(crate) fn pointers(message: &[u8], show: &mut impl FnMut(&[u8])) {
    // `None` means that the message is truncated or invalid. The names so far were passed to `show`.
    let _ = read(message, show);
}

fn read(message: &[u8], show: &mut impl FnMut(&[u8])) -> Option<()> {
    let questions = be16(message, 4)?;
    let answers = be16(message, 6)?;
    let mut at = 12;
    for _ in 0..questions {
        at = skip_name(message, at)? + 4;
    }
    let mut name = Vec::with_capacity(LONGEST_NAME);
    let mut labels = MOST_LABELS;
    for _ in 0..answers {
        let fields = skip_name(message, at)?;
        let kind = be16(message, fields)?;
        let length = be16(message, fields + 8)?;
        let value = fields + 10;
        at = value + usize::from(length);
        if kind == PTR && at <= message.len() {
            name.clear();
            if read_name(message, value, &mut name, &mut labels).is_some() {
                show(&name);
            }
        }
    }
    Some(())
}

/// Returns the offset after a name.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            label @ 1..0x40 => at += 1 + usize::from(label),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// Reads the name at an offset. A compression pointer must point before the previous start of the name, so that the
/// name always ends. `labels` is the remaining number of labels and pointers.
fn read_name(message: &[u8], mut at: usize, name: &mut Vec<u8>, labels: &mut usize) -> Option<()> {
    let mut began = at;
    loop {
        *labels = labels.checked_sub(1)?;
        match *message.get(at)? {
            0 => return Some(()),
            label @ 1..0x40 => {
                let end = at + 1 + usize::from(label);
                if !name.is_empty() {
                    name.push(b'.');
                }
                name.extend_from_slice(message.get(at + 1..end)?);
                at = end;
            }
            0xc0.. => {
                at = usize::from(be16(message, at)? & 0x3fff);
                if at >= began {
                    return None;
                }
                began = at;
            }
            _ => return None,
        }
        // In the message, the first label has a length byte too.
        if name.len() + 1 > LONGEST_NAME {
            return None;
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*two))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the names of a message.
    fn shown(message: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        pointers(message, &mut |name| {
            names.push(String::from_utf8_lossy(name).into_owned());
        });
        names
    }

    /// Encodes a name without compression.
    fn plain(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in name.split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    fn record(name: &[u8], kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = name.to_vec();
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0x80, 1, 0, 0, 0x11, 0x94]);
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes
    }

    fn header(questions: u8, answers: u8) -> Vec<u8> {
        vec![0, 0, 0x84, 0, 0, questions, 0, answers, 0, 0, 0, 0]
    }

    /// Creates an answer whose PTR records point to these names.
    pub(crate) fn answer(names: &[&str]) -> Vec<u8> {
        let mut message = header(0, names.len() as u8);
        for name in names {
            message.extend(record(&plain("_http._tcp.local"), PTR, &plain(name)));
        }
        message
    }

    #[test]
    fn a_compression_pointer_is_followed() {
        let mut message = header(1, 1);
        message.extend(plain("_http._tcp.local"));
        message.extend([0, 12, 0, 1]);
        let mut value = b"\x07printer".to_vec();
        value.extend([0xc0, 12]);
        message.extend(record(&[0xc0, 12], PTR, &value));
        assert_eq!(shown(&message), ["printer._http._tcp.local"]);
    }

    #[test]
    fn records_of_other_types_are_skipped() {
        let mut message = header(0, 3);
        message.extend(record(&plain("a.local"), 47, &[0xc0, 12, 0, 4, 0x40]));
        message.extend(record(&plain("b"), PTR, &plain("one.local")));
        message.extend(record(&plain("c"), 16, b"\x05a=b,c"));
        assert_eq!(shown(&message), ["one.local"]);
    }

    #[test]
    fn complete_records_of_a_truncated_message_are_read() {
        let message = answer(&["one.local", "two.local"]);
        let one = answer(&["one.local"]).len();
        for cut in 0..=message.len() {
            let names = shown(&message[..cut]);
            let whole = usize::from(cut >= one) + usize::from(cut >= message.len());
            assert_eq!(names.len(), whole, "the first {cut} bytes");
        }
    }

    #[test]
    fn a_name_that_points_to_itself_is_rejected() {
        let mut message = header(0, 3);
        let at = message.len() as u8 + 1 + 10;
        message.extend(record(&[0], PTR, &[0xc0, at]));
        message.extend(record(&[0], PTR, &[0xc0, 0xff]));
        message.extend(record(&[0], PTR, &plain("good")));
        assert_eq!(shown(&message), ["good"]);
    }

    #[test]
    fn the_labels_of_a_message_are_limited() {
        // A name of 100 labels, and records that point to it.
        let name = plain(&["x"; 100].join("."));
        let mut message = header(1, 100);
        message.extend(&name);
        message.extend([0, 12, 0, 1]);
        for _ in 0..100 {
            message.extend(record(&[0], PTR, &[0xc0, 12]));
        }
        // Each name takes its labels, a pointer and an end.
        assert_eq!(shown(&message).len(), MOST_LABELS / 102);
    }

    #[test]
    fn the_length_of_a_name_is_limited() {
        let name = |labels: usize, last: usize| {
            let mut labels = vec!["x".repeat(49); labels];
            labels.push("y".repeat(last));
            labels.join(".")
        };
        let (longest, longer) = (name(5, 4), name(5, 5));
        assert_eq!(shown(&answer(&[&longest, &longer])), [longest]);
    }

    proptest::proptest! {
        /// Whatever lengths and offsets the message declares, a name ends and is not too long.
        #[test]
        fn any_bytes_are_read(counts: [u8; 2], rest: Vec<u8>) {
            let mut message = header(counts[0], counts[1]);
            message.extend(rest);
            for name in shown(&message) {
                // A byte that is not UTF-8 is replaced by three bytes.
                assert!(name.len() <= 3 * LONGEST_NAME);
            }
        }

        /// A name of any labels is read unchanged, unless it is too long.
        #[test]
        fn names_are_read_as_they_are_written(labels in proptest::collection::vec("[a-z]{1,63}", 1..6)) {
            let name = labels.join(".");
            let is_short = name.len() < LONGEST_NAME;
            let expected: Vec<_> = is_short.then_some(name.clone()).into_iter().collect();
            assert_eq!(shown(&answer(&[&name])), expected);
        }
    }
}
