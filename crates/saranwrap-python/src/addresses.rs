//! Maps by address. Their keys are made by this process alone, so they need no hash that withstands an enemy.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are addresses, or made of them.
pub(crate) type AddressMap<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

/// An empty map, where a constant is needed.
pub(crate) const fn new<K, V>() -> AddressMap<K, V> {
    HashMap::with_hasher(BuildHasherDefault::new())
}

/// Multiplication spreads the bits upwards, and the turn brings the well-mixed ones to where a map looks.
#[derive(Default)]
pub(crate) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}
