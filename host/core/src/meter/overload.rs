//! The reduction of work when packets arrive faster than they can be metered.

/// The degree to which a meter reduces its work for new flows. If even the highest level does not suffice,
/// packets are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OverloadLevel {
    /// No reduction.
    #[default]
    Normal,
    /// New flows are not offered to plugins that use more than an eighth of a meter's time.
    High,
    /// In addition, new flows are not dissected.
    Highest,
}

impl OverloadLevel {
    /// Returns the next level. `taken` is the used fraction of the kernel's buffer.
    ///
    /// The level rises to `High` at 50 % and to `Highest` at 75 %. It falls only below 25 %, to `Normal`.
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
    fn the_level_rises_at_once_and_falls_below_a_quarter() {
        let mut level = OverloadLevel::Normal;
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
            level = level.of(taken);
            assert_eq!(level, expected, "{taken}");
        }
    }
}
