//! Types of values, with the interval of whole numbers.

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Float,
    /// A length of time in whole nanoseconds.
    Time,
    /// A length of time in nanoseconds, as a float: a mean, for example.
    FloatTime,
    /// Nanoseconds since 1970-01-01 UTC.
    Instant,
    Bytes,
    /// A list of one of the kinds `Integer`, `Float`, `Time` and `FloatTime`.
    Integers,
    Floats,
    Times,
    FloatTimes,
    /// A sum of whole numbers in 128 bits, or moments. Only functions of aggregates read it.
    Internal,
}

impl Kind {
    /// Returns the kind as the end of a sentence: "is a time".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Integer | Self::Float => "a number",
            Self::Time | Self::FloatTime => "a time",
            Self::Instant => "a point in time",
            Self::Bytes => "bytes",
            Self::Integers | Self::Floats => "a list of numbers",
            Self::Times | Self::FloatTimes => "a list of times",
            Self::Internal => "a state",
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Float)
    }

    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::Time | Self::FloatTime)
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(
            self,
            Self::Integers | Self::Floats | Self::Times | Self::FloatTimes
        )
    }

    /// Returns whether values are stored as whole numbers.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Self::Integer | Self::Time | Self::Instant)
    }

    /// Returns the kind with the same unit, as a float.
    pub(crate) fn as_float(self) -> Self {
        match self {
            Self::Time | Self::FloatTime => Self::FloatTime,
            _ => Self::Float,
        }
    }

    /// Returns the kind of a list of such values.
    pub(crate) fn list(self) -> Option<Self> {
        match self {
            Self::Integer => Some(Self::Integers),
            Self::Float => Some(Self::Floats),
            Self::Time => Some(Self::Times),
            Self::FloatTime => Some(Self::FloatTimes),
            _ => None,
        }
    }

    /// Returns the kind of the values of a list.
    pub(crate) fn element(self) -> Option<Self> {
        match self {
            Self::Bytes | Self::Integers => Some(Self::Integer),
            Self::Floats => Some(Self::Float),
            Self::Times => Some(Self::Time),
            Self::FloatTimes => Some(Self::FloatTime),
            _ => None,
        }
    }
}

/// The largest whole number. The smallest is its negative, so that a negation is always possible.
pub(crate) const LARGEST: i64 = i64::MAX;

/// Whole numbers from `low` to `high`; both belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Interval {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

impl Interval {
    pub(crate) const ALL: Self = Self::new(-LARGEST, LARGEST);
    pub(crate) const NATURAL: Self = Self::new(0, LARGEST);

    pub(crate) const fn new(low: i64, high: i64) -> Self {
        Self { low, high }
    }

    pub(crate) const fn point(value: i64) -> Self {
        Self::new(value, value)
    }

    /// Returns the interval of wide bounds, unless they need more than 64 bits.
    fn exact(low: i128, high: i128) -> Option<Self> {
        let fits = |bound: i128| bound.abs() <= i128::from(LARGEST);
        (fits(low) && fits(high)).then(|| Self::clamped(low, high))
    }

    /// Returns the interval of wide bounds, each replaced by the nearest whole number of 64 bits.
    fn clamped(low: i128, high: i128) -> Self {
        let clamp = |bound: i128| bound.clamp(-i128::from(LARGEST), i128::from(LARGEST)) as i64;
        Self::new(clamp(low), clamp(high))
    }

    fn wide(self) -> (i128, i128) {
        (self.low.into(), self.high.into())
    }

    /// Returns the bounds of an operation that is monotonic in each operand.
    fn corners(self, other: Self, of: impl Fn(i128, i128) -> i128) -> (i128, i128) {
        let ((a, b), (c, d)) = (self.wide(), other.wide());
        let all = [of(a, c), of(a, d), of(b, c), of(b, d)];
        let low = all.iter().copied().min().unwrap_or(0);
        (low, all.iter().copied().max().unwrap_or(0))
    }

    /// Returns the interval of sums. It is limited to 64 bits if `saturates`, and otherwise has to fit.
    pub(crate) fn add(self, other: Self, saturates: bool) -> Option<Self> {
        Self::of(self.corners(other, |a, b| a + b), saturates)
    }

    /// Returns the interval of differences, like [`Interval::add`].
    pub(crate) fn subtract(self, other: Self, saturates: bool) -> Option<Self> {
        Self::of(self.corners(other, |a, b| a - b), saturates)
    }

    /// Returns the interval of products, like [`Interval::add`].
    pub(crate) fn multiply(self, other: Self, saturates: bool) -> Option<Self> {
        Self::of(self.corners(other, |a, b| a * b), saturates)
    }

    fn of((low, high): (i128, i128), saturates: bool) -> Option<Self> {
        match saturates {
            true => Some(Self::clamped(low, high)),
            false => Self::exact(low, high),
        }
    }

    /// Returns the interval of quotients, rounded down.
    pub(crate) fn floor_divide(self, other: Self) -> Self {
        let most = self.low.abs().max(self.high.abs());
        match self.low >= 0 && other.low >= 1 {
            true => Self::new(self.low / other.high, self.high / other.low),
            false => Self::new(-most, most),
        }
    }

    /// Returns the interval of remainders, which have the sign of the divisor.
    pub(crate) fn remainder(self, divisor: Self) -> Self {
        let low = (divisor.low + 1).min(0);
        let high = (divisor.high - 1).max(0);
        match self.low >= 0 && divisor.low >= 1 {
            true => Self::new(0, high.min(self.high)),
            false => Self::new(low, high),
        }
    }

    pub(crate) fn bit_and(self, other: Self) -> Self {
        match (self.low >= 0, other.low >= 0) {
            (true, true) => Self::new(0, self.high.min(other.high)),
            (true, false) => Self::new(0, self.high),
            (false, true) => Self::new(0, other.high),
            (false, false) => Self::ALL,
        }
    }

    pub(crate) fn bit_or(self, other: Self) -> Self {
        if self.low < 0 || other.low < 0 {
            return Self::ALL;
        }
        let bits = 64 - self.high.max(other.high).leading_zeros();
        let high = match bits {
            63.. => LARGEST,
            bits => (1 << bits) - 1,
        };
        Self::new(self.low.max(other.low), high)
    }

    pub(crate) fn negate(self) -> Self {
        Self::new(-self.high, -self.low)
    }

    pub(crate) fn absolute(self) -> Self {
        let high = self.low.abs().max(self.high.abs());
        match self.low <= 0 && self.high >= 0 {
            true => Self::new(0, high),
            false => Self::new(self.low.abs().min(self.high.abs()), high),
        }
    }

    /// Returns the smallest interval that contains both.
    pub(crate) fn union(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.max(other.high))
    }

    pub(crate) fn contains(self, value: i64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Returns whether the sum of 2^32 such numbers fits into 64 bits.
    pub(crate) fn can_be_summed(self) -> bool {
        let fits = |bound: i64| i128::from(bound).abs() << 32 <= 1 << 63;
        fits(self.low) && fits(self.high)
    }

    /// Returns the bytes of such a number in a plugin's state: 1, 2, 4 or 8.
    pub(crate) fn width(self) -> u32 {
        let fits = |bits: u32| {
            let (low, high) = self.wide();
            (low >= 0 && high < 1 << bits) || (low >= -(1 << (bits - 1)) && high < 1 << (bits - 1))
        };
        [1, 2, 4]
            .into_iter()
            .find(|bytes| fits(bytes * 8))
            .unwrap_or(8)
    }
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Type {
    pub(crate) kind: Kind,
    /// The interval of a whole number, or of the whole numbers of a list.
    pub(crate) interval: Interval,
    /// Whether the value can be null.
    pub(crate) is_nullable: bool,
    /// The maximum length of bytes or of a list.
    pub(crate) most: u32,
}

impl Type {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            interval: Interval::ALL,
            is_nullable: false,
            most: 0,
        }
    }

    pub(crate) const fn whole(kind: Kind, interval: Interval) -> Self {
        Self {
            interval,
            ..Self::new(kind)
        }
    }

    pub(crate) const fn many(kind: Kind, most: u32) -> Self {
        Self {
            most,
            ..Self::new(kind)
        }
    }

    pub(crate) const fn nullable(self, is_nullable: bool) -> Self {
        Self {
            is_nullable,
            ..self
        }
    }

    /// Returns the bytes of a value in a plugin's state.
    pub(crate) fn width(self) -> u32 {
        match self.kind {
            Kind::Boolean => 1,
            Kind::Bytes => 2 + self.most,
            kind if kind.is_whole() => self.interval.width(),
            _ => 8,
        }
    }

    /// Returns whether the sum of squares of such numbers has 64 bits.
    pub(crate) fn has_narrow_squares(self) -> bool {
        self.interval.low >= 0 && self.width() <= 4
    }
}
