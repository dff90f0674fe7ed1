//! Shared memory: sealed memfds, and mappings that are read and written word by word or copied in and out.  What the bytes mean is
//! not known here.
//!
//! Another process may write to a mapping at any moment.  So nothing here ever forms a reference to shared bytes: words are atomics,
//! everything else is copied, and whoever reads a word reads it once into a local variable and checks that.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// New memory of this many bytes, all zero, that nobody can resize.
pub fn sealed(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = unsealed(name, len)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// New memory of this many bytes, all zero, that anybody can lengthen and nobody can shorten: a mapping of it never faults.
pub fn growable(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = unsealed(name, len)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(fd)
}

fn unsealed(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, len as u64)?;
    super::fd::move_high(fd)
}

/// How many bytes the memory behind a descriptor has.
pub fn size(fd: impl AsFd) -> io::Result<u64> {
    Ok(u64::try_from(rustix::fs::fstat(fd)?.st_size).unwrap_or(0))
}

/// A piece of shared memory in this process's address space.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to no thread; every access is an atomic or a copy through a raw pointer.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The first `len` bytes behind a descriptor, for reading and writing.  The memory must have that many, sealed against becoming
    /// less; one that is too short is refused.
    pub fn new(fd: impl AsFd, len: usize) -> io::Result<Self> {
        if len == 0 || size(&fd)? < len as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the shared memory is shorter than it has to be"));
        }
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel picks overlaps nothing that this process has.  That the file keeps
        // its length, so that no access faults, is what the seals are for; see `sealed`.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, len })
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: an empty piece is not mapped.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The word at `offset`, which must be a multiple of 8.
    ///
    /// # Panics
    /// If the word does not lie inside the mapping.  Offsets come from the code of this crate, never from the other process.
    #[inline]
    pub fn load(&self, offset: usize, ordering: Ordering) -> u64 {
        self.word(offset).load(ordering)
    }

    /// Put `value` at `offset`; panics as [`load`](Self::load) does.
    #[inline]
    pub fn store(&self, offset: usize, value: u64, ordering: Ordering) {
        self.word(offset).store(value, ordering);
    }

    /// Put `value` at `offset` and return what was there; panics as [`load`](Self::load) does.
    #[inline]
    pub fn swap(&self, offset: usize, value: u64, ordering: Ordering) -> u64 {
        self.word(offset).swap(value, ordering)
    }

    /// Copy bytes out; panics when they do not all lie inside the mapping.
    #[inline]
    pub fn copy_out(&self, offset: usize, into: &mut [u8]) {
        let from = self.inside(offset, into.len());
        // SAFETY: `from` is valid for `into.len()` bytes, as `inside` has checked, and `into` is memory of this process alone, so
        // the two do not overlap.  The other process may write meanwhile: then any mixture of old and new bytes comes out, and
        // whoever parses them expects lies anyway.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), into.as_mut_ptr(), into.len()) }
    }

    /// Copy bytes in; panics when there is no room for all of them.
    #[inline]
    pub fn copy_in(&self, offset: usize, from: &[u8]) {
        let into = self.inside(offset, from.len());
        // SAFETY: as in `copy_out`, the other way round; no reference to the shared bytes exists.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), into.as_ptr(), from.len()) }
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        let place = self.inside(offset, 8);
        assert!(offset.is_multiple_of(8), "a word begins at a multiple of 8");
        // SAFETY: the place lies inside the mapping, which lives as long as `self`, and is aligned, since mappings begin at a page.
        // Every access to a word of shared memory, here and in the other process, is atomic.
        unsafe { AtomicU64::from_ptr(place.as_ptr().cast()) }
    }

    fn inside(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset <= self.len && len <= self.len - offset, "{len} bytes at {offset} are outside the mapping");
        // SAFETY: the offset is at most the length of the mapping, so the result is inside it or at its end.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the mapping that `new` made, and nothing that was lent from it can outlive `self`.
        // It fails for no mapping of ours.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(mapping: &Mapping, offset: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        mapping.copy_out(offset, &mut bytes);
        bytes
    }

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let fd = sealed("saranwrap-test", 8192).unwrap();
        let (one, other) = (Mapping::new(&fd, 8192).unwrap(), Mapping::new(&fd, 4096).unwrap());
        one.copy_in(100, b"word");
        assert_eq!(out(&other, 100, 4), b"word");
        other.store(8, 7, Ordering::Release);
        assert_eq!(one.swap(8, 9, Ordering::AcqRel), 7);
        assert_eq!(other.load(8, Ordering::Acquire), 9);
    }

    #[test]
    fn sealed_memory_keeps_its_size() {
        let fd = sealed("saranwrap-test", 4096).unwrap();
        assert!(rustix::fs::ftruncate(&fd, 0).is_err() && rustix::fs::ftruncate(&fd, 8192).is_err());
        let fd = growable("saranwrap-test", 4096).unwrap();
        assert!(rustix::fs::ftruncate(&fd, 0).is_err() && rustix::fs::ftruncate(&fd, 8192).is_ok());
        assert_eq!(size(&fd).unwrap(), 8192);
    }

    #[test]
    fn memory_that_is_too_short_is_refused() {
        let fd = sealed("saranwrap-test", 4096).unwrap();
        assert!(Mapping::new(&fd, 4097).is_err() && Mapping::new(&fd, 0).is_err());
    }

    #[test]
    #[should_panic(expected = "outside the mapping")]
    fn nothing_is_reached_outside() {
        let fd = sealed("saranwrap-test", 4096).unwrap();
        Mapping::new(&fd, 4096).unwrap().copy_in(4090, b"too long");
    }
}
