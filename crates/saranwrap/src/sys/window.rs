//! Windows on parts of a shared memory: for writing, for reading, or as a private copy that the kernel makes page by page as it is
//! written to.  Which part is whose, and what the bytes mean, is not known here.
//!
//! As in `shm`, no reference to the bytes is ever formed: they are copied, or handed on as an address or as cells.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::process::Resource;

use super::numbers::{self, Element, ReadOnlyCell};

/// Two changes with less than this between them are told as one.
const GAP: usize = 256;

/// What a window is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Changes are seen by everybody.
    Write,
    /// There are no changes.
    Read,
    /// Changes stay here: a page is copied when it is written to.
    Private,
}

/// New memory of which no page exists yet, and whose size nobody can change: a window on it never faults.  Pages come as they are
/// written to.
pub fn sparse(name: &str, len: u64) -> io::Result<OwnedFd> {
    // A limit on the size of files counts here too, and to exceed it is a signal that kills.
    if rustix::process::getrlimit(Resource::Fsize).current.is_some_and(|limit| limit < len) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    super::shm::sealed(name, usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?)
}

/// Where the first byte without a page is, from `offset` on.
pub fn hole_after(fd: impl AsFd, offset: u64) -> io::Result<u64> {
    // This moves the position of the descriptor, which means nothing: a memory is never read from or written to by it.
    Ok(rustix::fs::seek(fd, rustix::fs::SeekFrom::Hole(offset))?)
}

/// Give the pages of a part back to the system; it reads as zeros from now on.
pub fn punch(fd: impl AsFd, offset: u64, len: u64) -> io::Result<()> {
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(fd, how, offset, len)?)
}

/// A part of a shared memory in this process's address space.
#[derive(Debug)]
pub struct Window {
    start: NonNull<u8>,
    len: usize,
    access: Access,
}

// SAFETY: the memory belongs to no thread; every access is a copy through a raw pointer.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Window {
    /// Map `len` bytes from `offset` on, which must be a multiple of the size of a page.  The memory must be sealed against
    /// becoming shorter, and a part that does not lie inside it is refused.
    pub fn open(fd: impl AsFd, offset: u64, len: usize, access: Access) -> io::Result<Self> {
        let end = offset.checked_add(len as u64);
        if len == 0 || end.is_none_or(|end| end > i64::MAX as u64) || super::shm::size(&fd)? < offset + len as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the window is outside the shared memory"));
        }
        let (prot, flags) = match access {
            Access::Write => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED),
            Access::Read => (ProtFlags::READ, MapFlags::SHARED),
            // No room is set aside for copies that are hardly ever made.
            Access::Private => (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE),
        };
        // SAFETY: a new mapping at an address that the kernel picks overlaps nothing that this process has.  That the memory keeps
        // its length, so that no access faults, is what the seals are for; see `sparse`.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, flags, fd, offset) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, len, access })
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: an empty window is not opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the bytes from `at` on are.  They may change at any moment, and are there as long as the window is.
    ///
    /// # Panics
    /// If `len` bytes from there on do not lie inside the window.
    pub fn address(&self, at: usize, len: usize) -> NonNull<u8> {
        assert!(at <= self.len && len <= self.len - at, "{len} bytes at {at} are outside the window");
        // SAFETY: the offset is at most the length of the mapping, so the result is inside it or at its end.
        unsafe { self.start.add(at) }
    }

    /// Enter the pages of a part into the page table all at once, which costs a fraction of one fault for each.
    pub fn populate(&self, at: usize, len: usize) {
        let place = self.address(at, len);
        let ahead = place.as_ptr() as usize % rustix::param::page_size();
        let advice = match self.access {
            Access::Write => Advice::LinuxPopulateWrite,
            Access::Read | Access::Private => Advice::LinuxPopulateRead,
        };
        // SAFETY: the pages lie inside the mapping, which begins at a page, so that stepping back to the beginning of one stays
        // inside; this advice changes no byte.  It is advice: a kernel that does not know it lets the pages come one by one.
        let _ = unsafe { rustix::mm::madvise(place.as_ptr().sub(ahead).cast(), len + ahead, advice) };
    }

    /// Copy bytes in; panics as [`address`](Self::address) does, and when the window is for reading.
    pub fn copy_in(&self, at: usize, from: &[u8]) {
        assert!(self.access != Access::Read, "a window for reading is not written to");
        let into = self.address(at, from.len());
        // SAFETY: `into` is valid for `from.len()` bytes of a writable mapping; `from` is memory of this process that nobody
        // changes, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), into.as_ptr(), from.len()) }
    }

    /// Copy bytes out; panics as [`address`](Self::address) does.
    pub fn copy_out(&self, at: usize, into: &mut [u8]) {
        let from = self.address(at, into.len());
        // SAFETY: `from` is valid for `into.len()` bytes and `into` is memory of this process alone.  The other process may write
        // meanwhile: then any mixture of old and new bytes comes out, all of them initialized.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), into.as_mut_ptr(), into.len()) }
    }

    /// Copy bytes of another window in; panics as [`copy_in`](Self::copy_in) does.
    pub fn copy_from(&self, at: usize, other: (&Self, usize), len: usize) {
        assert!(self.access != Access::Read, "a window for reading is not written to");
        let (from, into) = (other.0.address(other.1, len), self.address(at, len));
        // SAFETY: both places are valid for `len` bytes.  Two windows may show the same memory, so this is the copy that lets them
        // overlap; whoever writes to either meanwhile gets a mixture across.
        unsafe { std::ptr::copy(from.as_ptr(), into.as_ptr(), len) }
    }

    /// The `count` numbers from `at` on; `None` where no such numbers may begin.  Panics as [`address`](Self::address) does.
    pub fn cells<T: Element>(&self, at: usize, count: usize) -> Option<&[ReadOnlyCell<T>]> {
        let start = self.address(at, count.saturating_mul(size_of::<T>()));
        // SAFETY: they lie inside the mapping, which is there for as long as `self` is, and begin where they may.  This process
        // copies into windows that it writes to through raw pointers, and only before anybody else is told of the place.
        numbers::is_aligned::<T>(start).then(|| unsafe { numbers::cells_at(start, count) })
    }

    /// Where the `len` bytes from `at` on differ from the same bytes of `original`, which shows what this private window showed at
    /// first; equal bytes nearby may be in it.  Only pages that were written to are looked at.
    pub fn changes(&self, at: usize, len: usize, original: (&Window, usize), map: &PageMap) -> Vec<Range<usize>> {
        let (ours, theirs) = (self.address(at, len), original.0.address(original.1, len));
        let mut found: Vec<Range<usize>> = Vec::new();
        for part in self.written(at, len, map) {
            for index in part.clone().step_by(8) {
                let end = part.end.min(index + 8);
                // SAFETY: both places are valid for the whole part, which lies inside the `len` bytes that were checked.
                let equal = unsafe { word(ours, index..end) == word(theirs, index..end) };
                match found.last_mut() {
                    _ if equal => {}
                    Some(last) if index - last.end < GAP => last.end = end,
                    _ => found.push(index..end),
                }
            }
        }
        found
    }

    /// The parts, counted from `at`, in pages that this process has written to; all there is where the kernel does not tell.
    pub fn written(&self, at: usize, len: usize, map: &PageMap) -> Vec<Range<usize>> {
        let place = self.address(at, len).as_ptr() as usize;
        if self.access != Access::Private || len == 0 {
            return Vec::new();
        }
        let page = rustix::param::page_size();
        let first = place / page;
        let mut entries = vec![0; ((place + len).div_ceil(page) - first) * 8];
        if map.read(&mut entries, first as u64 * 8).is_err() {
            return std::iter::once(0..len).collect();
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        for (index, _) in entries.chunks_exact(8).enumerate().filter(|(_, entry)| is_copy(entry)) {
            let begin = ((first + index) * page).saturating_sub(place);
            let end = ((first + index + 1) * page - place).min(len);
            match found.last_mut() {
                Some(last) if last.end == begin => last.end = end,
                _ => found.push(begin..end),
            }
        }
        found
    }
}

/// What the kernel says of the pages of this process.  It stays open from the first question on.
#[derive(Debug, Default)]
pub struct PageMap {
    open: Mutex<Option<(u32, File)>>,
}

impl PageMap {
    fn read(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is open goes on telling of the process that opened it, after a fork too.
        let pid = std::process::id();
        let map = match open.take() {
            Some((opener, map)) if opener == pid => map,
            _ => File::open("/proc/self/pagemap")?,
        };
        let read = map.read_exact_at(into, offset);
        *open = Some((pid, map));
        read
    }
}

/// Up to eight bytes as a number; what is absent counts as zero.
///
/// # Safety
/// The range must lie inside what is valid for reading from `start` on.
unsafe fn word(start: NonNull<u8>, range: Range<usize>) -> u64 {
    let mut bytes = [0; 8];
    let len = range.len().min(8);
    // SAFETY: by the condition above the source is valid; `bytes` is a variable of this function with room for 8.
    unsafe { std::ptr::copy_nonoverlapping(start.as_ptr().add(range.start), bytes.as_mut_ptr(), len) };
    u64::from_ne_bytes(bytes)
}

/// Whether an entry of the page map is of a page that is this process's own copy: it is present or swapped out, and is no page of a
/// file (Documentation/admin-guide/mm/pagemap.rst of the kernel: bits 63, 62 and 61).
fn is_copy(entry: &[u8]) -> bool {
    // The bits are the top ones of a little-endian word; of a big-endian one they stand first.
    let top = if cfg!(target_endian = "little") { entry[7] } else { entry[0] };
    top & 0xc0 != 0 && top & 0x20 == 0
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the mapping that `open` made.  Whoever was told an address in it keeps the window
        // as long as it uses that.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    fn memory() -> OwnedFd {
        sparse("saranwrap-test", 1 << 30).unwrap()
    }

    fn out(window: &Window, at: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        window.copy_out(at, &mut bytes);
        bytes
    }

    #[test]
    fn what_one_window_writes_the_other_reads() {
        let fd = memory();
        let one = Window::open(&fd, 1 << 20, 4 * PAGE, Access::Write).unwrap();
        let other = Window::open(&fd, (1 << 20) + PAGE as u64, PAGE, Access::Read).unwrap();
        one.copy_in(PAGE + 5, b"word");
        assert_eq!(out(&other, 5, 4), b"word");
        let page = (1 << 20) + PAGE as u64;
        let holes = [0, page - 1, page, page + 5, page + PAGE as u64].map(|offset| hole_after(&fd, offset).unwrap());
        assert_eq!(holes, [0, page - 1, page + PAGE as u64, page + PAGE as u64, page + PAGE as u64]);
    }

    #[test]
    fn a_window_outside_is_refused() {
        let fd = memory();
        for (offset, len) in [(0, 0), (0, (1 << 30) + 1), (1 << 30, 1), (u64::MAX, 2), (i64::MAX as u64, 1)] {
            assert!(Window::open(&fd, offset, len, Access::Read).is_err(), "{offset} {len}");
        }
    }

    #[test]
    #[should_panic(expected = "outside the window")]
    fn nothing_is_reached_outside() {
        Window::open(memory(), 0, PAGE, Access::Read).unwrap().address(PAGE - 1, 2);
    }

    #[test]
    fn private_changes_stay_private_and_are_found() {
        let (fd, map) = (memory(), PageMap::default());
        let shared = Window::open(&fd, 0, 8 * PAGE, Access::Write).unwrap();
        shared.copy_in(0, &[7; 8 * PAGE]);
        let private = Window::open(&fd, 0, 8 * PAGE, Access::Private).unwrap();
        private.populate(0, 8 * PAGE);
        assert_eq!(private.written(0, 8 * PAGE, &map), []);
        private.copy_in(PAGE - 1, &[1, 2]);
        private.copy_in(4 * PAGE + 100, &[7, 3, 7]);
        assert_eq!(out(&shared, PAGE - 1, 2), [7, 7]);
        assert_eq!(private.written(0, 8 * PAGE, &map), [0..2 * PAGE, 4 * PAGE..5 * PAGE]);
        let changed = private.changes(0, 8 * PAGE, (&shared, 0), &map);
        assert_eq!(changed, [PAGE - 8..PAGE + 8, 4 * PAGE + 96..4 * PAGE + 104]);
        // Counted from where one begins to look, which need not be a page.
        let only = |at, len| private.changes(at, len, (&shared, at), &map).pop();
        assert_eq!(only(10, PAGE), Some(PAGE - 16..PAGE - 8));
        assert_eq!(only(PAGE, 1), Some(0..1));
    }

    #[test]
    fn punched_pages_are_given_back() {
        let fd = memory();
        let window = Window::open(&fd, 0, 4 * PAGE, Access::Write).unwrap();
        window.populate(0, 4 * PAGE);
        window.copy_in(0, b"x");
        assert_eq!(hole_after(&fd, 0).unwrap(), 4 * PAGE as u64);
        punch(&fd, PAGE as u64, 2 * PAGE as u64).unwrap();
        assert_eq!(hole_after(&fd, 0).unwrap(), PAGE as u64);
        assert_eq!(out(&window, 0, 1), [b'x']);
    }
}
