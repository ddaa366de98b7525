//! The body of a function while it is written.

use wasm_encoder::{Function, InstructionSink, MemArg, ValType};

/// A function body: instructions, and the locals that they use.
pub(super) struct Code {
    bytes: Vec<u8>,
    parameters: u32,
    locals: Vec<ValType>,
}

impl Code {
    pub(super) fn new(parameters: u32) -> Self {
        Self {
            bytes: Vec::new(),
            parameters,
            locals: Vec::new(),
        }
    }

    /// Declares a local, which is 0 at first.
    pub(super) fn local(&mut self, ty: ValType) -> u32 {
        self.locals.push(ty);
        self.parameters + self.locals.len() as u32 - 1
    }

    /// Returns the end of the body, for further instructions.
    pub(super) fn ins(&mut self) -> InstructionSink<'_> {
        InstructionSink::new(&mut self.bytes)
    }

    /// Ends the function.
    pub(super) fn finish(mut self) -> Function {
        self.ins().end();
        let mut function = Function::new_with_locals_types(self.locals);
        function.raw(self.bytes);
        function
    }
}

/// An address with an offset. `width` is the number of bytes, a power of two.
pub(super) fn at(offset: u32, width: u32) -> MemArg {
    MemArg {
        offset: offset.into(),
        align: width.trailing_zeros(),
        memory_index: 0,
    }
}
