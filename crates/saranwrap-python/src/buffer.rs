//! The buffer protocol, both ways: what objects here lend, and what is lent here of memory that came from the other side. The only
//! `unsafe` of this crate.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyString, PyTuple, PyType};
use saranwrap::arena::{Arena, Held, Place, Room};
use saranwrap::link::Link;
use saranwrap::op::Op;

use crate::mirror::Mirror;
use crate::names;
use crate::proxy::Proxy;
use crate::session::Session;

/// What is shorter is copied before another thread would have the interpreter.
const WORTH_DETACHING: usize = 1 << 20;

/// In which order the items of an array lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The last index varies fastest.
    C,
    /// The first index varies fastest.
    Fortran,
}

impl Order {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Fortran => "F",
        }
    }

    fn code(self) -> c_char {
        match self {
            Self::C => b'C' as c_char,
            Self::Fortran => b'F' as c_char,
        }
    }
}

/// A proxy of an object that offers a buffer. What it lends is a copy, read-only: writing goes through the proxy's own items.
#[pyclass(frozen, subclass, extends = Proxy, name = "BufferBase", module = "saranwrap._native")]
pub(crate) struct BufferProxy {
    /// Nothing: a class that adds a field is the one that its subclasses take their layout, and `__new__`, from.
    _layout: u8,
}

#[pymethods]
impl BufferProxy {
    #[new]
    fn new(session: Py<Session>, id: u64, mirror: Py<Mirror>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Proxy::new(session, id, mirror)).add_subclass(Self { _layout: 0 })
    }

    /// # Safety
    /// Called by the interpreter only, as `bf_getbuffer`.
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // Held for the length of the call; see `special::ask`.
        let (slf, py) = (slf.clone(), slf.py());
        let proxy = slf.as_super().get();
        let name = PyString::intern(py, "__buffer__");
        let none = PyTuple::empty(py);
        let lent = proxy.stand.there(py, |place| {
            Session::ask(place.session.bind(py), Op::Special, place.id, &[name.as_any(), none.as_any()])
        })?;
        // SAFETY: the interpreter hands `view` to this slot, and releases it through the owner that the buffer notes in it.
        unsafe { lend(&lent, view, flags) }
    }
}

/// Whether instances of a class offer a buffer.
#[pyfunction]
#[allow(unsafe_code)]
pub(crate) fn offers_buffer(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: `class` is a live type object, held by the caller's `Bound`; PyType_GetSlot only reads one of its slots.
    !unsafe { ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_bf_getbuffer) }.is_null()
}

/// Fill `view` from another object's buffer.
///
/// # Safety
/// `view` must be what the interpreter handed to `bf_getbuffer`: valid for writing, and released by the interpreter.
#[allow(unsafe_code)]
unsafe fn lend(object: &Bound<'_, PyAny>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("no view was given"));
    }
    // SAFETY: `view` is valid for writing (see above) and `object` is live. The callee takes the references that it needs, notes
    // their owner in `view`, and on failure leaves an exception and no owner behind.
    match unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view, flags) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(object.py())),
    }
}

/// How the bytes of a buffer are meant.
#[derive(Debug)]
pub(crate) struct Layout {
    format: CString,
    item_size: isize,
    shape: Vec<isize>,
    strides: Vec<isize>,
    order: Order,
}

impl Layout {
    /// A row of bytes.
    pub(crate) fn bytes(len: usize) -> Self {
        Self { format: c"B".to_owned(), item_size: 1, shape: vec![len as isize], strides: vec![1], order: Order::C }
    }

    /// `None` when the parts do not belong together, or are not those of `len` bytes.
    pub(crate) fn new(order: &str, format: &str, item_size: u64, shape: &[u64], len: usize) -> Option<Self> {
        let order = match order {
            "C" => Order::C,
            "F" => Order::Fortran,
            _ => return None,
        };
        let count = shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side))?;
        if count.checked_mul(item_size)? != len as u64 || shape.len() > 64 || !is_data(format, item_size) {
            return None;
        }
        let item_size = isize::try_from(item_size).ok()?;
        let shape = shape.iter().map(|&side| isize::try_from(side)).collect::<Result<Vec<_>, _>>().ok()?;
        let mut strides = vec![0; shape.len()];
        let mut step = item_size;
        let places: Vec<usize> = match order {
            Order::C => (0..shape.len()).rev().collect(),
            Order::Fortran => (0..shape.len()).collect(),
        };
        for place in places {
            strides[place] = step;
            step = step.checked_mul(shape[place].max(1))?;
        }
        Some(Self { format: CString::new(format).ok()?, item_size, shape, strides, order })
    }

    fn lies_in(&self, order: Order) -> bool {
        let long = |side: &&isize| **side != 1;
        self.order == order || self.shape.iter().filter(long).count() <= 1 || self.shape.contains(&0)
    }
}

/// Whether a format is of plain data, in the words of PEP 3118. One of objects or pointers would make addresses of what a hostile
/// process wrote; and one of a single letter, which its readers do not check, must have the size of that letter.
fn is_data(format: &str, item_size: u64) -> bool {
    // Between colons stand the names of fields.
    let plain: String = format.split(':').step_by(2).collect();
    let single = match plain.strip_prefix('@').unwrap_or(&plain) {
        "c" | "b" | "B" | "?" => Some(1),
        "h" | "H" | "e" => Some(2),
        "i" | "I" | "f" => Some(4),
        "q" | "Q" | "d" => Some(8),
        "l" | "L" | "n" | "N" => Some(size_of::<usize>() as u64),
        _ => None,
    };
    let known = |letter: char| letter.is_ascii_digit() || "<>=@!^ xcbB?hHiIlLqQnNefdgZswuT{}(),".contains(letter);
    plain.chars().all(known) && single.is_none_or(|size| size == item_size)
}

/// Memory that came from the other side, lent to whoever asks by the buffer protocol. It goes back when nobody uses it any more.
#[pyclass(frozen, module = "saranwrap._native")]
pub(crate) struct Buffer {
    content: Content,
    layout: Layout,
    link: Weak<Link>,
    arena: Weak<Arena>,
}

enum Content {
    Block(Option<Held>),
    Bytes(Box<[u8]>),
}

#[pymethods]
impl Buffer {
    /// # Safety
    /// Called by the interpreter only, as `bf_getbuffer`.
    #[allow(unsafe_code)]
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view was given"));
        }
        // SAFETY: `view` is valid for writing; without an owner in it the interpreter releases nothing, should this fail.
        unsafe { (*view).obj = std::ptr::null_mut() };
        let this = slf.get();
        let layout = &this.layout;
        let asks = |what: c_int| flags & what == what;
        if asks(ffi::PyBUF_WRITABLE) && !this.is_writable() {
            return Err(PyBufferError::new_err("the copy of a remote buffer is read-only"));
        }
        // Whoever does not ask for the strides counts on the order of C.
        let wants_c = asks(ffi::PyBUF_C_CONTIGUOUS) || !asks(ffi::PyBUF_STRIDES);
        if (wants_c && !layout.lies_in(Order::C)) || (asks(ffi::PyBUF_F_CONTIGUOUS) && !layout.lies_in(Order::Fortran))
        {
            return Err(PyBufferError::new_err("the items of the remote buffer lie in another order"));
        }
        let (address, len) = this.memory();
        let part = |wanted: bool, part: &[isize]| if wanted { part.as_ptr().cast_mut() } else { std::ptr::null_mut() };
        let filled = ffi::Py_buffer {
            buf: address.as_ptr().cast(),
            obj: slf.clone().into_ptr(),
            len: len as isize,
            itemsize: layout.item_size,
            readonly: c_int::from(!this.is_writable()),
            ndim: layout.shape.len() as c_int,
            format: if asks(ffi::PyBUF_FORMAT) { layout.format.as_ptr().cast_mut() } else { std::ptr::null_mut() },
            shape: part(asks(ffi::PyBUF_ND), &layout.shape),
            strides: part(asks(ffi::PyBUF_STRIDES), &layout.strides),
            suboffsets: std::ptr::null_mut(),
            internal: std::ptr::null_mut(),
        };
        // SAFETY: `view` is valid for writing. All that it points to belongs to `slf`, which is frozen, and lives as long as the
        // reference that is noted as the owner; the memory is mapped as long as `slf` is there.
        unsafe { view.write(filled) };
        Ok(())
    }
}

impl Buffer {
    pub(crate) fn of_block<'py>(
        session: &Bound<'py, Session>,
        held: Held,
        layout: Layout,
    ) -> PyResult<Bound<'py, Self>> {
        watch_forks(session.py())?;
        Self::make(session, Content::Block(Some(held)), layout)
    }

    pub(crate) fn of_bytes<'py>(
        session: &Bound<'py, Session>,
        bytes: &[u8],
        layout: Layout,
    ) -> PyResult<Bound<'py, Self>> {
        Self::make(session, Content::Bytes(bytes.into()), layout)
    }

    fn make<'py>(session: &Bound<'py, Session>, content: Content, layout: Layout) -> PyResult<Bound<'py, Self>> {
        let inner = session.get();
        let (link, arena) = (Arc::downgrade(&inner.link), Arc::downgrade(&inner.arena));
        Bound::new(session.py(), Self { content, layout, link, arena })
    }

    /// What was written to since it came.
    pub(crate) fn changes(&self) -> Vec<Range<usize>> {
        match &self.content {
            Content::Block(Some(held)) => held.changes(),
            _ => Vec::new(),
        }
    }

    /// What it showed when it came, as bytes.
    pub(crate) fn original<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match &self.content {
            Content::Block(Some(held)) => bytes_at(py, held.original_address(), held.len()),
            Content::Block(None) => Ok(PyBytes::new(py, &[])),
            Content::Bytes(bytes) => Ok(PyBytes::new(py, bytes)),
        }
    }

    fn is_writable(&self) -> bool {
        matches!(&self.content, Content::Block(Some(held)) if held.is_private())
    }

    fn memory(&self) -> (NonNull<u8>, usize) {
        match &self.content {
            Content::Block(Some(held)) => (held.address(), held.len()),
            Content::Block(None) => (NonNull::dangling(), 0),
            Content::Bytes(bytes) => (NonNull::from(&**bytes).cast(), bytes.len()),
        }
    }
}

impl Drop for Buffer {
    /// The block is queued, and goes back with the next frame; only when much waits does one go out for it.
    fn drop(&mut self) {
        let Content::Block(held) = &mut self.content else { return };
        drop(held.take());
        let (Some(link), Some(arena)) = (self.link.upgrade(), self.arena.upgrade()) else { return };
        if arena.much_waits() {
            let releases = arena.take_given_back();
            if !link.send_releases(&releases) {
                arena.keep_given_back(&releases);
            }
        }
    }
}

/// From the first block that is lent here on, the arena is to know when this process is about to fork.
fn watch_forks(py: Python<'_>) -> PyResult<()> {
    static WATCHED: PyOnceLock<()> = PyOnceLock::new();
    let watched = WATCHED.get_or_try_init(py, || {
        let about = PyDict::new(py);
        about.set_item("before", wrap_pyfunction!(before_fork, py)?)?;
        names::REGISTER_AT_FORK.get(py)?.call((), Some(&about)).map(drop)
    });
    watched.copied()
}

/// Called by the interpreter before each fork.
#[pyfunction]
fn before_fork() {
    saranwrap::arena::before_fork();
}

/// What an object lends: while this lives the memory stays where it is.
pub(crate) struct Lent<'py> {
    py: Python<'py>,
    view: Box<ffi::Py_buffer>,
}

impl<'py> Lent<'py> {
    /// What `memoryview(object)` shows.
    #[allow(unsafe_code)]
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let whole = PyMemoryView::from(object)?;
        let mut view = Box::<ffi::Py_buffer>::new_uninit();
        // SAFETY: the callee fills `view`, which stays where it is, or leaves an exception; `whole` is live, and kept by the view.
        match unsafe { ffi::PyObject_GetBuffer(whole.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_FULL_RO) } {
            // SAFETY: success means that it was filled.
            0 => Ok(Self { py: object.py(), view: unsafe { view.assume_init() } }),
            _ => Err(PyErr::fetch(object.py())),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.view.len.unsigned_abs()
    }

    pub(crate) fn item_size(&self) -> u64 {
        self.view.itemsize.unsigned_abs() as u64
    }

    pub(crate) fn address(&self) -> usize {
        self.view.buf as usize
    }

    #[allow(unsafe_code)]
    pub(crate) fn format(&self) -> String {
        if self.view.format.is_null() {
            return "B".to_owned();
        }
        // SAFETY: a format is a C string that lives as long as the view.
        unsafe { CStr::from_ptr(self.view.format) }.to_string_lossy().into_owned()
    }

    #[allow(unsafe_code)]
    pub(crate) fn shape(&self) -> Vec<u64> {
        if self.view.shape.is_null() {
            return Vec::new();
        }
        // SAFETY: a shape, where there is one, has as many numbers as the view has dimensions.
        let shape = unsafe { std::slice::from_raw_parts(self.view.shape, self.view.ndim.unsigned_abs() as usize) };
        shape.iter().map(|side| side.unsigned_abs() as u64).collect()
    }

    /// The order in which the items lie, or in which they are copied where they do not lie in any.
    pub(crate) fn order(&self) -> Order {
        let fortran = !self.lies_in(Order::C) && self.lies_in(Order::Fortran);
        if fortran { Order::Fortran } else { Order::C }
    }

    #[allow(unsafe_code)]
    pub(crate) fn lies_in(&self, order: Order) -> bool {
        // SAFETY: the view is filled, and only read.
        unsafe { ffi::PyBuffer_IsContiguous(&raw const *self.view, order.code()) != 0 }
    }

    /// Copy a part, in the order that [`order`](Self::order) tells. A part that is not the whole must lie in that order.
    ///
    /// # Panics
    /// When the part is not inside.
    #[allow(unsafe_code)]
    pub(crate) fn copy_to(&self, part: Range<usize>, into: NonNull<u8>) -> PyResult<()> {
        assert!(part.start <= part.end && part.end <= self.len(), "a part outside the buffer");
        if self.lies_in(self.order()) {
            let (from, into) = (self.address() + part.start, into.as_ptr() as usize);
            // SAFETY: the bytes at `from` are the view's own and stay there as long as `self` does; the caller's room is memory
            // that nobody else has been told of, so the two do not overlap. Code that writes to the buffer meanwhile gets a
            // mixture across, as it would with any other reader.
            copying(self.py, part.len(), || unsafe { copy(from, into, part.len()) });
            return Ok(());
        }
        assert!(part == (0..self.len()), "a part of a buffer that lies in no order");
        let code = self.order().code();
        let (into, len) = (into.as_ptr().cast(), self.view.len);
        // SAFETY: as above; the callee writes as many bytes as the view has.
        let done = unsafe { ffi::PyBuffer_ToContiguous(into, &raw const *self.view, len, code) };
        if done == 0 { Ok(()) } else { Err(PyErr::fetch(self.py)) }
    }

    /// A copy of a part; see [`copy_to`](Self::copy_to).
    #[allow(unsafe_code)]
    pub(crate) fn to_vec(&self, part: Range<usize>) -> PyResult<Vec<u8>> {
        let mut bytes = Vec::with_capacity(part.len());
        let len = part.len();
        if let Some(into) = NonNull::new(bytes.as_mut_ptr()) {
            self.copy_to(part, into)?;
            // SAFETY: that many bytes were filled just now, and there is room for them.
            unsafe { bytes.set_len(len) };
        }
        Ok(bytes)
    }
}

impl Drop for Lent<'_> {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the view was filled, is released once, and the interpreter is attached, which `py` is the proof of.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) }
    }
}

/// The place of a block that `fill`, a function of Python's, has written to as a `memoryview`.
#[allow(unsafe_code)]
pub(crate) fn filled_by(fill: &Bound<'_, PyAny>, room: Room) -> PyResult<Place> {
    let py = fill.py();
    let size = isize::try_from(room.length())?;
    // SAFETY: the room is that long, and nobody else has been told of it. The view does not outlive it: it is released below, and where that fails the room is never given back.
    let view = unsafe { ffi::PyMemoryView_FromMemory(room.address().as_ptr().cast(), size, ffi::PyBUF_WRITE) };
    // SAFETY: the callee returns a new reference, or null with an exception set.
    let view = unsafe { Bound::from_owned_ptr_or_err(py, view) }?;
    let filled = fill.call1((&view,));
    if let Err(held) = view.call_method0("release") {
        std::mem::forget(room);
        return Err(filled.err().unwrap_or(held));
    }
    filled.map(|_| room.give())
}

/// A `bytes` with what is looked at.
#[allow(unsafe_code)]
pub(crate) fn bytes_of<'py>(py: Python<'py>, held: &Held) -> PyResult<Bound<'py, PyAny>> {
    bytes_at(py, held.address(), held.len()).map(Bound::into_any)
}

#[allow(unsafe_code)]
fn bytes_at(py: Python<'_>, from: NonNull<u8>, len: usize) -> PyResult<Bound<'_, PyBytes>> {
    // SAFETY: without a source the callee makes an object with room for that many bytes, which nobody has seen yet.
    let made = unsafe { ffi::PyBytes_FromStringAndSize(std::ptr::null(), len as isize) };
    // SAFETY: the callee returns a new reference, or null with an exception set.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?.cast_into::<PyBytes>()?;
    // SAFETY: it is a `bytes`; the address is that of its room.
    let into = unsafe { ffi::PyBytes_AsString(made.as_ptr()) } as usize;
    fill(py, from, into, len);
    Ok(made)
}

/// A `bytearray` with what is looked at.
#[allow(unsafe_code)]
pub(crate) fn bytearray_of<'py>(py: Python<'py>, held: &Held) -> PyResult<Bound<'py, PyByteArray>> {
    // SAFETY: as for `bytes_at`.
    let made = unsafe { ffi::PyByteArray_FromStringAndSize(std::ptr::null(), held.len() as isize) };
    // SAFETY: the callee returns a new reference, or null with an exception set.
    let made = unsafe { Bound::from_owned_ptr_or_err(py, made) }?.cast_into::<PyByteArray>()?;
    // SAFETY: it is a `bytearray`; the address is that of its room.
    let into = unsafe { ffi::PyByteArray_AsString(made.as_ptr()) } as usize;
    fill(py, held.address(), into, held.len());
    Ok(made)
}

/// Fill an object that nobody else has seen with bytes that are held.
#[allow(unsafe_code)]
fn fill(py: Python<'_>, from: NonNull<u8>, into: usize, len: usize) {
    let from = from.as_ptr() as usize;
    // SAFETY: whoever calls this holds the bytes at `from`, and has made room for as many at `into`, of which nobody else knows.
    copying(py, len, || unsafe { copy(from, into, len) });
}

/// Copy with the interpreter detached where that takes long.
fn copying(py: Python<'_>, len: usize, copy: impl FnOnce() + Send) {
    if len < WORTH_DETACHING { copy() } else { py.detach(copy) }
}

/// # Safety
/// Both addresses must be valid for `len` bytes, the one for reading and the other for writing, and must not overlap.
#[allow(unsafe_code)]
unsafe fn copy(from: usize, into: usize, len: usize) {
    // SAFETY: by the condition above.
    unsafe { std::ptr::copy_nonoverlapping(from as *const u8, into as *mut u8, len) }
}
