//! Performs the steps of a pipeline, one after the other, each as if it had come alone.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use saranwrap::error::Error;
use saranwrap::link::Side;
use saranwrap::op::{Op, Request, Step, Target};
use saranwrap::wire::Writer;

use super::{Performed, PyHost, Subject, arguments, is_positional};
use crate::convert::{Decoder, Promised, has_id, report};
use crate::deadlines::Bounded;
use crate::fault::{Fault, Result};
use crate::guard;
use crate::loans::{self, Key, Turn};

/// One step, with all that it names.
struct Read<'py> {
    subject: Subject<'py>,
    args: Vec<Bound<'py, PyAny>>,
    arguments: Vec<Bound<'py, PyAny>>,
    mentioned: Vec<u64>,
    /// A step that failed, on which this one depends.
    failed: Option<usize>,
}

/// What came of one step.
enum Came<'py> {
    Done(Performed<'py>),
    Raised(PyErr),
    /// It depends on this one, which failed.
    Skipped(usize),
}

/// The answer, as far as it is written.
#[derive(Default)]
struct Outcomes {
    count: usize,
    written: Writer,
}

impl Outcomes {
    fn begin(&mut self, place: usize, told: u64) {
        self.count += 1;
        self.written.array(3);
        self.written.u64(place as u64);
        self.written.u64(told);
    }

    fn write(self, out: &mut Writer) -> Result<()> {
        out.array(self.count);
        out.raw(self.written.as_slice());
        Ok(())
    }
}

impl<'py> PyHost<'_, 'py> {
    /// Perform every step that depends on none that failed. Tell what the wanted ones came to, which ones raised, and which
    /// were not performed, unless others depend on those and nobody else does.
    pub(super) fn pipeline(
        &self,
        request: &Request,
        mut decoder: Decoder<'_, 'py>,
        key: Key,
        out: &mut Writer,
    ) -> Result<()> {
        let steps = request.argc.checked_sub(1);
        let steps = steps.ok_or_else(|| Error::garbled("a pipeline without the news that go ahead of it"))?;
        decoder.ahead()?;
        let _bounded = decoder.left.map(|left| Bounded::by(self.session.py(), left)).transpose()?;
        let mut outcomes = Outcomes::default();
        for place in 0..steps {
            let start = decoder.here();
            let Some(step) = decoder.step()? else {
                // It could not be written. Nothing names it, and nobody waits to be told of it.
                decoder.promise_is(Promised::Gone);
                continue;
            };
            let came = match self.read_step(&step, &mut decoder) {
                Ok(read) => self.perform_step(&step, read, key)?,
                Err(Fault::Python(error)) => {
                    decoder.past(start)?;
                    Came::Raised(error)
                }
                Err(broken) => return Err(broken),
            };
            let raised = matches!(came, Came::Raised(_));
            self.tell(place, &step, came, &mut decoder, key, &mut outcomes)?;
            if raised && !self.declines.get() && self.session.get().link().cancelled() {
                // The other side gave the whole pipeline up: nothing more of it is to be done.
                return outcomes.write(out);
            }
            self.part(&mut decoder, key);
        }
        decoder.at_end()?;
        outcomes.write(out)
    }

    fn read_step(&self, step: &Step, decoder: &mut Decoder<'_, 'py>) -> Result<Read<'py>> {
        let subject = match step.target {
            Target::Id(id) => Subject::Id(id),
            Target::Promise(place) => Subject::Object(decoder.promised(place)?),
        };
        let mut args = Vec::with_capacity(step.argc.min(8));
        for place in 0..step.argc {
            args.push(if is_positional(step.op, place) { decoder.positional()? } else { decoder.value()? });
        }
        if step.op == Op::CallAttr {
            // What it would not call, a later step would take for what the call returned.
            return Err(Error::garbled("in a pipeline a call of an attribute is two steps").into());
        }
        if step.op == Op::GetAttr && args.first().is_some_and(|name| name.is_instance_of::<PyTuple>()) {
            return Err(Error::garbled("in a pipeline each attribute is a step").into());
        }
        let arguments = decoder.nameable(arguments(step.op, &args));
        Ok(Read { subject, args, arguments, mentioned: decoder.mentioned_since(), failed: decoder.failed() })
    }

    fn perform_step(&self, step: &Step, read: Read<'py>, key: Key) -> Result<Came<'py>> {
        if let Some(root) = read.failed {
            return Ok(Came::Skipped(root));
        }
        let done = self.check_wanted().and_then(|()| self.check_promised(&read.subject)).and_then(|()| {
            let Read { subject, mentioned, args, .. } = &read;
            self.apply_counted(step.op, subject, args, mentioned, key)
        });
        match done {
            Ok(answer) => Ok(Came::Done(Performed { answer, arguments: read.arguments, _request: read.args })),
            Err(Fault::Python(error)) => Ok(Came::Raised(error)),
            Err(broken) => Err(broken),
        }
    }

    /// A child that is not trusted may go on with what it would have been given an id for, and with nothing else.
    fn check_promised(&self, subject: &Subject<'py>) -> Result<()> {
        match subject {
            Subject::Object(object) if self.guards() && !has_id(self.session, object)? => guard::refuse_value(object),
            _ => Ok(()),
        }
    }

    fn tell(
        &self,
        place: usize,
        step: &Step,
        came: Came<'py>,
        decoder: &mut Decoder<'_, 'py>,
        key: Key,
        outcomes: &mut Outcomes,
    ) -> Result<()> {
        match came {
            Came::Done(performed) => {
                if step.wanted {
                    self.tell_value(place, &performed, key, outcomes)?;
                }
                let object = performed.answer.object().filter(|_| step.uses > 0);
                decoder.promise_is(object.map_or(Promised::Gone, |object| Promised::Object(object.clone(), step.uses)));
            }
            Came::Raised(error) => {
                self.tell_raised(place, error, key, outcomes)?;
                decoder.promise_is(Promised::Failed(place));
            }
            Came::Skipped(root) => {
                if step.wanted || step.uses == 0 {
                    outcomes.begin(place, report::SKIPPED);
                    outcomes.written.u64(root as u64);
                }
                decoder.promise_is(Promised::Failed(root));
            }
        }
        Ok(())
    }

    /// A value that cannot be sent is told as the exception that says why; it is there all the same for later steps.
    fn tell_value(&self, place: usize, performed: &Performed<'py>, key: Key, outcomes: &mut Outcomes) -> Result<()> {
        let start = outcomes.written.len();
        outcomes.begin(place, report::VALUE);
        match self.answer(performed, key, &mut outcomes.written, &|_| Ok(())) {
            Err(Fault::Python(error)) => {
                outcomes.written.truncate(start);
                outcomes.count -= 1;
                self.tell_raised(place, error, key, outcomes)
            }
            result => result,
        }
    }

    fn tell_raised(&self, place: usize, error: PyErr, key: Key, outcomes: &mut Outcomes) -> Result<()> {
        outcomes.begin(place, report::RAISED);
        Ok(self.raised(error, key, &mut outcomes.written, &|_| Ok(()))?)
    }

    /// A step is a call of its own: what it kept of what the parent lent has parted from what later steps are given.
    fn part(&self, decoder: &mut Decoder<'_, 'py>, key: Key) {
        if self.session.get().side() == Side::Child && loans::turn(key) == Turn::Last {
            // Where items of a lent set can no longer be hashed there is no other twin; the one that is there stays.
            let replaced = loans::part(key, self.session.py()).unwrap_or_default();
            decoder.part(&replaced);
        }
    }
}
