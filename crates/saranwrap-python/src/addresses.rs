//! Maps by number: addresses, which this process makes itself, and ids, which the other one may choose as it likes.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::OnceLock;

/// A map whose keys are addresses, or made of them.
pub(crate) type AddressMap<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

/// A map whose keys the other side may have chosen. It does not know the secret, so it cannot choose those that meet in one
/// place; one multiplication is enough for that, where a text would need more.
pub(crate) type NumberMap<V> = HashMap<u64, V, Secret>;

/// An empty map of addresses, where a constant is needed.
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

/// What this process alone knows.
#[derive(Clone)]
pub(crate) struct Secret(u64);

impl Default for Secret {
    fn default() -> Self {
        static SECRET: OnceLock<u64> = OnceLock::new();
        Self(*SECRET.get_or_init(|| RandomState::new().hash_one("saranwrap")))
    }
}

impl BuildHasher for Secret {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher(self.0)
    }
}

pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    /// Both halves of the product, so that each bit of the key counts for each bit of the outcome.
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(value ^ self.0) * 0xf39c_c060_5ced_c835;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
