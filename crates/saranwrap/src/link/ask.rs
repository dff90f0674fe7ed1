//! Asking: a call of this side from its first byte to its answer.  Waiting for it is not done here.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::patience::Naps;
use super::serve::Stay;
use super::wait::{Turn, Want};
use super::{Link, chain, header, release_frame};
use crate::error::{Error, Kind, Result};
use crate::host::{GivenUp, Host, Outcome};
use crate::message::{self, MAX_BODY};
use crate::sys::fd::Bell;

/// What a call came back with.  As long as this lives, no release that came after the answer is applied: drop it when the body
/// is decoded.
pub struct Answer<'a> {
    /// How the call ended.
    pub outcome: Outcome,
    /// The value, or what was raised.
    pub body: Vec<u8>,
    link: &'a Link,
    order: u64,
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if self.link.at_home().is_ok() {
            self.link.state().inbox.decoded(self.order);
        }
    }
}

impl Link {
    /// Ask and wait for the answer.  Meanwhile serve what the other side asks, when it belongs to this thread's chain or to
    /// nobody's.
    ///
    /// With several threads, use [`ask`](Self::ask): between the return of this and the decoding of the body another thread
    /// may apply a release that the other side sent after the answer.
    pub fn call(&self, host: &dyn Host, body: &[u8]) -> Result<(Outcome, Vec<u8>)> {
        let mut answer = self.ask(host, body, None)?;
        Ok((answer.outcome, std::mem::take(&mut answer.body)))
    }

    /// Like [`call`](Self::call), with a deadline, and with an answer that holds later releases back until it is decoded.
    pub fn ask(&self, host: &dyn Host, body: &[u8], deadline: Option<Instant>) -> Result<Answer<'_>> {
        self.check(body)?;
        let bell = chain::bell()?;
        chain::check_depth()?;
        let _visit = self.enter()?;
        let chain = self.chain().unwrap_or_default();
        let id = self.new_call();
        let _stay = self.open(id, chain, &bell)?;
        self.post_call(host, id, chain, body)?;
        let mut naps = Naps::new();
        loop {
            match self.turn(host, Want::Answer(id), &bell, deadline, &mut naps) {
                Turn::Answer(frame, order) => return Ok(self.answer_of(frame, order)),
                Turn::Failed(error) => return Err(error),
                Turn::Interrupted => {
                    if let Err(error) = host.interrupted() {
                        return Err(self.give_up(host, id, error, &bell));
                    }
                }
                Turn::TimedOut => {
                    let error = Error::new(Kind::TimedOut, "no answer came in time");
                    return Err(self.give_up(host, id, error, &bell));
                }
                turn => self.attend(host, turn, &bell)?,
            }
        }
    }

    /// Have a call ended that nobody waits for any more, and wait for its end as long as the host does: a call that has not ended would
    /// keep the next one waiting.
    fn give_up(&self, host: &dyn Host, id: u64, error: Error, bell: &Arc<Bell>) -> Error {
        self.cancel(id);
        let since = Instant::now();
        let (mut interrupted, mut naps) = (None, Naps::new());
        loop {
            let is_behind = self.usable().is_ok() && self.state().inbox.pending.is_behind(id, Some(bell));
            let Some(until) = host.given_up(&GivenUp { why: &error, since, is_behind }) else { break };
            match self.turn(host, Want::Answer(id), bell, Some(until), &mut naps) {
                Turn::Answer(frame, order) => {
                    let answer = self.answer_of(frame, order);
                    host.ended(answer.outcome, &answer.body);
                    return interrupted.unwrap_or(error);
                }
                Turn::Failed(end) => {
                    return interrupted.unwrap_or(if error.kind() == Kind::TimedOut { end } else { error });
                }
                Turn::Interrupted => match host.interrupted() {
                    // Whoever interrupts for the second time does not want to wait.  For the first time the call is late, and
                    // has to be ended all the same: what it does may be the next one's hindrance.
                    Err(_) if error.kind() == Kind::Interrupted => break,
                    Err(why) => interrupted = Some(why),
                    Ok(()) => {}
                },
                // What fails here breaks the link, and the next turn tells.
                turn => drop(self.attend(host, turn, bell)),
            }
        }
        self.forsake(id);
        interrupted.unwrap_or(error)
    }

    /// Tell the other side that nobody waits for the answer to this call; it comes all the same.
    pub fn cancel(&self, id: u64) {
        if self.usable().is_ok() {
            // If it does not go now it goes before the next frame; a failure shows there, too.
            let _ = self.post(&header(message::Kind::Cancel, id, 0, &[]), Cow::Borrowed(&[]));
        }
    }

    /// Whether the answer is still to come.
    fn forsake(&self, id: u64) -> bool {
        self.usable().is_ok() && self.state().inbox.abandon(id)
    }

    /// Ask without waiting: [`pump`](Self::pump) until [`finish`](Self::finish) has the answer.
    pub fn start(&self, host: &dyn Host, body: &[u8]) -> Result<u64> {
        self.check(body)?;
        self.settle(host)?;
        let chain = self.chain().unwrap_or_else(|| self.new_chain());
        let id = self.new_call();
        self.state().inbox.pending.add(id, None);
        self.post_call(host, id, chain, body)?;
        Ok(id)
    }

    /// The answer to a call that was started, if it is here.
    pub fn finish(&self, id: u64) -> Result<Option<Answer<'_>>> {
        self.at_home()?;
        let mut state = self.state();
        if let Some((frame, order)) = state.inbox.pending.take(id) {
            drop(state);
            return Ok(Some(self.answer_of(frame, order)));
        }
        state.error.clone().map_or(Ok(None), Err)
    }

    /// Give up a call that was started: its answer goes to [`Host::discard`].
    pub fn abandon(&self, id: u64) {
        if self.forsake(id) {
            self.cancel(id);
        }
    }

    /// Whether a call that was given up goes on there, as far as is known: its answer has not come, and the link has not ended.
    pub fn goes_on(&self, id: u64) -> bool {
        self.usable().is_ok() && self.state().inbox.pending.is_open(id)
    }

    /// Remember how a call ends that was given up just now: for [`end_of`](Self::end_of), until [`unfollow`](Self::unfollow).
    pub fn follow(&self, id: u64) {
        if self.usable().is_ok() {
            self.state().inbox.pending.watch(id);
        }
    }

    /// How a call that is followed has ended, told once; `None` while it goes on, or when it had ended before.
    pub fn end_of(&self, id: u64) -> Option<Outcome> {
        self.at_home().ok()?;
        self.state().inbox.pending.take_end(id)
    }

    /// Nobody asks any more how this call ends.
    pub fn unfollow(&self, id: u64) {
        if self.at_home().is_ok() {
            self.state().inbox.pending.unwatch(id);
        }
    }

    /// Whether somebody waits for a call that was asked before this one, which was given up.
    pub fn is_behind(&self, id: u64) -> bool {
        self.usable().is_ok() && self.state().inbox.pending.is_behind(id, None)
    }

    pub(super) fn check(&self, body: &[u8]) -> Result<()> {
        if body.len() > MAX_BODY as usize {
            return Err(Error::refused(format!("a call of {} bytes is too long", body.len())));
        }
        self.usable()
    }

    pub(super) fn new_call(&self) -> u64 {
        self.side.number(self.calls.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A call is about to go.  Before its first byte does: another thread may read the answer before this one gets any further.
    ///
    /// The link may have been retired since it was found usable: then nothing goes, and the call may be made elsewhere.
    fn open<'a>(&'a self, id: u64, chain: u64, bell: &'a Arc<Bell>) -> Result<Stay<'a>> {
        let mut state = self.state();
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        state.inbox.pending.add(id, Some(Arc::clone(bell)));
        let owned = state.crew.own(chain, bell);
        Ok(Stay { link: self, chain, bell, owned })
    }

    pub(super) fn post_call(&self, host: &dyn Host, id: u64, chain: u64, body: &[u8]) -> Result<()> {
        let header = header(message::Kind::Call, id, chain, body);
        let mut head = release_frame(&host.queued_releases());
        if head.is_empty() {
            return self.post(&header, Cow::Borrowed(body));
        }
        head.extend_from_slice(&header);
        self.post(&head, Cow::Borrowed(body))
    }

    pub(super) fn answer_of(&self, frame: message::Frame, order: u64) -> Answer<'_> {
        Answer { outcome: Outcome::of(&frame), body: frame.body, link: self, order }
    }
}
