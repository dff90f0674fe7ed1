//! Serving: what the other side asks of this one, and what it gives back.  Waiting for it is not done here.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chain::{self, Visit};
use super::inbox::Settlement;
use super::wait::{Turn, Want};
use super::{Link, Side, State, header, release_frame};
use crate::error::{Error, Kind, Result};
use crate::host::{Host, Outcome};
use crate::message::{self, Frame, Header, MAX_BODY};
use crate::sys::fd::Bell;
use crate::wire::Writer;

/// How many bytes of answers a child may leave unread while it goes on asking.
const MAX_BACKLOG: usize = 2 * MAX_BODY as usize;

/// After how many turns the main loop of a child lets the host's other threads run: calls that follow each other closely are found
/// without ever leaving the host's world.
const TURNS: u64 = 1024;

impl Link {
    /// Serve what has come in and may be served by this thread, without waiting for more.
    pub fn serve_ready(&self, host: &dyn Host) -> Result<()> {
        self.usable()?;
        let bell = chain::bell()?;
        loop {
            let turn = self.state().turn_for(self.side, Want::Call, &bell);
            match turn {
                None => return Ok(()),
                Some(Turn::Failed(error)) => return Err(error),
                Some(turn) => self.attend(host, turn, &bell)?,
            }
        }
    }

    /// Serve until the other side says Bye or the link ends: the main loop of a child.
    pub fn serve(&self, host: &dyn Host) -> Result<()> {
        self.usable()?;
        let bell = chain::bell()?;
        self.state().crew.set_server(Some(Arc::clone(&bell)));
        let served = self.serve_until_the_end(host, &bell);
        if self.at_home().is_err() {
            return served;
        }
        let mut state = self.state();
        state.crew.set_server(None);
        match served {
            Err(error) if error.kind() == Kind::Closed || state.inbox.farewell() => Ok(()),
            served => served,
        }
    }

    /// Whether nobody waits any more for the call that this thread serves: it was cancelled, or the link has ended.
    pub fn cancelled(&self) -> bool {
        let Some(id) = chain::serving(self.number) else { return false };
        self.pump().is_err() || self.state().inbox.is_cancelled(id)
    }

    fn serve_until_the_end(&self, host: &dyn Host, bell: &Arc<Bell>) -> Result<()> {
        for turn in 1u64.. {
            if turn.is_multiple_of(TURNS) {
                host.detached(&mut || {});
            }
            match self.turn(host, Want::Call, bell, None) {
                Turn::Failed(error) => return Err(error),
                Turn::Interrupted => host.interrupted()?,
                turn => self.attend(host, turn, bell)?,
            }
        }
        Ok(())
    }

    /// Do what a turn asks for, other than ending the wait.
    pub(super) fn attend(&self, host: &dyn Host, turn: Turn, bell: &Arc<Bell>) -> Result<()> {
        match turn {
            Turn::Settle(settlement) => self.hand_over(host, settlement),
            Turn::Serve(frame) => self.serve_one(host, &frame, bell),
            _ => Ok(()),
        }
    }

    pub(super) fn settle(&self, host: &dyn Host) -> Result<()> {
        let settlement = self.state().inbox.settlement();
        settlement.map_or(Ok(()), |settlement| self.hand_over(host, settlement))
    }

    fn hand_over(&self, host: &dyn Host, settlement: Settlement) -> Result<()> {
        // Late answers first: they came before the releases, and may name what those give back.
        settlement.late.iter().for_each(|body| host.discard(body));
        if settlement.releases.is_empty() {
            return Ok(());
        }
        host.release(&settlement.releases).map_err(|error| self.fail(error))
    }

    fn serve_one(&self, host: &dyn Host, frame: &Frame, bell: &Arc<Bell>) -> Result<()> {
        let Header { id, chain, .. } = frame.header;
        let visit = Visit::begin(self.number, chain, Some(id))?;
        let stay = self.begin_serving(id, chain, bell);
        let mut out = Writer::with_capacity(64);
        let applied = host.apply(&frame.body, &mut out);
        stay.returned();
        drop(visit);
        // The code behind the call may have forked, and this may be the new process.
        self.at_home()?;
        let outcome = applied.map_err(|error| self.fail(error))?;
        self.served.fetch_add(1, Ordering::Relaxed);
        self.post_answer(host, frame.header, outcome, out.into_vec())?;
        host.sent();
        Ok(())
    }

    fn post_answer(&self, host: &dyn Host, asked: Header, outcome: Outcome, mut body: Vec<u8>) -> Result<()> {
        if body.len() > MAX_BODY as usize {
            return Err(self.fail(Error::refused(format!("an answer of {} bytes is too long", body.len()))));
        }
        if self.side == Side::Parent && self.backlog.load(Ordering::Acquire) > MAX_BACKLOG {
            return Err(self.fail(Error::garbled("the child asks, and does not read the answers")));
        }
        let kind = match outcome {
            Outcome::Answered => message::Kind::Reply,
            Outcome::Raised => message::Kind::Raised,
        };
        let head = header(kind, asked.id, asked.chain, &body);
        // Behind the answer, never ahead of it: it may name objects whose last proxy here has gone by now.
        let releases = host.queued_releases();
        if !releases.is_empty() {
            body.extend_from_slice(&release_frame(&releases));
        }
        self.post(&head, Cow::Owned(body))
    }

    fn begin_serving<'a>(&'a self, id: u64, chain: u64, bell: &'a Arc<Bell>) -> Serving<'a> {
        let owned = self.state().crew.own(chain, bell);
        Serving { stay: Some(Stay { link: self, chain, bell, owned }), id }
    }
}

/// While this lives the calls of a chain are for this thread.
#[derive(Debug)]
pub(super) struct Stay<'a> {
    pub(super) link: &'a Link,
    pub(super) chain: u64,
    pub(super) bell: &'a Arc<Bell>,
    /// Whether they were not before.
    pub(super) owned: bool,
}

impl Stay<'_> {
    fn end(&mut self, state: &mut State) {
        if !std::mem::take(&mut self.owned) {
            return;
        }
        state.crew.disown(self.chain, self.bell);
        // A call that came too late for this thread is for another one now.
        if state.inbox.chains().any(|chain| chain == self.chain) {
            state.crew.ring_for(self.link.side, self.chain, self.bell);
        }
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        if self.owned && self.link.at_home().is_ok() {
            let mut state = self.link.state();
            self.end(&mut state);
        }
    }
}

/// A call while the host applies it.
struct Serving<'a> {
    /// `None` once the host has come back; if it has not, it has panicked, and the other side would wait for ever.
    stay: Option<Stay<'a>>,
    id: u64,
}

impl Serving<'_> {
    fn returned(mut self) {
        if let Some(mut stay) = self.stay.take()
            && stay.link.at_home().is_ok()
        {
            let mut state = stay.link.state();
            state.inbox.served(self.id);
            stay.end(&mut state);
        }
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if let Some(stay) = &self.stay {
            stay.link.break_with(Error::refused("the host panicked while it served a call"));
        }
    }
}
