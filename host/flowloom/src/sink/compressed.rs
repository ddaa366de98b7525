//! Compressed outputs whose text can be decompressed up to the last write.

use std::io::{self, Write};

use flate2::Crc;
use flate2::write::DeflateEncoder;

use super::format::Compression;
use super::output::Output;

/// The header of a gzip member (RFC 1952): deflate, no name, no time, unknown operating system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// The final deflate block, which is empty (RFC 1951). The data before it ends at a byte boundary.
const DEFLATE_END: [u8; 2] = [3, 0];
/// The final block of a zstd frame, which is empty (RFC 8878).
pub(super) const ZSTD_END: [u8; 3] = [1, 0, 0];

/// Compresses text and writes it to another output.
///
/// Each write is compressed separately and ends at a byte boundary. All text written so far can
/// therefore be decompressed, even if the process is killed. If the other output appends each write
/// entirely or not at all, the file always ends at the end of a write.
pub(super) struct Compressed<O> {
    output: O,
    encoder: Encoder,
    /// Whether the output has the start of a member (gzip) or frame (zstd) without its end.
    is_open: bool,
    /// Whether the encoder has compressed text that the output rejected. The next text then needs a
    /// new member.
    is_ahead: bool,
}

enum Encoder {
    Gzip {
        deflate: DeflateEncoder<Vec<u8>>,
        /// The checksum of the text in the current member.
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

    /// Starts a new member with the next text.
    fn restart_encoder(&mut self) -> io::Result<()> {
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
        self.encoder.update_checksum(text);
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
        self.restart_encoder()?;
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

    /// Compresses text up to a byte boundary, and appends the result to `bytes`.
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

    /// Updates the checksum with text that was written.
    fn update_checksum(&mut self, text: &[u8]) {
        if let Self::Gzip { crc, .. } = self {
            crc.update(text);
        }
    }

    /// Returns the trailer of the current member or frame.
    fn ending(&self) -> Vec<u8> {
        match self {
            Self::Gzip { crc, .. } => gzip_ending(crc),
            Self::Zstd(_) => ZSTD_END.to_vec(),
        }
    }
}

/// Returns the final block and the trailer of a gzip member whose text has this checksum.
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

    /// An output that can be full.
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

        /// Returns the text, and whether its last member is complete.
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
    fn written_text_can_be_read_before_the_end() {
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
    fn text_after_the_end_is_a_new_member() {
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
    fn text_after_a_failed_write_can_be_read() {
        for compression in BOTH {
            // The disk is full from the start, and later.
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
