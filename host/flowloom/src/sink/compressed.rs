//! Compressed files whose text is readable up to the last flush.

use std::io::{self, Write};

use flate2::Crc;
use flate2::write::DeflateEncoder;

use super::format::Compression;
use super::output::Output;

/// RFC 1952: deflate, no name, no time, an unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// RFC 1951: an empty block, the last one. The text before it ends at a whole byte.
const DEFLATE_END: [u8; 2] = [3, 0];
/// RFC 8878: an empty block, the last one.
pub(super) const ZSTD_END: [u8; 3] = [1, 0, 0];

/// Compresses what is written to another output.
///
/// Each write is compressed by itself and ends at a whole byte, so that all text written so far can be
/// decompressed, also when the process is killed. Where the other output takes a write whole or not at all,
/// the file always ends where a write ended.
pub(super) struct Compressed<O> {
    output: O,
    encoder: Encoder,
    /// Whether the output has the beginning of a member (gzip) or frame (zstd) without its end.
    is_open: bool,
    /// Whether the encoder was given text that the output did not take: what it makes next cannot follow.
    is_ahead: bool,
}

enum Encoder {
    Gzip {
        deflate: DeflateEncoder<Vec<u8>>,
        /// Of the text in the output.
        crc: Crc,
    },
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl<O: Output> Compressed<O> {
    pub(super) fn new(output: O, compression: Compression) -> io::Result<Self> {
        Ok(Self {
            output,
            encoder: Encoder::new(compression)?,
            is_open: false,
            is_ahead: false,
        })
    }

    /// Makes the next text begin another member.
    fn begin_anew(&mut self) -> io::Result<()> {
        self.encoder = Encoder::new(self.encoder.compression())?;
        self.is_ahead = false;
        Ok(())
    }
}

impl<O: Output> Write for Compressed<O> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if text.is_empty() {
            return Ok(0);
        }
        if self.is_ahead {
            self.end()?;
        }
        let mut bytes = Vec::new();
        if !self.is_open && matches!(self.encoder, Encoder::Gzip { .. }) {
            bytes.extend(GZIP_HEADER);
        }
        self.is_ahead = true;
        self.encoder.compress(text, &mut bytes)?;
        self.output.write_all(&bytes)?;
        self.encoder.took(text);
        self.is_ahead = false;
        self.is_open = true;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl<O: Output> Output for Compressed<O> {
    fn end(&mut self) -> io::Result<()> {
        if self.is_open {
            self.output.write_all(&self.encoder.ending())?;
            self.is_open = false;
        }
        self.begin_anew()?;
        self.output.end()
    }
}

impl Encoder {
    fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(
                Vec::new(),
                zstd::DEFAULT_COMPRESSION_LEVEL,
            )?),
            _ => Self::Gzip {
                deflate: DeflateEncoder::new(Vec::new(), flate2::Compression::default()),
                crc: Crc::new(),
            },
        })
    }

    fn compression(&self) -> Compression {
        match self {
            Self::Gzip { .. } => Compression::Gzip,
            Self::Zstd(_) => Compression::Zstd,
        }
    }

    /// Compresses text up to a whole byte.
    fn compress(&mut self, text: &[u8], bytes: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip { deflate, .. } => {
                deflate.write_all(text)?;
                deflate.flush()?;
                bytes.append(deflate.get_mut());
            }
            Self::Zstd(frame) => {
                frame.write_all(text)?;
                frame.flush()?;
                bytes.append(frame.get_mut());
            }
        }
        Ok(())
    }

    /// Notes text that is in the output.
    fn took(&mut self, text: &[u8]) {
        if let Self::Gzip { crc, .. } = self {
            crc.update(text);
        }
    }

    /// Returns what ends the text in the output.
    fn ending(&self) -> Vec<u8> {
        match self {
            Self::Gzip { crc, .. } => gzip_ending(crc),
            Self::Zstd(_) => ZSTD_END.to_vec(),
        }
    }
}

/// Returns what ends a member with this text.
pub(super) fn gzip_ending(crc: &Crc) -> Vec<u8> {
    let mut bytes = DEFLATE_END.to_vec();
    bytes.extend(crc.sum().to_le_bytes());
    bytes.extend(crc.amount().to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A disk that can be full.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, bool)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (file, is_full) = &mut *self.0.lock().unwrap();
            if *is_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Output for Disk {
        fn end(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Disk {
        fn set_full(&self, is_full: bool) {
            self.0.lock().unwrap().1 = is_full;
        }

        /// The text, and whether its last member is whole.
        fn text(&self, compression: Compression) -> (String, bool) {
            let file = self.0.lock().unwrap().0.clone();
            let mut decoder: Box<dyn io::Read> = match compression {
                Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(&file[..]).unwrap()),
                _ => Box::new(flate2::read::MultiGzDecoder::new(&file[..])),
            };
            let mut text = Vec::new();
            let is_whole = decoder.read_to_end(&mut text).is_ok();
            (String::from_utf8(text).unwrap(), is_whole)
        }
    }

    const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

    #[test]
    fn what_is_written_can_be_read_before_the_end() {
        for compression in BOTH {
            let disk = Disk::default();
            let mut output = Compressed::new(disk.clone(), compression).unwrap();
            let mut expected = String::new();
            for n in 0..100 {
                let text = format!("{n},").repeat(n * 50) + "\n";
                output.write_all(text.as_bytes()).unwrap();
                expected += &text;
                assert_eq!(disk.text(compression), (expected.clone(), false), "{n}");
            }
            output.end().unwrap();
            assert_eq!(disk.text(compression), (expected, true));
        }
    }

    #[test]
    fn an_output_without_text_stays_empty() {
        for compression in BOTH {
            let disk = Disk::default();
            let mut output = Compressed::new(disk.clone(), compression).unwrap();
            output.write_all(b"").unwrap();
            output.flush().unwrap();
            output.end().unwrap();
            assert!(disk.0.lock().unwrap().0.is_empty());
        }
    }

    #[test]
    fn text_behind_the_end_is_another_member() {
        for compression in BOTH {
            let disk = Disk::default();
            let mut output = Compressed::new(disk.clone(), compression).unwrap();
            for text in ["one\n", "two\n"] {
                output.write_all(text.as_bytes()).unwrap();
                output.end().unwrap();
            }
            output.end().unwrap();
            assert_eq!(disk.text(compression), ("one\ntwo\n".into(), true));
        }
    }

    #[test]
    fn text_that_a_full_disk_did_not_take_is_not_missed_by_what_follows() {
        for compression in BOTH {
            // The disk is full from the beginning, and in the middle.
            for before in ["", "one\n"] {
                let disk = Disk::default();
                let mut output = Compressed::new(disk.clone(), compression).unwrap();
                output.write_all(before.as_bytes()).unwrap();
                disk.set_full(true);
                output.write_all(b"lost\n").unwrap_err();
                output.write_all(b"lost too\n").unwrap_err();
                disk.set_full(false);
                output.write_all(b"lost? no\n").unwrap();
                output.write_all(b"two\n").unwrap();
                output.end().unwrap();
                let expected = format!("{before}lost? no\ntwo\n");
                assert_eq!(disk.text(compression), (expected, true));
            }
        }
    }
}
