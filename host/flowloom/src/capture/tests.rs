//! Tests of reading: every kind of source, intact and damaged.

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::file::record_io::{ByteOrder, HEADER_LEN};
use super::testing::{BOTH, PcapFile, enhanced, interface, read_all, read_bytes, section};
use super::{AheadOf, CaptureError, Damage, Files, Filter};

/// Returns one byte and an interruption alternately.
struct ByteAtATime(Cursor<Vec<u8>>, bool);

impl Read for ByteAtATime {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.0.read(&mut into[..1])
    }
}

fn pcap(packets: u32) -> Vec<u8> {
    PcapFile::default().with_packets(packets)
}

fn pcapng(packets: u64) -> Vec<u8> {
    let order = ByteOrder::Big;
    let mut bytes = section(order);
    bytes.extend(interface(order, 1, 0, &[]));
    for i in 0..packets {
        bytes.extend(enhanced(order, 0, i, 60, &i.to_be_bytes()));
    }
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes all")
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).expect("the folder can be written to");
    path
}

fn temp() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

fn open_error(path: &Path) -> String {
    let error = Files::open([path]).err().expect("it cannot be opened");
    assert!(!error.is_damage());
    let dir = path.parent().unwrap_or(path).display().to_string();
    error.to_string().replace(&format!("{dir}/"), "")
}

#[test]
fn a_truncated_file_yields_the_packets_before_the_cut() {
    let header = |bytes: &[u8], packets: &[u8]| bytes.len() - packets.len();
    let pcap_records = header(&pcap(1), &[0; 50]);
    let pcapng_records = header(&pcapng(1), &[0; 40]);
    for (whole, records, size) in [(pcap(3), pcap_records, 50), (pcapng(3), pcapng_records, 40)] {
        // The pcapng header has two blocks. The file may end between them without damage.
        let ends: Vec<_> = (0..=3).map(|i| records + i * size).chain([28]).collect();
        for cut in HEADER_LEN..=whole.len() {
            let (packets, errors) = read_bytes(&whole[..cut]);
            assert_eq!(packets.len(), cut.saturating_sub(records) / size, "{cut}");
            if ends.contains(&cut) && (cut != 28 || size == 40) {
                assert!(errors.is_empty(), "{cut}: {errors:?}");
                continue;
            }
            let [
                CaptureError::Damaged {
                    offset,
                    packet,
                    damage: Damage::Cut { have, need },
                    ..
                },
            ] = &errors[..]
            else {
                panic!("{cut}: {errors:?}");
            };
            assert_eq!(*packet, packets.len() as u64 + 1);
            assert_eq!(*offset as usize + have, cut);
            assert!(need > have);
        }
        for cut in 1..HEADER_LEN {
            let (packets, errors) = read_bytes(&whole[..cut]);
            assert!(packets.is_empty());
            assert_eq!(errors.len(), 1);
            assert!(!errors[0].is_damage());
        }
    }
}

#[test]
fn a_large_file_is_read_as_a_small_one() {
    // Packets that no compression makes smaller. Some are larger than what follows of a block.
    let mut state = 1_u32;
    let mut random = |len: usize| -> Vec<u8> {
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..len).map(|_| byte()).collect()
    };
    let file = PcapFile::default();
    let mut plain = file.header();
    for n in 0..5_000 {
        let len = if n % 1_000 == 7 { 200_000 } else { 1_000 };
        plain.extend(file.record([n, 0, len, len], &random(len as usize)));
    }
    let dir = temp();
    for (name, bytes) in [
        ("plain", plain.clone()),
        ("gzip", gzip(&plain)),
        ("zstd", zstandard(&plain)),
    ] {
        let mut damaged = bytes.clone();
        let at = bytes.len() - 50_000;
        damaged[at..at + 16].fill(0xff);
        for (name, bytes) in [
            (name.to_owned(), bytes.clone()),
            (
                format!("{name}, cut"),
                bytes[..bytes.len() - 70_000].to_vec(),
            ),
            (format!("{name}, damaged"), damaged),
        ] {
            assert!(bytes.len() > 4 << 20);
            let path = write(&dir, "test", &bytes);
            let files = Files::open([path]).unwrap().with_read_ahead(AheadOf::All);
            let (packets, errors) = read_all(files);
            let (expected, expected_errors) = read_bytes(bytes);
            assert!(packets == expected, "{name}");
            let texts = |errors: &[CaptureError]| -> Vec<String> {
                let name = dir.path().join("test").display().to_string();
                let text = |error: &CaptureError| error.to_string().replace(&name, "test");
                errors.iter().map(text).collect()
            };
            assert_eq!(texts(&errors), texts(&expected_errors), "{name}");
        }
    }
}

#[test]
fn a_damage_error_is_one_line() {
    let (_, errors) = read_bytes(&pcap(2)[..100]);
    assert_eq!(
        errors[0].to_string(),
        "cannot read 'test' at byte 74, packet 2: the file ends inside a record, after 26 of 50 \
         bytes; the rest of the file is skipped"
    );
}

#[test]
fn many_packets_come_in_several_reads() {
    let bytes = pcap(30_000);
    let mut files = Files::from_reader("test", Cursor::new(bytes));
    let mut next = 0_u32;
    while let Some(packets) = files.read().expect("the file is whole") {
        assert!((1..=4096).contains(&packets.len()));
        for packet in packets.iter() {
            assert_eq!(packet.data[..4], next.to_be_bytes());
            next += 1;
        }
    }
    assert_eq!(next, 30_000);
    assert_eq!(files.packets_read(), 30_000);
}

#[test]
fn a_pipe_may_return_single_bytes() {
    let whole = read_bytes(pcapng(5));
    let trickle = ByteAtATime(Cursor::new(gzip(&pcapng(5))), false);
    let (packets, errors) = read_all(Files::from_reader("pipe", trickle));
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(packets, whole.0);
}

#[test]
fn a_named_pipe_is_read_like_a_file() {
    let dir = temp();
    let path = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo runs").success());
    let files = Files::open([&path]).expect("a pipe is not opened yet");
    assert_eq!(files.total_bytes(), None);
    let writer = std::thread::spawn(move || fs::write(path, pcap(3)));
    let (packets, errors) = read_all(files);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(packets.len(), 3);
    let written = writer.join().expect("the writer lives");
    written.expect("the pipe was read to its end");
}

#[test]
fn several_gzip_members_and_zstd_frames_are_one_capture() {
    let bytes = pcap(2000);
    let (one, two) = bytes.split_at(30_001);
    let expected = read_bytes(&bytes[..]).0;
    for compress in [gzip, zstandard] {
        let both = [compress(one), compress(two)].concat();
        let (packets, errors) = read_bytes(both);
        assert!(errors.is_empty(), "{errors:?}");
        assert!(packets == expected);
    }
    // A skippable frame, as pzstd writes before each frame.
    let mut skippable = vec![0x5a, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    skippable.extend(zstandard(&bytes));
    assert!(read_bytes(skippable).0 == expected);
}

#[test]
fn truncated_compressed_data_is_damage() {
    let bytes = pcap(20_000);
    for compress in [gzip, zstandard] {
        let mut compressed = compress(&bytes);
        compressed.truncate(compressed.len() * 3 / 4);
        let (packets, errors) = read_bytes(compressed);
        assert!((1..20_000).contains(&packets.len()));
        let [
            CaptureError::Damaged {
                offset,
                packet,
                damage: Damage::Compression(_),
                ..
            },
        ] = &errors[..]
        else {
            panic!("{errors:?}");
        };
        assert_eq!(*packet, packets.len() as u64 + 1);
        let record = 24 + (packet - 1) * 50..24 + packet * 50;
        assert!(record.contains(offset), "{offset} {record:?}");
    }
}

/// All packets before the damage are returned, independent of the size of the reads.
#[test]
fn nothing_before_damaged_compressed_data_is_lost() {
    let bytes = pcap(20_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes)
        .and_then(|()| gzip.flush())
        .expect("memory takes all");
    let mut zstandard = zstd::Encoder::new(Vec::new(), 1).expect("the level is one of its own");
    zstandard
        .write_all(&bytes)
        .and_then(|()| zstandard.flush())
        .expect("memory takes all");
    // Both formats code four block types in the two bits after the last-block flag. In both, the
    // fourth type is reserved.
    const RESERVED: [u8; 3] = [0b111, 0, 0];
    for good in [gzip.get_ref(), zstandard.get_ref()] {
        let damaged = [&good[..], &RESERVED].concat();
        let trickle = ByteAtATime(Cursor::new(damaged.clone()), false);
        for files in [
            Files::from_reader("test", Cursor::new(damaged)),
            Files::from_reader("test", trickle),
        ] {
            let (packets, errors) = read_all(files);
            assert_eq!(packets.len(), 20_000);
            let [
                CaptureError::Damaged {
                    offset,
                    packet: 20_001,
                    damage: Damage::Compression(_),
                    ..
                },
            ] = &errors[..]
            else {
                panic!("{errors:?}");
            };
            assert_eq!(*offset, bytes.len() as u64);
        }
    }
}

#[test]
fn a_list_is_one_capture_and_damage_ends_only_its_file() {
    let dir = temp();
    let paths = [
        write(&dir, "1.pcap", &pcap(2)),
        write(&dir, "2.pcap", &pcap(3)[..170]),
        write(&dir, "3.csv", &zstandard(&pcapng(4))),
    ];
    let mut files = Files::open(&paths).expect("all are captures");
    assert_eq!(files.bytes_read(), 0);
    let sizes = paths.each_ref().map(|path| {
        let is = fs::metadata(path).expect("it was written");
        is.len()
    });
    assert_eq!(files.total_bytes(), Some(sizes.iter().sum::<u64>()));
    let mut seen = Vec::new();
    loop {
        match files.read() {
            Ok(Some(packets)) => seen.push(packets.len().to_string()),
            Ok(None) => break,
            Err(error) => {
                assert!(error.is_damage());
                seen.push("damage".into());
            }
        }
    }
    assert_eq!(seen, ["2", "2", "damage", "4"]);
    assert_eq!(files.bytes_read(), sizes.iter().sum::<u64>());
    assert!(files.read().expect("the end stays").is_none());
}

#[test]
fn errors_of_sources_are_reported_before_the_first_packet() {
    let dir = temp();
    let fine = write(&dir, "fine.pcap", &pcap(1));
    let missing = dir.path().join("missing.pcap");
    assert_eq!(
        open_error(&missing),
        "cannot open 'missing.pcap': No such file or directory (os error 2)"
    );
    assert!(Files::open([&fine, &missing]).is_err());
    assert!(open_error(dir.path()).ends_with(": it is a folder; name the captures in it"));
    assert_eq!(
        open_error(&write(&dir, "empty", b"")),
        "cannot read 'empty': the file is empty"
    );
    let expected = "it is not a capture (first bytes 48 65 6c 6c 6f); use pcap or pcapng, \
                    uncompressed or compressed with gzip or zstd";
    for (name, bytes) in [("a", b"Hello".to_vec()), ("b", gzip(b"Hello"))] {
        assert_eq!(
            open_error(&write(&dir, name, &bytes)),
            format!("cannot read '{name}': {expected}")
        );
    }
    assert_eq!(
        open_error(&write(&dir, "cut", &pcap(1)[..20])),
        "cannot read 'cut': the file ends inside its header, after 20 bytes"
    );
    let none = Files::open::<PathBuf>([]).err().expect("nothing to read");
    assert!(matches!(none, CaptureError::NoSource));
}

#[test]
fn an_error_of_the_system_has_an_offset_and_a_packet_number() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    let cut = Cursor::new(pcap(3)[..130].to_vec());
    let (packets, errors) = read_all(Files::from_reader("disk", cut.chain(Failing)));
    assert_eq!(packets.len(), 2);
    assert!(errors[0].is_damage());
    let message = errors[0].to_string();
    assert!(
        message.starts_with("cannot read 'disk' at byte 130, packet 3: "),
        "{message}"
    );
}

#[test]
fn the_filter_is_applied_before_the_snapshot_length() {
    let file = PcapFile::default();
    let mut bytes = file.header();
    for last in [1, 2, 3] {
        let mut data = [0; 40];
        data[39] = last;
        bytes.extend(file.record([1, 0, 40, 90], &data));
    }
    let filter = Filter::new("ether[39] != 2 and len = 90").expect("a good expression");
    let mut files = Files::from_reader("test", Cursor::new(bytes))
        .with_filter(filter)
        .with_snapshot_length(10);
    let packets = files.read().expect("all is well").expect("packets");
    let lengths: Vec<_> = packets
        .iter()
        .map(|packet| (packet.data.len(), packet.wire_len))
        .collect();
    assert_eq!(lengths, [(10, 90); 2]);
    assert_eq!((files.packets_read(), files.packets_filtered()), (3, 1));
}

#[test]
fn a_filter_that_no_packet_can_match_is_an_error() {
    let file = PcapFile {
        link: 101,
        ..PcapFile::default()
    };
    let filter = Filter::new("ether src 1:2:3:4:5:6").expect("good on Ethernet");
    let bytes = Cursor::new(file.with_packets(3));
    let files = Files::from_reader("test", bytes).with_filter(filter);
    let (packets, errors) = read_all(files);
    assert!(packets.is_empty());
    assert!(matches!(errors[..], [CaptureError::Filter(_)]));
}

proptest! {
    /// With any bytes after a header, reading ends with at most one error, and all lengths are
    /// valid.
    #[test]
    fn nothing_makes_reading_panic_or_hang(
        big in any::<bool>(),
        kind in 0..3_usize,
        noise in prop::collection::vec(
            prop_oneof![3 => Just(0_u8), 2 => any::<u8>(), 2 => 0..64_u8],
            0..400,
        ),
    ) {
        let order = BOTH[usize::from(big)];
        let mut bytes = match kind {
            0 => PcapFile { order, ..PcapFile::default() }.header(),
            1 => section(order),
            _ => [section(order), interface(order, 1, 0, &[])].concat(),
        };
        bytes.extend(&noise);
        let (packets, errors) = read_bytes(bytes);
        prop_assert!(errors.len() <= 1);
        for packet in packets {
            prop_assert!(packet.wire_len as usize >= packet.data.len());
        }
    }

    /// A capture with a few changed bytes causes at most one error and no panic.
    #[test]
    fn changed_bytes_cause_no_panic(
        ng in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        compression in 0..3,
    ) {
        let plain = if ng { pcapng(20) } else { pcap(20) };
        let mut bytes = match compression {
            0 => plain,
            1 => gzip(&plain),
            _ => zstandard(&plain),
        };
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let (_, errors) = read_bytes(bytes);
        prop_assert!(errors.len() <= 1);
    }
}

#[test]
fn captures_can_be_read_on_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Files>();
}
