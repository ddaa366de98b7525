//! What is given up when packets come faster than they can be metered.

/// How much is given up, for flows that begin then. What comes after it is lost packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// Nothing.
    #[default]
    Normal,
    /// They are not offered to plugins that take more of a meter's time than an eighth.
    High,
    /// Nor are they dissected for their application.
    Highest,
}

impl Load {
    /// By how much of the kernel's buffer is taken; what was given up stays so until there is room
    /// again.
    pub(crate) fn of(self, taken: f64) -> Self {
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
    use super::Load;

    #[test]
    fn it_rises_at_once_and_falls_when_there_is_room() {
        let mut load = Load::Normal;
        for (taken, expected) in [
            (0.3, Load::Normal),
            (0.5, Load::High),
            (0.3, Load::High),
            (0.8, Load::Highest),
            (0.6, Load::Highest),
            (0.25, Load::Highest),
            (0.2, Load::Normal),
            (1.2, Load::Highest),
        ] {
            load = load.of(taken);
            assert_eq!(load, expected, "{taken}");
        }
    }
}
