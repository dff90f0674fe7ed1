//! Calls sent and not yet answered.  It waits for nothing itself and never looks into a body.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::host::Outcome;
use crate::message::Frame;
use crate::sys::fd::Bell;

/// A map whose keys are numbers that are counted up.
pub(crate) type Numbered<T> = HashMap<u64, T, BuildHasherDefault<Spread>>;

/// Spreads numbers that are counted up: one multiplication (Fibonacci hashing).  It does not keep somebody who picks the numbers from
/// making them collide, so what it is used for has a bound.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // 2^64 divided by the golden ratio.  The map takes its places from the low bits and its tags from the high ones.
        let spread = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ (spread >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Calls sent and not yet answered, by the id of the call.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    calls: Numbered<Call>,
}

#[derive(Debug)]
enum Call {
    /// Sent.  Whoever waits for the answer is woken by the bell; one that pumps has none.
    Waiting(Option<Arc<Bell>>),
    /// The answer is here and has not been taken.  The number orders it among what was received.
    Answered(Frame, u64),
    /// Nobody waits any more; the answer will still come.
    Abandoned,
    /// The same, but somebody wants to know how it ends.
    Watched,
    /// It has ended so, and nobody has asked yet.
    Ended(Outcome),
}

/// What an answer means for this side.
#[derive(Debug)]
pub(crate) enum Completed {
    /// It waits to be taken; this is the bell of who waits for it.
    Expected(Option<Arc<Bell>>),
    /// Nobody wants it.
    Unwanted(Vec<u8>),
}

impl Pending {
    /// A call is about to be sent.
    pub(crate) fn add(&mut self, id: u64, bell: Option<Arc<Bell>>) {
        self.calls.insert(id, Call::Waiting(bell));
    }

    /// An answer has come.  One that was never asked for, or comes twice, breaks the protocol.
    pub(crate) fn complete(&mut self, frame: Frame, order: u64) -> Result<Completed> {
        let id = frame.header.id;
        let Some(call) = self.calls.get_mut(&id) else {
            return Err(Error::garbled(format!("an answer to the call {id:#x}, which is not open")));
        };
        match call {
            Call::Waiting(bell) => {
                let bell = bell.take();
                *call = Call::Answered(frame, order);
                Ok(Completed::Expected(bell))
            }
            Call::Answered(..) | Call::Ended(_) => Err(Error::garbled(format!("a second answer to the call {id:#x}"))),
            Call::Watched => {
                *call = Call::Ended(Outcome::of(&frame));
                Ok(Completed::Unwanted(frame.body))
            }
            Call::Abandoned => {
                self.calls.remove(&id);
                Ok(Completed::Unwanted(frame.body))
            }
        }
    }

    /// Whether a call that was asked before this one is still waited for, by somebody else than the thread with this bell.
    pub(crate) fn is_behind(&self, id: u64, me: Option<&Arc<Bell>>) -> bool {
        let is_mine = |bell: &Arc<Bell>| me.is_some_and(|me| Arc::ptr_eq(bell, me));
        let before = self.calls.iter().filter(|&(&other, _)| other < id);
        before.into_iter().any(|(_, call)| matches!(call, Call::Waiting(Some(bell)) if !is_mine(bell)))
    }

    /// Whether the answer to this call is still to come, though nobody may wait for it.
    pub(crate) fn is_open(&self, id: u64) -> bool {
        matches!(self.calls.get(&id), Some(Call::Waiting(_) | Call::Abandoned | Call::Watched))
    }

    /// The answer to a call, if it is here, with its number.
    pub(crate) fn take(&mut self, id: u64) -> Option<(Frame, u64)> {
        if !matches!(self.calls.get(&id)?, Call::Answered(..)) {
            return None;
        }
        match self.calls.remove(&id)? {
            Call::Answered(frame, order) => Some((frame, order)),
            Call::Waiting(_) | Call::Abandoned | Call::Watched | Call::Ended(_) => None,
        }
    }

    /// Nobody waits for this call any more.  The answer comes out if it is here already.
    pub(crate) fn abandon(&mut self, id: u64) -> Option<(Frame, u64)> {
        let answer = self.take(id);
        if let Some(call) = self.calls.get_mut(&id) {
            *call = Call::Abandoned;
        }
        answer
    }

    /// Remember how this call ends, which was abandoned, until that is asked for.
    pub(crate) fn watch(&mut self, id: u64) {
        if let Some(call @ Call::Abandoned) = self.calls.get_mut(&id) {
            *call = Call::Watched;
        }
    }

    /// How a call that was watched ended, if it has. Nothing is remembered of that any more.
    pub(crate) fn take_end(&mut self, id: u64) -> Option<Outcome> {
        match self.calls.get(&id)? {
            &Call::Ended(outcome) => self.calls.remove(&id).map(|_| outcome),
            _ => None,
        }
    }

    /// Nobody wants to know any more.
    pub(crate) fn unwatch(&mut self, id: u64) {
        self.take_end(id);
        if let Some(call @ Call::Watched) = self.calls.get_mut(&id) {
            *call = Call::Abandoned;
        }
    }

    /// How many calls have not been answered, or have an answer that nobody has taken.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Nobody need wait any more.  What has come can still be taken.
    ///
    /// An answer may come all the same: another thread has read it just before the link was found to be broken, and files it now.
    /// So what waits is abandoned and not forgotten; else the last answer of a child that died would look like a lie.
    pub(crate) fn fail_all(&mut self) -> Vec<Arc<Bell>> {
        let mut bells = Vec::new();
        for call in self.calls.values_mut() {
            if let Call::Waiting(bell) = call {
                bells.extend(bell.take());
                *call = Call::Abandoned;
            }
        }
        bells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Header, Kind};

    fn answer(id: u64) -> Frame {
        Frame { header: Header { kind: Kind::Reply, id, chain: 0, len: 1 }, body: vec![7] }
    }

    #[test]
    fn an_answer_is_taken_once() {
        let mut pending = Pending::default();
        pending.add(1, None);
        assert!(pending.take(1).is_none());
        assert!(matches!(pending.complete(answer(1), 5), Ok(Completed::Expected(None))));
        assert!(pending.complete(answer(1), 6).is_err());
        assert_eq!(pending.take(1), Some((answer(1), 5)));
        assert!(pending.take(1).is_none());
        assert!(pending.complete(answer(1), 7).is_err());
    }

    #[test]
    fn an_abandoned_call_is_answered_once() {
        let mut pending = Pending::default();
        pending.add(1, None);
        assert!(pending.abandon(1).is_none());
        assert!(matches!(pending.complete(answer(1), 5), Ok(Completed::Unwanted(body)) if body == [7]));
        assert!(pending.complete(answer(1), 6).is_err());
    }

    #[test]
    fn how_a_watched_call_ends_is_told_once() {
        let mut pending = Pending::default();
        pending.add(1, None);
        pending.abandon(1);
        pending.watch(1);
        assert!(pending.is_open(1));
        assert!(pending.take_end(1).is_none());
        assert!(matches!(pending.complete(answer(1), 5), Ok(Completed::Unwanted(_))));
        assert!(!pending.is_open(1));
        assert!(pending.complete(answer(1), 6).is_err());
        assert_eq!(pending.take_end(1), Some(Outcome::Answered));
        assert_eq!((pending.take_end(1), pending.len()), (None, 0));
    }

    #[test]
    fn an_answer_that_came_is_given_to_who_abandons() {
        let mut pending = Pending::default();
        pending.add(1, None);
        pending.complete(answer(1), 5).unwrap();
        assert_eq!(pending.abandon(1), Some((answer(1), 5)));
        // There is nothing to abandon any more, and nothing is remembered of it.
        assert!(pending.abandon(1).is_none());
        assert!(pending.complete(answer(1), 6).is_err());
    }

    #[test]
    fn what_has_come_survives_the_end() {
        let mut pending = Pending::default();
        let bell = Arc::new(Bell::new().unwrap());
        pending.add(1, Some(Arc::clone(&bell)));
        pending.add(2, Some(bell));
        pending.complete(answer(1), 5).unwrap();
        assert_eq!(pending.fail_all().len(), 1);
        assert!(pending.take(1).is_some());
        assert!(pending.take(2).is_none());
        // Read before the end, and filed after it.
        assert!(matches!(pending.complete(answer(2), 6), Ok(Completed::Unwanted(_))));
        assert!(pending.complete(answer(2), 7).is_err());
    }
}
