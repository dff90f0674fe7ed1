//! Serving: what the other side asks of this one, and what it gives back.  Waiting for it is not done here.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::chain::{self, Visit};
use super::inbox::Settlement;
use super::patience::Naps;
use super::wait::{Turn, Want};
use super::{Link, Side, State, header, release_frame};
use crate::error::{Error, Kind, Result};
use crate::host::{Applied, Host, Outcome};
use crate::message::{self, Frame, Header, MAX_BODY};
use crate::sys::fd::Bell;
use crate::sys::process;
use crate::transport::Received;
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

    /// Serve until the other side says Bye or the link ends: the main loop of a child.  Several threads may do so at once; then calls of
    /// different chains are served at the same time.
    pub fn serve(&self, host: &dyn Host) -> Result<()> {
        self.usable()?;
        let bell = chain::bell()?;
        self.state().crew.enlist(&bell, process::this_thread());
        let served = self.serve_until_the_end(host, &bell);
        if self.at_home().is_err() {
            return served;
        }
        if matches!(&served, Err(error) if error.kind() == Kind::Died) {
            // An answer could not be sent any more.  The other side may have said Bye before that, and nobody has read it yet.
            while matches!(self.receive(&bell), Ok(Received::More)) {}
        }
        let mut state = self.state();
        state.crew.dismiss(&bell);
        match served {
            Err(error) if error.kind() == Kind::Closed || state.inbox.farewell() => Ok(()),
            served => served,
        }
    }

    /// Several threads are going to [`serve`](Self::serve).  To be said before the first of them does.
    pub fn expect_company(&self) {
        self.state().crew.expect_company();
    }

    /// The current thread is a main loop that pumps, and serves what is ready: in a child, calls that belong to nobody's chain are for
    /// it from now on.
    pub fn enlist(&self) -> Result<()> {
        self.usable()?;
        let bell = chain::bell()?;
        self.state().crew.enlist(&bell, process::this_thread());
        Ok(())
    }

    /// The call that the current thread serves: by this id it is answered later.
    pub fn serving(&self) -> Option<u64> {
        chain::serving(self.number)
    }

    /// Whether the call that the current thread serves was asked within another one of the same chain that it serves.
    pub fn is_nested(&self) -> bool {
        chain::is_nested(self.number)
    }

    /// Answer a call that [`Host::apply`] left for later.  Any thread may, once; when the link has ended, that is the error.
    pub fn answer(&self, host: &dyn Host, id: u64, outcome: Outcome, body: Vec<u8>) -> Result<()> {
        self.usable()?;
        let chain = {
            let mut state = self.state();
            let chain = state.inbox.chain_of(id);
            state.inbox.served(id);
            chain.ok_or_else(|| Error::refused(format!("the call {id:#x} does not wait for an answer")))?
        };
        self.served.fetch_add(1, Ordering::Relaxed);
        self.post_answer(host, id, chain, outcome, body)?;
        host.sent();
        Ok(())
    }

    /// Do some more of a call that is to be answered later: `work` runs in its chain, so that what it asks is served by whoever the
    /// call belongs to.
    pub fn within<R>(&self, id: u64, work: impl FnOnce() -> R) -> Result<R> {
        self.usable()?;
        let bell = chain::bell()?;
        let (chain, owned) = {
            let mut state = self.state();
            let chain = state.inbox.chain_of(id);
            let chain = chain.ok_or_else(|| Error::refused(format!("the call {id:#x} is over")))?;
            (chain, state.crew.own(chain, &bell))
        };
        let _stay = Stay { link: self, chain, bell: &bell, owned };
        let _visit = Visit::begin(self.number, chain, Some(id))?;
        Ok(work())
    }

    /// Calls that are to be answered later and were cancelled since the last time.  The answer is due all the same.
    pub fn take_cancelled(&self) -> Vec<u64> {
        if self.usable().is_err() { Vec::new() } else { self.state().inbox.take_cancelled() }
    }

    /// Decline the calls that were cancelled before they began, so that those who gave them up need not wait for whatever this thread
    /// is in the middle of.  For a signal handler.
    pub fn decline_cancelled(&self, host: &dyn Host) -> Result<()> {
        self.pump()?;
        let bell = chain::bell()?;
        loop {
            let frame = {
                let State { inbox, crew, .. } = &mut *self.state();
                inbox.take_cancelled_call(|chain| crew.is_free(chain))
            };
            match frame {
                Some(frame) => self.serve_one(host, &frame, &bell)?,
                None => return Ok(()),
            }
        }
    }

    /// Which threads are to stop what they do since the other side gave it up, each told once: whether the current one is, and the
    /// others that serve, by [`this_thread`](process::this_thread).  Reads what has come.
    pub fn interrupts(&self) -> (bool, Vec<u64>) {
        let Ok(bell) = chain::bell() else { return (false, Vec::new()) };
        if self.pump().is_err() {
            return (false, Vec::new());
        }
        let mut state = self.state();
        let here = chain::serving(self.number).is_some_and(|id| state.inbox.interrupt(id));
        let busy: Vec<_> = state.crew.busy(&bell).collect();
        let others = busy.into_iter().filter(|&(_, id)| state.inbox.disturb(id)).map(|(thread, _)| thread);
        (here, others.collect())
    }

    /// Whether nobody waits any more for the call that this thread serves: it was cancelled, or the link has ended.
    pub fn cancelled(&self) -> bool {
        let Some(id) = chain::serving(self.number) else { return false };
        self.pump().is_err() || self.state().inbox.is_cancelled(id)
    }

    fn serve_until_the_end(&self, host: &dyn Host, bell: &Arc<Bell>) -> Result<()> {
        let mut naps = Naps::new();
        for turn in 1u64.. {
            if turn.is_multiple_of(TURNS) {
                host.detached(&mut || {});
            }
            match self.turn(host, Want::Call, bell, None, &mut naps) {
                Turn::Failed(error) => return Err(error),
                Turn::Interrupted => host.interrupted()?,
                turn => {
                    self.attend(host, turn, bell)?;
                    naps = Naps::new();
                }
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

    pub(super) fn serve_one(&self, host: &dyn Host, frame: &Frame, bell: &Arc<Bell>) -> Result<()> {
        let Header { id, chain, .. } = frame.header;
        let visit = Visit::begin(self.number, chain, Some(id))?;
        let (stay, wanted) = self.begin_serving(id, chain, bell);
        let mut out = Writer::with_capacity(64);
        let applied = if wanted { host.apply(&frame.body, &mut out) } else { host.decline(&frame.body, &mut out) };
        let left = stay.returned(matches!(applied, Ok(Applied::Later)));
        drop(visit);
        // The code behind the call may have forked, and this may be the new process.
        self.at_home()?;
        if left.disturbed {
            host.calm();
        }
        if let Applied::Done(outcome) = applied.map_err(|error| self.fail(error))?
            && left.open
        {
            self.served.fetch_add(1, Ordering::Relaxed);
            self.post_answer(host, id, chain, outcome, out.into_vec())?;
            host.sent();
        }
        Ok(())
    }

    fn post_answer(&self, host: &dyn Host, id: u64, chain: u64, outcome: Outcome, mut body: Vec<u8>) -> Result<()> {
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
        let head = header(kind, id, chain, &body);
        // Behind the answer, never ahead of it: it may name objects whose last proxy here has gone by now.
        let releases = host.queued_releases();
        if !releases.is_empty() {
            body.extend_from_slice(&release_frame(&releases));
        }
        self.post(&head, Cow::Owned(body))
    }

    /// With whether the call is still worth it.
    fn begin_serving<'a>(&'a self, id: u64, chain: u64, bell: &'a Arc<Bell>) -> (Serving<'a>, bool) {
        let mut state = self.state();
        let owned = state.crew.own(chain, bell);
        let wanted = state.inbox.begin(id);
        state.crew.begin(bell, id);
        (Serving { stay: Some(Stay { link: self, chain, bell, owned }), id }, wanted)
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

/// How a thread left a call.
#[derive(Default)]
struct Left {
    /// It has no answer yet.
    open: bool,
    /// Another thread has told this one to stop.
    disturbed: bool,
}

impl Serving<'_> {
    /// The host has come back; with the answer, unless it is to come later.
    fn returned(mut self, later: bool) -> Left {
        let mut left = Left::default();
        if let Some(mut stay) = self.stay.take()
            && stay.link.at_home().is_ok()
        {
            let mut state = stay.link.state();
            state.crew.finish(stay.bell, self.id);
            if later {
                left.disturbed = state.inbox.defer(self.id);
            } else if let Some(service) = state.inbox.served(self.id) {
                left = Left { open: true, disturbed: service.disturbed };
            }
            stay.end(&mut state);
        }
        left
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        if let Some(stay) = &self.stay {
            stay.link.break_with(Error::refused("the host panicked while it served a call"));
        }
    }
}
