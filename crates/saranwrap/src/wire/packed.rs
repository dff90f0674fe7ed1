//! Many numbers of one kind as one run of bytes, the typed arrays of RFC 8746.  A run stands where an array of its numbers could.

use super::{Item, Reader, Writer};
use crate::error::{Error, Result};

/// From so many numbers on a run is made: below it, an item for each costs no more.
pub const MANY: usize = 32;

/// What the numbers of a run are.  Their bytes are little endian, whatever machine this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Signed integers of one byte.
    Int8,
    /// Signed integers of two bytes.
    Int16,
    /// Signed integers of four bytes.
    Int32,
    /// Signed integers of eight bytes.
    Int64,
    /// Floats of eight bytes.
    Float64,
}

/// Every packing; of those of integers the narrow ones first.
const ALL: [Packing; 5] = [Packing::Int8, Packing::Int16, Packing::Int32, Packing::Int64, Packing::Float64];

impl Packing {
    /// What stands behind this tag, if it is one of a run.
    pub fn of_tag(tag: u64) -> Option<Self> {
        ALL.into_iter().find(|packing| packing.tag() == tag)
    }

    /// The narrowest that takes all of these.
    fn of_integers(integers: &[i64]) -> Self {
        // Of a negative number the complement needs as many bits, and together they need as many as the widest of them.
        let bits = integers.iter().fold(0, |bits, &integer| bits | (integer ^ (integer >> 63)));
        match bits {
            0..=0x7f => Self::Int8,
            0x80..=0x7fff => Self::Int16,
            0x8000..=0x7fff_ffff => Self::Int32,
            _ => Self::Int64,
        }
    }

    /// The tag, as RFC 8746 gives it.
    pub fn tag(self) -> u64 {
        match self {
            Self::Int8 => 72,
            Self::Int16 => 77,
            Self::Int32 => 78,
            Self::Int64 => 79,
            Self::Float64 => 86,
        }
    }

    /// How many bytes each number has.
    pub fn width(self) -> usize {
        match self {
            Self::Int8 => 1,
            Self::Int16 => 2,
            Self::Int32 => 4,
            Self::Int64 | Self::Float64 => 8,
        }
    }
}

/// Numbers in a row, as they came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run<'a> {
    packing: Packing,
    bytes: &'a [u8],
}

impl<'a> Run<'a> {
    /// What the numbers are.
    pub fn packing(self) -> Packing {
        self.packing
    }

    /// The bytes of each number.
    pub fn numbers(self) -> std::slice::ChunksExact<'a, u8> {
        self.bytes.chunks_exact(self.packing.width())
    }
}

/// The integer in at most eight bytes.
pub fn integer(bytes: &[u8]) -> i64 {
    match *bytes {
        [byte] => i8::from_le_bytes([byte]).into(),
        [a, b] => i16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

/// The float in eight bytes.
pub fn float(bytes: &[u8]) -> f64 {
    f64::from_bits(integer(bytes) as u64)
}

impl Writer {
    /// A run of integers, each in as few bytes as the widest of them needs.
    pub fn integers(&mut self, integers: &[i64]) {
        match Packing::of_integers(integers) {
            Packing::Int8 => self.run(Packing::Int8, integers, |integer| (integer as i8).to_le_bytes()),
            Packing::Int16 => self.run(Packing::Int16, integers, |integer| (integer as i16).to_le_bytes()),
            Packing::Int32 => self.run(Packing::Int32, integers, |integer| (integer as i32).to_le_bytes()),
            _ => self.run(Packing::Int64, integers, i64::to_le_bytes),
        }
    }

    /// A run of floats.
    pub fn floats(&mut self, floats: &[f64]) {
        self.run(Packing::Float64, floats, |float| float.to_bits().to_le_bytes());
    }

    fn run<T: Copy, const N: usize>(&mut self, packing: Packing, numbers: &[T], bytes: impl Fn(T) -> [u8; N]) {
        self.tag(packing.tag());
        self.head(super::BYTES, (N * numbers.len()) as u64);
        let start = self.bytes.len();
        self.bytes.resize(start + N * numbers.len(), 0);
        let places = self.bytes[start..].chunks_exact_mut(N);
        places.zip(numbers).for_each(|(place, &number)| place.copy_from_slice(&bytes(number)));
    }
}

impl<'a> Reader<'a> {
    /// A run of numbers, if that is what comes next.
    pub fn run(&mut self) -> Result<Option<Run<'a>>> {
        let Item::Tag(tag) = self.peek()? else { return Ok(None) };
        let Some(packing) = Packing::of_tag(tag) else { return Ok(None) };
        self.next()?;
        self.run_of(packing).map(Some)
    }

    /// A run of such numbers, whose tag has been read.
    pub fn run_of(&mut self, packing: Packing) -> Result<Run<'a>> {
        let bytes = self.bytes("numbers")?;
        if !bytes.len().is_multiple_of(packing.width()) {
            let (len, width) = (bytes.len(), packing.width());
            return Err(Error::garbled(format!("{len} bytes are not so many numbers of {width} bytes")));
        }
        Ok(Run { packing, bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut out = Writer::new();
        write(&mut out);
        out.into_vec()
    }

    /// Integers that all fit into so many bits, or so.
    fn integers() -> impl Strategy<Value = Vec<i64>> {
        (0..64u32, any::<Vec<i64>>()).prop_map(|(cut, mut integers)| {
            integers.iter_mut().for_each(|integer| *integer >>= cut);
            integers
        })
    }

    proptest! {
        #[test]
        fn integers_come_back(integers in integers()) {
            let bytes = written(|out| out.integers(&integers));
            let mut reader = Reader::new(&bytes);
            let run = reader.run().unwrap().unwrap();
            prop_assert!(reader.at_end());
            prop_assert_eq!(run.numbers().map(integer).collect::<Vec<_>>(), integers);
        }

        #[test]
        fn floats_come_back_bit_by_bit(bits in any::<Vec<u64>>()) {
            let floats: Vec<_> = bits.iter().map(|&bits| f64::from_bits(bits)).collect();
            let bytes = written(|out| out.floats(&floats));
            let run = Reader::new(&bytes).run().unwrap().unwrap();
            prop_assert_eq!(run.packing(), Packing::Float64);
            prop_assert_eq!(run.numbers().map(float).map(f64::to_bits).collect::<Vec<_>>(), bits);
        }

        #[test]
        fn every_cut_is_noticed(integers in integers(), cut in any::<prop::sample::Index>()) {
            let bytes = written(|out| out.integers(&integers));
            let error = Reader::new(&bytes[..cut.index(bytes.len())]).run().unwrap_err();
            prop_assert_eq!(error.kind(), Kind::Garbled);
        }
    }

    #[test]
    fn the_widest_decides() {
        let packed =
            |integer: i64| Reader::new(&written(|out| out.integers(&[0, integer]))).run().unwrap().unwrap().packing();
        for (packing, bits) in [(Packing::Int8, 7), (Packing::Int16, 15), (Packing::Int32, 31)] {
            let end = 1i64 << bits;
            assert_eq!([packed(end - 1), packed(-end)], [packing; 2]);
            assert!(packed(end).width() > packing.width());
            assert!(packed(-end - 1).width() > packing.width());
        }
        assert_eq!([packed(i64::MAX), packed(i64::MIN)], [Packing::Int64; 2]);
    }

    /// The examples of docs/protocol.md, and of RFC 8746 the tags.
    #[test]
    fn as_the_standard_has_it() {
        assert_eq!(written(|out| out.integers(&[1, -1])), [0xd8, 72, 0x42, 1, 0xff]);
        assert_eq!(written(|out| out.integers(&[1, 256])), [0xd8, 77, 0x44, 1, 0, 0, 1]);
        assert_eq!(written(|out| out.integers(&[-1, 65_536])), [0xd8, 78, 0x48, 255, 255, 255, 255, 0, 0, 1, 0]);
        assert_eq!(written(|out| out.integers(&[1 << 32])), [0xd8, 79, 0x48, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(written(|out| out.floats(&[1.5])), [0xd8, 86, 0x48, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]);
        for packing in ALL {
            assert_eq!(Packing::of_tag(packing.tag()), Some(packing));
        }
    }

    #[test]
    fn what_is_no_run_is_refused_or_left() {
        let run = |bytes: &[u8]| Reader::new(bytes).run().map(|run| run.is_some()).map_err(|error| error.kind());
        // A number too short, a length that lies, no bytes at all, an array.
        for lie in [
            &[0xd8, 77, 0x43, 1, 2, 3][..],
            &[0xd8, 72, 0x5a, 0xff, 0xff, 0xff, 0xff, 1],
            &[0xd8, 72],
            &[0xd8, 72, 0x81, 1],
        ] {
            assert_eq!(run(lie), Err(Kind::Garbled), "{lie:x?}");
        }
        // Other kinds of RFC 8746 are not spoken, and an array is an array.
        for other in [&[0xd8, 64, 0x41, 1][..], &[0xd8, 82, 0x48, 0, 0, 0, 0, 0, 0, 0, 0], &[0x81, 1]] {
            assert_eq!(run(other), Ok(false), "{other:x?}");
        }
    }
}
