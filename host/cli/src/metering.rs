//! Options of metering: the parameters of a run that do not depend on where packets come from and where flows go.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use flowloom::decode::{Tunnel, TunnelSet, UnknownTunnel};
use flowloom::dissect::{NdpiLibrary, NdpiLicense};
use flowloom::{AccountingMode, RunConfig, Settings, StreamerBuilder};

use super::number::within;

const METERING: &str = "Metering (parameters of NFStream)";
const IDENTIFIERS: &str = "Flow identifiers";
const APPLICATIONS: &str = "Applications (nDPI)";
const LIMITS: &str = "Limits";

/// Options of metering. Their defaults are those of [`RunConfig`].
#[derive(Args)]
pub(super) struct MeteringOptions {
    /// End a flow after this time without a packet.
    #[arg(long, default_value_t = Settings::default().idle_timeout, value_name = "SECONDS", value_parser = within(0..=StreamerBuilder::MAX_SECONDS), allow_negative_numbers = true, help_heading = METERING)]
    idle_timeout: u64,

    /// End a flow at this age, even if it is active.
    #[arg(long, default_value_t = Settings::default().active_timeout, value_name = "SECONDS", value_parser = within(0..=StreamerBuilder::MAX_SECONDS), allow_negative_numbers = true, help_heading = METERING)]
    active_timeout: u64,

    /// Also end a flow when its TCP connection ends.
    ///
    /// A reset, or the acknowledgement of both sides' FIN, ends the flow with expiration_id 2. Later packets
    /// begin another flow.
    #[arg(long, help_heading = METERING)]
    end_on_fin: bool,

    /// Counted bytes: 0 frame, 1 IP, 2 transport, 3 payload.
    ///
    /// 0 counts the whole frame, 1 the IP packet, 2 the transport header and the payload, 3 the payload only.
    #[arg(long, default_value_t = Settings::default().accounting_mode as u8, value_name = "MODE", value_parser = within(0..=3_u8), allow_negative_numbers = true, help_heading = METERING)]
    accounting_mode: u8,

    /// Decode these tunnels.
    ///
    /// A list of gtp, capwap, tzsp, vxlan, gre and geneve. Flowloom meters the packets inside a decoded tunnel
    /// instead of the packets around them.
    #[arg(
        long,
        default_value = "gtp,capwap,tzsp",
        value_name = "TUNNEL,…",
        value_parser = tunnels,
        help_heading = METERING
    )]
    decode_tunnels: TunnelSet,

    /// Decode no tunnels.
    #[arg(long, conflicts_with = "decode_tunnels", help_heading = METERING)]
    no_decode_tunnels: bool,

    /// Add statistics of packet sizes, times and TCP flags.
    #[arg(long, help_heading = METERING)]
    statistical_analysis: bool,

    /// Add direction, size and time of the first N packets.
    ///
    /// The time is the inter-arrival time: the time since the previous packet of the flow.
    #[arg(long, default_value_t = Settings::default().splt_analysis, value_name = "N", value_parser = within(0..=u16::MAX), allow_negative_numbers = true, help_heading = METERING)]
    splt_analysis: u16,

    /// Add the Community ID, which other tools also have.
    ///
    /// The column community_id has the Community ID of version 1. It is null for ICMP, ICMPv6 and SCTP.
    #[arg(long, help_heading = IDENTIFIERS)]
    community_id: bool,

    /// Seed of Community IDs, the same as in other tools.
    #[arg(long, default_value_t = 0, value_name = "N", requires = "community_id", value_parser = within(0..=u16::MAX), allow_negative_numbers = true, help_heading = IDENTIFIERS)]
    community_id_seed: u16,

    /// Add an identifier that is the same in every run.
    ///
    /// The column flow_uid has 32 hexadecimal digits. It depends on the flow and on the name of its capture file, without
    /// the folder. docs/usage.md defines it.
    #[arg(long, help_heading = IDENTIFIERS)]
    flow_uid: bool,

    /// Add the file of each flow's first packet.
    ///
    /// The column source_file has the path of the file, `-` for standard input, or the name of the interface.
    #[arg(long, help_heading = IDENTIFIERS)]
    source_file: bool,

    /// Meter only packets that match a libpcap filter.
    #[arg(long, value_name = "EXPRESSION", help_heading = METERING)]
    bpf_filter: Option<String>,

    /// Truncate packets to this length.
    ///
    /// Packet sizes still count the whole packet. The default for interfaces is 1536. Packets of files are not
    /// truncated by default.
    #[arg(long, value_name = "BYTES", value_parser = within(1..=u32::MAX), allow_negative_numbers = true, help_heading = METERING)]
    snapshot_length: Option<u32>,

    /// Write only flows that satisfy a condition.
    ///
    /// An example is `dst_port = 443 and not src_ip in 10.0.0.0/8`. docs/filters.md describes the language.
    #[arg(long = "where", value_name = "CONDITION", help_heading = METERING)]
    filter: Option<String>,

    /// Stop after N flows; 0 is no limit.
    #[arg(long, default_value_t = RunConfig::default().max_nflows, value_name = "N", value_parser = within(0..=u64::MAX), allow_negative_numbers = true, help_heading = METERING)]
    max_nflows: u64,

    /// Number of metering threads; 0 uses all cores but one.
    ///
    /// The flows of a capture and their order do not depend on this number. Only application
    /// columns may differ, because the nDPI of each thread remembers earlier flows.
    #[arg(long, default_value_t = RunConfig::default().n_meters, value_name = "N", value_parser = within(0..=StreamerBuilder::MAX_METERS), allow_negative_numbers = true, help_heading = METERING)]
    n_meters: usize,

    /// Dissect the first N packets of each flow; 0 disables.
    ///
    /// At most 255. nDPI finds the application of a flow in these packets. 0 also removes the application
    /// columns.
    #[arg(long, default_value_t = Settings::default().n_dissections, value_name = "N", value_parser = within(0..=u8::MAX), allow_negative_numbers = true, help_heading = APPLICATIONS)]
    n_dissections: u8,

    /// The nDPI library: auto, none or a file.
    ///
    /// auto loads the first of these: libndpi.so.5; nDPI 5.0 in NFStream 6.6.0, if that is installed in the same Python
    /// environment as this command; libndpi.so.4.2. none removes the application columns. A file is an nDPI library, or
    /// _lib_engine.abi3.so of NFStream. The default is the value of FLOWLOOM_NDPI, or auto.
    #[arg(long, value_name = "auto|none|FILE", help_heading = APPLICATIONS)]
    ndpi: Option<PathBuf>,

    /// Your licence for nDPI 6.
    ///
    /// The dissectors of nDPI 6 for TLS, QUIC and DNS are not free for all users. Without this option, Flowloom refuses
    /// nDPI 6.
    #[arg(long, value_name = "LICENCE", help_heading = APPLICATIONS)]
    ndpi_license: Option<License>,

    /// Additional protocols, in the format of nDPI's protos.txt.
    #[arg(long, value_name = "FILE", help_heading = APPLICATIONS)]
    ndpi_protocols: Option<PathBuf>,

    /// Additional categories, in the format of nDPI's categories.txt.
    #[arg(long, value_name = "FILE", help_heading = APPLICATIONS)]
    ndpi_categories: Option<PathBuf>,

    /// End the oldest flow early when N are live; 0 is no limit.
    #[arg(long, default_value_t = Settings::default().max_flows, value_name = "N", value_parser = within(0..=u64::MAX), allow_negative_numbers = true, help_heading = LIMITS)]
    max_live_flows: u64,

    /// Memory for ended flows until they are written.
    ///
    /// At the limit, a run over files waits for the output. A live capture first loses values of plugins.
    #[arg(long, default_value_t = (Settings::default().queue_bytes >> 20) as u32, value_name = "MIB", value_parser = within(16..=1_u32 << 20), allow_negative_numbers = true, help_heading = LIMITS)]
    queue_mib: u32,
}

/// A licence for nDPI 6.
#[derive(Clone, Copy, ValueEnum)]
enum License {
    /// The LGPL, without those dissectors.
    Lgpl,
    /// The use is not commercial.
    NonCommercial,
    /// You have bought a licence.
    Commercial,
}

impl MeteringOptions {
    /// Sets the options in a configuration.
    pub(super) fn set(&self, config: &mut RunConfig) {
        let settings = &mut config.settings;
        settings.idle_timeout = self.idle_timeout;
        settings.active_timeout = self.active_timeout;
        settings.end_on_fin = self.end_on_fin;
        settings.accounting_mode = match self.accounting_mode {
            0 => AccountingMode::Raw,
            1 => AccountingMode::Ip,
            2 => AccountingMode::Transport,
            _ => AccountingMode::Payload,
        };
        settings.decode_tunnels = match self.no_decode_tunnels {
            true => TunnelSet::NONE,
            false => self.decode_tunnels,
        };
        settings.statistical_analysis = self.statistical_analysis;
        settings.splt_analysis = self.splt_analysis;
        settings.n_dissections = self.n_dissections;
        settings.max_flows = self.max_live_flows;
        settings.queue_bytes = self.queue_bytes();
        config.community_id = self.community_id.then_some(self.community_id_seed);
        config.flow_uid = self.flow_uid;
        config.source_file = self.source_file;
        config.ndpi.library = self.ndpi.clone().map(NdpiLibrary::from);
        config.ndpi.license = self.ndpi_license.map(|license| match license {
            License::Lgpl => NdpiLicense::Lgpl,
            License::NonCommercial => NdpiLicense::NonCommercial,
            License::Commercial => NdpiLicense::Commercial,
        });
        config.ndpi.protocols.clone_from(&self.ndpi_protocols);
        config.ndpi.categories.clone_from(&self.ndpi_categories);
        config.bpf_filter.clone_from(&self.bpf_filter);
        config.filter.clone_from(&self.filter);
        config.snapshot_length = self.snapshot_length;
        config.max_nflows = self.max_nflows;
        config.n_meters = self.n_meters;
    }

    /// Returns the memory in bytes for ended flows until they are written.
    pub(super) fn queue_bytes(&self) -> usize {
        (self.queue_mib as usize) << 20
    }

    /// Returns the file of additional protocols.
    pub(super) fn ndpi_protocols(&self) -> Option<&PathBuf> {
        self.ndpi_protocols.as_ref()
    }

    /// Returns the file of additional categories.
    pub(super) fn ndpi_categories(&self) -> Option<&PathBuf> {
        self.ndpi_categories.as_ref()
    }
}

/// Parses a list of tunnels.
fn tunnels(text: &str) -> Result<TunnelSet, String> {
    let names = || Tunnel::ALL.map(Tunnel::name).join(", ");
    match text {
        "true" | "false" => Err(format!(
            "expected a list of {}; --no-decode-tunnels decodes none",
            names()
        )),
        list => list
            .parse()
            .map_err(|error: UnknownTunnel| format!("'{}' is not one of {}", error.name, names())),
    }
}
