//! What an object lends by the buffer protocol, as its bytes and their layout: where they lie, and how they are read as numbers.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use super::fault::{Fault, Result};
use super::shared::Shared;
use crate::arena::Held;
use crate::error::{Error, Result as LinkResult};
use crate::sys::numbers::{self, Element, ReadOnlyCell, Sealed, Words};

/// More dimensions than this no buffer has.
const MAX_DIMENSIONS: usize = 64;

/// How many numbers an iterator copies at a time.
const AHEAD: usize = 512;

/// What an object lends, of whatever type its items are.  See [`Buffer`], which knows it.
#[derive(Clone)]
pub struct UntypedBuffer {
    lent: Arc<Lent>,
}

/// What an object of the other side lends by the buffer protocol, as numbers: an array of numpy, a `bytearray`, an `array.array`, a
/// `memoryview`, ...
///
/// [`Object::buffer`](super::Object::buffer) has one made.  The other side copies its items, in the order of C or of Fortran, into
/// memory that both see; here nothing is copied.  So what is seen is the object as it was then, and nothing can be written to.  The
/// memory is held until the last clone has gone.  Where no memory is shared, the items came with the answer, and all else is the same.
///
/// The names are those of PyO3's `PyBuffer`.
///
/// ```no_run
/// use saranwrap::{AsBuffer, Fault, Object, Python};
///
/// let numpy = Python::new().spawn()?.wrap_module("numpy")?;
/// let waves = numpy.call_method("sin", (numpy.call_method("linspace", (0.0, 6.0, 1_000_000))?,))?;
///
/// let buffer = waves.buffer::<f64>()?;
/// assert_eq!((buffer.shape(), buffer.format()), (&[1_000_000][..], "d"));
/// let waves: Vec<f64> = buffer.to_vec(); // One copy; `as_slice` needs none.
///
/// // And there, of a slice: what arrives is a `memoryview`.
/// let array = numpy.call_method("asarray", (AsBuffer(&waves),))?;
/// assert_eq!(array.call_method0("max")?.extract::<f64>()?, waves.iter().copied().fold(f64::MIN, f64::max));
/// # Ok::<(), Fault>(())
/// ```
pub struct Buffer<T> {
    untyped: UntypedBuffer,
    items: PhantomData<T>,
}

/// A slice of numbers as an argument: it arrives as a `memoryview` of a copy, which `numpy.asarray` and `numpy.frombuffer` take without
/// another one.  A plain `&[f64]` becomes a list.
#[derive(Debug, Clone, Copy)]
pub struct AsBuffer<'a, T>(pub &'a [T]);

/// How the bytes of a buffer are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) fortran: bool,
    pub(crate) format: String,
    pub(crate) item_size: usize,
    pub(crate) shape: Vec<usize>,
    strides: Vec<isize>,
}

/// The bytes, and what is to be done when nobody needs them any more.
pub(crate) struct Lent {
    /// `None` only while it is dropped.
    content: Option<Content>,
    layout: Layout,
    /// Bytes may be looked at for longer than there is a link.
    session: Weak<Shared>,
}

/// Where the bytes are.
pub(crate) enum Content {
    /// In memory that the other side may write to.
    Held(Held),
    /// Here.
    Words(Words),
}

impl Layout {
    /// `None` when the parts do not belong together, or are not those of `len` bytes.
    pub(crate) fn new(order: &str, format: &str, item_size: u64, shape: &[u64], len: usize) -> Option<Self> {
        let fortran = match order {
            "C" => false,
            "F" => true,
            _ => return None,
        };
        let count = shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side))?;
        if count.checked_mul(item_size)? != len as u64 || shape.len() > MAX_DIMENSIONS {
            return None;
        }
        let mut strides = vec![0; shape.len()];
        let mut step = isize::try_from(item_size).ok()?;
        for place in 0..shape.len() {
            let place = if fortran { place } else { shape.len() - 1 - place };
            strides[place] = step;
            // Of an empty array the other sides may be of any length.
            step = step.wrapping_mul(isize::try_from(shape[place]).ok()?);
        }
        let shape = shape.iter().map(|&side| usize::try_from(side).ok()).collect::<Option<_>>()?;
        Some(Self { fortran, format: format.to_owned(), item_size: usize::try_from(item_size).ok()?, shape, strides })
    }

    /// Of a row of numbers.
    pub(crate) fn row<T: Element>(count: usize) -> Self {
        let item_size = size_of::<T>();
        Self {
            fortran: false,
            format: T::NAMES.1.to_owned(),
            item_size,
            shape: vec![count],
            strides: vec![item_size as isize],
        }
    }

    fn is_c_contiguous(&self) -> bool {
        !self.fortran || self.is_contiguous_either_way()
    }

    fn is_fortran_contiguous(&self) -> bool {
        self.fortran || self.is_contiguous_either_way()
    }

    fn is_contiguous_either_way(&self) -> bool {
        self.shape.contains(&0) || self.shape.iter().filter(|&&side| side > 1).count() < 2
    }
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Held(held) => held.len(),
            Self::Words(words) => words.len(),
        }
    }
}

impl UntypedBuffer {
    /// What the other side has sent.  Nothing about it is believed.
    pub(crate) fn new(
        session: &Arc<Shared>,
        content: Content,
        (order, format): (&str, &str),
        item_size: u64,
        shape: &[u64],
    ) -> LinkResult<Self> {
        let layout = Layout::new(order, format, item_size, shape, content.len()).ok_or_else(|| {
            Error::garbled(format!("a buffer of the format {format:?} with items of {item_size} bytes makes no sense"))
        })?;
        Ok(Self::of(content, layout, Arc::downgrade(session)))
    }

    /// Bytes that are here already.
    pub(crate) fn here(bytes: &[u8], layout: Layout) -> Self {
        Self::of(Content::Words(Words::of(bytes)), layout, Weak::new())
    }

    fn of(content: Content, layout: Layout, session: Weak<Shared>) -> Self {
        Self { lent: Arc::new(Lent { content: Some(content), layout, session }) }
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.lent.layout
    }

    /// `None` of an empty one, where there is nothing to hold.
    pub(crate) fn held(&self) -> Option<&Held> {
        if let Some(Content::Held(held)) = &self.lent.content { Some(held) } else { None }
    }

    /// As numbers of this type, if it is of such.
    pub fn into_typed<T: Element>(self) -> Result<Buffer<T>> {
        if self.item_size() == size_of::<T>() && is_format_of::<T>(self.format()) {
            return Ok(Buffer { untyped: self, items: PhantomData });
        }
        let ((name, letter), format, size) = (T::NAMES, self.format(), self.item_size());
        let found = format!("found the format {format:?} with items of {size} bytes");
        Err(Fault::mismatch(format!("wanted a buffer of {name} (format {letter:?}), {found}")))
    }

    /// The type of its items, as the module `struct` of Python writes it: `"d"`, `"<i4"`, ...
    pub fn format(&self) -> &str {
        &self.layout().format
    }

    /// How many bytes an item has.
    pub fn item_size(&self) -> usize {
        self.layout().item_size
    }

    /// How many items there are.
    pub fn item_count(&self) -> usize {
        self.layout().shape.iter().product()
    }

    /// How many bytes all items have.
    pub fn len_bytes(&self) -> usize {
        self.lent.content.as_ref().map_or(0, Content::len)
    }

    /// How many dimensions it has; a single item has none.
    pub fn dimensions(&self) -> usize {
        self.shape().len()
    }

    /// How long each side is.
    pub fn shape(&self) -> &[usize] {
        &self.layout().shape
    }

    /// How many bytes lie between one item and the next, in each dimension.
    pub fn strides(&self) -> &[isize] {
        &self.layout().strides
    }

    /// Whether nothing can be written to it: always.
    pub fn readonly(&self) -> bool {
        true
    }

    /// Whether the last index changes fastest from item to item.
    pub fn is_c_contiguous(&self) -> bool {
        self.layout().is_c_contiguous()
    }

    /// Whether the first index changes fastest from item to item.
    pub fn is_fortran_contiguous(&self) -> bool {
        self.layout().is_fortran_contiguous()
    }

    /// Copy bytes out as they lie, from `at` on.
    pub(crate) fn copy_out(&self, at: usize, into: &mut [u8]) {
        match &self.lent.content {
            Some(Content::Held(held)) => held.copy_out_from(at, into),
            Some(Content::Words(words)) => words.copy_out(at, into),
            None => {}
        }
    }
}

impl<T: Element> From<&[T]> for Buffer<T> {
    /// A copy of these, as a buffer of this process.  To give a slice to a child, [`AsBuffer`] does without the copy.
    fn from(items: &[T]) -> Self {
        let untyped = UntypedBuffer::here(numbers::bytes_of(items), Layout::row::<T>(items.len()));
        Self { untyped, items: PhantomData }
    }
}

impl<T: Element> Buffer<T> {
    /// All items without a copy, where they lie in the order of C.
    ///
    /// The other process may write to them at any moment, so that each is read by [`get`](ReadOnlyCell::get).  What the code in a
    /// child does to the object itself does not show; only a child that lies writes to what it has lent.
    pub fn as_slice(&self) -> Option<&[ReadOnlyCell<T>]> {
        self.is_c_contiguous().then(|| self.cells())
    }

    /// The same in the order of Fortran.
    pub fn as_fortran_slice(&self) -> Option<&[ReadOnlyCell<T>]> {
        self.is_fortran_contiguous().then(|| self.cells())
    }

    /// Copy all items, in the order of C.  Without room for exactly all of them it is a [`Fault::Mismatch`].
    pub fn copy_to_slice(&self, target: &mut [T]) -> Result<()> {
        let (wanted, found) = (self.item_count(), target.len());
        if wanted != found {
            return Err(Fault::mismatch(format!("a buffer of {wanted} items was to be copied to a slice of {found}")));
        }
        self.fill(0, target);
        Ok(())
    }

    /// A copy of all items, in the order of C.
    pub fn to_vec(&self) -> Vec<T> {
        let mut items = vec![T::default(); self.item_count()];
        self.fill(0, &mut items);
        items
    }

    /// The items, in the order of C.  Many are copied at a time.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + '_ {
        let mut ahead = [T::default(); AHEAD];
        (0..self.item_count()).map(move |place| {
            if place % AHEAD == 0 {
                let count = AHEAD.min(self.item_count() - place);
                self.fill(place, &mut ahead[..count]);
            }
            ahead[place % AHEAD]
        })
    }

    fn cells(&self) -> &[ReadOnlyCell<T>] {
        match &self.untyped.lent.content {
            // Whoever decoded it has copied what does not begin where such numbers may.
            Some(Content::Held(held)) => held.cells().unwrap_or_default(),
            Some(Content::Words(words)) => words.cells(),
            None => &[],
        }
    }

    /// Copy the items from `first` on, counted in the order of C.
    fn fill(&self, first: usize, into: &mut [T]) {
        if self.is_c_contiguous() {
            return self.copy_out(first * size_of::<T>(), numbers::bytes_of_mut(into));
        }
        let (cells, shape) = (self.cells(), self.shape());
        let steps: Vec<usize> = self.strides().iter().map(|stride| stride.unsigned_abs() / size_of::<T>()).collect();
        let mut index = vec![0; shape.len()];
        let mut rest = first;
        for place in (0..shape.len()).rev() {
            (index[place], rest) = (rest % shape[place], rest / shape[place]);
        }
        let mut at: usize = index.iter().zip(&steps).map(|(index, step)| index * step).sum();
        for item in into {
            *item = cells[at].get();
            for place in (0..shape.len()).rev() {
                index[place] += 1;
                at += steps[place];
                if index[place] < shape[place] {
                    break;
                }
                at -= index[place] * steps[place];
                index[place] = 0;
            }
        }
    }
}

/// Whether this is how the module `struct` writes a number of this type.
fn is_format_of<T: Element>(format: &str) -> bool {
    let other_order = if cfg!(target_endian = "little") { ['>', '!'] } else { ['<', '<'] };
    let native = !format.starts_with(['=', '<', '>', '!']);
    let letter = format.strip_prefix(['@', '=', '<', '>', '!']).unwrap_or(format);
    let means = match letter {
        "c" | "B" => u8::NAMES,
        "l" if native => [i32::NAMES, i64::NAMES][usize::from(size_of::<std::ffi::c_long>() == 8)],
        "L" if native => [u32::NAMES, u64::NAMES][usize::from(size_of::<std::ffi::c_ulong>() == 8)],
        "l" => i32::NAMES,
        "L" => u32::NAMES,
        "n" if native => [i32::NAMES, i64::NAMES][usize::from(size_of::<isize>() == 8)],
        "N" if native => [u32::NAMES, u64::NAMES][usize::from(size_of::<usize>() == 8)],
        other => return other == T::NAMES.1 && (size_of::<T>() == 1 || !format.starts_with(other_order)),
    };
    means == T::NAMES && (size_of::<T>() == 1 || !format.starts_with(other_order))
}

impl Drop for Lent {
    /// The block is queued, and goes back with the next frame; only when much waits does one go out for it.
    fn drop(&mut self) {
        drop(self.content.take());
        if let Some(session) = self.session.upgrade() {
            session.give_back_blocks();
        }
    }
}

impl<T> Deref for Buffer<T> {
    type Target = UntypedBuffer;

    fn deref(&self) -> &UntypedBuffer {
        &self.untyped
    }
}

impl<T> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        Self { untyped: self.untyped.clone(), items: PhantomData }
    }
}

impl PartialEq for UntypedBuffer {
    /// Whether both are clones of one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.lent, &other.lent)
    }
}

impl fmt::Debug for UntypedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = self.layout();
        f.debug_struct("Buffer").field("format", &layout.format).field("shape", &layout.shape).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.untyped.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(order: &str, shape: &[u64], bytes: &[u8]) -> Buffer<u8> {
        let layout = Layout::new(order, "B", 1, shape, bytes.len()).unwrap();
        UntypedBuffer::here(bytes, layout).into_typed().unwrap()
    }

    #[test]
    fn the_order_of_fortran_is_read_in_that_of_c() {
        let lying = buffer("F", &[2, 3, 2], &[1, 7, 3, 9, 5, 11, 2, 8, 4, 10, 6, 12]);
        assert_eq!(lying.to_vec(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(lying.iter().skip(5).collect::<Vec<_>>(), [6, 7, 8, 9, 10, 11, 12]);
        assert!(lying.as_slice().is_none() && lying.as_fortran_slice().is_some());
        assert_eq!(lying.strides(), [1, 2, 6]);
        let long: Vec<u8> = (0..100u8).cycle().take(2000).collect();
        let standing = buffer("F", &[1000, 2], &long);
        assert_eq!(standing.iter().collect::<Vec<_>>(), standing.to_vec());
        assert_eq!(standing.to_vec()[1990..1994], [long[995], long[1995], long[996], long[1996]]);
    }

    #[test]
    fn a_row_lies_in_both_orders() {
        for (order, shape) in [("C", vec![4]), ("F", vec![4]), ("F", vec![1, 4, 1]), ("C", vec![4, 1])] {
            let row = buffer(order, &shape, &[1, 2, 3, 4]);
            assert!(row.is_c_contiguous() && row.is_fortran_contiguous(), "{order} {shape:?}");
            assert_eq!(row.to_vec(), [1, 2, 3, 4]);
        }
        assert_eq!(buffer("F", &[3, 0, 7], &[]).to_vec(), []);
        assert_eq!(buffer("C", &[], &[5]).to_vec(), [5], "a single item");
    }

    #[test]
    fn parts_that_do_not_belong_together_are_no_layout() {
        for (order, size, shape, len) in [
            ("A", 1, &[4u64][..], 4),
            ("C", 2, &[4], 4),
            ("C", 0, &[4], 4),
            ("C", 1, &[1 << 32, 1 << 32], 0),
            ("C", u64::MAX, &[2], 2),
            ("C", 1, &[1; 65], 1),
            ("C", u64::MAX, &[0], 0),
            ("F", 1, &[0, u64::MAX], 0),
        ] {
            assert_eq!(Layout::new(order, "B", size, shape, len), None, "{order} {size} {shape:?} {len}");
        }
    }

    #[test]
    fn a_format_is_of_one_type() {
        assert!(is_format_of::<f64>("d") && is_format_of::<f64>("@d") && is_format_of::<f64>("=d"));
        assert!(is_format_of::<i64>("l") && is_format_of::<i64>("q") && is_format_of::<i64>("n"));
        assert!(is_format_of::<i32>("i") && is_format_of::<i32>("=l") && !is_format_of::<i64>("=l"));
        assert!(is_format_of::<u8>("B") && is_format_of::<u8>("c") && is_format_of::<u8>(">B"));
        assert!(!is_format_of::<u8>("b") && !is_format_of::<u8>("?") && !is_format_of::<f32>("d"));
        let (ours, other) = if cfg!(target_endian = "little") { ("<i", ">i") } else { (">i", "<i") };
        assert!(is_format_of::<i32>(ours) && !is_format_of::<i32>(other));
        assert!(!is_format_of::<u8>("") && !is_format_of::<f64>("dd") && !is_format_of::<u8>("T{B:a:}"));
    }
}
