//! Runs: where they begin, and what they add to accumulators when they end.

use wasm_encoder::{BlockType, Function};

use super::code::{Code, at};
use super::expression::Valid;
use super::functions::{FIRST_RUN, initialize};
use super::layout::Layout;
use super::memory::Memory;
use super::program::{Level, Members, Program};
use super::results::Results;
use super::{previous, update};

/// The functions of each division: `end` and `begin`.
pub(super) const FUNCTIONS: u32 = 2;

fn end_function(run: usize) -> u32 {
    FIRST_RUN + FUNCTIONS * run as u32
}

fn begin_function(run: usize) -> u32 {
    end_function(run) + 1
}

/// Begins a run if the packet is in a run and is the first one, or breaks the current run.
pub(super) fn write_break(
    layout: &Layout,
    run: usize,
    [in_run, breaks]: [Valid; 2],
    state: u32,
    code: &mut Code,
) {
    let ins = &mut code.ins();
    ins.local_get(state);
    ins.i32_load(at(layout.runs[run].count, 4)).i32_eqz();
    if let Some(breaks) = breaks {
        ins.local_get(breaks).i32_or();
    }
    if let Some(in_run) = in_run {
        ins.local_get(in_run).i32_and();
    }
    ins.if_(BlockType::Empty);
    ins.local_get(state).call(begin_function(run)).end();
}

/// Returns the function `(state)` that adds the current run to the accumulators of runs. It does nothing if there is no
/// run, or if the run is left out as the first.
pub(super) fn end(program: &Program, layout: &Layout, memory: &Memory, run: usize) -> Function {
    let state = 0;
    let mut code = Code::new(1);
    let least = if program.runs[run].drops_first { 2 } else { 1 };
    let ins = &mut code.ins();
    ins.local_get(state);
    ins.i32_load(at(layout.runs[run].count, 4));
    ins.i32_const(least).i32_lt_u();
    ins.if_(BlockType::Empty).return_().end();
    let parts = (program, layout, memory);
    let mut results = Results::new(parts, Level::Run(run), state, &mut code);
    let sees_runs = |members| members == Members::Runs(run);
    previous::load(program, layout, sees_runs, &mut results, state, &mut code);
    results.share(Level::Run(run), &mut code);
    update::blocks(program, layout, sees_runs, (&results, state), &mut code);
    previous::store(program, layout, sees_runs, (&results, state), &mut code);
    code.finish()
}

/// Returns the function `(state)` that ends the current run and begins the next one.
pub(super) fn begin(layout: &Layout, run: usize) -> Function {
    let state = 0;
    let mut code = Code::new(1);
    let place = layout.runs[run];
    let count = at(place.count, 4);
    let ins = &mut code.ins();
    ins.local_get(state).call(end_function(run));
    ins.local_get(state).i32_const(2).i32_const(1);
    ins.local_get(state).i32_load(count).select();
    ins.i32_store(count);
    for offset in (place.start..place.end).step_by(8) {
        ins.local_get(state).i64_const(0).i64_store(at(offset, 8));
    }
    let is_of_run = |members| members == Members::RunPackets(run);
    initialize(layout, is_of_run, state, &mut code);
    code.finish()
}

/// Ends the last run of each division at the end of the flow.
pub(super) fn write_ends(program: &Program, state: u32, code: &mut Code) {
    for (run, division) in program.runs.iter().enumerate() {
        if !division.drops_last {
            code.ins().local_get(state).call(end_function(run));
        }
    }
}
