//! What stands behind a packet.

/// Most that a packet's 16-bit length can say.
pub(crate) const MOST: usize = u16::MAX as usize;
/// Zeros behind the longest packet.
const BEHIND: usize = 256;

/// Where packets stand while they are dissected: what is behind one is zeros, never another packet.
/// So a dissector that reads past the end ends a text there, and does the same in every run.
pub(crate) struct Stage {
    bytes: Box<[u8]>,
    /// Bytes that may be other than zero.
    used: usize,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; MOST + BEHIND].into(),
            used: 0,
        }
    }

    /// Puts a packet there, cut to what a 16-bit length can say.
    pub(crate) fn put(&mut self, packet: &[u8]) -> (*const u8, u16) {
        let len = packet.len().min(MOST);
        self.bytes[..len].copy_from_slice(&packet[..len]);
        if len < self.used {
            self.bytes[len..self.used].fill(0);
        }
        self.used = len;
        (self.bytes.as_ptr(), len as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_behind_every_packet() {
        let mut stage = Stage::new();
        for len in [5, 100_000, 3, 0, 65_535, 7] {
            let (_, staged) = stage.put(&vec![7; len]);
            assert_eq!(usize::from(staged), len.min(MOST));
            let (packet, behind) = stage.bytes.split_at(staged.into());
            assert!(packet.iter().all(|&byte| byte == 7));
            assert!(behind.len() >= BEHIND && behind.iter().all(|&byte| byte == 0));
        }
    }
}
