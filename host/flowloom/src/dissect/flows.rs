//! Dissection of the flows of one meter.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::sync::Arc;

use flowloom_core::meter::Classifier;
use flowloom_core::record::{Application, FlowPacket};
use flowloom_core::table::SegmentedVec;
use ndpi_sys::{Flow, Module, Protocol, Stack};

use super::{DissectError, Ndpi};

/// The maximum number of different lists that are kept. Packets determine which lists occur.
const MAX_LISTS: usize = 4096;

/// Dissects the first packets of every flow of a meter.
pub(crate) struct Dissector {
    ndpi: NamedModule,
    /// What another module is made of.
    library: Ndpi,
    /// The maximum number of packets of a flow that are dissected.
    dissections: u64,
    /// The dissections, indexed by the slots of the flow table.
    flows: SegmentedVec<Dissection>,
    /// The number of running dissections, which hold memory of nDPI.
    live: usize,
    /// Whether plugins see the application of live flows.
    shows_live: bool,
}

/// The state of a flow's dissection.
#[derive(Default)]
enum Dissection {
    /// The flow has no packet yet.
    #[default]
    New,
    Running(Box<RunningDissection>),
    Done(Box<Application>),
}

struct RunningDissection {
    flow: Flow,
    protocol: Protocol,
    /// The application that is known so far. It is only updated if plugins see it.
    application: Option<Application>,
}

impl Dissector {
    /// Creates a dissector for up to `dissections` packets per flow, or returns `None` if it is 0.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no library, or if nDPI does not start.
    pub(crate) fn new(
        ndpi: &Ndpi,
        dissections: u8,
        shows_live: bool,
    ) -> Result<Option<Self>, DissectError> {
        if dissections == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            ndpi: NamedModule::new(ndpi)?,
            library: ndpi.clone(),
            dissections: dissections.into(),
            flows: SegmentedVec::default(),
            live: 0,
            shows_live,
        }))
    }

    /// Sets whether the plugins of new flows see the application of live flows.
    pub(crate) fn show(&mut self, shows_live: bool) {
        // The setting stays true, because flows with earlier plugins may still be live.
        self.shows_live |= shows_live;
    }

    fn dissect(&mut self, slot: u32, n: u64, flow_packet: &FlowPacket<'_>) {
        self.flows.extend_to(slot);
        let dissection = &mut self.flows[slot];
        let live = match dissection {
            Dissection::Running(live) => live,
            Dissection::Done(_) => return,
            Dissection::New => {
                let Some(flow) = Flow::new(self.ndpi.module.library()) else {
                    *dissection = Dissection::Done(Box::new(Application::unknown().clone()));
                    return;
                };
                self.live += 1;
                *dissection = Dissection::Running(Box::new(RunningDissection {
                    flow,
                    protocol: Protocol::default(),
                    application: None,
                }));
                match dissection {
                    Dissection::Running(live) => live,
                    _ => return,
                }
            }
        };
        let packet = &flow_packet.packet;
        let bytes = flow_packet
            .frame
            .get(packet.ip_at as usize..packet.ip_end as usize)
            .unwrap_or_default();
        let NamedModule { module, .. } = &mut self.ndpi;
        live.protocol = module.dissect(&mut live.flow, bytes, flow_packet.time_ms());
        let is_known = live.protocol.is_known();
        if n == self.dissections || is_known && !module.wants_more(&mut live.flow) {
            let application = match is_known {
                true => self.ndpi.application(live, false),
                false => self.ndpi.give_up(live),
            };
            *dissection = Dissection::Done(Box::new(application));
            self.live -= 1;
        } else if self.shows_live {
            live.application = Some(self.ndpi.application(live, false));
        }
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
        self.flows.extend_to(slot);
        self.flows[slot] = Dissection::Done(Box::new(Application::unknown().clone()));
    }

    #[inline]
    fn application(&self, slot: u32) -> Option<&Application> {
        match &self.flows[slot] {
            Dissection::New => None,
            Dissection::Running(live) => live.application.as_ref(),
            Dissection::Done(application) => Some(application),
        }
    }

    fn take(&mut self, slot: u32) -> Option<Box<Application>> {
        match mem::take(&mut self.flows[slot]) {
            Dissection::New => None,
            Dissection::Running(mut live) => {
                self.live -= 1;
                Some(Box::new(self.ndpi.give_up(&mut live)))
            }
            Dissection::Done(application) => Some(application),
        }
    }

    fn restart(&mut self) {
        match NamedModule::new(&self.library) {
            Ok(ndpi) => self.ndpi = ndpi,
            Err(error) => tracing::error!(
                "cannot restart the dissector: {error}; it keeps its state of earlier captures"
            ),
        }
    }

    fn memory(&self) -> usize {
        let flow_size = self.ndpi.module.library().flow_size();
        self.flows.memory()
            + self.flows.len() * size_of::<Application>()
            + self.live * (size_of::<RunningDissection>() + flow_size)
    }
}

/// nDPI, with a cache of the names for its numbers.
struct NamedModule {
    module: Module,
    /// The names by master protocol and application.
    names: HashMap<(u16, u16), Arc<str>>,
    categories: HashMap<u16, Arc<str>>,
    /// The names of risks, which are the bits of the key.
    risks: HashMap<u64, Arc<[Arc<str>]>>,
    /// The names of the protocols of a stack.
    stacks: HashMap<Stack, Arc<[Arc<str>]>>,
}

impl NamedModule {
    fn new(library: &Ndpi) -> Result<Self, DissectError> {
        Ok(Self {
            module: library.module()?,
            names: HashMap::new(),
            categories: HashMap::new(),
            risks: HashMap::new(),
            stacks: HashMap::new(),
        })
    }

    /// Ends a dissection that is not complete. nDPI guesses the application if it is not known.
    fn give_up(&mut self, live: &mut RunningDissection) -> Application {
        let (protocol, is_guessed) = self.module.give_up(&mut live.flow);
        live.protocol = protocol;
        self.application(live, is_guessed)
    }

    fn application(&mut self, live: &RunningDissection, is_guessed: bool) -> Application {
        let protocol = live.protocol;
        let name = name_of(&mut self.names, &self.module, protocol);
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
            &details.client_ja4,
            &details.tcp_fingerprint,
            &details.domain,
        ];
        let confidence = details.confidence;
        let mut application = Application::new(name, category, is_guessed, confidence, texts);
        if details.risks != 0 {
            let names = listed(&mut self.risks, details.risks, || {
                let names = self.module.library().risks().iter().enumerate();
                let named = names.filter(|(number, _)| details.risks & 1 << number != 0);
                named.map(|(_, name)| name.as_str().into()).collect()
            });
            application = application.with_risks(names, details.risk_score);
        }
        if details.stack != Stack::default() {
            let names = listed(&mut self.stacks, details.stack, || {
                let protocols = details.stack.protocols().map(|app| Protocol {
                    app,
                    ..Protocol::default()
                });
                protocols
                    .map(|protocol| name_of(&mut self.names, &self.module, protocol))
                    .collect()
            });
            application = application.with_stack(names);
        }
        application
    }
}

/// Returns the name of a protocol.
fn name_of(
    names: &mut HashMap<(u16, u16), Arc<str>>,
    module: &Module,
    protocol: Protocol,
) -> Arc<str> {
    names
        .entry((protocol.master, protocol.app))
        .or_insert_with(|| module.protocol_name(protocol).into())
        .clone()
}

/// Returns a list that many flows share.
fn listed<K: Eq + Hash>(
    lists: &mut HashMap<K, Arc<[Arc<str>]>>,
    key: K,
    list: impl FnOnce() -> Arc<[Arc<str>]>,
) -> Arc<[Arc<str>]> {
    if lists.len() == MAX_LISTS && !lists.contains_key(&key) {
        lists.clear();
    }
    lists.entry(key).or_insert_with(list).clone()
}
