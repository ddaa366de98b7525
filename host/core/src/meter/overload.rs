//! What is given up when packets come faster than they can be metered.

/// How much is given up, for flows that begin then. What comes after it is lost packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OverloadLevel {
    /// Nothing.
    #[default]
    Normal,
    /// They are not offered to plugins that take more of a meter's time than an eighth.
    High,
    /// Nor are they dissected for their application.
    Highest,
}

impl OverloadLevel {
    /// By how much of the kernel's buffer is taken; what was given up stays so until there is room
    /// again.
    pub fn of(self, taken: f64) -> Self {
        match taken {
            0.75.. => Self::Highest,
            0.5.. => self.max(Self::High),
            0.25.. => self,
            _ => Self::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OverloadLevel;

    #[test]
    fn it_rises_at_once_and_falls_when_there_is_room() {
        let mut load = OverloadLevel::Normal;
        for (taken, expected) in [
            (0.3, OverloadLevel::Normal),
            (0.5, OverloadLevel::High),
            (0.3, OverloadLevel::High),
            (0.8, OverloadLevel::Highest),
            (0.6, OverloadLevel::Highest),
            (0.25, OverloadLevel::Highest),
            (0.2, OverloadLevel::Normal),
            (1.2, OverloadLevel::Highest),
        ] {
            load = load.of(taken);
            assert_eq!(load, expected, "{taken}");
        }
    }
}
