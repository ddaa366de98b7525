//! Predicts a flow's class with a random forest that scikit-learn trained.

mod model;

use std::num::NonZeroU32;

use flowloom_sdk::{Chosen, Options, Outputs, Plugin};

use model::{Model, Prediction};

/// The plugin.
pub struct Forest {
    model: Model,
    /// Packets after which it predicts, if the flow has so many.
    packets: Option<NonZeroU32>,
    cut: bool,
}

/// What the operator may set.
#[derive(Options)]
pub struct Opts {
    /// The forest, as plugins/forest/export.py writes it: `model=@FILE`.
    model: String,
    /// Predict after so many packets of a flow, rather than at its end.
    packets: Option<NonZeroU32>,
    /// End the flow there.
    #[option(default = false)]
    cut: bool,
}

/// What it keeps of a flow.
pub struct State {
    packets: u32,
    early: Option<Prediction>,
}

/// What it adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// The class that the forest gives the flow.
    prediction: String,
    /// Its probability by the forest: the mean of its trees.
    probability: f64,
    /// Whether it was predicted after `packets` packets, rather than at the flow's end.
    early: bool,
}

impl Plugin for Forest {
    const DESCRIPTION: &'static str =
        "A flow's class by a random forest that scikit-learn trained.";

    type Options = Opts;
    type Packet<'a> = ();
    type AtInit<'a> = Chosen<'a>;
    type AtUpdate<'a> = Chosen<'a>;
    type AtExpire<'a> = Chosen<'a>;
    type State = State;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        if options.cut && options.packets.is_none() {
            return Err("`cut` needs `packets`: after how many packets a flow ends".to_owned());
        }
        let model = options
            .model
            .parse()
            .map_err(|error| format!("option `model`: {error}"))?;
        Ok(Forest {
            model,
            packets: options.packets,
            cut: options.cut,
        })
    }

    /// A flow of one packet has no update.
    fn at_init(&self) -> Vec<String> {
        match self.predicts_within() {
            Some(1) => self.model.features.clone(),
            _ => Vec::new(),
        }
    }

    fn at_update(&self) -> Vec<String> {
        match self.predicts_within() {
            Some(2..) => self.model.features.clone(),
            _ => Vec::new(),
        }
    }

    fn at_expire(&self) -> Vec<String> {
        self.model.features.clone()
    }

    fn packets_per_flow(&self) -> Option<u32> {
        match self.packets {
            Some(packets) => Some(packets.get()),
            // All is known at the end.
            None => Some(1),
        }
    }

    fn init(&mut self, (): &(), flow: &Chosen<'_>) -> State {
        let mut state = State {
            packets: 0,
            early: None,
        };
        self.packet(&mut state, flow);
        state
    }

    fn update(&mut self, state: &mut State, (): &(), flow: &Chosen<'_>) {
        self.packet(state, flow);
    }

    fn cuts_flows(&self) -> bool {
        self.cut
    }

    fn cuts(&self, state: &State) -> bool {
        self.is_time(state)
    }

    fn expire(&mut self, state: State, flow: &Chosen<'_>) -> Out {
        let early = state.early.is_some() || self.is_time(&state);
        let prediction = state.early.unwrap_or_else(|| self.model.predict(flow));
        Out {
            prediction: self.model.classes[prediction.class].clone(),
            probability: prediction.probability,
            early,
        }
    }
}

impl Forest {
    /// After how many packets it predicts in the middle of a flow. A flow that it cuts there ends there.
    fn predicts_within(&self) -> Option<u32> {
        match self.cut {
            true => None,
            false => self.packets.map(NonZeroU32::get),
        }
    }

    fn packet(&mut self, state: &mut State, flow: &Chosen<'_>) {
        state.packets = state.packets.saturating_add(1);
        if self.predicts_within() == Some(state.packets) {
            state.early = Some(self.model.predict(flow));
        }
    }

    fn is_time(&self, state: &State) -> bool {
        self.packets
            .is_some_and(|packets| state.packets >= packets.get())
    }
}

flowloom_sdk::export!(Forest);

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "flowloom-forest 1\n\
        features\tbidirectional_packets\n\
        classes\tshort\tlong and odd\n\
        trees 1\n\
        tree 3\n\
        0 2.5 2\n\
        0:1\n\
        1:0.75 0:0.25\n";

    fn open(packets: Option<u32>, cut: bool) -> Result<Forest, String> {
        Forest::open(Opts {
            model: MODEL.to_owned(),
            packets: packets.and_then(NonZeroU32::new),
            cut,
        })
    }

    fn run(plugin: &mut Forest, packets: u32) -> Out {
        let seen = |n: u32| [f64::from(n)];
        let mut state = plugin.init(&(), &Chosen::of(&seen(1)));
        for n in 2..=packets {
            plugin.update(&mut state, &(), &Chosen::of(&seen(n)));
        }
        plugin.expire(state, &Chosen::of(&seen(packets)))
    }

    fn out(prediction: &str, probability: f64, early: bool) -> Out {
        Out {
            prediction: prediction.to_owned(),
            probability,
            early,
        }
    }

    #[test]
    fn it_predicts_at_the_end() {
        let mut plugin = open(None, false).expect("the model is one");
        assert_eq!(plugin.at_expire(), ["bidirectional_packets"]);
        assert_eq!((plugin.at_init().len(), plugin.at_update().len()), (0, 0));
        assert_eq!(run(&mut plugin, 2), out("short", 1.0, false));
        assert_eq!(run(&mut plugin, 3), out("long and odd", 0.75, false));
    }

    #[test]
    fn it_predicts_early_where_there_are_so_many_packets() {
        let mut plugin = open(Some(2), false).expect("the model is one");
        assert_eq!(plugin.at_update(), ["bidirectional_packets"]);
        assert_eq!(plugin.packets_per_flow(), Some(2));
        assert_eq!(run(&mut plugin, 1), out("short", 1.0, false));
        assert_eq!(run(&mut plugin, 9), out("short", 1.0, true));
        let mut plugin = open(Some(1), false).expect("the model is one");
        assert_eq!(plugin.at_init(), ["bidirectional_packets"]);
        assert_eq!(run(&mut plugin, 9), out("short", 1.0, true));
    }

    #[test]
    fn it_cuts_where_it_is_told_to() {
        let mut plugin = open(Some(3), true).expect("the model is one");
        assert!(plugin.cuts_flows() && plugin.at_update().is_empty());
        let mut state = plugin.init(&(), &Chosen::of(&[]));
        plugin.update(&mut state, &(), &Chosen::of(&[]));
        assert!(!plugin.cuts(&state));
        plugin.update(&mut state, &(), &Chosen::of(&[]));
        assert!(plugin.cuts(&state));
        assert_eq!(
            plugin.expire(state, &Chosen::of(&[3.0])),
            out("long and odd", 0.75, true)
        );
        assert_eq!(
            open(None, true).err().as_deref(),
            Some("`cut` needs `packets`: after how many packets a flow ends")
        );
    }
}
