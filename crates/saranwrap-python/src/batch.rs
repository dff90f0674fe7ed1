//! The recorded steps on their way: written as one message, and what comes back, put down to each.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use saranwrap::error::Error;
use saranwrap::op::{Op, Request, Step, Target};
use saranwrap::wire::MAX_DEPTH;

use crate::asking::News;
use crate::convert::{Decoder, Encoder, Report};
use crate::fault::{Fault, Result, named};
use crate::names;
use crate::promise::{Args, Failure, Outcome, Pipeline, Promise, Recorded, refusal};
use crate::session::Session;

/// So many steps back the words for a step go.
const WORDS: usize = 8;

/// The recorded steps on their way.
struct Batch<'py> {
    pipeline: Bound<'py, Pipeline>,
    steps: Vec<Recorded>,
    /// The place of the first.
    first: u64,
    /// Which ones somebody holds the promises of.
    wanted: Vec<bool>,
}

/// Send what is recorded so far, and give the promises what it came to.
pub(crate) fn send(pipeline: &Bound<'_, Pipeline>) -> PyResult<()> {
    let py = pipeline.py();
    let (steps, first) = {
        let mut state = pipeline.get().lock();
        let first = state.first;
        state.first += state.steps.len() as u64;
        (std::mem::take(&mut state.steps), first)
    };
    let wanted = wanted(&steps, py);
    let batch = Batch { pipeline: pipeline.clone(), steps, first, wanted };
    let given: Vec<Vec<Bound<'_, PyAny>>> = batch.steps.iter().map(|step| step.given(py)).collect();
    let session = pipeline.get().session.bind(py);
    let told =
        Session::converse(session, |encoder, news| batch.write(encoder, news), |decoder| batch.read(decoder, &given));
    match told {
        Ok(told) => batch.keep(told),
        Err(error) => {
            let failure = Failure::new(error.value(py).as_any())?;
            failure.get().seen.store(true, Ordering::Relaxed);
            batch.steps.iter().for_each(|step| step.promise.get().keep(Outcome::Failed(failure.clone().unbind())));
            Err(error)
        }
    }
}

/// Which promises are held by others than the steps themselves.
#[expect(deprecated, reason = "its successor is unsafe; counts are only compared with each other")]
fn wanted(steps: &[Recorded], py: Python<'_>) -> Vec<bool> {
    // A tuple of arguments that the caller holds as well leads to the promises in it.
    let mut shared = HashMap::new();
    if steps.iter().any(|step| step.lent > 0) {
        for promise in steps.iter().flat_map(|step| step.args.shared_promises(py)) {
            *shared.entry(promise.as_ptr() as usize).or_insert(0) += 1;
        }
    }
    let held = |step: &Recorded| {
        let others = step.promise.get_refcnt(py) - 1;
        let lent = step.lent as isize - shared.get(&(step.promise.as_ptr() as usize)).copied().unwrap_or(0);
        others > lent
    };
    steps.iter().map(held).collect()
}

impl Recorded {
    /// The arguments as the other side counts them: an answer may name one.
    fn given<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        let given = match &self.args {
            Args::Call(args, kwargs) => {
                let mut given: Vec<_> = args.bind(py).iter().collect();
                given.extend(kwargs.iter().flat_map(|kwargs| kwargs.bind(py).values()));
                given
            }
            Args::Operator(_, args) => args.bind(py).iter().collect(),
            _ => Vec::new(),
        };
        if self.completes { given.into_iter().map(|arg| completed(arg, 0)).collect() } else { given }
    }
}

impl Args {
    pub(crate) fn count(&self) -> usize {
        if matches!(self, Self::One(_)) { 1 } else { 2 }
    }

    pub(crate) fn write<'py>(&self, encoder: &mut Encoder<'_, 'py>, py: Python<'py>) -> Result<()> {
        match self {
            Self::One(first) => encoder.value(first.bind(py)),
            Self::Two(first, second) => encoder.value(first.bind(py)).and_then(|()| encoder.value(second.bind(py))),
            Self::Call(args, kwargs) => {
                encoder.positional(&args.bind(py).iter().collect::<Vec<_>>())?;
                encoder.kwargs(kwargs.as_ref().map(|kwargs| kwargs.bind(py)))
            }
            Self::Operator(name, args) => {
                encoder.value(name.bind(py))?;
                encoder.positional(&args.bind(py).iter().collect::<Vec<_>>())
            }
        }
    }

    /// The promises in a tuple of arguments that somebody else holds, too.
    #[expect(deprecated, reason = "its successor is unsafe; counts are only compared with each other")]
    fn shared_promises<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        match self {
            Self::Call(args, _) | Self::Operator(_, args) if args.get_refcnt(py) > 1 => {
                args.bind(py).iter().filter(|arg| arg.is_exact_instance_of::<Promise>()).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What was sent for an argument: a promise whose value was here went as that, also inside of a tuple.
fn completed(argument: Bound<'_, PyAny>, depth: usize) -> Bound<'_, PyAny> {
    let py = argument.py();
    if let Ok(promise) = argument.cast_exact::<Promise>() {
        return match promise.get().outcome() {
            Some(Outcome::Value(value)) => value.bind(py).clone(),
            _ => argument,
        };
    }
    let Ok(tuple) = argument.cast_exact::<PyTuple>() else { return argument };
    if depth >= MAX_DEPTH {
        return argument;
    }
    let items: Vec<_> = tuple.iter().map(|item| completed(item, depth + 1)).collect();
    if items.iter().zip(tuple).all(|(new, old)| new.is(&old)) {
        return argument;
    }
    PyTuple::new(py, items).map_or(argument, Bound::into_any)
}

impl<'py> Batch<'py> {
    fn write(&self, encoder: &mut Encoder<'_, 'py>, news: &News<'_, 'py>) -> Result<()> {
        Request { op: Op::Pipeline, target: 0, argc: 1 + self.steps.len() }.write(encoder.out());
        let (changes, modules) = news.told()?;
        encoder.ahead(changes, &modules, news.left())?;
        for (index, step) in self.steps.iter().enumerate() {
            encoder.at_step(&self.pipeline, self.first, self.first + index as u64);
            let mark = encoder.mark();
            let Err(fault) = self.write_step(index, step, encoder) else { continue };
            let Fault::Python(error) = fault else { return Err(fault) };
            // An argument that cannot be sent concerns its own step: null stands in its place, so that the others keep theirs.
            encoder.back_to(&mark);
            encoder.out().null();
            self.fail(index, error.value(self.pipeline.py()).as_any())?;
        }
        Ok(())
    }

    fn write_step(&self, index: usize, step: &Recorded, encoder: &mut Encoder<'_, 'py>) -> Result<()> {
        let py = self.pipeline.py();
        let target = match step.target {
            Target::Promise(place) => Target::Promise(self.sent(place)?),
            id @ Target::Id(_) => id,
        };
        if let Some(changed) = step.snapshots.iter().find(|snapshot| !snapshot.is_current(py)) {
            let kind = changed.object(py).get_type().name()?;
            let words = self.words(index);
            let message = format!(
                "a {kind} given to {words} was changed before the step was sent, which would not see what it was given: \
                 call saranwrap.flush before the change, or give a copy"
            );
            return Err(named(py, &names::NOT_TRANSPARENT, &message).into());
        }
        let (uses, wanted) = (step.uses, self.wanted[index]);
        Step { uses, wanted, op: step.op, target, argc: step.args.count() }.write(encoder.out());
        step.args.write(encoder, py)
    }

    /// The place of an earlier step in this message; its failure, if it could not be written.
    fn sent(&self, place: u64) -> Result<u64> {
        let py = self.pipeline.py();
        let index = place.wrapping_sub(self.first);
        let step = usize::try_from(index).ok().and_then(|index| self.steps.get(index));
        match step.map(|step| step.promise.get().outcome()) {
            Some(None) => Ok(index),
            Some(Some(Outcome::Failed(failure))) => Err(PyErr::from_value(failure.get().error.bind(py).clone()).into()),
            _ => Err(refusal(py, "is on its way just now, so nothing can be done with it").into()),
        }
    }

    /// A step failed here, and so do those that depend on it: they find the same exception, and the same failure.
    fn fail(&self, index: usize, error: &Bound<'py, PyAny>) -> PyResult<()> {
        let same = self.steps[..index].iter().find_map(|step| match step.promise.get().outcome() {
            Some(Outcome::Failed(failure)) if failure.get().error.is(error) => Some(failure.clone_ref(error.py())),
            _ => None,
        });
        let failure = match same {
            Some(failure) => failure,
            None => Failure::new(error)?.unbind(),
        };
        self.steps[index].promise.get().keep(Outcome::Failed(failure));
        Ok(())
    }

    /// Take the answer apart, and check that it tells what was asked.
    fn read<'a>(
        &self,
        mut decoder: Decoder<'a, 'py>,
        given: &'a [Vec<Bound<'py, PyAny>>],
    ) -> Result<Vec<(usize, Report<'py>)>> {
        let mut told = Vec::new();
        let mut failed = vec![false; self.steps.len()];
        let mut next = 0;
        for _ in 0..decoder.told_count()? {
            let (index, one) = decoder.told(given)?;
            let missed = (next..index).find(|&index| self.awaits(index));
            let wrong = match one {
                Report::Skipped(root) => !failed[root],
                _ => self.steps[index].promise.get().outcome().is_some(),
            };
            if index < next || missed.is_some() || wrong {
                return Err(Error::garbled(format!("the answer tells of step {index} what cannot be")).into());
            }
            failed[index] = !matches!(one, Report::Value(_) | Report::Skipped(_));
            next = index + 1;
            told.push((index, one));
        }
        if let Some(missed) = (next..self.steps.len()).find(|&index| self.awaits(index)) {
            return Err(Error::garbled(format!("the answer does not tell of step {missed}")).into());
        }
        decoder.trailer()?;
        Ok(told)
    }

    /// Whether somebody holds the promise of this step, which was sent.
    fn awaits(&self, index: usize) -> bool {
        self.wanted[index] && self.steps[index].promise.get().outcome().is_none()
    }

    /// Give the promises what their steps came to.
    fn keep(&self, told: Vec<(usize, Report<'py>)>) -> PyResult<()> {
        for (index, told) in told {
            let promise = self.steps[index].promise.get();
            match told {
                Report::Value(value) => promise.keep(Outcome::Value(value.unbind())),
                Report::Raised(error) => {
                    self.fail(index, PyErr::from_value(error).value(self.pipeline.py()).as_any())?
                }
                Report::Unreadable(error) => self.fail(index, error.value(self.pipeline.py()).as_any())?,
                Report::Skipped(root) => {
                    if let Some(Outcome::Failed(failure)) = self.steps[root].promise.get().outcome() {
                        promise.keep(Outcome::Failed(failure.clone_ref(self.pipeline.py())));
                    }
                }
            }
        }
        self.note_unheld();
        Ok(())
    }

    /// What surfaces at the end of the block: the failures of steps that nobody holds and no other step goes on from.
    fn note_unheld(&self) {
        let py = self.pipeline.py();
        let mut unheld: Vec<(Py<Failure>, String)> = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let Some(Outcome::Failed(failure)) = step.promise.get().outcome() else { continue };
            let known = unheld.iter().any(|(other, _)| other.is(failure));
            if step.uses == 0 && !self.wanted[index] && !known {
                unheld.push((failure.clone_ref(py), self.words(self.root(index, failure))));
            }
        }
        self.pipeline.get().lock().unheld.extend(unheld);
    }

    /// The first step that failed like this one.
    fn root(&self, index: usize, failure: &Py<Failure>) -> usize {
        let same =
            |step: &Recorded| matches!(step.promise.get().outcome(), Some(Outcome::Failed(other)) if other.is(failure));
        self.steps.iter().position(same).unwrap_or(index)
    }

    /// A step as it was written down, near enough.
    fn words(&self, index: usize) -> String {
        let (mut parts, mut at) = (Vec::new(), Some(index));
        while let Some(index) = at {
            let step = &self.steps[index];
            parts.push(step.args.words(step.op, self.pipeline.py()));
            at = match step.target {
                Target::Promise(place) if parts.len() < WORDS => usize::try_from(place - self.first).ok(),
                Target::Promise(_) => {
                    parts.push("...".to_owned());
                    None
                }
                Target::Id(_) => None,
            };
        }
        parts.reverse();
        format!("`{}`", parts.concat())
    }
}

impl Args {
    fn words(&self, op: Op, py: Python<'_>) -> String {
        let name = match self {
            Self::One(first) | Self::Two(first, _) | Self::Operator(first, _) => first.bind(py).clone(),
            Self::Call(args, _) => args.bind(py).clone().into_any(),
        };
        let name = name.cast::<PyString>().map(|name| name.to_string()).unwrap_or_default();
        match op {
            Op::GetAttr => format!(".{name}"),
            Op::SetAttr => format!(".{name} = ..."),
            Op::DelAttr => format!("del .{name}"),
            Op::GetItem => "[...]".to_owned(),
            Op::SetItem => "[...] = ...".to_owned(),
            Op::DelItem => "del [...]".to_owned(),
            Op::Operate => format!(".{name}(...)"),
            _ => "(...)".to_owned(),
        }
    }
}
