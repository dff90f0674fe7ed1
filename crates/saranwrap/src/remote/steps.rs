//! A pipeline that the other side asks for: its steps, one after the other, and what is told of each.

use super::decode::Decoder;
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::host::{Serving, read_arguments};
use super::value::Value;
use crate::error::{Error, Result as LinkResult};
use crate::op::{Op, Step, Target};
use crate::wire::{Item, Writer};

/// What an answer tells of a step, by its number on the wire.
const VALUE: u64 = 0;
const RAISED: u64 = 1;
const SKIPPED: u64 = 2;

/// What a step came to, for those that name it.
#[derive(Debug, Clone)]
pub(crate) enum Promised {
    Value(Value),
    /// Nothing: this step raised, it itself or one that it depends on.
    Failed(u64),
}

/// What is told of the steps.
#[derive(Default)]
struct Told {
    outcomes: Writer,
    count: usize,
}

impl Told {
    /// The place of a step and how it went; what that says follows.
    fn begin(&mut self, place: u64, outcome: u64) {
        self.count += 1;
        self.outcomes.array(3);
        self.outcomes.u64(place);
        self.outcomes.u64(outcome);
    }
}

impl Serving<'_> {
    /// Perform the steps, and write what they came to.  None is performed where nobody waits for them any more.
    pub(crate) fn pipeline(
        &self,
        mut decoder: Decoder<'_>,
        parts: usize,
        wanted: bool,
        out: &mut Writer,
    ) -> LinkResult<()> {
        let count = parts.checked_sub(1).ok_or_else(|| Error::garbled("a pipeline without its news"))?;
        if decoder.reader.peek()? == Item::Null {
            decoder.reader.next()?;
        } else {
            decoder.news().map_err(link_error)?;
        }
        let mut told = Told::default();
        for place in 0..count as u64 {
            let promised = match Step::read(&mut decoder.reader)? {
                None => Promised::Failed(place),
                Some(step) => self.step(&step, place, wanted, &mut decoder, &mut told)?,
            };
            decoder.promises.push(promised);
        }
        if !decoder.reader.at_end() {
            return Err(Error::garbled("a message goes on after its end"));
        }
        out.array(told.count);
        out.raw(told.outcomes.as_slice());
        Ok(())
    }

    fn step(
        &self,
        step: &Step,
        place: u64,
        wanted: bool,
        decoder: &mut Decoder<'_>,
        told: &mut Told,
    ) -> LinkResult<Promised> {
        let Step { op, argc, .. } = *step;
        if matches!(op, Op::Pipeline | Op::CallAttr) {
            return Err(Error::garbled(format!("`{}` cannot be a step of a pipeline", op.name())));
        }
        let target = match step.target {
            Target::Id(id) => Ok(id),
            Target::Promise(promise) => Err(decoder.promised(promise)?),
        };
        let asked =
            read_arguments(decoder, op, target.as_ref().copied().unwrap_or_default(), argc).map_err(link_error)?;
        if asked.left > 0 {
            return Err(Error::garbled("in a pipeline each attribute is a step"));
        }
        if let Some(root) = decoder.failed.take() {
            if step.wanted || step.uses == 0 {
                told.begin(place, SKIPPED);
                told.outcomes.u64(root);
            }
            return Ok(Promised::Failed(root));
        }
        let mut written = Writer::new();
        let mut encoder = Encoder::new(self.session(), &mut written);
        let performed = match target {
            _ if !wanted => Err(Fault::raise("KeyboardInterrupt", "the call was given up before it began")),
            Ok(id) => {
                let export = self.session().exports().find(id);
                self.guarded(|| self.perform(asked, export, &mut encoder))
            }
            Err(Value::Own(own)) => self.guarded(|| self.perform_on(&own, asked, &mut encoder)),
            Err(other) => Err(Fault::raise("TypeError", format!("a Rust program does nothing with {}", other.kind()))),
        };
        self.outcome(performed, (step, place), encoder, told)
    }

    /// Note what a step came to, for those that name it and for the answer.
    fn outcome(
        &self,
        performed: Result<()>,
        (step, place): (&Step, u64),
        mut encoder: Encoder<'_>,
        told: &mut Told,
    ) -> LinkResult<Promised> {
        if let Err(fault) = performed {
            encoder.take_back(0);
            self.write_fault(fault, &mut encoder)?;
            told.begin(place, RAISED);
            told.outcomes.raw(encoder.out().as_slice());
            self.keep(encoder.kept());
            return Ok(Promised::Failed(place));
        }
        let value = Decoder::of_own(self.session(), encoder.out().as_slice()).value().map_err(link_error)?;
        if step.wanted {
            told.begin(place, VALUE);
            told.outcomes.raw(encoder.out().as_slice());
            self.keep(encoder.kept());
        } else {
            encoder.take_back(0);
        }
        Ok(Promised::Value(value))
    }
}

impl Decoder<'_> {
    /// What a step came to; of one that failed nothing is left, and `failed` tells.
    pub(crate) fn promised(&mut self, place: u64) -> LinkResult<Value> {
        match usize::try_from(place).ok().and_then(|place| self.promises.get(place)) {
            Some(Promised::Value(value)) => Ok(value.clone()),
            Some(Promised::Failed(root)) => {
                self.failed.get_or_insert(*root);
                Ok(Value::None)
            }
            None => Err(Error::garbled(format!("there is no step {place} before this one"))),
        }
    }
}

/// What cannot be read breaks the link.
pub(crate) fn link_error(fault: Fault) -> Error {
    match fault {
        Fault::Link(error) => error,
        other => Error::garbled(format!("a request cannot be read: {other}")),
    }
}
