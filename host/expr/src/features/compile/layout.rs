//! The state of a flow: which parts each accumulator has, and where they are.

use std::collections::BTreeSet;

use super::element::Element;
use super::program::{Accumulator, Expr, Keeps, Level, Members, Program, Scope, Statistic, Type};

/// What an accumulator keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// 64 bits: the sum, an integer or a float.
    Sum,
    /// 128 bits: the sum of integers that 64 bits may not hold.
    WideSum,
    /// 64 bits: the sum of squares of integers of 32 bits; it stops at 2^64 - 1.
    Squares,
    /// 128 bits: the sum of squares of other integers; it stops at 2^127 - 1.
    WideSquares,
    /// Two floats, Welford's: the running mean, and the sum of squared deviations from it.
    Deviations,
    /// Four floats: the running mean, and the sums of the second, third and fourth powers of deviations from it.
    Moments,
    /// Five floats, of pairs: the running means of both, and the sums of squared deviations of both and of the product.
    Comoments,
    /// Values as wide as the accumulator's.
    Min,
    Max,
    First,
    Last,
    /// The list of an accumulator, with this number of bytes, a multiple of 4.
    List(u32),
    /// 32 bits.
    Count,
    /// The first bytes of payloads.
    Head,
}

/// How the values of an accumulator are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    U32,
    I64,
    F64,
    /// Two bytes with the length, and up to so many bytes.
    Bytes(u32),
}

/// A block of the state: an accumulator, or two that differ only in their direction.
#[derive(Debug)]
pub(super) struct Block {
    /// Value and condition. The scope is `Both` if the block has a part for each direction.
    pub(super) accumulator: Accumulator,
    pub(super) storage: Storage,
    /// The offset in the state.
    pub(super) offset: u32,
    /// The size; if `by_direction`, of one of the two parts.
    pub(super) size: u32,
    /// Packets from source to destination are in the first part, others in the second one.
    pub(super) by_direction: bool,
    /// The parts and their offsets in the block.
    pub(super) parts: Vec<(Part, u32)>,
}

impl Block {
    /// Makes a block of one accumulator, or of two twins, from which another can be merged. It has no place yet.
    fn new(
        program: &Program,
        statistics: &[BTreeSet<Statistic>],
        members: &[usize],
        merged: Option<usize>,
    ) -> Self {
        let mut accumulator = program.accumulators[members[0]].clone();
        let by_direction = members.len() > 1;
        if by_direction {
            accumulator.packets.scope = Scope::Both;
        }
        let storage = storage(program, &accumulator);
        let mut parts = BTreeSet::new();
        let all = members.iter().copied().chain(merged);
        all.for_each(|n| needed(program, (n, &statistics[n]), &mut parts));
        let mut at = 0;
        let mut placed = Vec::new();
        for part in parts {
            at = u32::next_multiple_of(at, alignment(part, storage));
            placed.push((part, at));
            at += width(part, storage);
        }
        let is_wide = placed.iter().any(|(part, _)| alignment(*part, storage) > 4);
        Self {
            accumulator,
            storage,
            offset: 0,
            size: at.next_multiple_of(if is_wide { 8 } else { 4 }),
            by_direction,
            parts: placed,
        }
    }

    /// Returns the number of bytes of the block.
    pub(super) fn bytes(&self) -> u32 {
        self.size * if self.by_direction { 2 } else { 1 }
    }

    /// Returns the offset of the list in the block.
    pub(super) fn list(&self) -> Option<u32> {
        let is_list = |part: &Part| matches!(part, Part::List(_));
        let found = self.parts.iter().find(|(part, _)| is_list(part));
        found.map(|(_, offset)| *offset)
    }

    /// Returns the offset of a part in the block.
    pub(super) fn part(&self, part: Part) -> Option<u32> {
        let found = self.parts.iter().find(|(it, _)| *it == part);
        found.map(|(_, offset)| *offset)
    }
}

/// The place of an accumulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: usize,
    /// The offset in the state, or in the memory of merged accumulators.
    pub(super) offset: u32,
    /// Whether the accumulator is merged from those of both directions when its statistics are needed.
    pub(super) is_merged: bool,
}

/// The place of a previous value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PreviousPlace {
    pub(super) value: u32,
    /// The word that says whether the value is valid.
    pub(super) valid: u32,
}

impl PreviousPlace {
    /// Bytes between the places of two directions.
    pub(super) const STEP: u32 = 16;
}

/// The place of the current run of a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunPlace {
    /// The word with the number of runs so far, at most 2.
    pub(super) count: u32,
    /// The state that each run begins anew: from `start` to `end`. Both are multiples of 8.
    pub(super) start: u32,
    pub(super) end: u32,
}

/// The state of a flow.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) blocks: Vec<Block>,
    /// The place of each accumulator.
    pub(super) places: Vec<Place>,
    /// Bytes of the memory to which the accumulators of both directions are merged.
    pub(super) scratch: u32,
    /// The offset of the number of packets, if an expression uses it.
    pub(super) index: Option<u32>,
    /// The offset of the time of the first packet, if an expression uses it.
    pub(super) first_time: Option<u32>,
    /// The places of previous values.
    pub(super) previous: Vec<PreviousPlace>,
    /// The places of runs.
    pub(super) runs: Vec<RunPlace>,
    /// Bytes between the states of two flows.
    pub(super) stride: u32,
}

impl Layout {
    pub(super) fn new(program: &Program) -> Self {
        let (blocks, places, scratch) = blocks(program);
        let mut layout = Self {
            blocks,
            places,
            scratch,
            index: None,
            first_time: None,
            previous: vec![PreviousPlace::default(); program.previous.len()],
            runs: Vec::new(),
            stride: 0,
        };
        let mut end = 0;
        layout.place_level(program, Level::Flow, &mut end);
        let mut uses_index = false;
        let mut uses_age = false;
        program.visit_packets(&mut |expr| {
            uses_index |= *expr == Expr::Index;
            uses_age |= *expr == Expr::Age;
        });
        end = end.next_multiple_of(8);
        layout.index = uses_index.then(|| add(&mut end, 8));
        layout.first_time = uses_age.then(|| add(&mut end, 8));
        let counts: Vec<u32> = program.runs.iter().map(|_| add(&mut end, 4)).collect();
        for (run, count) in counts.into_iter().enumerate() {
            end = end.next_multiple_of(8);
            let start = end;
            layout.place_level(program, Level::Run(run), &mut end);
            end = end.next_multiple_of(8);
            layout.runs.push(RunPlace { count, start, end });
        }
        for place in { layout.places.iter_mut() }.filter(|place| !place.is_merged) {
            place.offset += layout.blocks[place.block].offset;
        }
        layout.stride = match end {
            0..=64 => end.max(16).next_power_of_two(),
            _ => end.next_multiple_of(64),
        };
        layout
    }

    /// Places the accumulators whose statistics are of a level, and the previous values beside them. `end` is where the
    /// state ends so far, a multiple of 8.
    fn place_level(&mut self, program: &Program, level: Level, end: &mut u32) {
        let is_here = |of: Members| of.result() == level;
        let mut blocks: Vec<&mut Block> = { self.blocks.iter_mut() }
            .filter(|block| is_here(block.accumulator.packets.of))
            .collect();
        // Blocks with parts of 64 bits come first, so that all parts are aligned.
        blocks.sort_by_key(|block| !block.size.is_multiple_of(8));
        for block in blocks {
            block.offset = add(end, block.bytes());
        }
        let all = program.previous.iter().zip(&mut self.previous);
        let all = all.filter(|(previous, _)| is_here(previous.packets.of));
        let (twins, single): (Vec<_>, Vec<_>) = all.partition(|(it, _)| it.by_direction);
        *end = end.next_multiple_of(8);
        for (_, place) in twins {
            let value = add(end, 2 * PreviousPlace::STEP);
            *place = PreviousPlace {
                value,
                valid: value + 8,
            };
        }
        let mut places: Vec<&mut PreviousPlace> = single.into_iter().map(|it| it.1).collect();
        for place in &mut places {
            place.value = add(end, 8);
        }
        for place in places {
            place.valid = add(end, 4);
        }
    }
}

/// Returns the blocks, the place of each accumulator in its block, and the bytes for merged accumulators.
fn blocks(program: &Program) -> (Vec<Block>, Vec<Place>, u32) {
    let all = &program.accumulators;
    let statistics = statistics(program);
    let mut blocks: Vec<Block> = Vec::new();
    let mut places: Vec<Option<Place>> = vec![None; all.len()];
    let mut scratch = 0;
    // Twins come first, because they replace others.
    for is_pair in [true, false] {
        for n in 0..all.len() {
            let twin = (n + 1..all.len()).find(|m| is_twin(&all[n], &all[*m]));
            if places[n].is_some() || twin.is_some() != is_pair {
                continue;
            }
            let mut members = vec![n];
            members.extend(twin);
            let is_both = |m: usize| {
                let is_equal = is_equal(&all[n], &all[m]) && all[m].limit.is_none();
                is_equal
                    && all[m].packets.scope == Scope::Both
                    && can_be_merged(program, m, &statistics[m])
            };
            let merged = (0..all.len()).find(|m| is_pair && is_both(*m));
            let block = Block::new(program, &statistics, &members, merged);
            for member in members {
                let is_second = is_pair && all[member].packets.scope == Scope::Dst2Src;
                places[member] = Some(Place {
                    block: blocks.len(),
                    offset: if is_second { block.size } else { 0 },
                    is_merged: false,
                });
            }
            if let Some(merged) = merged {
                places[merged] = Some(Place {
                    block: blocks.len(),
                    offset: add(&mut scratch, block.size.next_multiple_of(8)),
                    is_merged: true,
                });
            }
            blocks.push(block);
        }
    }
    let places = places.into_iter().map(Option::unwrap_or_default);
    (blocks, places.collect(), scratch)
}

/// Returns whether the state of an accumulator is exactly that of two accumulators that each saw a part of its packets.
fn can_be_merged(program: &Program, n: usize, statistics: &BTreeSet<Statistic>) -> bool {
    let accumulator = &program.accumulators[n];
    let storage = storage(program, accumulator);
    let (low, high) = accumulator.bounds;
    // A sum of numbers with different signs can stop at a limit and come back.
    let is_exact = low >= 0 || high <= 0 || is_narrow(accumulator);
    let mut parts = BTreeSet::new();
    needed(program, (n, statistics), &mut parts);
    storage != Storage::F64
        && parts.iter().all(|part| match part {
            Part::Sum => is_exact,
            Part::Count
            | Part::WideSum
            | Part::Squares
            | Part::WideSquares
            | Part::Min
            | Part::Max => true,
            _ => false,
        })
}

/// Returns the end, and moves it.
fn add(end: &mut u32, bytes: u32) -> u32 {
    *end += bytes;
    *end - bytes
}

fn is_twin(a: &Accumulator, b: &Accumulator) -> bool {
    let scopes = [a.packets.scope, b.packets.scope];
    (scopes == [Scope::Src2Dst, Scope::Dst2Src] || scopes == [Scope::Dst2Src, Scope::Src2Dst])
        && is_equal(a, b)
}

/// Returns whether accumulators are equal but for the direction.
fn is_equal(a: &Accumulator, b: &Accumulator) -> bool {
    a.packets.of == b.packets.of
        && a.value == b.value
        && a.packets.condition == b.packets.condition
        && a.bounds == b.bounds
        && a.limit == b.limit
        && a.keeps == b.keeps
}

fn storage(program: &Program, accumulator: &Accumulator) -> Storage {
    if let Keeps::Head(most) = accumulator.keeps {
        return Storage::Bytes(most);
    }
    match &accumulator.value {
        None => Storage::U32,
        Some(value) if program.ty(value) == Type::Float => Storage::F64,
        Some(value) if program.ty(value) == Type::Bytes => {
            Storage::Bytes(accumulator.bounds.1 as u32)
        }
        Some(_) if fits_u32(accumulator) => Storage::U32,
        Some(_) => Storage::I64,
    }
}

/// Returns whether values are from 0 to 2^32 - 1. The sum of their squares then stops at 2^64 - 1.
fn fits_u32(accumulator: &Accumulator) -> bool {
    let (low, high) = accumulator.bounds;
    low >= 0 && high <= u32::MAX.into()
}

/// Returns whether 64 bits hold the sum of 2^32 values.
pub(super) fn is_narrow(accumulator: &Accumulator) -> bool {
    let (low, high) = accumulator.bounds;
    fits_u32(accumulator) || (low >= -(1 << 31) && high <= 1 << 31)
}

fn width(part: Part, storage: Storage) -> u32 {
    match part {
        Part::Sum | Part::Squares => 8,
        Part::WideSum | Part::WideSquares | Part::Deviations => 16,
        Part::Moments => 32,
        Part::Comoments => 40,
        Part::Min | Part::Max | Part::First | Part::Last => match storage {
            Storage::U32 => 4,
            Storage::I64 | Storage::F64 => 8,
            Storage::Bytes(most) => 2 + most,
        },
        Part::List(bytes) => bytes,
        Part::Count => 4,
        Part::Head => match storage {
            Storage::Bytes(most) => 2 + most,
            _ => 0,
        },
    }
}

/// Returns the number of which the offset of a part is a multiple.
fn alignment(part: Part, storage: Storage) -> u32 {
    match (part, storage) {
        (Part::Count, _) => 4,
        (_, Storage::Bytes(_)) => 1,
        _ => width(part, storage).min(8),
    }
}

/// Returns the statistics of each accumulator that runs or outputs use.
fn statistics(program: &Program) -> Vec<BTreeSet<Statistic>> {
    let mut all = vec![BTreeSet::new(); program.accumulators.len()];
    program.visit_results(&mut |expr| {
        if let Expr::Statistic(n, statistic) = expr {
            all[*n].insert(*statistic);
        }
    });
    all
}

/// Adds the parts that the statistics of an accumulator need.
fn needed(
    program: &Program,
    (accumulator, statistics): (usize, &BTreeSet<Statistic>),
    parts: &mut BTreeSet<Part>,
) {
    let storage = storage(program, &program.accumulators[accumulator]);
    let is_narrow = fits_u32(&program.accumulators[accumulator]);
    let is_wide = program.accumulators[accumulator].is_wide && storage == Storage::I64;
    let sum = match is_wide {
        true => Part::WideSum,
        false => Part::Sum,
    };
    if program.accumulators[accumulator].limit.is_some() {
        parts.insert(Part::Count);
    }
    match &program.accumulators[accumulator].keeps {
        Keeps::Statistics => {}
        Keeps::Pairs(_) => {
            parts.extend([Part::Comoments, Part::Count]);
            return;
        }
        Keeps::Head(_) => {
            parts.insert(Part::Head);
            return;
        }
        _ => {
            let bytes = Element::list_bytes(program, &program.accumulators[accumulator]);
            parts.extend(bytes.map(Part::List));
            return;
        }
    }
    for statistic in statistics {
        if *statistic == Statistic::Sum {
            parts.insert(Part::Sum);
            continue;
        }
        if *statistic == Statistic::FloatSum {
            parts.insert(sum);
            continue;
        }
        parts.insert(Part::Count);
        match statistic {
            Statistic::Count
            | Statistic::Sum
            | Statistic::FloatSum
            | Statistic::Correlation
            | Statistic::Head
            | Statistic::Distinct
            | Statistic::Element(_)
            | Statistic::Len(_)
            | Statistic::Entropy(_)
            | Statistic::Quantile(..) => {}
            Statistic::Min => {
                parts.insert(Part::Min);
            }
            Statistic::Max => {
                parts.insert(Part::Max);
            }
            Statistic::First => {
                parts.insert(Part::First);
            }
            Statistic::Last | Statistic::Nth => {
                parts.insert(Part::Last);
            }
            Statistic::Skewness | Statistic::Kurtosis => {
                parts.insert(Part::Moments);
            }
            Statistic::Variance | Statistic::VariancePop => match storage {
                Storage::U32 | Storage::I64 if is_narrow => parts.extend([sum, Part::Squares]),
                Storage::U32 | Storage::I64 | Storage::Bytes(_) => {
                    parts.extend([sum, Part::WideSquares]);
                }
                Storage::F64 => {
                    parts.insert(Part::Deviations);
                }
            },
        }
    }
    // Unless its values have different signs, a sum that stops at a limit is the whole sum, limited at the end.
    let (low, high) = program.accumulators[accumulator].bounds;
    if parts.contains(&Part::WideSum) && (low >= 0 || high <= 0) {
        parts.remove(&Part::Sum);
    }
}
