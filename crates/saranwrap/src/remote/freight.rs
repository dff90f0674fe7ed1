//! What goes with a message besides its bytes: what it gives out, and what has to be there until it has gone, or has been answered.

use std::sync::Arc;

use super::buffer::UntypedBuffer;
use super::proxy::Proxy;
use super::shared::Shared;
use crate::arena::{Arena, Owner, Place};

/// What a message gives out and names: to be taken back should it never leave, and to be held until it has.
#[derive(Debug, Default)]
pub(crate) struct Freight {
    pub(super) given: Vec<u64>,
    pub(super) blocks: Vec<Place>,
    pub(crate) keeps: Vec<Kept>,
}

/// Something that a message names: were it dropped before that has gone, its release would go ahead of it.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "held, and not looked at")]
pub(crate) enum Kept {
    Proxy(Proxy),
    Buffer(UntypedBuffer),
}

/// The blocks that a request names, held until its answer has been read: that may name an argument of the request, and what was to be
/// called may turn out to be for this side to call, or to be asked for a second time.
#[derive(Debug)]
pub(crate) struct Lasting {
    arena: Arc<Arena>,
    blocks: Vec<Place>,
    /// Those of the other side.
    _buffers: Vec<Kept>,
}

impl Freight {
    /// More of the same message.
    pub(crate) fn add(&mut self, more: Self) {
        self.given.extend(more.given);
        self.blocks.extend(more.blocks);
        self.keeps.extend(more.keeps);
    }

    /// The message will not be sent: what it gave out was not given out after all.
    pub(crate) fn take_back(&mut self, session: &Shared) {
        for place in self.blocks.drain(..) {
            session.arena.take_back(place);
        }
        let given: Vec<_> = self.given.drain(..).map(|id| (id, 1)).collect();
        // They are out as often as that; an error would say otherwise.
        drop(session.take_back(&given));
    }

    /// What is to be held until the answer has been read; most requests have nothing of that kind.
    pub(crate) fn lasting(&self, session: &Shared) -> Option<Lasting> {
        if self.blocks.is_empty() {
            return None;
        }
        let own = self.blocks.iter().filter(|place| place.owner == Owner::Sender);
        let buffers = self.keeps.iter().filter(|kept| matches!(kept, Kept::Buffer(_)));
        let lasting = Lasting {
            arena: Arc::clone(&session.arena),
            blocks: own.copied().collect(),
            _buffers: buffers.cloned().collect(),
        };
        lasting.give_again();
        Some(lasting)
    }
}

impl Lasting {
    /// They go out once more than they did.
    pub(crate) fn give_again(&self) {
        self.blocks.iter().for_each(|&place| self.arena.give_again(place));
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.blocks.iter().for_each(|&place| self.arena.take_back(place));
    }
}
