//! Accumulators of all packets that are merged from those of both directions.

use wasm_encoder::ValType;

use super::code::{Code, at};
use super::layout::{Block, Layout, Part, Storage};
use super::program::{Level, Operator, Program};
use super::saturating;

/// Merges the accumulators of a level from the state, whose address is in the first local, to the address in the second
/// one.
pub(super) fn write(
    program: &Program,
    layout: &Layout,
    level: Level,
    locals: [u32; 2],
    code: &mut Code,
) {
    for (accumulator, place) in program.accumulators.iter().zip(&layout.places) {
        if place.is_merged && accumulator.packets.of.result() == level {
            let block = &layout.blocks[place.block];
            for (part, offset) in &block.parts {
                let merge = Merge {
                    locals,
                    from: [0, block.size].map(|direction| block.offset + direction + offset),
                    to: place.offset + offset,
                };
                merge.part(*part, block, code);
            }
        }
    }
}

struct Merge {
    locals: [u32; 2],
    /// The offsets in the state for each direction.
    from: [u32; 2],
    /// The offset of the merged part.
    to: u32,
}

impl Merge {
    fn part(&self, part: Part, block: &Block, code: &mut Code) {
        let ins = &mut code.ins();
        ins.local_get(self.locals[1]);
        match (part, block.storage) {
            (Part::Count, _) => {
                let sum = code.local(ValType::I64);
                let ins = &mut code.ins();
                for from in self.from {
                    ins.local_get(self.locals[0]).i64_load32_u(at(from, 4));
                }
                // It stops at its maximum.
                ins.i64_add().local_tee(sum).i64_const(u32::MAX.into());
                ins.local_get(sum).i64_const(u32::MAX.into());
                ins.i64_lt_u().select().i64_store32(at(self.to, 4));
            }
            (Part::Sum, Storage::I64) => {
                self.load(0, code);
                saturating::write(Operator::SaturatingAdd, code);
                code.ins().i64_store(at(self.to, 8));
            }
            (Part::Sum, _) => {
                self.load(0, code);
                code.ins().i64_add().i64_store(at(self.to, 8));
            }
            (Part::Squares, _) => {
                let [a, b] = self.load_locals(0, code);
                let ins = &mut code.ins();
                ins.local_get(a).local_get(b).i64_add().i64_const(-1);
                // A sum that wraps is less than what was added.
                ins.local_get(a).local_get(b).i64_add();
                ins.local_get(a).i64_ge_u().select();
                ins.i64_store(at(self.to, 8));
            }
            (Part::WideSum | Part::WideSquares, _) => self.wide(part, code),
            (Part::Min | Part::Max, Storage::U32) => {
                for from in [self.from[0], self.from[1], self.from[0], self.from[1]] {
                    let ins = &mut code.ins();
                    ins.local_get(self.locals[0]).i32_load(at(from, 4));
                }
                let ins = &mut code.ins();
                match part {
                    Part::Min => ins.i32_lt_u(),
                    _ => ins.i32_gt_u(),
                };
                ins.select().i32_store(at(self.to, 4));
            }
            (Part::Min | Part::Max, _) => {
                let [a, b] = self.load_locals(0, code);
                let ins = &mut code.ins();
                ins.local_get(a).local_get(b).local_get(a).local_get(b);
                match part {
                    Part::Min => ins.i64_lt_s(),
                    _ => ins.i64_gt_s(),
                };
                ins.select().i64_store(at(self.to, 8));
            }
            // The accumulator does not need this part.
            _ => {
                ins.drop();
            }
        }
    }

    /// Leaves the values of both directions on the stack.
    fn load(&self, offset: u32, code: &mut Code) {
        for from in self.from {
            let ins = &mut code.ins();
            ins.local_get(self.locals[0]).i64_load(at(from + offset, 8));
        }
    }

    fn load_locals(&self, offset: u32, code: &mut Code) -> [u32; 2] {
        self.from.map(|from| {
            let local = code.local(ValType::I64);
            let ins = &mut code.ins();
            ins.local_get(self.locals[0]).i64_load(at(from + offset, 8));
            ins.local_set(local);
            local
        })
    }

    /// Adds numbers of 128 bits. Sums of squares stop at 2^127 - 1.
    fn wide(&self, part: Part, code: &mut Code) {
        let [a, b] = self.load_locals(0, code);
        let [low, high] = [(); 2].map(|()| code.local(ValType::I64));
        let ins = &mut code.ins();
        ins.local_get(a).local_get(b).i64_add().local_set(low);
        self.load(8, code);
        let ins = &mut code.ins();
        ins.i64_add().local_get(low).local_get(a).i64_lt_u();
        ins.i64_extend_i32_u().i64_add().local_set(high);
        for (offset, value, most) in [(0, low, -1), (8, high, i64::MAX)] {
            if offset > 0 {
                ins.local_get(self.locals[1]);
            }
            if part == Part::WideSquares {
                ins.i64_const(most).local_get(value);
                ins.local_get(high).i64_const(0).i64_lt_s().select();
            } else {
                ins.local_get(value);
            }
            ins.i64_store(at(self.to + offset, 8));
        }
    }
}
