//! The threads on this side of a link: who waits, who of them reads, and whom a chain belongs to.  No I/O but their bells.

use std::sync::Arc;

use super::Side;
use crate::sys::fd::Bell;

/// Threads, each known by its bell.
#[derive(Debug, Default)]
pub(super) struct Crew {
    /// Those who wait for something to come over the link.
    waiting: Vec<Arc<Bell>>,
    /// The one that reads, for all of them.
    leader: Option<Arc<Bell>>,
    /// The one in the main loop of a child.
    server: Option<Arc<Bell>>,
    /// Chains that a thread of this side is in, each once for each thread.
    owned: Vec<(u64, Arc<Bell>)>,
}

impl Crew {
    /// The thread waits from now on.
    pub(super) fn join(&mut self, me: &Arc<Bell>) {
        self.waiting.push(Arc::clone(me));
    }

    /// The thread has what it waited for, or has given up.
    pub(super) fn leave(&mut self, me: &Arc<Bell>) {
        if let Some(index) = self.waiting.iter().position(|bell| Arc::ptr_eq(bell, me)) {
            self.waiting.swap_remove(index);
        }
        self.abdicate(me);
    }

    /// Whether this thread reads from now on: it does unless another one does already.
    pub(super) fn lead(&mut self, me: &Arc<Bell>) -> bool {
        Arc::ptr_eq(self.leader.get_or_insert_with(|| Arc::clone(me)), me)
    }

    /// The thread reads no more, if it did; unless another one does, one that waits is woken to do it.
    ///
    /// That nobody leads is enough, whether or not `me` did: a thread that was woken to lead may find on waking that it has
    /// got what it waited for, and leave without ever having led.  Had it to have led to pass the duty on, the others would
    /// follow nobody for ever.
    pub(super) fn abdicate(&mut self, me: &Arc<Bell>) {
        if self.leader.as_ref().is_some_and(|leader| !Arc::ptr_eq(leader, me)) {
            return;
        }
        self.leader = None;
        if let Some(next) = self.waiting.first() {
            next.ring();
        }
    }

    /// Wake the one that reads: it has to write, too.
    pub(super) fn ring_leader(&self) {
        if let Some(leader) = &self.leader {
            leader.ring();
        }
    }

    /// Wake everybody.
    pub(super) fn ring_all(&self) {
        self.waiting.iter().for_each(|bell| bell.ring());
    }

    /// Who is in the main loop from now on.
    pub(super) fn set_server(&mut self, server: Option<Arc<Bell>>) {
        self.server = server;
    }

    /// The thread is in this chain.  False if it was in it before.
    pub(super) fn own(&mut self, chain: u64, me: &Arc<Bell>) -> bool {
        if self.owns(chain, me) {
            return false;
        }
        self.owned.push((chain, Arc::clone(me)));
        true
    }

    /// The thread is in this chain no more.
    pub(super) fn disown(&mut self, chain: u64, me: &Arc<Bell>) {
        let entry = |(owned, bell): &(u64, Arc<Bell>)| *owned == chain && Arc::ptr_eq(bell, me);
        if let Some(index) = self.owned.iter().position(entry) {
            self.owned.swap_remove(index);
        }
    }

    /// Whether this thread is the one to serve a call of this chain.
    ///
    /// A chain that some thread is in belongs to that thread: it alone holds the locks and the thread-local state that the
    /// code behind the call may rely on.  Calls of any other chain go, in a child, to the main loop, even while that waits
    /// for an answer: were they left lying, a callback of one parent thread could wait for ever for the call of another.
    pub(super) fn may_serve(&self, side: Side, chain: u64, me: &Arc<Bell>) -> bool {
        if self.owned.iter().any(|(owned, _)| *owned == chain) {
            return self.owns(chain, me);
        }
        match (side, &self.server) {
            (Side::Child, Some(server)) => Arc::ptr_eq(server, me),
            _ => true,
        }
    }

    /// A call of this chain waits: wake a thread that may serve it, unless `me` waits and may, since it looks for itself.
    pub(super) fn ring_for(&self, side: Side, chain: u64, me: &Arc<Bell>) {
        let mut able = self.waiting.iter().filter(|bell| self.may_serve(side, chain, bell));
        if able.clone().any(|bell| Arc::ptr_eq(bell, me)) {
            return;
        }
        if let Some(bell) = able.next() {
            bell.ring();
        }
    }

    fn owns(&self, chain: u64, me: &Arc<Bell>) -> bool {
        self.owned.iter().any(|(owned, bell)| *owned == chain && Arc::ptr_eq(bell, me))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::sys::fd::{PollFd, PollFlags, Polled, poll};

    fn bell() -> Arc<Bell> {
        Arc::new(Bell::new().unwrap())
    }

    fn rings(bell: &Bell) -> bool {
        let polled = poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(Instant::now())).unwrap();
        bell.clear();
        polled == Polled::Ready
    }

    #[test]
    fn the_lead_is_passed_on() {
        let (mut crew, one, two) = (Crew::default(), bell(), bell());
        [&one, &two].into_iter().for_each(|bell| crew.join(bell));
        assert!(crew.lead(&one));
        assert!(crew.lead(&one));
        assert!(!crew.lead(&two));
        crew.leave(&one);
        assert!(rings(&two));
        assert!(crew.lead(&two));
    }

    #[test]
    fn the_lead_is_passed_on_by_one_that_never_took_it() {
        let (mut crew, one, two, three) = (Crew::default(), bell(), bell(), bell());
        [&one, &two, &three].into_iter().for_each(|bell| crew.join(bell));
        assert!(crew.lead(&one));
        crew.leave(&one);
        let (woken, other) = if rings(&two) { (&two, &three) } else { (&three, &two) };
        // It has got its answer meanwhile, and has no need to lead.
        crew.leave(woken);
        assert!(rings(other));
    }

    #[test]
    fn a_call_goes_to_the_owner_of_its_chain() {
        let (mut crew, one, two) = (Crew::default(), bell(), bell());
        [&one, &two].into_iter().for_each(|bell| crew.join(bell));
        assert!(crew.own(7, &two));
        assert!(!crew.own(7, &two));
        assert!(!crew.may_serve(Side::Parent, 7, &one));
        crew.ring_for(Side::Parent, 7, &one);
        assert!(rings(&two) && !rings(&one));
        crew.disown(7, &two);
        assert!(crew.may_serve(Side::Parent, 7, &one));
    }

    #[test]
    fn in_a_child_the_main_loop_serves_what_is_nobodys() {
        let (mut crew, main, other) = (Crew::default(), bell(), bell());
        assert!(crew.may_serve(Side::Child, 7, &other));
        crew.set_server(Some(Arc::clone(&main)));
        assert!(crew.may_serve(Side::Child, 7, &main) && !crew.may_serve(Side::Child, 7, &other));
        assert!(crew.may_serve(Side::Parent, 7, &other));
    }
}
