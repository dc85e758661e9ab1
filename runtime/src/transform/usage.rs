//! What calls of a module used, for who meters them.

use std::ops::AddAssign;

/// What calls of a module used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls made.
    pub calls: u64,
    /// Calls that failed.
    pub traps: u64,
    /// Time in the module, in nanoseconds: the copies in and out, the checks and the search for records at fault are part of it.
    pub nanoseconds: u64,
    /// Fuel of the calls that succeeded.
    pub fuel: u64,
    /// Rows that these gave back, before they are held to their contracts.
    pub rows: u64,
    /// Bytes that these gave back.
    pub output: u64,
    /// The most that one call used.
    pub most: Most,
}

/// The most that one call used, be it one that failed: what the limits of a call are held against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Most {
    /// Fuel.
    pub fuel: u64,
    /// Bytes of linear memory.
    pub memory: u64,
    /// Bytes given back.
    pub output: u64,
    /// Time, in nanoseconds.
    pub nanoseconds: u64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.traps += other.traps;
        self.nanoseconds += other.nanoseconds;
        self.fuel += other.fuel;
        self.rows += other.rows;
        self.output += other.output;
        self.most.raise(other.most);
    }
}

impl Most {
    /// Takes in another call, or several.
    pub fn raise(&mut self, other: Self) {
        self.fuel = self.fuel.max(other.fuel);
        self.memory = self.memory.max(other.memory);
        self.output = self.output.max(other.output);
        self.nanoseconds = self.nanoseconds.max(other.nanoseconds);
    }
}
