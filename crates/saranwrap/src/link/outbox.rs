//! Frames on their way out.  It never waits: what the transport has no room for stays here, and whoever reads from the link
//! writes the rest when there is room.  So a thread that sends cannot keep itself from receiving, and two sides with full
//! pipes cannot block each other.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::IoSlice;

use crate::error::Result;
use crate::transport::Transport;

/// Bytes in the order in which they go out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Each with how much of it has gone.
    queue: VecDeque<(Vec<u8>, usize)>,
    waiting: usize,
    ended: bool,
}

impl Outbox {
    /// Send `head` and `body` after everything that waits.  A body that goes at once is not copied.
    pub(super) fn post(&mut self, transport: &dyn Transport, head: &[u8], body: Cow<'_, [u8]>) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        let mut gone = 0;
        if self.queue.is_empty() {
            gone = transport.send(&[IoSlice::new(head), IoSlice::new(&body)])?;
        }
        let gone_of_body = gone.saturating_sub(head.len());
        self.keep(Cow::Borrowed(head), gone);
        self.keep(body, gone_of_body);
        Ok(())
    }

    /// Send as much as goes of what waits.
    pub(super) fn flush(&mut self, transport: &dyn Transport) -> Result<()> {
        while let Some((bytes, gone)) = self.queue.front_mut() {
            let count = transport.send(&[IoSlice::new(&bytes[*gone..])])?;
            if count == 0 {
                break;
            }
            *gone += count;
            self.waiting -= count;
            if *gone == bytes.len() {
                self.queue.pop_front();
            }
        }
        Ok(())
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Nothing goes out any more.
    pub(super) fn end(&mut self) {
        self.queue.clear();
        self.waiting = 0;
        self.ended = true;
    }

    fn keep(&mut self, bytes: Cow<'_, [u8]>, gone: usize) {
        if gone >= bytes.len() {
            return;
        }
        self.waiting += bytes.len() - gone;
        self.queue.push_back(match bytes {
            Cow::Borrowed(bytes) => (bytes[gone..].to_vec(), 0),
            Cow::Owned(bytes) => (bytes, gone),
        });
    }
}
