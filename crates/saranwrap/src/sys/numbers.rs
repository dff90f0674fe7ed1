//! Numbers in memory that another process may write to: which types there are, and cells of them.  Whose memory it is, and how many
//! there are, is not known here.
//!
//! A `&[f64]` would promise that nobody changes it.  A slice of cells promises less: each is read by an atomic load, so that a process
//! that writes meanwhile gives an old number, a new one, or, where it does not write whole ones, a mixture.

use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering,
};

mod sealed {
    use std::fmt::Debug;

    /// The rest of what an element can do, which is nobody else's business.  Each type and its `Cell` have the same size, and
    /// every pattern of bits is one of both: `ReadOnlyCell` and the functions below rely on that.
    pub trait Sealed: Copy + Debug + Default + PartialEq + Send + Sync + 'static {
        /// What it is called here, and one letter of the module `struct` for it there.
        const NAMES: (&'static str, &'static str);
        /// What it lies in where others may write to it.
        type Cell: Send + Sync;
        fn load(cell: &Self::Cell) -> Self;
    }
}
pub(crate) use sealed::Sealed;

/// A number as it stands in a buffer: an integer of 8 to 64 bits, with or without a sign, or a float of 32 or 64.
///
/// A sealed trait: no other type can have it.
pub trait Element: Sealed {}

macro_rules! elements {
    ($($type:ident $letter:literal $cell:ident $from:expr;)*) => {$(
        impl Sealed for $type {
            const NAMES: (&'static str, &'static str) = (stringify!($type), $letter);
            type Cell = $cell;
            fn load(cell: &$cell) -> Self {
                $from(cell.load(Ordering::Relaxed))
            }
        }
        impl Element for $type {}
    )*};
}

elements! {
    i8 "b" AtomicI8 i8::from;
    i16 "h" AtomicI16 i16::from;
    i32 "i" AtomicI32 i32::from;
    i64 "q" AtomicI64 i64::from;
    u8 "B" AtomicU8 u8::from;
    u16 "H" AtomicU16 u16::from;
    u32 "I" AtomicU32 u32::from;
    u64 "Q" AtomicU64 u64::from;
    f32 "f" AtomicU32 f32::from_bits;
    f64 "d" AtomicU64 f64::from_bits;
}

/// One number of a buffer.  (PyO3 has one of this name, for the same reason.)
#[repr(transparent)]
pub struct ReadOnlyCell<T: Element>(T::Cell);

impl<T: Element> ReadOnlyCell<T> {
    /// What it is at this moment.  The process whose number it is may change it before it is read again.
    #[inline]
    pub fn get(&self) -> T {
        T::load(&self.0)
    }
}

impl<T: Element> fmt::Debug for ReadOnlyCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Whether such numbers may lie at this address.
pub(super) fn is_aligned<T: Element>(start: NonNull<u8>) -> bool {
    (start.as_ptr() as usize).is_multiple_of(align_of::<ReadOnlyCell<T>>())
}

/// The `count` numbers from `start` on.
///
/// # Safety
/// The address must be aligned for them, and their bytes mapped for as long as `'a` lasts.  Nobody in this process may write to them
/// but through atomics; other processes may.
pub(super) unsafe fn cells_at<'a, T: Element>(start: NonNull<u8>, count: usize) -> &'a [ReadOnlyCell<T>] {
    // SAFETY: by the condition above the bytes are there and aligned.  A cell has the size of its number and no pattern of bits that
    // is none.  It is an atomic, of which a shared reference allows that others write; and the only thing that is ever done to it is
    // a relaxed load of at most 8 bytes, which the standard library allows on memory that is mapped for reading only.
    unsafe { std::slice::from_raw_parts(start.cast().as_ptr(), count) }
}

/// The bytes of numbers.
pub fn bytes_of<T: Element>(numbers: &[T]) -> &[u8] {
    // SAFETY: a number has no padding, so all of its bytes are initialized, and a byte needs no alignment.
    unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers)) }
}

/// The bytes of numbers, to be written to.
pub fn bytes_of_mut<T: Element>(numbers: &mut [T]) -> &mut [u8] {
    // SAFETY: as for `bytes_of`; whatever is written, it is a number again.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
}

/// Bytes of this process alone, which begin where any number may.
#[derive(Debug)]
pub struct Words {
    /// Atomics only so that cells may be made of them: nobody writes.
    words: Box<[AtomicU64]>,
    len: usize,
}

impl Words {
    /// A copy of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let word = |part: &[u8]| {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            AtomicU64::new(u64::from_ne_bytes(word))
        };
        Self { words: bytes.chunks(8).map(word).collect(), len: bytes.len() }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn start(&self) -> NonNull<u8> {
        NonNull::from(&*self.words).cast()
    }

    /// All of them as numbers; what is left over at the end is left out.
    pub fn cells<T: Element>(&self) -> &[ReadOnlyCell<T>] {
        // SAFETY: the words are aligned for any number, have at least `len` bytes, live as long as the reference to `self`, and are
        // never written to.
        unsafe { cells_at(self.start(), self.len / size_of::<T>()) }
    }

    /// Copy bytes out, from `at` on.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn copy_out(&self, at: usize, into: &mut [u8]) {
        assert!(at <= self.len && into.len() <= self.len - at, "more bytes than there are");
        // SAFETY: the bytes from `at` on lie inside the words, as was checked, and nobody writes to them; `into` is another's memory.
        unsafe { std::ptr::copy_nonoverlapping(self.start().as_ptr().add(at), into.as_mut_ptr(), into.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_as_large_as_its_number() {
        macro_rules! same {
            ($($type:ident)*) => {$(
                assert_eq!(size_of::<ReadOnlyCell<$type>>(), size_of::<$type>());
            )*};
        }
        same! { i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 }
    }

    #[test]
    fn words_are_the_bytes_that_they_were_made_of() {
        let numbers = [1.5f64, -2.0, f64::INFINITY];
        let words = Words::of(bytes_of(&numbers));
        assert_eq!(words.cells::<f64>().iter().map(ReadOnlyCell::get).collect::<Vec<_>>(), numbers);
        let mut two = [0f64; 2];
        words.copy_out(8, bytes_of_mut(&mut two));
        assert_eq!(two, numbers[1..]);
        let odd = Words::of(b"abc");
        assert_eq!((odd.cells::<u8>().len(), odd.cells::<u16>().len(), odd.cells::<u64>().len()), (3, 1, 0));
        assert!(Words::of(b"").cells::<u64>().is_empty());
    }

    #[test]
    #[should_panic(expected = "more bytes than there are")]
    fn nothing_is_read_behind_words() {
        Words::of(b"abc").copy_out(1, &mut [0; 3]);
    }
}
