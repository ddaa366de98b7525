//! The network interfaces of this machine.

use std::fmt;
use std::net::IpAddr;

use pcap::{ConnectionStatus, Device, IfFlags};

use crate::capture::CaptureError;

/// An interface that libpcap can capture from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name: `eth0`.
    pub name: String,
    /// What libpcap says that it is.
    pub description: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is up.
    pub is_up: bool,
    /// Whether it has a link to something; `None` where that means nothing, as for loopback.
    pub is_connected: Option<bool>,
    /// Whether what is sent on it comes back on it.
    pub is_loopback: bool,
}

impl Interface {
    /// The interfaces that there are, as libpcap orders them; those that it knows but are no network
    /// (USB buses, D-Bus, netfilter's queues) are left out.
    ///
    /// # Errors
    ///
    /// libpcap cannot list them.
    pub fn all() -> Result<Vec<Self>, CaptureError> {
        let devices = Device::list().map_err(|error| CaptureError::Interfaces {
            message: words(error),
        })?;
        Ok(devices
            .into_iter()
            .filter(|device| {
                !["bluetooth", "dbus-", "nflog", "nfqueue", "usbmon"]
                    .iter()
                    .any(|other| device.name.starts_with(other))
            })
            .map(Self::of)
            .collect())
    }

    /// The interface of this name.
    ///
    /// # Errors
    ///
    /// There is none, or libpcap cannot list them.
    pub fn named(name: &str) -> Result<Self, CaptureError> {
        let mut all = Self::all()?;
        match all.iter().position(|interface| interface.name == name) {
            Some(at) => Ok(all.swap_remove(at)),
            None => Err(CaptureError::NoInterface {
                interface: name.to_owned(),
                known: all.into_iter().map(|interface| interface.name).collect(),
            }),
        }
    }

    fn of(device: Device) -> Self {
        Self {
            is_up: device.flags.is_up(),
            is_connected: match device.flags.connection_status {
                ConnectionStatus::Connected => Some(true),
                ConnectionStatus::Disconnected => Some(false),
                ConnectionStatus::Unknown | ConnectionStatus::NotApplicable => None,
            },
            is_loopback: device.flags.contains(IfFlags::LOOPBACK),
            addresses: device
                .addresses
                .iter()
                .map(|address| address.addr)
                .collect(),
            description: device.desc,
            name: device.name,
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<15} {}",
            self.name,
            if self.is_up { "up" } else { "down" }
        )?;
        if self.is_connected == Some(false) {
            write!(f, ", no link")?;
        }
        for address in &self.addresses {
            write!(f, ", {address}")?;
        }
        match &self.description {
            Some(description) => write!(f, "  ({description})"),
            None => Ok(()),
        }
    }
}

/// What libpcap says, without what the crate puts before it.
pub(crate) fn words(error: pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message,
        other => other.to_string(),
    }
}
