//! Reads settings from bytes. Most numbers are small, so that timeouts and limits affect runs with few packets. Some
//! are the largest possible numbers.

use flowloom::decode::{Tunnel, TunnelSet};
use flowloom::dissect::DEFAULT_DISSECTIONS;
use flowloom::{AccountingMode, Settings};

use super::bytes::Bytes;

/// The number of bytes of the settings.
pub(crate) const LEN: usize = 7;

pub(crate) fn settings(bytes: &mut Bytes<'_>) -> Settings {
    let mut bytes = Bytes(bytes.take(LEN));
    let flags = bytes.u8();
    let mut settings = Settings::default();
    settings.idle_timeout = seconds(bytes.u8());
    settings.active_timeout = seconds(bytes.u8());
    settings.accounting_mode = match flags & 3 {
        0 => AccountingMode::Raw,
        1 => AccountingMode::Ip,
        2 => AccountingMode::Transport,
        _ => AccountingMode::Payload,
    };
    settings.decode_tunnels = tunnels(bytes.u8());
    settings.statistical_analysis = flags & 4 != 0;
    settings.splt_analysis = bytes.u16() & 0x1ff;
    settings.max_flows = bytes.u8().into();
    settings.end_on_fin = flags & 8 != 0;
    settings.n_dissections = match DEFAULT_DISSECTIONS {
        // This build has no nDPI.
        0 => 0,
        _ => flags >> 4,
    };
    settings
}

/// Returns the set of tunnels. Each bit selects one.
pub(crate) fn tunnels(bits: u8) -> TunnelSet {
    Tunnel::ALL
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1)
        .map(|(_, tunnel)| tunnel)
        .collect()
}

fn seconds(byte: u8) -> u64 {
    match byte {
        255 => u64::MAX,
        254 => u64::MAX / 1_000,
        253 => u64::from(u32::MAX),
        252 => 1_800,
        seconds => seconds.into(),
    }
}
