//! The flows that an instance of a plugin holds.
//!
//! A flow id is the ordinal of the first packet of the flow. An instance knows a flow by the slot of the flow in the
//! flow table, so that no table from one to the other is needed. An instance holds a flow if
//!
//! - the flow began after the instance was opened: its id is not below `first`;
//! - its slot is below `max`, so that the instance holds at most `max` flows;
//! - it was not `shed`.

use std::collections::HashSet;

use flowloom_core::record::FlowPacket;

/// Which flows an instance holds.
pub(super) struct HeldFlows {
    /// The smallest flow id that the instance can hold; `u64::MAX` while there is no instance.
    first: u64,
    /// The maximum number of flows.
    max: u32,
    /// The number of flows that the instance holds.
    count: u64,
    /// The slots of live flows that began while the plugin received no new flows.
    shed: HashSet<u32>,
}

impl HeldFlows {
    /// An instance holds flows whose ids are not below `first`, and at most `max` of them.
    pub(super) fn new(first: u64, max: usize) -> Self {
        Self {
            first,
            max: u32::try_from(max).unwrap_or(u32::MAX),
            count: 0,
            shed: HashSet::new(),
        }
    }

    /// Begins again with an instance that holds flows whose ids are not below `first`. It is `u64::MAX` if there is no
    /// instance.
    ///
    /// This takes the same time for any number of flows.
    pub(super) fn restart(&mut self, first: u64) {
        *self = Self::new(first, self.max as usize);
    }

    /// Returns the smallest flow id that the instance can hold.
    #[cfg(test)]
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of flows that the instance holds.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns whether the instance holds the flow of a packet.
    #[inline]
    pub(super) fn holds(&self, packet: &FlowPacket<'_>) -> bool {
        packet.flow_id >= self.first && self.has(packet.slot)
    }

    #[inline]
    fn has(&self, slot: u32) -> bool {
        slot < self.max && (self.shed.is_empty() || !self.shed.contains(&slot))
    }

    /// Adds the flow of a packet. Returns false if its slot is beyond the maximum.
    #[inline]
    pub(super) fn begin(&mut self, packet: &FlowPacket<'_>) -> bool {
        if !self.shed.is_empty() {
            self.shed.remove(&packet.slot);
        }
        let is_held = packet.slot < self.max;
        self.count += u64::from(is_held);
        is_held
    }

    /// Keeps the flow of a packet from the instance, because the plugin receives no new flows.
    pub(super) fn shed(&mut self, packet: &FlowPacket<'_>) {
        self.shed.insert(packet.slot);
    }

    /// Ends a flow. Returns whether the instance held it.
    #[inline]
    pub(super) fn end(&mut self, flow: u64, slot: u32) -> End {
        if flow < self.first {
            return End::OfEarlierInstance;
        }
        if !self.has(slot) {
            self.shed.remove(&slot);
            return End::NotHeld;
        }
        self.count -= 1;
        End::Held
    }
}

/// The end of a flow, for an instance.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The instance held it.
    Held,
    /// The plugin never received it.
    NotHeld,
    /// An earlier instance held it, or it began while there was none.
    OfEarlierInstance,
}

#[cfg(test)]
mod tests {
    use flowloom_core::record::DecodedPacket;

    use super::*;

    fn packet(decoded: &DecodedPacket, flow_id: u64, slot: u32) -> FlowPacket<'_> {
        let mut packet = FlowPacket::new(decoded, &[]);
        (packet.flow_id, packet.slot) = (flow_id, slot);
        packet
    }

    #[test]
    fn an_instance_holds_flows_that_began_after_it() {
        let decoded = DecodedPacket::default();
        let mut held = HeldFlows::new(5, 2);
        for (flow, slot, holds) in [(4, 0, false), (5, 0, true), (6, 1, true), (7, 2, false)] {
            let packet = packet(&decoded, flow, slot);
            assert_eq!(held.holds(&packet), holds, "{flow}");
            if flow >= 5 {
                assert_eq!(held.begin(&packet), holds);
            }
        }
        assert_eq!(held.count(), 2);
        assert_eq!(held.end(4, 3), End::OfEarlierInstance);
        assert_eq!(held.end(7, 2), End::NotHeld);
        assert_eq!((held.end(5, 0), held.count()), (End::Held, 1));
        held.restart(u64::MAX);
        assert_eq!((held.first(), held.count()), (u64::MAX, 0));
        assert!(!held.holds(&packet(&decoded, 6, 1)));
        assert_eq!(held.end(6, 1), End::OfEarlierInstance);
        held.restart(9);
        // The maximum remains.
        assert!(held.holds(&packet(&decoded, 9, 1)) && !held.holds(&packet(&decoded, 9, 2)));
    }

    #[test]
    fn a_slot_is_shed_until_its_flow_ends_or_another_one_begins() {
        let decoded = DecodedPacket::default();
        let [first, second] = [1, 2].map(|flow| packet(&decoded, flow, 3));
        let mut held = HeldFlows::new(0, 9);
        held.shed(&first);
        assert!(!held.holds(&first));
        assert_eq!((held.end(1, 3), held.count()), (End::NotHeld, 0));
        assert!(held.begin(&second) && held.holds(&second));
        assert_eq!(held.end(2, 3), End::Held);
        // The end of a flow of an earlier instance is not noticed.
        held.shed(&first);
        assert!(held.begin(&second) && held.holds(&second));
    }
}
