//! The threads on this side of a link: who waits, who of them reads, and whom a chain belongs to.  No I/O but their bells.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Side;
use crate::pending::Numbered;
use crate::sys::fd::Bell;

/// Threads, each known by its bell.
#[derive(Debug, Default)]
pub(super) struct Crew {
    /// Those who wait for something to come over the link.
    waiting: Vec<Waiter>,
    /// The one that reads, for all of them.
    leader: Option<Arc<Bell>>,
    /// The ones in the main loops of a child; mostly one.
    servers: Vec<Server>,
    /// There is more than one of them, or will be.
    crowded: bool,
    /// Rung for whoever pumps rather than waits.
    pumper: Option<Arc<Bell>>,
    /// Those who have calls on their way and pump, each with the calls of its own that are answered.
    fronts: Vec<Fronted>,
    /// Chains whose calls are for one of those.
    fronted: Numbered<Arc<Bell>>,
    /// Chains that a thread of this side is in, each once for each thread.
    owned: Vec<(u64, Arc<Bell>)>,
}

/// A thread that waits.
#[derive(Debug)]
struct Waiter {
    bell: Arc<Bell>,
    /// For nothing but calls to serve: it is in the middle of none.
    idle: bool,
}

/// Somebody who has calls on their way and waits for none of them.
#[derive(Debug)]
struct Fronted {
    bell: Arc<Bell>,
    answered: VecDeque<u64>,
}

/// A thread in the main loop of a child.
#[derive(Debug)]
struct Server {
    bell: Arc<Bell>,
    /// The thread's number, as its host knows it.
    thread: u64,
    /// What it serves, innermost last.  Kept only where a server has company.
    calls: Vec<u64>,
}

impl Crew {
    /// The thread waits from now on; `idle` if it does so for nothing but calls to serve.
    pub(super) fn join(&mut self, me: &Arc<Bell>, idle: bool) {
        self.waiting.push(Waiter { bell: Arc::clone(me), idle });
    }

    /// The thread has what it waited for, or has given up.
    pub(super) fn leave(&mut self, me: &Arc<Bell>) {
        if let Some(index) = self.waiting.iter().position(|waiter| Arc::ptr_eq(&waiter.bell, me)) {
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
        if !self.pass_on(me) {
            // What has been read may be for those, and their descriptors say nothing of that any more.
            self.ring_pumper();
        }
    }

    /// Like [`abdicate`](Self::abdicate), by the one that pumps.  Whether somebody leads, or was woken to.
    pub(super) fn pass_on(&mut self, me: &Arc<Bell>) -> bool {
        if self.leader.as_ref().is_some_and(|leader| !Arc::ptr_eq(leader, me)) {
            return true;
        }
        self.leader = None;
        let Some(next) = self.waiting.first() else { return false };
        next.bell.ring();
        true
    }

    /// Wake the one that reads: it has to write, too.
    pub(super) fn ring_leader(&self) {
        match &self.leader {
            Some(leader) => leader.ring(),
            None => self.ring_pumper(),
        }
    }

    /// Wake everybody.
    pub(super) fn ring_all(&self) {
        self.waiting.iter().for_each(|waiter| waiter.bell.ring());
        self.ring_pumper();
    }

    /// Wake whoever pumps.
    pub(super) fn ring_pumper(&self) {
        if let Some(pumper) = &self.pumper {
            pumper.ring();
        }
        self.fronts.iter().for_each(|front| front.bell.ring());
    }

    /// Whoever has this bell pumps from now on, and has calls on their way.
    pub(super) fn add_front(&mut self, bell: &Arc<Bell>) {
        self.fronts.push(Fronted { bell: Arc::clone(bell), answered: VecDeque::new() });
    }

    /// It pumps no more. What belongs to its chains is for anybody.
    pub(super) fn remove_front(&mut self, bell: &Arc<Bell>) {
        self.fronts.retain(|front| !Arc::ptr_eq(&front.bell, bell));
        self.fronted.retain(|_, owner| !Arc::ptr_eq(owner, bell));
    }

    /// The calls of a chain are for the front with this bell. False if they are somebody's already.
    pub(super) fn front_chain(&mut self, chain: u64, bell: &Arc<Bell>) -> bool {
        if self.fronted.contains_key(&chain) || self.owned.iter().any(|(owned, _)| *owned == chain) {
            return false;
        }
        self.fronted.insert(chain, Arc::clone(bell));
        true
    }

    /// They are nobody's any more.
    pub(super) fn end_chain(&mut self, chain: u64) {
        self.fronted.remove(&chain);
    }

    /// A call is answered: if it is one of a front, that has to know which.
    pub(super) fn note_answer(&mut self, bell: &Arc<Bell>, call: u64) {
        if let Some(front) = self.fronts.iter_mut().find(|front| Arc::ptr_eq(&front.bell, bell)) {
            front.answered.push_back(call);
        }
    }

    /// The next call of a front that is answered.
    pub(super) fn next_answered(&mut self, bell: &Arc<Bell>) -> Option<u64> {
        self.fronts.iter_mut().find(|front| Arc::ptr_eq(&front.bell, bell))?.answered.pop_front()
    }

    /// Who pumps from now on.
    pub(super) fn set_pumper(&mut self, pumper: Option<Arc<Bell>>) {
        self.pumper = pumper;
    }

    /// The thread is in a main loop from now on.
    pub(super) fn enlist(&mut self, me: &Arc<Bell>, thread: u64) {
        self.servers.push(Server { bell: Arc::clone(me), thread, calls: Vec::new() });
        self.crowded |= self.servers.len() > 1;
    }

    /// There will be more than one.
    pub(super) fn expect_company(&mut self) {
        self.crowded = true;
    }

    /// The thread is in it no more.
    pub(super) fn dismiss(&mut self, me: &Arc<Bell>) {
        self.servers.retain(|server| !Arc::ptr_eq(&server.bell, me));
    }

    /// Note that the thread begins to serve a call, where others may want to know.
    pub(super) fn begin(&mut self, me: &Arc<Bell>, call: u64) {
        if self.crowded
            && let Some(server) = self.servers.iter_mut().find(|server| Arc::ptr_eq(&server.bell, me))
        {
            server.calls.push(call);
        }
    }

    /// Note that it is done with it.
    pub(super) fn finish(&mut self, me: &Arc<Bell>, call: u64) {
        if self.crowded
            && let Some(server) = self.servers.iter_mut().find(|server| Arc::ptr_eq(&server.bell, me))
        {
            server.calls.retain(|&known| known != call);
        }
    }

    /// The servers other than this one: the thread, and the innermost call that it serves.
    pub(super) fn busy<'a>(&'a self, me: &'a Arc<Bell>) -> impl Iterator<Item = (u64, u64)> + 'a {
        let others = self.servers.iter().filter(|server| !Arc::ptr_eq(&server.bell, me));
        others.filter_map(|server| Some((server.thread, *server.calls.last()?)))
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
    /// code behind the call may rely on.  Calls of any other chain go, in a child, to a main loop, even while that waits
    /// for an answer: were they left lying, a callback of one parent thread could wait for ever for the call of another.
    /// Where there are several, one that is `idle` or will be comes first: the answer to the call that another is in must not
    /// wait for a stranger's.
    pub(super) fn may_serve(&self, side: Side, chain: u64, me: &Arc<Bell>, idle: bool) -> bool {
        if !self.is_free(chain) {
            return self.owns(chain, me);
        }
        if let Some(front) = self.fronted.get(&chain) {
            return Arc::ptr_eq(front, me);
        }
        if side == Side::Parent || self.servers.is_empty() {
            return true;
        }
        self.servers.iter().any(|server| Arc::ptr_eq(&server.bell, me)) && (idle || self.is_last(me))
    }

    /// Whether every other server waits for an answer, so that nobody else will serve what comes.
    fn is_last(&self, me: &Arc<Bell>) -> bool {
        let stuck =
            |server: &Server| self.waiting.iter().any(|waiter| !waiter.idle && Arc::ptr_eq(&waiter.bell, &server.bell));
        self.servers.iter().all(|server| Arc::ptr_eq(&server.bell, me) || stuck(server))
    }

    /// Whether no thread is in this chain.
    pub(super) fn is_free(&self, chain: u64) -> bool {
        !self.owned.iter().any(|(owned, _)| *owned == chain)
    }

    /// A call of this chain waits: wake a thread that may serve it, unless `me` waits and may, since it looks for itself.
    pub(super) fn ring_for(&self, side: Side, chain: u64, me: &Arc<Bell>) {
        let mut able = self
            .waiting
            .iter()
            .filter(|waiter| self.may_serve(side, chain, &waiter.bell, waiter.idle))
            .map(|waiter| &waiter.bell);
        if able.clone().any(|bell| Arc::ptr_eq(bell, me)) {
            return;
        }
        match (self.fronted.get(&chain), able.next()) {
            (Some(front), _) if Arc::ptr_eq(front, me) => {}
            (Some(bell), _) | (None, Some(bell)) => bell.ring(),
            (None, None) => self.ring_pumper(),
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
        [&one, &two].into_iter().for_each(|bell| crew.join(bell, false));
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
        [&one, &two, &three].into_iter().for_each(|bell| crew.join(bell, false));
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
        [&one, &two].into_iter().for_each(|bell| crew.join(bell, false));
        assert!(crew.own(7, &two));
        assert!(!crew.own(7, &two));
        assert!(!crew.may_serve(Side::Parent, 7, &one, false));
        crew.ring_for(Side::Parent, 7, &one);
        assert!(rings(&two) && !rings(&one));
        crew.disown(7, &two);
        assert!(crew.may_serve(Side::Parent, 7, &one, false));
    }

    #[test]
    fn in_a_child_the_main_loop_serves_what_is_nobodys() {
        let (mut crew, main, other) = (Crew::default(), bell(), bell());
        assert!(crew.may_serve(Side::Child, 7, &other, false));
        crew.enlist(&main, 1);
        assert!(crew.may_serve(Side::Child, 7, &main, true) && !crew.may_serve(Side::Child, 7, &other, false));
        assert!(crew.may_serve(Side::Parent, 7, &other, false));
    }

    #[test]
    fn of_several_servers_an_idle_one_serves() {
        let (mut crew, one, two) = (Crew::default(), bell(), bell());
        crew.enlist(&one, 1);
        crew.enlist(&two, 2);
        crew.join(&one, false);
        assert!(!crew.may_serve(Side::Child, 7, &one, false), "the other one is at work, and will come back");
        crew.join(&two, false);
        assert!(crew.may_serve(Side::Child, 7, &one, false), "nobody else will");
        crew.leave(&two);
        crew.join(&two, true);
        // It was woken to lead when the other one left.
        assert!(rings(&one));
        assert!(!crew.may_serve(Side::Child, 7, &one, false) && crew.may_serve(Side::Child, 7, &two, true));
        crew.ring_for(Side::Child, 7, &one);
        assert!(rings(&two) && !rings(&one));
    }

    #[test]
    fn a_server_that_is_busy_is_known_by_its_innermost_call() {
        let (mut crew, one, two) = (Crew::default(), bell(), bell());
        crew.enlist(&one, 1);
        crew.enlist(&two, 2);
        crew.begin(&two, 7);
        crew.begin(&two, 8);
        assert_eq!(crew.busy(&one).collect::<Vec<_>>(), [(2, 8)]);
        crew.finish(&two, 8);
        assert_eq!(crew.busy(&one).collect::<Vec<_>>(), [(2, 7)]);
        assert_eq!(crew.busy(&two).count(), 0);
    }

    #[test]
    fn who_pumps_hears_of_what_nobody_waits_for() {
        let (mut crew, one, pumper) = (Crew::default(), bell(), bell());
        crew.set_pumper(Some(Arc::clone(&pumper)));
        crew.ring_for(Side::Parent, 7, &one);
        assert!(rings(&pumper));
        assert!(crew.lead(&one));
        crew.abdicate(&one);
        assert!(rings(&pumper), "what was read meanwhile may be for it");
        assert!(crew.lead(&one) && !crew.pass_on(&one));
        assert!(!rings(&pumper), "it would ring itself for ever");
    }
}
