//! An interpreter for classic BPF programs, as defined by `bpf(4)` of the BSDs.
//!
//! libpcap has an interpreter too. But the `pcap` crate passes the captured length to it as the
//! length on the wire. `less`, `greater` and `len` would then be wrong for truncated packets.
//!
//! A [`Program`] contains only valid instructions. A program rejects a packet if it loads from
//! beyond the captured bytes, divides by zero, jumps out of the program, or does not end.

/// The maximum number of instructions for one packet. A program has a few thousand at most, and
/// runs forward only. The exception is `protochain`, which jumps back for every extension header.
const MAX_STEPS: usize = 65_536;

/// The number of words of scratch memory.
const SCRATCH: usize = 16;

/// A program of valid instructions.
#[derive(Debug)]
pub(crate) struct Program(Vec<Instruction>);

/// An instruction in the layout of `struct bpf_insn`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct RawInstruction {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

/// A decoded instruction. A is the accumulator, X the index register. Jump offsets count from the
/// next instruction.
#[derive(Clone, Copy, Debug)]
enum Instruction {
    LoadA(Value),
    LoadX(Value),
    StoreA(usize),
    StoreX(usize),
    /// `A = A operation operand`
    Compute(Operation, Operand),
    Negate,
    Jump(i32),
    Branch(Condition, Operand, u8, u8),
    Return(Returned),
    AToX,
    XToA,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Constant(u32),
    WireLen,
    Scratch(usize),
    /// A big-endian number at an offset in the packet, to which X may be added.
    Packet(Width, u32, Index),
    /// Four times the low four bits of the byte at an offset, which is the length of an IPv4
    /// header.
    HeaderLen(u32),
}

#[derive(Clone, Copy, Debug)]
enum Width {
    Word,
    Half,
    Byte,
}

#[derive(Clone, Copy, Debug)]
enum Index {
    None,
    X,
}

#[derive(Clone, Copy, Debug)]
enum Operand {
    Constant(u32),
    X,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Or,
    And,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug)]
enum Condition {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

#[derive(Clone, Copy, Debug)]
enum Returned {
    Constant(u32),
    A,
}

impl Program {
    /// Decodes a program. Returns `None` if an instruction is invalid.
    pub(crate) fn new(raw: impl IntoIterator<Item = RawInstruction>) -> Option<Self> {
        let instructions = raw.into_iter().map(Instruction::of);
        instructions.collect::<Option<_>>().map(Self)
    }

    /// Returns whether the program accepts a packet. `data` are its captured bytes.
    pub(crate) fn accepts(&self, data: &[u8], wire_len: u32) -> bool {
        self.run(data, wire_len).is_some_and(|bytes| bytes > 0)
    }

    /// Returns the result of the program, which is a number of bytes, or `None` if the program
    /// fails.
    fn run(&self, data: &[u8], wire_len: u32) -> Option<u32> {
        let (mut a, mut x) = (0_u32, 0_u32);
        let mut scratch = [0_u32; SCRATCH];
        let mut at = 0_usize;
        for _ in 0..MAX_STEPS {
            let instruction = self.0.get(at)?;
            at += 1;
            match *instruction {
                Instruction::LoadA(value) => a = value.load(data, wire_len, x, &scratch)?,
                Instruction::LoadX(value) => x = value.load(data, wire_len, x, &scratch)?,
                Instruction::StoreA(slot) => scratch[slot] = a,
                Instruction::StoreX(slot) => scratch[slot] = x,
                Instruction::Compute(operation, operand) => {
                    a = operation.apply(a, operand.value(x))?;
                }
                Instruction::Negate => a = a.wrapping_neg(),
                Instruction::Jump(by) => at = at.checked_add_signed(by as isize)?,
                Instruction::Branch(condition, operand, yes, no) => {
                    let holds = condition.holds(a, operand.value(x));
                    at += usize::from(if holds { yes } else { no });
                }
                Instruction::Return(Returned::Constant(bytes)) => return Some(bytes),
                Instruction::Return(Returned::A) => return Some(a),
                Instruction::AToX => x = a,
                Instruction::XToA => a = x,
            }
        }
        None
    }
}

impl Instruction {
    fn of(raw: RawInstruction) -> Option<Self> {
        let RawInstruction { code, jt, jf, k } = raw;
        let operand = if code & 0x08 == 0 {
            Operand::Constant(k)
        } else {
            Operand::X
        };
        let slot = usize::try_from(k).ok().filter(|slot| *slot < SCRATCH);
        Some(match (code & 0x07, code & 0xf8) {
            (0, mode) => Self::LoadA(match mode {
                0x00 => Value::Constant(k),
                0x60 => Value::Scratch(slot?),
                0x80 => Value::WireLen,
                0x20 => Value::Packet(Width::Word, k, Index::None),
                0x28 => Value::Packet(Width::Half, k, Index::None),
                0x30 => Value::Packet(Width::Byte, k, Index::None),
                0x40 => Value::Packet(Width::Word, k, Index::X),
                0x48 => Value::Packet(Width::Half, k, Index::X),
                0x50 => Value::Packet(Width::Byte, k, Index::X),
                _ => return None,
            }),
            (1, mode) => Self::LoadX(match mode {
                0x00 => Value::Constant(k),
                0x60 => Value::Scratch(slot?),
                0x80 => Value::WireLen,
                0xb0 => Value::HeaderLen(k),
                _ => return None,
            }),
            (2, 0) => Self::StoreA(slot?),
            (3, 0) => Self::StoreX(slot?),
            (4, 0x80) => Self::Negate,
            (4, operation) => Self::Compute(
                match operation & 0xf0 {
                    0x00 => Operation::Add,
                    0x10 => Operation::Subtract,
                    0x20 => Operation::Multiply,
                    0x30 => Operation::Divide,
                    0x40 => Operation::Or,
                    0x50 => Operation::And,
                    0x60 => Operation::ShiftLeft,
                    0x70 => Operation::ShiftRight,
                    0x90 => Operation::Modulo,
                    0xa0 => Operation::Xor,
                    _ => return None,
                },
                operand,
            ),
            // The offset of a `protochain` is negative.
            (5, 0x00) => Self::Jump(k.cast_signed()),
            (5, condition) => Self::Branch(
                match condition & 0xf0 {
                    0x10 => Condition::Equal,
                    0x20 => Condition::Greater,
                    0x30 => Condition::GreaterOrEqual,
                    0x40 => Condition::AnyBit,
                    _ => return None,
                },
                operand,
                jt,
                jf,
            ),
            (6, 0x00) => Self::Return(Returned::Constant(k)),
            (6, 0x10) => Self::Return(Returned::A),
            (7, 0x00) => Self::AToX,
            (7, 0x80) => Self::XToA,
            _ => return None,
        })
    }
}

impl Value {
    #[inline]
    fn load(self, data: &[u8], wire_len: u32, x: u32, scratch: &[u32; SCRATCH]) -> Option<u32> {
        Some(match self {
            Self::Constant(constant) => constant,
            Self::WireLen => wire_len,
            Self::Scratch(slot) => scratch[slot],
            Self::Packet(width, offset, index) => {
                let offset = match index {
                    Index::None => offset,
                    Index::X => offset.checked_add(x)?,
                };
                let rest = data.get(offset as usize..)?;
                match width {
                    Width::Word => u32::from_be_bytes(*rest.first_chunk()?),
                    Width::Half => u32::from(u16::from_be_bytes(*rest.first_chunk()?)),
                    Width::Byte => u32::from(*rest.first()?),
                }
            }
            Self::HeaderLen(offset) => u32::from(data.get(offset as usize)? & 0x0f) * 4,
        })
    }
}

impl Operand {
    fn value(self, x: u32) -> u32 {
        match self {
            Self::Constant(constant) => constant,
            Self::X => x,
        }
    }
}

impl Operation {
    fn apply(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Subtract => a.wrapping_sub(b),
            Self::Multiply => a.wrapping_mul(b),
            Self::Divide => a.checked_div(b)?,
            Self::Modulo => a.checked_rem(b)?,
            Self::Or => a | b,
            Self::And => a & b,
            Self::Xor => a ^ b,
            Self::ShiftLeft => a.checked_shl(b).unwrap_or(0),
            Self::ShiftRight => a.checked_shr(b).unwrap_or(0),
        })
    }
}

impl Condition {
    fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
            Self::AnyBit => a & b != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Program, RawInstruction};

    fn run(instructions: &[(u16, u8, u8, u32)]) -> Option<u32> {
        const DATA: [u8; 8] = [0x45, 1, 2, 3, 4, 5, 6, 0xff];
        let raw = instructions
            .iter()
            .map(|&(code, jt, jf, k)| RawInstruction { code, jt, jf, k });
        Program::new(raw)
            .expect("all instructions are valid")
            .run(&DATA, 1500)
    }

    /// Returns the accumulator after `instructions`.
    fn a(instructions: &[(u16, u32)]) -> Option<u32> {
        let mut all: Vec<_> = instructions
            .iter()
            .map(|&(code, k)| (code, 0, 0, k))
            .collect();
        all.push((0x16, 0, 0, 0));
        run(&all)
    }

    #[test]
    fn loads() {
        assert_eq!(a(&[(0x00, 7)]), Some(7), "ld #7");
        assert_eq!(a(&[(0x20, 4)]), Some(0x0405_06ff), "ld [4]");
        assert_eq!(a(&[(0x28, 6)]), Some(0x06ff), "ldh [6]");
        assert_eq!(a(&[(0x30, 7)]), Some(0xff), "ldb [7]");
        assert_eq!(a(&[(0x80, 0)]), Some(1500), "ld len");
        assert_eq!(a(&[(0x81, 0), (0x87, 0)]), Some(1500), "ldx len; txa");
        assert_eq!(
            a(&[(0xb1, 0), (0x87, 0)]),
            Some(20),
            "ldxb 4*([0]&0xf); txa"
        );
        assert_eq!(
            a(&[(0x01, 3), (0x40, 1)]),
            Some(0x0405_06ff),
            "ldx #3; ld [x+1]"
        );
        assert_eq!(a(&[(0x01, 3), (0x48, 1)]), Some(0x0405));
        assert_eq!(a(&[(0x01, 3), (0x50, 4)]), Some(0xff));
    }

    #[test]
    fn loads_from_beyond_the_packet_reject() {
        assert_eq!(a(&[(0x20, 5)]), None);
        assert_eq!(a(&[(0x28, 7)]), None);
        assert_eq!(a(&[(0x30, 8)]), None);
        assert_eq!(a(&[(0xb1, 8)]), None);
        assert_eq!(a(&[(0x20, u32::MAX)]), None);
        assert_eq!(a(&[(0x01, u32::MAX), (0x50, 1)]), None);
    }

    #[test]
    fn scratch_memory_and_registers() {
        assert_eq!(a(&[(0x00, 9), (0x02, 15), (0x00, 0), (0x60, 15)]), Some(9));
        assert_eq!(a(&[(0x01, 9), (0x03, 0), (0x60, 0)]), Some(9));
        assert_eq!(a(&[(0x00, 9), (0x02, 3), (0x61, 3), (0x87, 0)]), Some(9));
        assert_eq!(a(&[(0x00, 5), (0x07, 0), (0x00, 0), (0x87, 0)]), Some(5));
    }

    #[test]
    fn arithmetic() {
        for (code, left, right, result) in [
            (0x04, u32::MAX, 2, Some(1)),
            (0x14, 1, 2, Some(u32::MAX)),
            (0x24, 0x8000_0001, 2, Some(2)),
            (0x34, 7, 2, Some(3)),
            (0x34, 7, 0, None),
            (0x94, 7, 4, Some(3)),
            (0x94, 7, 0, None),
            (0x44, 5, 2, Some(7)),
            (0x54, 6, 3, Some(2)),
            (0xa4, 6, 3, Some(5)),
            (0x64, 1, 31, Some(0x8000_0000)),
            (0x64, 1, 32, Some(0)),
            (0x74, 0x8000_0000, 31, Some(1)),
            (0x74, 1, 32, Some(0)),
        ] {
            assert_eq!(a(&[(0x00, left), (code, right)]), result, "{code:#x} k");
            assert_eq!(
                a(&[(0x00, left), (0x01, right), (code | 8, 0)]),
                result,
                "{code:#x} x"
            );
        }
        assert_eq!(a(&[(0x00, 1), (0x84, 0)]), Some(u32::MAX), "neg");
    }

    #[test]
    fn jumps() {
        for (code, left, right, holds) in [
            (0x15, 5, 5, true),
            (0x15, 5, 6, false),
            (0x25, 6, 5, true),
            (0x25, 5, 5, false),
            (0x35, 5, 5, true),
            (0x35, 4, 5, false),
            (0x45, 6, 2, true),
            (0x45, 4, 2, false),
        ] {
            let ends = [(0x06, 0, 0, 0), (0x06, 0, 0, 1)];
            let constant = [(0x00, 0, 0, left), (code, 1, 0, right), ends[0], ends[1]];
            assert_eq!(run(&constant), Some(u32::from(holds)), "{code:#x}");
            let register = [
                (0x00, 0, 0, left),
                (0x01, 0, 0, right),
                (code | 8, 1, 0, 0),
                ends[0],
                ends[1],
            ];
            assert_eq!(run(&register), Some(u32::from(holds)), "{code:#x}");
        }
        assert_eq!(
            run(&[(0x05, 0, 0, 1), (0x06, 0, 0, 0), (0x06, 0, 0, 1)]),
            Some(1)
        );
    }

    #[test]
    fn programs_that_do_not_return_reject() {
        assert_eq!(run(&[]), None);
        assert_eq!(run(&[(0x00, 0, 0, 1)]), None, "runs off its end");
        assert_eq!(run(&[(0x05, 0, 0, u32::MAX)]), None, "loops for ever");
        assert_eq!(
            run(&[(0x05, 0, 0, -2_i32 as u32)]),
            None,
            "leaves backwards"
        );
        assert_eq!(run(&[(0x15, 200, 200, 0)]), None, "leaves forwards");
    }

    #[test]
    fn invalid_instructions_are_rejected() {
        for (code, k) in [
            (0x02, 16),
            (0x61, 16),
            (0xff, 0),
            (0x18, 0),
            (0xb0, 0),
            (0x55, 0),
            (0xb4, 0),
        ] {
            let raw = RawInstruction {
                code,
                jt: 0,
                jf: 0,
                k,
            };
            assert!(Program::new([raw]).is_none(), "{code:#x}");
        }
    }
}
