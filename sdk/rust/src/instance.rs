//! An opened plugin, which either world of the contract can call.

use crate::bindings::exports::flowloom::plugin::batch_feature::{Batch, Column, OutputColumn};
use crate::bindings::exports::flowloom::plugin::feature::{Packet, Value, Values, Verdict};
use crate::bindings::flowloom::plugin::manifest::{Available, Manifest, OptionDescription, Output};
use crate::event::{self, Call, EXPIRE, INIT, UPDATE};
use crate::fields::{EventValues, FlowColumns, PacketColumns};
use crate::flows::{self, Ids, Slots};
use crate::plugin::names;
use crate::{FlowFields, Options, Outputs, PacketFields, Plugin};

/// The number of events whose states are read ahead.
const TOUCHED: usize = 16;

/// An opened plugin and the states of its flows.
#[doc(hidden)]
pub struct Instance<P: Plugin> {
    plugin: P,
    cuts_flows: bool,
    slots: Slots<P::State>,
    ids: Ids<P::State>,
}

impl<P: Plugin> Instance<P> {
    /// Opens the plugin and returns its manifest.
    ///
    /// # Errors
    ///
    /// Returns a text for the operator if the options are invalid, if the plugin rejects them, or if
    /// the requested bytes and the packet struct disagree.
    pub fn open(
        name: &'static str,
        version: &str,
        options: &[(String, String)],
        available: &Available,
    ) -> Result<(Self, Manifest), String> {
        #[cfg(target_family = "wasm")]
        event::log_panics(name);
        #[cfg(not(target_family = "wasm"))]
        let _ = name;
        event::enter(Call::Plain("open"));
        let mut plugin = P::open(P::Options::parse(options)?)?;
        plugin.adapt(available)?;
        let manifest = manifest(&plugin, version);
        check(
            "payload",
            "payload_bytes",
            P::Packet::PAYLOAD_BYTES,
            manifest.payload_bytes,
        )?;
        check(
            "bytes",
            "packet_bytes",
            P::Packet::PACKET_BYTES,
            manifest.packet_bytes,
        )?;
        let cuts_flows = manifest.cuts_flows;
        Ok((
            Instance {
                plugin,
                cuts_flows,
                slots: Slots::default(),
                ids: Ids::default(),
            },
            manifest,
        ))
    }

    /// Handles the first packet of a flow.
    pub fn init(&mut self, flow: u64, packet: &Packet, values: &Values) -> Verdict {
        event::enter(Call::One(INIT, flow));
        let mut values = EventValues::new(values);
        let state = self.plugin.init(
            &PacketFields::record(packet, &mut values),
            &FlowFields::record(&mut values),
        );
        let verdict = verdict(&self.plugin, self.cuts_flows, &state);
        self.ids.insert(flow, state);
        verdict
    }

    /// Handles a later packet of a flow.
    pub fn update(&mut self, flow: u64, packet: &Packet, values: &Values) -> Verdict {
        event::enter(Call::One(UPDATE, flow));
        let mut values = EventValues::new(values);
        let state = self.ids.get_mut(&flow).unwrap_or_else(|| no_init());
        self.plugin.update(
            state,
            &PacketFields::record(packet, &mut values),
            &FlowFields::record(&mut values),
        );
        verdict(&self.plugin, self.cuts_flows, state)
    }

    /// Handles the end of a flow and returns the values of its outputs.
    pub fn expire(&mut self, flow: u64, values: &Values) -> Vec<Value> {
        event::enter(Call::One(EXPIRE, flow));
        let mut values = EventValues::new(values);
        let state = self.ids.remove(&flow).unwrap_or_else(|| no_init());
        self.plugin
            .expire(state, &FlowFields::record(&mut values))
            .values()
    }

    /// Handles a batch of events and returns the output columns of its expired flows.
    pub fn process(&mut self, events: Batch) -> Vec<OutputColumn> {
        let Batch {
            kinds,
            slots,
            packets,
            bytes,
            payload,
            opened,
            updated,
            expired,
        } = events;
        let Column::U32s(slots) = slots else {
            panic!("Flowloom gave the slots in a column that is not u32s");
        };
        let columns = Columns {
            packets: &packets,
            bytes: bytes.as_ref(),
            payload: payload.as_ref(),
            opened: &opened,
            updated: &updated,
            expired: &expired,
        };
        event::batch(kinds, slots, |kinds, slots| self.run(kinds, slots, columns))
    }

    fn run(&mut self, kinds: &[u8], slots: &[u32], columns: Columns<'_>) -> Vec<OutputColumn> {
        let Rows {
            inits,
            updates,
            expires,
        } = Rows::count(kinds);
        let packets = P::Packet::columns(PacketColumns {
            fields: FlowColumns {
                columns: columns.packets,
                rows: inits + updates,
            },
            payload: columns.payload,
            bytes: columns.bytes,
        });
        let opened = P::AtInit::columns(FlowColumns {
            columns: columns.opened,
            rows: inits,
        });
        let updated = P::AtUpdate::columns(FlowColumns {
            columns: columns.updated,
            rows: updates,
        });
        let expired = P::AtExpire::columns(FlowColumns {
            columns: columns.expired,
            rows: expires,
        });
        let mut ends = Ends::<P> {
            packets,
            opened,
            inits: 0,
            expired,
            expires: 0,
            outputs: P::Outputs::columns(expires),
        };
        let mut updates = 0;
        let (kinds, slots) = (kinds.chunks(TOUCHED), slots.chunks(TOUCHED));
        for (n, (kinds, slots)) in kinds.zip(slots).enumerate() {
            self.slots.touch(slots);
            for (row, (&kind, &slot)) in kinds.iter().zip(slots).enumerate() {
                event::at(n * TOUCHED + row);
                if kind == UPDATE {
                    let packet = P::Packet::row(&packets, ends.inits + updates);
                    let flow = P::AtUpdate::row(&updated, updates);
                    let state = self.slots.get(slot).unwrap_or_else(|| no_init());
                    self.plugin.update(state, &packet, &flow);
                    updates += 1;
                } else {
                    ends.event(self, kind, slot, updates);
                }
            }
        }
        if ends.expires == 0 {
            Vec::new()
        } else {
            P::Outputs::finish(ends.outputs)
        }
    }

    /// Handles the end of the instance, after the last flow.
    pub fn finish(&mut self) {
        event::enter(Call::Plain("finish"));
        self.plugin.finish();
    }
}

/// Handles the init and expire events of a batch. Updates are far more frequent. Keeping the other
/// kinds out of their loop keeps the loop small.
struct Ends<'a, P: Plugin> {
    packets: <P::Packet<'a> as PacketFields<'a>>::Columns,
    opened: <P::AtInit<'a> as FlowFields<'a>>::Columns,
    inits: usize,
    expired: <P::AtExpire<'a> as FlowFields<'a>>::Columns,
    expires: usize,
    outputs: <P::Outputs as Outputs>::Columns,
}

impl<P: Plugin> Ends<'_, P> {
    #[inline(never)]
    fn event(&mut self, instance: &mut Instance<P>, kind: u8, slot: u32, updates: usize) {
        match kind {
            INIT => {
                let packet = P::Packet::row(&self.packets, self.inits + updates);
                let flow = P::AtInit::row(&self.opened, self.inits);
                instance
                    .slots
                    .open(slot, instance.plugin.init(&packet, &flow));
                self.inits += 1;
            }
            EXPIRE => {
                let flow = P::AtExpire::row(&self.expired, self.expires);
                let state = instance.slots.close(slot).unwrap_or_else(|| no_init());
                instance.plugin.expire(state, &flow).push(&mut self.outputs);
                self.expires += 1;
            }
            _ => panic!("Flowloom gave an event of unknown kind {kind}"),
        }
    }
}

/// The columns of a batch.
struct Columns<'a> {
    packets: &'a [Column],
    bytes: Option<&'a Column>,
    payload: Option<&'a Column>,
    opened: &'a [Column],
    updated: &'a [Column],
    expired: &'a [Column],
}

/// The number of events of each kind in a batch.
struct Rows {
    inits: usize,
    updates: usize,
    expires: usize,
}

impl Rows {
    /// Counts eight events at a time. Kinds are 0, 1 and 2: bit 0 means update, bit 1 means expire.
    fn count(kinds: &[u8]) -> Rows {
        let (mut updates, mut expires) = (0, 0);
        let mut add = |eight: [u8; 8]| {
            let eight = u64::from_le_bytes(eight);
            updates += (eight & 0x0101_0101_0101_0101).count_ones() as usize;
            expires += (eight & 0x0202_0202_0202_0202).count_ones() as usize;
        };
        let (eights, rest) = kinds.as_chunks::<8>();
        for eight in eights {
            add(*eight);
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        add(last);
        Rows {
            inits: kinds.len().saturating_sub(updates + expires),
            updates,
            expires,
        }
    }
}

fn verdict<P: Plugin>(plugin: &P, cuts_flows: bool, state: &P::State) -> Verdict {
    if cuts_flows && plugin.cuts(state) {
        Verdict::Cut
    } else {
        Verdict::Keep
    }
}

#[cold]
fn no_init() -> ! {
    panic!("Flowloom gave an event of a flow without an init")
}

/// Checks that a plugin requests bytes if and only if its packet struct has a field for them. The
/// number of bytes may depend on the options, so the compiler cannot check it.
fn check(field: &str, method: &str, declared: Option<u32>, asked: u32) -> Result<(), String> {
    match (declared, asked) {
        (None, 1..) => Err(format!(
            "{method} requests {asked} bytes, but the packet struct has no #[{field}] field"
        )),
        (Some(_), 0) => Err(format!(
            "the packet struct has a #[{field}] field, but {method} requests 0 bytes"
        )),
        _ => Ok(()),
    }
}

fn manifest<P: Plugin>(plugin: &P, version: &str) -> Manifest {
    let cuts_flows = plugin.cuts_flows();
    let table_bytes = if cuts_flows {
        flows::id_bytes(plugin.state_bytes())
    } else {
        flows::slot_bytes::<P::State>(plugin.state_bytes())
    };
    Manifest {
        version: version.to_owned(),
        description: P::DESCRIPTION.to_owned(),
        outputs: P::Outputs::OUTPUTS
            .iter()
            .map(|output| Output {
                name: output.name.to_owned(),
                kind: output.kind,
                description: output.description.to_owned(),
            })
            .collect(),
        options: P::Options::SPECS
            .iter()
            .map(|spec| OptionDescription {
                name: spec.key.to_owned(),
                kind: spec.kind,
                accepts: spec.accepts.to_owned(),
                default: spec.default.map(str::to_owned),
                description: spec.description.to_owned(),
            })
            .collect(),
        packet: names(P::Packet::NAMES),
        payload_bytes: plugin.payload_bytes(),
        packet_bytes: plugin.packet_bytes(),
        at_init: plugin.at_init(),
        at_update: plugin.at_update(),
        at_expire: plugin.at_expire(),
        packets_per_flow: plugin.packets_per_flow(),
        flow_bytes: u32::try_from(table_bytes).unwrap_or(u32::MAX),
        cuts_flows,
        packed: false,
        needs_one_meter: plugin.needs_one_meter(),
    }
}
