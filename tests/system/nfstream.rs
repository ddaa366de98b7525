//! Compares the flows of third-party captures with those of NFStream 6.6.0, which the test runs.
//!
//! `FLOWLOOM_CAPTURES` names a folder, usually with the captures of NFStream's own tests.
//! `FLOWLOOM_ORACLE_PYTHON` names a Python that has NFStream. `FLOWLOOM_CAPTURES=folder make test` sets both.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{HOST, meter};
use crate::flows::{COLUMNS, Difference, parse};

/// Captures for which all flows equal NFStream's.
const EQUAL: [&str; 49] = [
    // Ethernet and IP.
    "443-chrome.pcap",
    "443-curl.pcap",
    "443-firefox.pcap",
    "bad-dns-traffic.pcap",
    "badpackets.pcap",
    "bittorrent_utp.pcap",
    "dhcp.pcap",
    "dhcp_big_endian.pcapng",
    "dns-tunnel-iodine.pcap",
    "dns_fragmented.pcap",
    "dos_win98_smb_netbeui.pcap",
    "dtls.pcap",
    "facebook.pcap",
    "ftp.pcap",
    "google_ssl.pcap",
    "http_ipv6.pcap",
    "instagram.pcap",
    "ip_fragmented_garbage.pcap",
    "ja3_lots_of_cipher_suites.pcap",
    "malformed_dns.pcap",
    "malformed_icmp.pcap",
    "mdns.pcap",
    "mpegts.pcap",
    "netbios.pcap",
    "one_flow.pcap",
    "one_flow_11_15.pcap",
    "one_flow_16_19.pcap",
    "one_flow_1_5.pcap",
    "one_flow_6_10.pcap",
    "os_detected.pcapng",
    "quic-29.pcap",
    "quic.pcap",
    "raw.pcap",
    "skype_udp.pcap",
    "ssh.pcap",
    "synscan.pcap",
    "tls_alert.pcap",
    "ubntac2.pcap",
    "youtube_quic.pcap",
    "zoom.pcap",
    // Tunnels and other link types.
    "4in4tunnel.pcap",
    "4in6tunnel.pcap",
    "6in4tunnel.pcap",
    "6in6tunnel.pcap",
    "BGP_Cisco_hdlc_slarp.pcap",
    "dlt_ppp.pcap",
    "gtp-u.pcap",
    "ipv6_in_gtp.pcap",
    "teredo.pcap",
];

/// Captures for which the flows differ, with the reasons.
const DIFFERENT: [(&str, &str); 2] = [
    (
        "capwap.pcap",
        "NFStream decodes encrypted and management frames in CAPWAP as IP",
    ),
    (
        "fuzz-2021-06-07-c6c72a0a56.pcap",
        "NFStream reads times after 2038 as negative, and its sizes wrap at 65536",
    ),
];

/// Options that have the same names in both commands.
const ANALYSES: [&str; 3] = ["--statistical-analysis", "--splt-analysis", "8"];

/// Returns the folder of captures, if the environment names one.
pub(crate) fn folder() -> Option<PathBuf> {
    named("FLOWLOOM_CAPTURES").map(PathBuf::from)
}

/// Returns the captures in that folder.
pub(crate) fn captures() -> Vec<PathBuf> {
    let Some(folder) = folder() else {
        return Vec::new();
    };
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("FLOWLOOM_CAPTURES={}: {error}", folder.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a folder can be read").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pcap" || extension == "pcapng")
        })
        .collect();
    paths.sort();
    paths
}

/// Returns a Python that has NFStream, if the environment names one.
pub(crate) fn python() -> Option<OsString> {
    named("FLOWLOOM_ORACLE_PYTHON")
}

/// Returns a variable of the environment. An empty one counts as unset, because a Makefile can set it more easily.
fn named(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

#[test]
fn flows_equal_nfstreams() {
    let (Some(folder), Some(python)) = (folder(), python()) else {
        println!("skipped: FLOWLOOM_CAPTURES and FLOWLOOM_ORACLE_PYTHON are not both set");
        return;
    };
    let listed = EQUAL
        .into_iter()
        .chain(DIFFERENT.map(|(name, _)| name))
        .map(|name| folder.join(name));
    let (there, missing): (Vec<_>, Vec<_>) = listed.partition(|path| path.exists());
    assert!(
        !there.is_empty(),
        "{} has none of the captures that this test lists",
        folder.display()
    );
    for path in missing {
        println!("missing: {}", path.display());
    }
    let theirs = nfstream(&python, &there);
    let mut wrong = String::new();
    for path in there {
        let name = path.file_name().unwrap_or_default();
        let name = name.to_str().expect("listed names are UTF-8");
        let expected = fs::read_to_string(theirs.path().join(format!("{name}.jsonl")))
            .expect("NFStream wrote a file for each capture");
        let expected = parse(&expected);
        for flow in &expected {
            let missing = COLUMNS.iter().find(|&&column| !flow.contains_key(column));
            assert_eq!(
                missing, None,
                "{name}: a column that NFStream does not have"
            );
        }
        let run = meter(&path).args(ANALYSES).jsonl().run().done();
        let ours = run.flows();
        let difference = Difference::of(&ours, &expected);
        let reason = DIFFERENT
            .iter()
            .find_map(|(different, reason)| (*different == name).then_some(reason));
        match reason {
            None if !difference.is_empty() => {
                wrong += &format!("{name}:\n{}", difference.describe("NFStream's"));
            }
            Some(reason) if difference.is_empty() => {
                wrong += &format!("{name}: no longer differs, so this reason is wrong: {reason}\n");
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Runs NFStream on these captures. Returns the folder of the files that it wrote.
fn nfstream(python: &OsString, captures: &[PathBuf]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = Command::new(python)
        .arg(Path::new(HOST).join("../../tests/oracle/nfstream_flows.py"))
        .args(ANALYSES)
        .arg("--output")
        .arg(folder.path())
        .args(captures)
        .output()
        .unwrap_or_else(|error| panic!("FLOWLOOM_ORACLE_PYTHON={}: {error}", python.display()));
    assert!(
        run.status.success(),
        "NFStream failed:\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    folder
}
