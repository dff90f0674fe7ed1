//! How long a thread looks at memory before it sleeps, and how long it sleeps: longer where looking would have been enough, shorter
//! where it was not.  Who looks, and at what, is not known here.
//!
//! Sleeping and being woken costs tens of microseconds, looking costs a processor.  The rule is that of KVM's halt polling: a wait
//! that slept, and would have been over within the bound, doubles the limit; one that took longer halves it, down to nothing.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How much longer a wait takes that sleeps: a wait that is over this long after the bound would have been over within it.
const WAKING: Duration = Duration::from_micros(50);

/// What is shorter than this is not worth a look.
const LEAST: Duration = Duration::from_micros(2);

/// How long to look until it is known better, and how many sleeps that takes.  While a child starts each side has much to do between its
/// words, and whoever looks has a processor that somebody else needs, such as the one who makes the next child ready.
const AT_FIRST: Duration = Duration::from_micros(20);
const YOUTH: u32 = 8;

/// How long to look, as far as is known now.
#[derive(Debug)]
pub(super) struct Patience {
    limit: AtomicU64,
    bound: AtomicU64,
    /// The sleeps so far, up to the end of its youth.
    sleeps: AtomicU32,
}

impl Patience {
    /// With this bound.
    pub(super) fn new(bound: Duration) -> Self {
        let bound = nanos(bound);
        Self { limit: AtomicU64::new(bound), bound: AtomicU64::new(bound), sleeps: AtomicU32::new(0) }
    }

    /// Another bound, from whoever knows better.
    pub(super) fn set_bound(&self, bound: Duration) {
        self.sleeps.store(YOUTH, Ordering::Relaxed);
        self.bound.store(nanos(bound), Ordering::Relaxed);
        self.limit.store(nanos(bound), Ordering::Relaxed);
    }

    /// How long to look at most.
    pub(super) fn bound(&self) -> Duration {
        Duration::from_nanos(self.bound.load(Ordering::Relaxed))
    }

    /// How long to look.
    pub(super) fn limit(&self) -> Duration {
        let limit = self.learnt();
        if self.sleeps.load(Ordering::Relaxed) < YOUTH { limit.min(AT_FIRST) } else { limit }
    }

    fn learnt(&self) -> Duration {
        Duration::from_nanos(self.limit.load(Ordering::Relaxed))
    }

    /// A thread looked that long and had to sleep; all in all it waited for `waited`.
    pub(super) fn slept(&self, waited: Duration) {
        let bound = Duration::from_nanos(self.bound.load(Ordering::Relaxed));
        let limit =
            if waited <= bound + WAKING { (self.learnt() * 2).max(bound / 4).min(bound) } else { self.learnt() / 2 };
        if self.sleeps.load(Ordering::Relaxed) < YOUTH {
            self.sleeps.fetch_add(1, Ordering::Relaxed);
        }
        self.limit.store(if limit < LEAST { 0 } else { nanos(limit) }, Ordering::Relaxed);
    }
}

/// How long the sleeps of one wait last at most, before the host is asked whether there is anything that did not end them.
///
/// A signal that comes after the host looked and before the thread sleeps does not end the sleep, nor does one that another thread
/// was chosen for.  The sleeps grow, so that a long wait costs nothing: what was missed is found before the wait is twice as long.
#[derive(Debug)]
pub(super) struct Naps {
    next: Duration,
}

impl Naps {
    /// From the shortest one on.
    pub(super) fn new() -> Self {
        Self { next: Duration::from_millis(10) }
    }

    /// When the one that begins now is over.
    pub(super) fn begin(&mut self) -> Option<Instant> {
        let nap = self.next;
        self.next = nap.saturating_mul(2);
        Instant::now().checked_add(nap)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_micros(40);

    #[test]
    fn long_waits_are_not_looked_at_and_short_ones_are_again() {
        let patience = Patience::new(BOUND);
        patience.set_bound(BOUND);
        assert_eq!(patience.limit(), BOUND);
        for _ in 0..10 {
            patience.slept(Duration::from_secs(1));
        }
        assert_eq!(patience.limit(), Duration::ZERO);
        patience.slept(Duration::from_micros(60));
        assert_eq!(patience.limit(), BOUND / 4);
        for _ in 0..10 {
            patience.slept(Duration::from_micros(60));
        }
        assert_eq!(patience.limit(), BOUND);
    }

    #[test]
    fn nobody_looks_long_before_it_is_known_to_pay() {
        let patience = Patience::new(BOUND);
        for _ in 0..YOUTH {
            assert_eq!(patience.limit(), AT_FIRST);
            patience.slept(BOUND);
        }
        assert_eq!(patience.limit(), BOUND);
    }

    #[test]
    fn without_a_bound_nobody_looks() {
        let patience = Patience::new(Duration::ZERO);
        patience.slept(Duration::ZERO);
        assert_eq!(patience.limit(), Duration::ZERO);
    }
}
