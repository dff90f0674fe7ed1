//! Calls on their way for which no thread waits: one thread for each child takes their answers, and ends those that are not wanted any
//! more.  It is started with the first such call, and ends with the link.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::decode::Decoder;
use super::fault::{Fault, Result};
use super::freight::{Kept, Lasting};
use super::host::Serving;
use super::shared::{Shared, Wait, lock};
use super::value::Value;
use crate::child::Stage;
use crate::error::{Error, Kind, Result as LinkResult};
use crate::host::{GivenUp, Outcome};
use crate::link::Front;
use crate::op::Op;
use crate::sys::fd::{PollFd, PollFlags, poll};

/// Where an answer is put for whoever awaits it.
#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    answer: Option<Result<Value>>,
    waker: Option<Waker>,
    /// Nobody will ask any more.
    forsaken: bool,
}

impl Slot {
    pub(crate) fn put(&self, answer: Result<Value>) {
        let waker = {
            let mut waiting = lock(&self.0);
            waiting.answer = Some(answer);
            waiting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The answer, if it is here; otherwise who is to be woken.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Result<Value>> {
        let mut waiting = lock(&self.0);
        match waiting.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                waiting.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Nobody awaits it any more; what came already is dropped where no lock is held.
    fn forsake(&self) {
        let before = {
            let mut waiting = lock(&self.0);
            waiting.forsaken = true;
            (waiting.answer.take(), waiting.waker.take())
        };
        drop(before);
    }

    fn is_forsaken(&self) -> bool {
        lock(&self.0).forsaken
    }
}

/// A request that is on its way, or about to be.
pub(crate) struct Flight {
    pub(crate) op: Op,
    pub(crate) body: Vec<u8>,
    pub(crate) wait: Wait,
    /// Ids to take back when the answer is here: see [`Encoder::hold`](super::Encoder).
    pub(crate) held: Vec<(u64, u64)>,
    /// What it names: see [`Encoder`](super::Encoder).
    pub(crate) kept: Vec<Kept>,
    pub(crate) lasting: Option<Lasting>,
    pub(crate) slot: Arc<Slot>,
}

/// A call that was given up, on the way to its end.
struct Ending {
    since: Instant,
    why: Error,
    stage: Stage,
    due: Instant,
}

impl Ending {
    fn is_late(&self) -> bool {
        self.why.kind() == Kind::TimedOut
    }
}

struct Flying {
    flight: Flight,
    chain: Option<u64>,
    ending: Option<Ending>,
}

impl Flying {
    /// Tell that nobody waits for it any more.
    fn give_up(self, session: &Shared, died: bool) {
        let story = self.ending.map(|ending| session.story(ending.stage, died)).unwrap_or_default();
        self.flight.slot.put(Err(session.late(&self.flight.wait, &self.flight.body, &story).into()));
    }
}

/// What the thread and those who ask share.
pub(crate) struct Courier {
    front: Front,
    flying: Mutex<Flights>,
}

#[derive(Default)]
struct Flights {
    by_id: HashMap<u64, Flying>,
    /// Answered before they were noted here.
    early: Vec<u64>,
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Courier")
    }
}

impl Courier {
    /// Somebody has let go of what they awaited.
    pub(crate) fn forsake(&self, slot: &Slot) {
        slot.forsake();
        self.front.ring();
    }

    /// When something is due though nothing comes.
    fn next_due(&self) -> Option<Instant> {
        let due = |flying: &Flying| match &flying.ending {
            Some(ending) => Some(ending.due),
            None => flying.flight.wait.until,
        };
        lock(&self.flying).by_id.values().filter_map(due).min()
    }

    /// One round: move what has come, take answers, serve what is asked meanwhile, end what is to end.
    fn round(&self, session: &Arc<Shared>) -> LinkResult<()> {
        let link = &session.link;
        let pumped = link.pump_for(&self.front);
        while let Some(id) = link.answered(&self.front) {
            let flying = {
                let mut flights = lock(&self.flying);
                let flying = flights.by_id.remove(&id);
                if flying.is_none() {
                    flights.early.push(id);
                }
                flying
            };
            if let Some(flying) = flying {
                self.land(session, id, flying);
            }
        }
        pumped?;
        let host = Serving::new(session);
        while let Some(taken) = link.take(&host, &self.front)? {
            link.serve_taken(&host, &self.front, &taken)?;
        }
        self.end_some(session);
        Ok(())
    }

    /// An answer is here.
    fn land(&self, session: &Arc<Shared>, id: u64, flying: Flying) {
        let Flying { mut flight, chain, ending } = flying;
        if let Some(chain) = chain {
            session.link.end_chain(chain);
        }
        let answer = match session.link.finish(id) {
            Ok(Some(answer)) => answer,
            // It was given up, and whoever did that has told.
            Ok(None) => return,
            Err(error) => return flight.slot.put(Err(session.broken(error).into())),
        };
        let mut decoder = Decoder::answering(session, &answer.body, &flight.body);
        let read = match answer.outcome {
            Outcome::Answered => decoder.answer(flight.op).map_err(|fault| session.broken_by(fault)),
            Outcome::Raised => session.raised(&mut decoder).and_then(|raised| Err(Fault::Raised(Box::new(raised)))),
        };
        let outcome = answer.outcome;
        drop(answer);
        if let Some(ending) = ending.filter(Ending::is_late) {
            drop(session.take_back(&flight.held));
            let story = session.story(ending.stage.ended(outcome), false);
            return flight.slot.put(Err(session.late(&flight.wait, &flight.body, &story).into()));
        }
        match read {
            Ok((callable, true)) => {
                // What was held for a second request belongs to that now.
                flight.held.clear();
                session.fly_uncalled(flight, &callable);
            }
            other => {
                drop(session.take_back(&flight.held));
                flight.slot.put(other.map(|(value, _)| value));
            }
        }
    }

    /// Give up what is late or not wanted, and see what was given up through to its end.
    fn end_some(&self, session: &Arc<Shared>) {
        let now = Instant::now();
        let mut over = Vec::new();
        let mut flights = lock(&self.flying);
        for (&id, flying) in &mut flights.by_id {
            let late = flying.flight.wait.until.is_some_and(|until| until <= now);
            if flying.ending.is_none() && (late || flying.flight.slot.is_forsaken()) {
                let kind = if late { Kind::TimedOut } else { Kind::Interrupted };
                let why = Error::new(kind, "nobody waits for the answer any more");
                flying.ending = Some(Ending { since: now, why, stage: Stage::default(), due: now });
                session.link.cancel(id);
            }
            if let Some(ending) = flying.ending.as_mut().filter(|ending| ending.due <= now) {
                let is_behind = session.link.is_behind(id);
                let call = GivenUp { why: &ending.why, since: ending.since, is_behind };
                match session.push(&mut ending.stage, &call) {
                    Some(due) => ending.due = due,
                    None => over.push(id),
                }
            }
        }
        let gone: Vec<_> = over.into_iter().filter_map(|id| flights.by_id.remove_entry(&id)).collect();
        drop(flights);
        for (id, flying) in gone {
            session.link.abandon(id);
            flying.give_up(session, false);
        }
    }

    /// The link has ended: all that is on its way comes to this.
    fn end_all(&self, session: &Arc<Shared>, error: &Error) {
        let flying = std::mem::take(&mut lock(&self.flying).by_id);
        if flying.is_empty() {
            return;
        }
        let error = session.broken(error.clone());
        for (_, flying) in flying {
            match &flying.ending {
                Some(ending) if ending.is_late() => flying.give_up(session, true),
                _ => flying.flight.slot.put(Err(error.clone().into())),
            }
        }
    }

    fn run(self: Arc<Self>, session: &Weak<Shared>) {
        loop {
            let Some(shared) = session.upgrade() else { return };
            if let Err(error) = self.round(&shared) {
                return self.end_all(&shared, &error);
            }
            drop(shared);
            // What fails here fails in the next round as well, which tells.
            let _ = poll(&mut [PollFd::new(&self.front, PollFlags::IN)], self.next_due());
        }
    }
}

impl Shared {
    /// The one who takes the answers; started now, if nobody has asked so before.
    pub(crate) fn courier(self: &Arc<Self>) -> LinkResult<Arc<Courier>> {
        let mut courier = lock(&self.courier);
        if let Some(courier) = &*courier {
            return Ok(Arc::clone(courier));
        }
        let new = Arc::new(Courier { front: self.link.front()?, flying: Mutex::default() });
        let (thread, session) = (Arc::clone(&new), Arc::downgrade(self));
        let builder = std::thread::Builder::new().name("saranwrap-answers".to_owned());
        let started = builder.spawn(move || thread.run(&session));
        started.map_err(|error| Error::os("could not start the thread that takes answers", error))?;
        *courier = Some(Arc::clone(&new));
        Ok(new)
    }

    /// Whoever awaited this has let go of it.
    pub(crate) fn forsake(&self, slot: &Slot) {
        let courier = lock(&self.courier).clone();
        if let Some(courier) = courier {
            courier.forsake(slot);
        }
    }

    /// Send a request whose answer goes to its slot.
    pub(crate) fn fly(self: &Arc<Self>, flight: Flight) {
        let slot = Arc::clone(&flight.slot);
        if let Err(error) = self.begin_flight(flight) {
            slot.put(Err(self.broken(error).into()));
        }
    }

    fn begin_flight(self: &Arc<Self>, mut flight: Flight) -> LinkResult<()> {
        let courier = self.courier()?;
        // A call that is made while another one is served belongs to that one's conversation.
        let chain = self.link.chain().unwrap_or_else(|| self.link.new_chain());
        let (id, begins) = self.link.begin(&Serving::new(self), &courier.front, chain, &flight.body)?;
        drop(std::mem::take(&mut flight.kept));
        let flying = Flying { flight, chain: begins.then_some(chain), ending: None };
        let has_limit = flying.flight.wait.until.is_some();
        let landed = {
            let mut flights = lock(&courier.flying);
            match flights.early.iter().position(|&early| early == id) {
                Some(place) => {
                    flights.early.swap_remove(place);
                    Some(flying)
                }
                None => {
                    flights.by_id.insert(id, flying);
                    None
                }
            }
        };
        match landed {
            Some(flying) => courier.land(self, id, flying),
            // The thread may have gone to sleep without knowing of this limit; and the link may have ended meanwhile, of which it
            // tells those that it finds.
            None if has_limit || self.link.error().is_some() => courier.front.ring(),
            None => {}
        }
        if let Some(error) = self.link.error() {
            courier.end_all(self, &error);
        }
        Ok(())
    }

    /// The attribute is for this side to call, with the same arguments.
    fn fly_uncalled(self: &Arc<Self>, mut flight: Flight, callable: &Value) {
        match Self::request_of_uncalled(callable, &flight.body) {
            Ok(body) => {
                flight.lasting.iter().for_each(Lasting::give_again);
                flight.op = Op::Call;
                flight.body = body;
                self.fly(flight);
            }
            Err(fault) => flight.slot.put(Err(fault)),
        }
    }
}
