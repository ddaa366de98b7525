//! The flows of one meter, as far as they are being dissected.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use flowloom_core::meter::Classifier;
use flowloom_core::record::{Application, FlowPacket};
use flowloom_core::table::SegmentedVec;
use flowloom_plugin::BoundedRead;
use ndpi_sys::{Custom, Error, Flow, Module, Protocol};

use super::{DissectError, NdpiFiles};

/// Larger lists are refused: nDPI's own have less than 1 MiB.
const MOST_LIST_BYTES: u64 = 16 << 20;

/// Dissects the first packets of every flow of a meter.
pub(crate) struct Dissector {
    tool: Tool,
    files: NdpiFiles,
    /// Packets of a flow that are dissected.
    dissections: u64,
    /// Of the flow in the same slot of the flow table.
    flows: SegmentedVec<Dissection>,
    /// Flows that hold memory of nDPI's.
    live: usize,
    /// Whether plugins are shown what is known so far.
    shows_live: bool,
}

/// How far a flow is.
#[derive(Default)]
enum Dissection {
    /// It has no packet yet.
    #[default]
    New,
    Live(Box<Live>),
    Done(Box<Application>),
}

struct Live {
    flow: Flow,
    protocol: Protocol,
    /// Where plugins are shown it.
    so_far: Option<Application>,
}

impl Dissector {
    /// A dissector of so many packets of each flow; none where that is 0.
    pub(crate) fn new(
        dissections: u8,
        files: &NdpiFiles,
        shows_live: bool,
    ) -> Result<Option<Self>, DissectError> {
        if dissections == 0 {
            return Ok(None);
        }
        for path in [&files.protocols, &files.categories].into_iter().flatten() {
            // nDPI reads it by its path.
            let checked = BoundedRead::new(MOST_LIST_BYTES).check(path);
            checked.map_err(|error| DissectError::File {
                path: path.clone(),
                source: error.into(),
            })?;
        }
        Ok(Some(Self {
            tool: Tool::new(files)?,
            files: files.clone(),
            dissections: dissections.into(),
            flows: SegmentedVec::default(),
            live: 0,
            shows_live,
        }))
    }

    fn dissect(&mut self, slot: u32, n: u64, flow_packet: &FlowPacket<'_>) {
        self.flows.reach(slot);
        let dissection = &mut self.flows[slot];
        let live = match dissection {
            Dissection::Live(live) => live,
            Dissection::Done(_) => return,
            Dissection::New => {
                let Some(flow) = Flow::new() else {
                    *dissection = Dissection::Done(Box::new(Application::unknown().clone()));
                    return;
                };
                self.live += 1;
                *dissection = Dissection::Live(Box::new(Live {
                    flow,
                    protocol: Protocol::default(),
                    so_far: None,
                }));
                match dissection {
                    Dissection::Live(live) => live,
                    _ => return,
                }
            }
        };
        let packet = &flow_packet.packet;
        let bytes = flow_packet
            .frame
            .get(packet.ip_at as usize..packet.ip_end as usize)
            .unwrap_or_default();
        let Tool { module, .. } = &mut self.tool;
        live.protocol = module.dissect(&mut live.flow, bytes, flow_packet.time_ms());
        let is_known = live.protocol.is_known();
        if n == self.dissections || is_known && !module.wants_more(&mut live.flow) {
            let application = match is_known {
                true => self.tool.application(live, false),
                false => self.tool.give_up(live),
            };
            *dissection = Dissection::Done(Box::new(application));
            self.live -= 1;
        } else if self.shows_live {
            live.so_far = Some(self.tool.application(live, false));
        }
    }

    /// Takes note of which plugins are shown flows from now on.
    pub(crate) fn show(&mut self, shows_live: bool) {
        // Flows of plugins that were there before may still be live.
        self.shows_live |= shows_live;
    }
}

impl Classifier for Dissector {
    #[inline]
    fn see(&mut self, slot: u32, n: u64, flow_packet: &FlowPacket<'_>) {
        if n <= self.dissections {
            self.dissect(slot, n, flow_packet);
        }
    }

    fn skip(&mut self, slot: u32) {
        self.flows.reach(slot);
        self.flows[slot] = Dissection::Done(Box::new(Application::unknown().clone()));
    }

    #[inline]
    fn application(&self, slot: u32) -> Option<&Application> {
        match &self.flows[slot] {
            Dissection::New => None,
            Dissection::Live(live) => live.so_far.as_ref(),
            Dissection::Done(application) => Some(application),
        }
    }

    fn take(&mut self, slot: u32) -> Option<Box<Application>> {
        match mem::take(&mut self.flows[slot]) {
            Dissection::New => None,
            Dissection::Live(mut live) => {
                self.live -= 1;
                Some(Box::new(self.tool.give_up(&mut live)))
            }
            Dissection::Done(application) => Some(application),
        }
    }

    fn restart(&mut self) {
        match Tool::new(&self.files) {
            Ok(tool) => self.tool = tool,
            Err(error) => tracing::error!(
                "the dissector keeps what it knows of the captures before: it cannot begin anew: {error}"
            ),
        }
    }

    fn memory(&self) -> usize {
        self.flows.memory()
            + self.flows.len() * size_of::<Application>()
            + self.live * (size_of::<Live>() + Flow::size())
    }
}

/// nDPI and the names that it has for numbers.
struct Tool {
    module: Module,
    /// By master protocol and application.
    names: HashMap<(u16, u16), Arc<str>>,
    categories: HashMap<u16, Arc<str>>,
}

impl Tool {
    fn new(files: &NdpiFiles) -> Result<Self, DissectError> {
        Ok(Self {
            module: Module::new(&Custom {
                protocols: files.protocols.clone(),
                categories: files.categories.clone(),
            })?,
            names: HashMap::new(),
            categories: HashMap::new(),
        })
    }

    /// No more packets are dissected of a flow whose dissection is not complete.
    fn give_up(&mut self, live: &mut Live) -> Application {
        let (protocol, is_guessed) = self.module.give_up(&mut live.flow);
        live.protocol = protocol;
        self.application(live, is_guessed)
    }

    fn application(&mut self, live: &Live, is_guessed: bool) -> Application {
        let protocol = live.protocol;
        let name = self
            .names
            .entry((protocol.master, protocol.app))
            .or_insert_with(|| self.module.protocol_name(protocol).into())
            .clone();
        let category = self
            .categories
            .entry(protocol.category)
            .or_insert_with(|| self.module.category_name(protocol.category).into())
            .clone();
        let details = self.module.details(&live.flow, protocol);
        let texts = [
            &*details.server_name,
            &details.client_fingerprint,
            &details.server_fingerprint,
            &details.user_agent,
            &details.content_type,
        ];
        Application::new(name, category, is_guessed, details.confidence, texts)
    }
}

impl From<Error> for DissectError {
    fn from(error: Error) -> Self {
        match error {
            Error::File { path, source } => Self::File { path, source },
            error => Self::Library(error.to_string()),
        }
    }
}
