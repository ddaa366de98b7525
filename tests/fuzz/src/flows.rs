//! Invariants of the flows of a run.

use std::collections::{HashMap, HashSet};

use flowloom::Schema;
use flowloom::sink::Format;
use flowloom::{Counters, Flow, Settings, Value};

/// Checks the invariants of the flows and counters of a run that has ended.
pub(crate) fn check(flows: &[Flow], counters: Counters, settings: &Settings) {
    let ignored: u64 = counters.ignored().map(|(_, count)| count).sum();
    assert_eq!(counters.packets, counters.metered + ignored);
    assert!(counters.clamped <= counters.metered);
    assert_eq!(counters.flows, flows.len() as u64);
    let mut ids = HashSet::new();
    let mut packets = 0;
    let mut evicted = 0;
    let indices = flows.first().map(|flow| Indices::of(flow.schema()));
    for (flow, indices) in flows.iter().zip(indices.iter().cycle()) {
        assert!(ids.insert(flow.id()), "flow {} twice", flow.id());
        assert!(flow.id() < counters.packets);
        let fields = Fields::of(flow, indices);
        packets += fields.integer("bidirectional", "packets");
        evicted += u64::from(fields.integer("expiration", "id") == 3);
        fields.check(settings);
    }
    assert_eq!(packets as u64, counters.metered);
    assert_eq!(evicted, counters.evicted);
    assert!(settings.max_flows > 0 || evicted == 0);
}

/// Returns the flows as text, so that runs can be compared.
pub(crate) fn lines(flows: &[Flow], format: Format) -> String {
    let mut out = Vec::new();
    if let Some(flow) = flows.first() {
        let mut sink = format
            .sink(&mut out, flow.schema())
            .expect("writing to memory succeeds");
        for flow in flows {
            sink.write(flow).expect("writing to memory succeeds");
        }
        sink.finish().expect("writing to memory succeeds");
    }
    String::from_utf8(out).expect("output is UTF-8")
}

/// The index of each field. The key is the part of its name before the first underscore and the part after it.
struct Indices(HashMap<(&'static str, &'static str), usize>);

impl Indices {
    fn of(schema: &Schema) -> Self {
        let split = |name: &'static str| name.split_once('_').unwrap_or(("", name));
        let names = schema.features().iter().map(|feature| split(feature.name));
        Self(names.zip(0..).collect())
    }
}

struct Fields<'a> {
    values: Vec<Value<'a>>,
    indices: &'a Indices,
}

impl<'a> Fields<'a> {
    fn of(flow: &'a Flow, indices: &'a Indices) -> Self {
        let values = flow.iter().map(|(_, value)| value).collect();
        Self { values, indices }
    }

    fn value(&self, of: &str, what: &str) -> Value<'a> {
        let index = self.indices.0.get(&(of, what));
        self.values[*index.unwrap_or_else(|| panic!("{of}_{what} is missing"))]
    }

    fn integer(&self, of: &str, what: &str) -> i64 {
        match self.value(of, what) {
            Value::Integer(integer) => integer,
            other => panic!("{of}_{what} is {other:?}"),
        }
    }

    fn float(&self, of: &str, what: &str) -> f64 {
        match self.value(of, what) {
            Value::Float(float) => float,
            other => panic!("{of}_{what} is {other:?}"),
        }
    }

    fn check(&self, settings: &Settings) {
        for what in ["packets", "bytes"] {
            let [both, there, back] = DIRECTIONS.map(|of| self.integer(of, what));
            assert_eq!(both, there + back, "{what}");
        }
        assert!(self.integer("src2dst", "packets") >= 1);
        for of in DIRECTIONS {
            let field = |what| self.integer(of, what);
            let (first, last) = (field("first_seen_ms"), field("last_seen_ms"));
            assert!(first <= last, "{of}");
            if last < i64::MAX {
                assert_eq!(field("duration_ms"), last - first, "{of}");
            }
            if field("packets") == 0 {
                assert_eq!((first, last, field("bytes")), (0, 0, 0), "{of}");
            }
            if settings.statistical_analysis {
                self.check_spread(of, ["min_ps", "max_ps", "mean_ps", "stddev_ps"]);
                self.check_spread(
                    of,
                    [
                        "min_piat_ms",
                        "max_piat_ms",
                        "mean_piat_ms",
                        "stddev_piat_ms",
                    ],
                );
                for flag in FLAGS {
                    assert!(field(flag) <= field("packets"), "{of}_{flag}");
                }
            }
        }
        if settings.splt_analysis > 0 {
            for name in ["direction", "ps", "piat_ms"] {
                let Value::Integers(list) = self.value("splt", name) else {
                    panic!("{name} is no list");
                };
                assert_eq!(list.len(), usize::from(settings.splt_analysis));
                let filled = list.iter().take_while(|n| **n >= 0).count();
                let packets = self.integer("bidirectional", "packets");
                assert_eq!(filled, list.len().min(packets as usize), "{name}");
            }
        }
    }

    fn check_spread(&self, of: &str, [min, max, mean, deviation]: [&str; 4]) {
        let min = self.integer(of, min) as f64;
        let max = self.integer(of, max) as f64;
        let mean = self.float(of, mean);
        let deviation = self.float(of, deviation);
        // Integers saturate at 2^63, but means do not. Means are rounded.
        if max < i64::MAX as f64 {
            let slack = max * 1e-12;
            assert!(
                min <= mean + slack && mean <= max + slack,
                "{of}: {min} {mean} {max} {deviation}"
            );
            assert!(
                deviation <= (max - min) + slack,
                "{of}: {min} {mean} {max} {deviation}"
            );
        }
        assert!(
            deviation >= 0.0 && deviation.is_finite(),
            "{of}: {min} {mean} {max} {deviation}"
        );
    }
}

const FLAGS: [&str; 8] = [
    "syn_packets",
    "cwr_packets",
    "ece_packets",
    "urg_packets",
    "ack_packets",
    "psh_packets",
    "rst_packets",
    "fin_packets",
];
const DIRECTIONS: [&str; 3] = ["bidirectional", "src2dst", "dst2src"];
