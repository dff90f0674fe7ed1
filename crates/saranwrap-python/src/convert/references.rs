//! Python object -> wire: what crosses by reference, by name, by its parts or by pickle.

use std::sync::atomic::Ordering;

use pyo3::exceptions::{PyBaseException, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyFunction, PyNotImplemented, PyTraceback, PyTuple, PyType};
use saranwrap::link::Side;
use saranwrap::wire::tag;

use super::encode::{Encoder, Mode, Steps, is_immutable};
use crate::fault::{Fault, Result, named};
use crate::kinds::{self, route};
use crate::loans;
use crate::names;
use crate::promise::{Outcome, Promise, refusal};
use crate::proxy::{Proxy, Ref, Val};
use crate::session::Session;

/// Where an exception is met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Raised,
    Object,
}

/// Whether a callable is the asker's own, or one that the asker has under its name: not to be called on this side.
pub(crate) fn is_for_asker(session: &Bound<'_, Session>, callable: &Bound<'_, PyAny>) -> Result<bool> {
    let py = callable.py();
    let is_named = || Ok::<_, Fault>(!names::NAME_OF.get(py)?.call1((session, callable))?.is_none());
    if let Ok(proxy) = callable.cast::<Proxy>() {
        return Ok(proxy.get().stand.spot().session.is(session));
    }
    if let Ok(class) = callable.cast::<PyType>() {
        // Of exceptions and enums the asker may have the very class.
        let local =
            class.is_subclass_of::<PyBaseException>()? || names::IS_ENUM.get(py)?.call1((class,))?.is_truthy()?;
        return Ok(local || session.get().mirrored(callable).is_some() || is_named()?);
    }
    let plain = callable.is_exact_instance_of::<PyFunction>() || callable.get_type().is(names::METHOD.get(py)?);
    if plain && session.get().side() == Side::Child {
        return Ok(false);
    }
    match kinds::route(session, callable)? {
        // What was derived on the other side may be called there.
        route::REFERENCE if session.get().side() == Side::Child => Ok(!kinds::kind(session, callable)?.is_asked_here),
        route::REFERENCE | route::FRAME => Ok(false),
        // In a child only what came by name goes back by it.
        route::NAMED if session.get().side() == Side::Child => Ok(session.get().was_named(callable)? && is_named()?),
        route::NAMED => is_named(),
        _ => Ok(true),
    }
}

impl Steps<'_> {
    fn knows(&self, promise: &Bound<'_, Promise>) -> bool {
        let promise = promise.get();
        promise.pipeline.is(&self.pipeline) && (self.first..self.place).contains(&promise.place())
    }
}

/// Whether the other side would be given an id for this object, with which to ask for more of it. What crosses by value or
/// by name is the other side's own from then on.
pub(crate) fn has_id(session: &Bound<'_, Session>, object: &Bound<'_, PyAny>) -> Result<bool> {
    let py = object.py();
    if let Ok(proxy) = object.cast::<Proxy>() {
        return Ok(!proxy.get().stand.spot().session.is(session));
    }
    if object.is_instance_of::<PyType>() {
        let ours = session.get().mirrored(object).is_none();
        return Ok(ours && names::NAME_OF.get(py)?.call1((session, object))?.is_none());
    }
    let by_value = is_immutable(session, object)?
        || loans::is_lendable(object)
        || object.is_none()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_exact_instance_of::<PyEllipsis>()
        || object.is_exact_instance_of::<PyNotImplemented>()
        || object.is_exact_instance_of::<PyTraceback>()
        || kinds::kind(session, object)?.is_remote;
    if by_value {
        return Ok(false);
    }
    Ok(match kinds::route(session, object)? {
        route::KNOWN => object.get_type().get_type().hasattr("_member_map_")?,
        route::NAMED => names::NAME_OF.get(py)?.call1((session, object))?.is_none(),
        route::BY_VALUE | route::PICKLE | route::ARROW => false,
        _ => true,
    })
}

impl<'py> Encoder<'_, 'py> {
    /// In place of what a call returned: what is to be called by the asker.
    pub(crate) fn uncalled(&mut self, callable: &Bound<'py, PyAny>) -> Result<()> {
        self.out.tag(tag::UNCALLED);
        self.value(callable)
    }

    /// An object by reference whatever it is: the root that a user wrapped.
    pub(crate) fn reference(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if object.is_instance_of::<PyType>() {
            return self.class_by_number(object);
        }
        if kinds::kind(self.session, object)?.has_value {
            return self.valued(object);
        }
        let foreseen = self.foreseen(&object.get_type())?;
        let (id, class) = self.give(object);
        self.out.tag(tag::MINE);
        self.out.array(2 + usize::from(foreseen.is_some()));
        self.out.u64(id);
        self.out.u64(class);
        foreseen.map_or(Ok(()), |description| self.value(&description))
    }

    /// What was described ahead of a class, if the other side has not met that yet and hears of it with the first that it meets. It
    /// would ask next.
    fn foreseen(&self, class: &Bound<'py, PyType>) -> Result<Option<Bound<'py, PyAny>>> {
        let session = self.session.get();
        if !session.foretells.load(Ordering::Relaxed) || session.exports().has_pinned(class) {
            return Ok(None);
        }
        let description = names::FORESEEN.get(class.py())?.call1((class,))?;
        Ok((!description.is_none()).then_some(description))
    }

    /// An instance of a subclass of an immutable built-in: by reference, with the value that it has as one.
    pub(super) fn valued(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let value = names::PLAIN_VALUE.get(object.py())?.call1((object,))?;
        let (id, class) = self.give(object);
        self.out.tag(tag::VALUED);
        self.out.array(3);
        self.out.u64(id);
        self.out.u64(class);
        self.value(&value)
    }

    /// The stand-in for one of those: it goes home as the object itself.
    pub(super) fn valued_proxy(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let handle = names::HANDLE.get(object.py())?.call1((object,))?;
        match handle.cast::<Proxy>() {
            Ok(proxy) if proxy.get().stand.spot().session.is(self.session) => self.proxy(&handle, proxy),
            _ => self.valued(object),
        }
    }

    pub(super) fn give(&mut self, object: &Bound<'py, PyAny>) -> (u64, u64) {
        let class = object.get_type().into_any();
        let given = {
            let mut exports = self.session.get().exports();
            (exports.give(object), exports.pin(&class))
        };
        self.given.push(given.0);
        given
    }

    pub(super) fn proxy(&mut self, object: &Bound<'py, PyAny>, proxy: &Bound<'py, Proxy>) -> Result<()> {
        let place = proxy.get().stand.spot();
        if !place.session.is(self.session) {
            // A proxy of another child is an object of this process like any other.
            return self.reference(object);
        }
        self.out.tag(tag::THEIRS);
        self.out.u64(place.id);
        Ok(())
    }

    pub(super) fn class(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let session = self.session.get();
        if let Some(id) = session.mirrored(object) {
            self.out.tag(tag::THEIRS);
            self.out.u64(id);
            return Ok(());
        }
        if self.named(object)? {
            return Ok(());
        }
        match self.mode {
            Mode::Copy { trusted } => self.copied(object, trusted),
            _ => self.class_by_number(object),
        }
    }

    /// A class by reference even where both sides have it under its name: one that the user wrapped.
    fn class_by_number(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let foreseen = object.cast::<PyType>().map_or(Ok(None), |class| self.foreseen(class))?;
        let id = self.session.get().exports().pin(object);
        self.out.tag(tag::CLASS);
        if foreseen.is_some() {
            self.out.array(2);
        }
        self.out.u64(id);
        foreseen.map_or(Ok(()), |description| self.value(&description))
    }

    /// A class or function that the other side has under the same name.
    pub(super) fn named(&mut self, object: &Bound<'py, PyAny>) -> Result<bool> {
        let name = names::NAME_OF.get(object.py())?.call1((self.session, object))?;
        if name.is_none() {
            return Ok(false);
        }
        let (module, qualname): (String, String) = name.extract()?;
        self.out.tag(tag::NAMED);
        self.out.array(2);
        self.out.text(&module);
        self.out.text(&qualname);
        Ok(true)
    }

    pub(super) fn other(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if let Ok(wrapper) = object.cast_exact::<Ref>() {
            return self.reference(wrapper.get().object.bind(object.py()));
        }
        if let Ok(wrapper) = object.cast_exact::<Val>() {
            return self.by_value(wrapper.get().object.bind(object.py()));
        }
        if let Ok(promise) = object.cast_exact::<Promise>() {
            return self.promise(promise);
        }
        let py = object.py();
        if let Ok(traceback) = object.cast_exact::<PyTraceback>() {
            self.out.tag(tag::TRACEBACK);
            let frames = names::TRACEBACK_FRAMES.get(py)?.call1((traceback,))?;
            return self.value(&frames);
        }
        match kinds::route(self.session, object)? {
            route::KNOWN => self.known(object),
            route::NAMED if self.named(object)? => Ok(()),
            route::VALUED if self.mode == Mode::Normal => self.valued(object),
            route::BY_VALUE if self.session.get().side() == Side::Parent => self.pickled(object, true),
            route::PICKLE if self.session.get().side() == Side::Parent => self.pickled(object, false),
            route::ARROW if self.lends_arrays() => self.arrow(object),
            route::FRAME if self.mode == (Mode::Copy { trusted: false }) => self.arrow(object),
            _ => match self.mode {
                Mode::Normal | Mode::Shallow => self.reference(object),
                Mode::Copy { trusted } => self.copied(object, trusted),
            },
        }
    }

    /// A promise among the arguments of a step: the step that it stands for, or what that came to.
    fn promise(&mut self, promise: &Bound<'py, Promise>) -> Result<()> {
        let py = promise.py();
        match (promise.get().outcome(), &self.steps) {
            (Some(Outcome::Failed(failure)), Some(_)) => {
                Err(PyErr::from_value(failure.get().error.bind(py).clone()).into())
            }
            (Some(Outcome::Value(value)), Some(_)) => self.value(value.bind(py)),
            (None, Some(steps)) if steps.knows(promise) => {
                self.out.tag(tag::PROMISE);
                self.out.u64(promise.get().place() - steps.first);
                Ok(())
            }
            _ => Err(refusal(
                py,
                "is no value: only a step of its own pipeline takes it; saranwrap.result gives the value",
            )
            .into()),
        }
    }

    /// `val(x)`: by value whatever the table says.
    fn by_value(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if self.session.get().side() == Side::Child {
            return self.value(object);
        }
        self.pickled(object, true)
    }

    /// A standard value type: its kind, the parts it is made of, and itself by reference where the other side may lack it.
    fn known(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let parts = names::KNOWN_ENCODE.get(object.py())?.call1((object,))?;
        if parts.is_none() {
            return self.reference(object);
        }
        let parts = parts.cast_into::<PyTuple>()?;
        self.out.tag(tag::KNOWN);
        self.out.array(parts.len());
        for part in &parts {
            self.value(&part)?;
        }
        Ok(())
    }

    /// Parent to child only. Its loan number makes it come home as itself. What cannot be pickled goes by reference,
    /// unless the user asked for the value.
    fn pickled(&mut self, object: &Bound<'py, PyAny>, asked: bool) -> Result<()> {
        let pickled = match names::PICKLE.get(object.py())?.call1((self.session, object)) {
            Ok(pickled) => pickled,
            Err(error) if asked => return Err(error.into()),
            Err(_) => return self.reference(object),
        };
        // What the user sent by value is a copy, and stays one; only a value that nobody can change may come home as itself.
        let number = if asked { 0 } else { loans::lend(self.key, object) };
        self.put_pickle(number, &pickled)
    }

    /// Child to parent, for `local(p)`: a pickle only if the parent said that it trusts this child.
    fn copied(&mut self, object: &Bound<'py, PyAny>, trusted: bool) -> Result<()> {
        let py = object.py();
        if !trusted {
            let kind = object.get_type().fully_qualified_name()?;
            let message = format!(
                "cannot fetch a `{kind}` by value: only plain data crosses without pickle; wrap with trust=True to allow it"
            );
            return Err(named(py, &names::NOT_TRANSPARENT, &message).into());
        }
        let pickled = names::PICKLE.get(py)?.call1((self.session, object))?;
        self.put_pickle(0, &pickled)
    }

    /// An exception: its class, what it carries, its causes and its traceback, and an id so that it can come home.
    pub(super) fn exception(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        self.exception_as(object, Origin::Object)
    }

    /// What an op raised.
    pub(crate) fn raised(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        self.exception_as(object, Origin::Raised)
    }

    /// A built-in exception of which there is nothing here but its name and its text: written without running anything.
    pub(crate) fn raised_plainly(&mut self, class: &str, text: &str) {
        self.out.tag(tag::EXCEPTION);
        self.out.array(9);
        self.out.u64(0);
        self.out.tag(tag::NAMED);
        self.out.array(2);
        self.out.text("builtins");
        self.out.text(class);
        self.out.array(1);
        self.out.text(text);
        self.out.array(0);
        // No cause, no context.
        self.out.null();
        self.out.null();
        self.out.bool(false);
        // No notes, no traceback.
        self.out.null();
        self.out.null();
    }

    fn exception_as(&mut self, object: &Bound<'py, PyAny>, origin: Origin) -> Result<()> {
        let address = object.as_ptr() as usize;
        if self.raising.contains(&address) {
            self.out.null();
            return Ok(());
        }
        let parts = names::EXCEPTION_PARTS.get(object.py())?.call1((self.session, object))?.cast_into::<PyTuple>()?;
        self.raising.push(address);
        self.out.tag(tag::EXCEPTION);
        self.out.array(parts.len() + 1);
        // One that goes home has its id among the parts; the end of an iteration needs none.
        let in_child = self.session.get().side() == Side::Child;
        let fleeting = in_child && origin == Origin::Raised && object.is_exact_instance_of::<PyStopIteration>();
        if fleeting || parts.get_item(0)?.is_instance_of::<Proxy>() {
            self.out.u64(0);
        } else {
            let id = self.session.get().exports().give(object);
            self.given.push(id);
            self.out.u64(id);
        }
        let result = parts.iter().try_for_each(|part| self.value(&part));
        self.raising.pop();
        result
    }
}
