//! The buffer that packets are copied to before dissection.

/// The maximum length of a packet, which nDPI takes as a 16-bit number.
pub(crate) const MAX_LEN: usize = u16::MAX as usize;
/// The number of zero bytes after the longest packet.
const PADDING: usize = 256;

/// A buffer in which at least 256 zero bytes follow the packet, never bytes of an earlier packet.
///
/// A dissector that reads past the end of a packet finds the end of a text there. Its result is the
/// same in every run.
pub(crate) struct PacketBuffer {
    bytes: Box<[u8]>,
    /// The number of bytes at the start that may be non-zero.
    used: usize,
}

impl PacketBuffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; MAX_LEN + PADDING].into(),
            used: 0,
        }
    }

    /// Copies a packet to the buffer, truncated to 65,535 bytes.
    pub(crate) fn copy(&mut self, packet: &[u8]) -> &[u8] {
        let len = packet.len().min(MAX_LEN);
        self.bytes[..len].copy_from_slice(&packet[..len]);
        if len < self.used {
            self.bytes[len..self.used].fill(0);
        }
        self.used = len;
        &self.bytes[..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_follow_every_packet() {
        let mut buffer = PacketBuffer::new();
        for len in [5, 100_000, 3, 0, 65_535, 7] {
            let copied = buffer.copy(&vec![7; len]).len();
            assert_eq!(copied, len.min(MAX_LEN));
            let (packet, behind) = buffer.bytes.split_at(copied);
            assert!(packet.iter().all(|&byte| byte == 7));
            assert!(behind.len() >= PADDING && behind.iter().all(|&byte| byte == 0));
        }
    }
}
