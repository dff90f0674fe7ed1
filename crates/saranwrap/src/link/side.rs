//! The two ends of a link, and the numbers that each gives to its calls and chains.  What the numbers stand for is not known here.

/// Which end of the link this is.  The numbers that the two ends give to calls and chains never collide: the child's have the
/// top bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The process that wrapped.
    Parent,
    /// The process that holds the object.
    Child,
}

impl Side {
    const CHILD_BIT: u64 = 1 << 63;

    pub(super) fn other(self) -> Self {
        match self {
            Side::Parent => Side::Child,
            Side::Child => Side::Parent,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Side::Parent => "parent",
            Side::Child => "child",
        }
    }

    /// The `count`th number of this side.
    pub(super) fn number(self, count: u64) -> u64 {
        match self {
            Side::Parent => count,
            Side::Child => count | Self::CHILD_BIT,
        }
    }

    /// Whether this side gives such a number.
    pub(super) fn numbers(self, number: u64) -> bool {
        (number & Self::CHILD_BIT != 0) == (self == Side::Child)
    }
}
