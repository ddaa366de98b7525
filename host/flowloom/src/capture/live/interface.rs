//! The network interfaces of this machine.

use std::fmt;
use std::net::IpAddr;

use pcap::{ConnectionStatus, Device, IfFlags};

use crate::capture::{CaptureError, libpcap};

/// A network interface that libpcap can capture from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The name, for example `eth0`.
    pub name: String,
    /// libpcap's description.
    pub description: Option<String>,
    /// The addresses of the interface.
    pub addresses: Vec<IpAddr>,
    /// Whether the interface is up.
    pub is_up: bool,
    /// Whether the interface has a link. It is `None` if that does not apply, for example for
    /// loopback.
    pub is_connected: Option<bool>,
    /// Whether this is the loopback interface.
    pub is_loopback: bool,
}

impl Interface {
    /// Returns all network interfaces in libpcap's order.
    ///
    /// Other devices that libpcap knows are left out: USB and Bluetooth, D-Bus, and the queues of
    /// netfilter.
    ///
    /// # Errors
    ///
    /// Returns an error if libpcap cannot list the interfaces.
    pub fn all() -> Result<Vec<Self>, CaptureError> {
        let devices = Device::list().map_err(|error| CaptureError::Interfaces {
            message: libpcap::message(error),
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

    /// Returns the interface with this name.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such interface, or if libpcap cannot list the interfaces.
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
