//! The first DNS question of a flow, and its answer.

use flowloom_sdk::{Outputs, PacketFields, Plugin};

const UDP: u8 = 17;
const PORT: u16 = 53;
const NS: u16 = 2;
const CNAME: u16 = 5;
const PTR: u16 = 12;

struct Dns;

/// The packet fields to request. `flowloom fields` lists all fields.
#[derive(PacketFields)]
struct Packet<'a> {
    protocol: u8,
    src_port: u16,
    dst_port: u16,
    #[payload(512)]
    payload: &'a [u8],
}

/// The columns to add to a flow. The doc comments are the descriptions of the columns.
#[derive(Debug, Default, PartialEq, Outputs)]
struct Out {
    /// Name in the first question.
    query: Option<String>,
    /// Record type of the first question: 1 is A, 28 is AAAA.
    qtype: Option<u16>,
    /// Code of the first response: 0 is no error, 3 is NXDOMAIN.
    rcode: Option<u8>,
    /// Number of answers that the first response announces.
    answers: Option<u16>,
    /// Name to which the first answer leads, if it is an NS, CNAME or PTR record.
    target: Option<String>,
}

#[flowloom_sdk::plugin]
impl Plugin for Dns {
    const DESCRIPTION: &'static str = "The first DNS question of a flow, and its answer.";
    type Packet<'a> = Packet<'a>;
    type State = Out;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Dns)
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> Out {
        let mut state = Out::default();
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut Out, packet: &Packet<'_>, _: &()) {
        if packet.protocol == UDP && (packet.src_port == PORT || packet.dst_port == PORT) {
            // The message may end at any byte.
            let _ = read_message(state, packet.payload);
        }
    }

    fn expire(&mut self, state: Out, _: &()) -> Out {
        state
    }

    fn state_bytes(&self) -> usize {
        size_of::<Out>() + 512 // the texts
    }
}

/// Returns `None` if the message was cut or is malformed. Values before that place are set.
fn read_message(state: &mut Out, message: &[u8]) -> Option<()> {
    let header = message.get(..12)?;
    let first_response = header[2] >= 0x80 && state.rcode.is_none();
    let (questions, answers) = (u16_at(header, 4)?, u16_at(header, 6)?);
    if first_response {
        state.rcode = Some(header[3] & 0x0f);
        state.answers = Some(answers);
    }
    if questions == 0 {
        return None;
    }
    let (query, at) = read_name(message, 12)?;
    let class = at + 2;
    let (kind, _) = (u16_at(message, at)?, u16_at(message, class)?);
    if state.query.is_none() {
        state.query = Some(query);
        state.qtype = Some(kind);
    }
    if !first_response || questions != 1 || answers == 0 {
        return None;
    }
    // The first answer follows the only question: a name, the type, class, TTL, size and data.
    let (_, at) = read_name(message, class + 2)?;
    let kind = u16_at(message, at)?;
    if matches!(kind, NS | CNAME | PTR) {
        state.target = Some(read_name(message, at + 10)?.0);
    }
    Some(())
}

/// Returns a name and the position after it.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut start = at;
    let mut end = None;
    loop {
        let length = usize::from(*message.get(at)?);
        match length {
            0 => {
                if name.is_empty() {
                    name.push('.');
                }
                return Some((name, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                let label = message.get(at + 1..at + 1 + length)?;
                if !name.is_empty() {
                    name.push('.');
                }
                // In the message, a name has at most 255 bytes: each label has a byte for its length, and a 0 follows.
                if name.len() + length > 253 {
                    return None;
                }
                name.extend(label.iter().map(|&byte| printable(byte)));
                at += 1 + length;
            }
            0xc0.. => {
                // A pointer to another name.
                let pointer = u16_at(message, at)?;
                end = end.or(Some(at + 2));
                at = usize::from(pointer & 0x3fff);
                // Pointers lead backwards only, so this loop ends. The header contains no name.
                if !(12..start).contains(&at) {
                    return None;
                }
                start = at;
            }
            _ => return None,
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn printable(byte: u8) -> char {
    match byte {
        b' '..=b'~' => char::from(byte),
        _ => '?',
    }
}

#[test]
fn a_name_that_leads_to_itself_is_ignored() {
    let packet = |payload| Packet {
        protocol: UDP,
        src_port: 40000,
        dst_port: PORT,
        payload,
    };
    let header = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0";
    let asked = [&header[..], b"\x01a\x07example\0\0\x01\0\x01"].concat();
    let state = Dns.init(&packet(&asked), &());
    assert_eq!(state.query.as_deref(), Some("a.example"));
    assert_eq!(state.qtype, Some(1));
    let hostile = [&header[..], b"\xc0\x0c\0\x01\0\x01"].concat();
    assert_eq!(Dns.init(&packet(&hostile), &()), Out::default());
}
