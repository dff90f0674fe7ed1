//! Bytes of the arena that are looked at, and what may be done with them meanwhile.  How they got there is not known here.

use std::ops::Range;
use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use super::{Arena, Place};
use crate::sys::numbers::{Element, ReadOnlyCell};
use crate::sys::window::{PageMap, Window};

/// Bytes that are looked at.  When this is dropped, they go back to where they belong.
#[derive(Debug)]
pub struct Held {
    /// Not kept alive: bytes may be looked at for longer than there is a link, but not its descriptors.
    pub(super) arena: Weak<Arena>,
    pub(super) window: Arc<Window>,
    pub(super) at: usize,
    pub(super) len: usize,
    /// The window that shows what a private one showed at first.
    pub(super) original: Option<(Arc<Window>, usize)>,
    pub(super) place: Place,
    pub(super) key: (usize, u64),
    pub(super) forks: u64,
}

impl Held {
    /// Where the bytes are, as long as this lives.  If they are the other side's they may change at any moment.
    pub fn address(&self) -> NonNull<u8> {
        self.window.address(self.at, self.len)
    }

    /// Where they are as the other side has them, if what is at `address` is a copy that may be written to.
    pub fn original_address(&self) -> NonNull<u8> {
        match &self.original {
            Some((original, at)) => original.address(*at, self.len),
            None => self.address(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether they may be written to.
    pub fn is_private(&self) -> bool {
        self.original.is_some()
    }

    /// Copy all of them.
    ///
    /// # Panics
    /// When there is room for fewer.
    pub fn copy_out(&self, into: &mut [u8]) {
        self.copy_out_from(0, &mut into[..self.len]);
    }

    /// Copy those from `start` on for which there is room.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn copy_out_from(&self, start: usize, into: &mut [u8]) {
        assert!(start <= self.len && into.len() <= self.len - start, "more bytes than there are");
        self.window.copy_out(self.at + start, into);
    }

    /// A copy of all of them.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.copy_out(&mut bytes);
        bytes
    }

    /// As many numbers as there is room for; `None` where they do not begin at an address where such numbers may.
    pub fn cells<T: Element>(&self) -> Option<&[ReadOnlyCell<T>]> {
        self.window.cells(self.at, self.len / size_of::<T>())
    }

    /// What was written to here, in stretches that may hold some unchanged bytes too.
    pub fn changes(&self) -> Vec<Range<usize>> {
        match &self.original {
            Some((original, at)) => {
                let arena = self.arena.upgrade();
                let own = PageMap::default();
                let pages = arena.as_ref().map_or(&own, |arena| &arena.pages);
                self.window.changes(self.at, self.len, (original, *at), pages)
            }
            None => Vec::new(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(arena) = self.arena.upgrade() {
            arena.let_go(self);
        }
    }
}
