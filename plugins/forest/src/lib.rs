//! Predicts the class of a flow with a random forest that scikit-learn trained.

mod model;

use std::num::NonZeroU32;

use flowloom_sdk::{Chosen, Options, Outputs, Plugin};

use model::{Model, Prediction};

/// The plugin.
pub struct Forest {
    model: Model,
    /// The number of packets after which the plugin predicts. Shorter flows are predicted at their end.
    packets: Option<NonZeroU32>,
    cut: bool,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// The forest, in the format of plugins/forest/export.py: `model=@FILE`.
    model: String,
    /// Predict after this number of packets of a flow instead of at its end.
    packets: Option<NonZeroU32>,
    /// End the flow after these packets.
    #[option(default = false)]
    cut: bool,
}

/// The state of a flow.
pub struct State {
    packets: u32,
    early: Option<Prediction>,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// The predicted class of the flow.
    prediction: String,
    /// Probability of this class: the mean over the trees of the forest.
    probability: f64,
    /// Whether the class was predicted after `packets` packets; false if at the end of a shorter flow.
    early: bool,
}

#[flowloom_sdk::plugin]
impl Plugin for Forest {
    const DESCRIPTION: &'static str =
        "The class of a flow, predicted by a random forest that scikit-learn trained.";

    type Options = Opts;
    type AtInit<'a> = Chosen<'a>;
    type AtUpdate<'a> = Chosen<'a>;
    type AtExpire<'a> = Chosen<'a>;
    type State = State;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        if options.cut && options.packets.is_none() {
            return Err("option `cut` needs option `packets`, the number of packets after which a flow ends".to_owned());
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

    /// A flow of one packet has no update, so a prediction after one packet needs the fields at init.
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
            // Without `packets`, the plugin needs only the fields at expire.
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
        self.has_enough_packets(state)
    }

    fn expire(&mut self, state: State, flow: &Chosen<'_>) -> Out {
        let early = state.early.is_some() || self.has_enough_packets(&state);
        let prediction = state.early.unwrap_or_else(|| self.model.predict(flow));
        Out {
            prediction: self.model.classes[prediction.class].clone(),
            probability: prediction.probability,
            early,
        }
    }
}

impl Forest {
    /// Returns the number of packets after which the plugin predicts while the flow continues. `None` if it
    /// predicts at the end, or cuts the flow there.
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

    /// Returns whether the flow has reached the number of packets in the option `packets`.
    fn has_enough_packets(&self, state: &State) -> bool {
        self.packets
            .is_some_and(|packets| state.packets >= packets.get())
    }
}

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
        let mut plugin = open(None, false).expect("the model is valid");
        assert_eq!(plugin.at_expire(), ["bidirectional_packets"]);
        assert_eq!((plugin.at_init().len(), plugin.at_update().len()), (0, 0));
        assert_eq!(run(&mut plugin, 2), out("short", 1.0, false));
        assert_eq!(run(&mut plugin, 3), out("long and odd", 0.75, false));
    }

    #[test]
    fn it_predicts_early_if_the_flow_is_long_enough() {
        let mut plugin = open(Some(2), false).expect("the model is valid");
        assert_eq!(plugin.at_update(), ["bidirectional_packets"]);
        assert_eq!(plugin.packets_per_flow(), Some(2));
        assert_eq!(run(&mut plugin, 1), out("short", 1.0, false));
        assert_eq!(run(&mut plugin, 9), out("short", 1.0, true));
        let mut plugin = open(Some(1), false).expect("the model is valid");
        assert_eq!(plugin.at_init(), ["bidirectional_packets"]);
        assert_eq!(run(&mut plugin, 9), out("short", 1.0, true));
    }

    #[test]
    fn it_cuts_after_the_number_of_packets() {
        let mut plugin = open(Some(3), true).expect("the model is valid");
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
            Some(
                "option `cut` needs option `packets`, the number of packets after which a flow ends"
            )
        );
    }
}
