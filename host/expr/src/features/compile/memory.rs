//! The memory of a component.
//!
//! | address | contents |
//! |---|---|
//! | 16 | literals, the manifest and texts, in the data segment |
//! | | the answer of `process`: a list of output columns, in the data segment |
//! | | values and validity of the outputs, [`MAX_EVENTS`] rows |
//! | | accumulators that are merged when their statistics are needed |
//! | | scratch memory of functions, and memory in which lists are sorted |
//! | | the arena, from which the host allocates arguments |
//! | | the states of the flows, up to the end of the memory |

use flowloom_core::value::Type as FieldType;

use super::data::Data;
use super::layout::Layout;
use super::manifest;
use super::program::{Expr, Field, Program, Statistic, Type};

/// The maximum number of events in a batch.
pub(super) const MAX_EVENTS: u32 = 1024;

/// The maximum number of payload bytes in a batch.
const MAX_PAYLOAD_BYTES: u32 = 1 << 20;

/// Bytes of the arena beside columns: the arguments of `open`, and the records of a batch.
const ARENA_BYTES: u32 = 64 << 10;

/// The size of a count of each byte.
pub(super) const COUNTS: u32 = 4 * 256;

/// The size of an `output-column`.
const RECORD_BYTES: u32 = 36;

/// The offsets of lengths in an `output-column`: of values, of the ends of bytes or lists, and of validity.
pub(super) const RECORD_VALUES_LEN: u32 = 8;
pub(super) const RECORD_ENDS_LEN: u32 = 16;
pub(super) const RECORD_VALID_LEN: u32 = 32;

/// The addresses of an output.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputPlace {
    /// The `output-column`.
    pub(super) record: u32,
    /// The values.
    pub(super) values: u32,
    /// The validity, one byte per row.
    pub(super) valid: u32,
    /// If each row has bytes or a list, what else there is. `values` then has their elements, one row behind the other.
    pub(super) many: Option<Many>,
}

/// Bytes or lists of an output.
#[derive(Clone, Copy, Debug)]
pub(super) struct Many {
    /// The address of the end of each row, a number of elements.
    pub(super) ends: u32,
    /// The maximum number of elements of a row.
    pub(super) most: u32,
}

/// Returns the number of bytes that the rows of an output take in the answer, besides their validity.
pub(super) fn output_bytes(ty: Type, most: u32) -> u64 {
    let row = match ty {
        Type::Bool => 1,
        Type::Int | Type::Float => 8,
        Type::Bytes => 4 + u64::from(most),
        Type::Integers | Type::Floats => 4 + 8 * u64::from(most),
    };
    u64::from(MAX_EVENTS) * row
}

/// The addresses of memory in which lists are sorted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scratch {
    /// The keys, and room for as many.
    pub(super) first: u32,
    pub(super) second: u32,
    /// 256 words.
    pub(super) counts: u32,
}

/// Addresses, and the initial contents.
#[derive(Debug)]
pub(super) struct Memory {
    /// The data segment, which begins at address 16.
    pub(super) data: Data,
    /// The answer of `open` without options.
    pub(super) manifest: u32,
    /// The answer of `open` to options.
    pub(super) no_options: u32,
    /// Addresses and lengths of lines for the log.
    pub(super) arena_message: [u32; 2],
    pub(super) full_message: [u32; 2],
    pub(super) batch_message: [u32; 2],
    /// The answer of `process`: a list.
    pub(super) answer: u32,
    pub(super) outputs: Vec<OutputPlace>,
    /// The accumulators that are merged from those of both directions.
    pub(super) merged: u32,
    /// Memory that a function can use: [`COUNTS`] bytes, and two for each byte that is searched and one more.
    pub(super) scratch: u32,
    /// `None` if no list is sorted.
    pub(super) sorting: Option<Scratch>,
    pub(super) arena: u32,
    pub(super) arena_end: u32,
    pub(super) states: u32,
}

/// Returns the number of bytes of a value in a column.
pub(super) fn width(ty: FieldType) -> u32 {
    match ty {
        FieldType::Boolean | FieldType::U8 => 1,
        FieldType::U16 => 2,
        FieldType::U32 => 4,
        _ => 8,
    }
}

/// Returns the case of `column` that has the values of a field.
pub(super) fn column_case(ty: FieldType) -> u32 {
    match ty {
        FieldType::Boolean | FieldType::U8 => 0,
        FieldType::U16 => 1,
        FieldType::U32 => 2,
        FieldType::U64 => 3,
        FieldType::I64 => 4,
        _ => 5,
    }
}

impl Program {
    /// Returns the maximum number of values in a list of which there are quantiles.
    fn longest_sorted_list(&self) -> u32 {
        let mut longest = 0;
        self.visit_results(&mut |expr| {
            if let Expr::Statistic(_, Statistic::Quantile(part, _)) = expr {
                longest = longest.max(part.to - part.from);
            }
        });
        longest
    }
}

impl Memory {
    /// Places everything.
    pub(super) fn new(program: &Program, layout: &Layout) -> Self {
        let mut data = Data::new(&program.literals);
        let manifest = manifest::write(program, layout.stride, &mut data);
        let [text, len] = data.text("the plugin has no options");
        let no_options = data.words(&[1, text, len]);
        let arena_message = data.text("the host passed more data than the plugin requested");
        let full_message =
            data.text("no memory for the states of more flows; their values are null");
        let batch_message =
            data.text("the host passed columns of other types than the plugin was compiled for");
        // The records follow, with addresses that are known once their number is.
        let records = data.align(4) + 8;
        let count = program.outputs.len() as u32;
        let mut address = (records + count * RECORD_BYTES).next_multiple_of(8);
        let mut outputs = Vec::new();
        for (n, output) in program.outputs.iter().enumerate() {
            let ty = program.ty(&output.value);
            let is_many = matches!(ty, Type::Bytes | Type::Integers | Type::Floats);
            let many = is_many.then_some(Many {
                ends: address,
                most: output.most,
            });
            let values = address + many.map_or(0, |_| 4 * MAX_EVENTS);
            let valid = address + output_bytes(ty, output.most) as u32;
            // Numbers of 64 bits are aligned.
            address = (valid + MAX_EVENTS).next_multiple_of(8);
            let record = records + n as u32 * RECORD_BYTES;
            outputs.push(OutputPlace {
                record,
                values,
                valid,
                many,
            });
        }
        let answer = data.words(&[records, 0]);
        for (output, place) in program.outputs.iter().zip(&outputs) {
            let case = program.ty(&output.value).case();
            let ends = place.many.map_or(0, |many| many.ends);
            data.words(&[case, place.values, 0, ends, 0, 0, 0, place.valid, 0]);
        }
        let columns = |fields: &[Field]| {
            let bytes = |field: &Field| width(field.ty) * MAX_EVENTS + 8 + 20;
            fields.iter().map(bytes).sum::<u32>()
        };
        let merged = address.next_multiple_of(16);
        let scratch = (merged + layout.scratch).next_multiple_of(16);
        address = scratch + (COUNTS + 2 * (program.searched_bytes + 1)).next_multiple_of(16);
        let sorted = program.longest_sorted_list();
        let sorting = (sorted > 0).then(|| Scratch {
            first: address,
            second: address + 8 * sorted,
            counts: address + 16 * sorted,
        });
        if sorting.is_some() {
            address += 16 * sorted + 4 * 256;
        }
        let arena = address.next_multiple_of(16);
        let payload = match program.payload_bytes {
            0 => 0,
            most => MAX_PAYLOAD_BYTES.min(MAX_EVENTS * most) + MAX_EVENTS * 4,
        };
        let arena_end = arena
            + payload
            + ARENA_BYTES
            + MAX_EVENTS * (1 + 4)
            + columns(&program.packet)
            + columns(&program.expired);
        Self {
            data,
            manifest,
            no_options,
            arena_message,
            full_message,
            batch_message,
            answer,
            outputs,
            merged,
            scratch,
            sorting,
            arena,
            arena_end: arena_end.next_multiple_of(16),
            states: arena_end.next_multiple_of(64),
        }
    }
}
