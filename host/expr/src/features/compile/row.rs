//! Instructions that add a packet to the state of its flow.

use super::code::Code;
use super::expression::{Expressions, Leaves, Valid};
use super::layout::Layout;
use super::payload::Payload;
use super::previous;
use super::program::{Expr, Level, Members, Program, Selection};
use super::{runs, update};

/// The locals that hold the values of the current packet.
#[derive(Default)]
pub(super) struct Row {
    /// The packet fields, by their index in the program.
    pub(super) packet: Vec<u32>,
    /// The direction, as `i64`.
    pub(super) direction: Option<u32>,
    /// The ordinal in the flow, as `i64`.
    pub(super) index: Option<u32>,
    /// The time since the first packet, as `i64`.
    pub(super) age: Option<u32>,
    /// The payload.
    pub(super) payload: Option<Payload>,
    /// The values of earlier packets; `None` for those of runs.
    previous: Vec<Option<(u32, Valid)>>,
    /// The shared values; `None` for those that are not of packets.
    shared: Vec<Option<(u32, Valid)>>,
    /// Whether the packet belongs to a run of each division.
    in_runs: Vec<Valid>,
}

impl Leaves for Row {
    fn leaf(&self, code: &mut Code, expr: &Expr) -> Valid {
        let payload = || self.payload.expect("expressions of packets are checked");
        let found = match expr {
            Expr::PayloadNumber { at, bytes } => return payload().number(*at, *bytes, code),
            Expr::PayloadStarts(with) => return payload().starts(with, code),
            Expr::PayloadPart(from, to) => return payload().part(*from, *to, code),
            Expr::Packet(n) => Some((self.packet[*n], None)),
            Expr::Index => self.index.map(|local| (local, None)),
            Expr::Age => self.age.map(|local| (local, None)),
            Expr::Previous(n) => self.previous[*n],
            Expr::Shared(n) => self.shared[*n],
            _ => None,
        };
        let (local, valid) = found.expect("expressions of packets are checked");
        code.ins().local_get(local);
        valid
    }

    fn direction(&self) -> Option<u32> {
        self.direction
    }

    fn in_run(&self, run: usize) -> Valid {
        self.in_runs[run]
    }
}

/// Writes the update of all that sees packets. `state` is the local with the address of the flow's state.
pub(super) fn write(
    program: &Program,
    layout: &Layout,
    row: &mut Row,
    state: u32,
    code: &mut Code,
) {
    row.previous = vec![None; program.previous.len()];
    row.shared = vec![None; program.shared.len()];
    let is_of_run = depends_on_run(program);
    let of_flow = |members| members == Members::Packets;
    let of_run = |members| matches!(members, Members::RunPackets(_));
    previous::load(program, layout, of_flow, row, state, code);
    share(program, row, |n| !is_of_run[n], code);
    for (run, division) in program.runs.iter().enumerate() {
        let mut expressions = Expressions {
            program,
            leaves: row,
            code: &mut *code,
        };
        let in_run = expressions.selection(&division.packets);
        let (breaks, valid) = expressions.evaluate(&division.break_when);
        let breaks = expressions.both(Some(breaks), valid);
        runs::write_break(layout, run, [in_run, breaks], state, code);
        row.in_runs.push(in_run);
    }
    // A run that begins has no values of earlier packets.
    previous::load(program, layout, of_run, row, state, code);
    share(program, row, |n| is_of_run[n], code);
    let sees_packets = |members: Members| members.level() == Level::Packet;
    update::blocks(program, layout, sees_packets, (row, state), code);
    previous::store(program, layout, sees_packets, (row, state), code);
}

impl previous::Loaded for Row {
    fn set_previous(&mut self, n: usize, value: (u32, Valid)) {
        self.previous[n] = Some(value);
    }
}

/// Evaluates shared values of packets.
fn share(program: &Program, row: &mut Row, wanted: impl Fn(usize) -> bool, code: &mut Code) {
    for (n, shared) in program.shared.iter().enumerate() {
        if matches!(shared.level, Level::Packet | Level::Constant) && wanted(n) {
            let mut expressions = Expressions {
                program,
                leaves: row,
                code: &mut *code,
            };
            row.shared[n] = Some(expressions.evaluate(&shared.value));
        }
    }
}

/// Returns for each shared value whether it depends on the packets of a run.
fn depends_on_run(program: &Program) -> Vec<bool> {
    let is_run = |packets: &Selection| matches!(packets.of, Members::RunPackets(_));
    let mut all: Vec<bool> = Vec::new();
    for shared in &program.shared {
        let mut depends = false;
        shared.value.visit(&mut |expr| {
            depends |= match expr {
                Expr::Previous(n) => is_run(&program.previous[*n].packets),
                Expr::Within(_, packets) => is_run(packets),
                Expr::Shared(n) => all[*n],
                _ => false,
            }
        });
        all.push(depends);
    }
    all
}
