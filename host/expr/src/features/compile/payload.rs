//! Instructions that read the payload of a packet.

use wasm_encoder::ValType;

use super::bytes;
use super::code::{Code, at};
use super::expression::Valid;

/// The locals with the payload of the current packet.
#[derive(Clone, Copy)]
pub(super) struct Payload {
    /// The address of the first byte.
    pub(super) address: u32,
    /// The number of bytes.
    pub(super) len: u32,
}

impl Payload {
    /// Returns a local with an address from which `bytes` bytes can be read: that of the payload if it is long enough,
    /// which the other local says.
    fn readable(self, bytes: u32, code: &mut Code) -> [u32; 2] {
        let [address, is_long] = [(); 2].map(|()| code.local(ValType::I32));
        let ins = &mut code.ins();
        ins.local_get(self.address).i32_const(0);
        ins.local_get(self.len).i32_const(bytes as i32).i32_ge_u();
        ins.local_tee(is_long).select().local_set(address);
        [address, is_long]
    }

    /// Leaves a big-endian number on the stack.
    pub(super) fn number(self, offset: u32, bytes: u32, code: &mut Code) -> Valid {
        let [address, is_long] = self.readable(offset + bytes, code);
        for n in 0..bytes {
            let ins = &mut code.ins();
            if n > 0 {
                ins.i64_const(8).i64_shl();
            }
            ins.local_get(address).i64_load8_u(at(offset + n, 1));
            if n > 0 {
                ins.i64_or();
            }
        }
        Some(is_long)
    }

    /// Leaves on the stack whether the payload begins with some bytes.
    pub(super) fn starts(self, with: &[u8], code: &mut Code) -> Valid {
        let [address, is_long] = self.readable(with.len() as u32, code);
        code.ins().local_get(is_long);
        let (words, rest) = with.as_chunks::<8>();
        for (n, word) in (0..).zip(words) {
            let ins = &mut code.ins();
            ins.local_get(address).i64_load(at(8 * n, 1));
            ins.i64_const(i64::from_le_bytes(*word)).i64_eq().i32_and();
        }
        let start = (with.len() - rest.len()) as u32;
        for (n, byte) in (start..).zip(rest) {
            let ins = &mut code.ins();
            ins.local_get(address).i32_load8_u(at(n, 1));
            ins.i32_const(i32::from(*byte)).i32_eq().i32_and();
        }
        None
    }

    /// Leaves a part of the payload on the stack.
    pub(super) fn part(self, from: u32, to: u32, code: &mut Code) -> Valid {
        let ins = &mut code.ins();
        bytes::pair(self.address, self.len, ins);
        Some(bytes::part(from, to, code))
    }
}
