//! Python object -> wire. Decides what crosses by value, what on loan, and what by reference.

use std::collections::HashMap;

use pyo3::exceptions::{PyBaseException, PyRecursionError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyEllipsis, PyFloat, PyFrozenSet, PyInt, PyList, PyNotImplemented,
    PyRange, PySet, PySlice, PyString, PyTuple, PyType,
};
use saranwrap::link::Side;
use saranwrap::wire::{MAX_DEPTH, Writer, tag};

use super::WITHIN_MESSAGE;
use crate::fault::{Result, named};
use crate::loans::{self, Change, Content, Key};
use crate::names;
use crate::proxy::{Proxy, Ref, Val};
use crate::session::Session;

/// What an encoder does with objects that have no plain form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By reference, or as the crossing table says.
    Normal,
    /// Everything by value, for `local(p)`: containers are copied to any depth.
    Copy { trusted: bool },
    /// The outermost container by value, its items as ever: a shallow copy.
    Shallow,
}

/// Where an exception is met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Raised,
    Object,
}

/// How an object that is no plain value crosses; `_values.route` answers it once per type.
mod route {
    pub(super) const KNOWN: u8 = 1;
    pub(super) const NAMED: u8 = 2;
    pub(super) const PICKLE: u8 = 3;
    pub(super) const VALUED: u8 = 4;
}

pub(crate) struct Encoder<'a, 'py> {
    session: &'a Bound<'py, Session>,
    out: &'a mut Writer,
    key: Key,
    mode: Mode,
    depth: usize,
    /// Ids given out in this message, to take back should it never leave.
    given: Vec<u64>,
    /// Exceptions on the way down, so that a cycle of causes ends.
    raising: Vec<usize>,
    /// The arguments of the call that this answers: an immutable one that comes back is named, which keeps its identity.
    arguments: &'a [Bound<'py, PyAny>],
    /// Containers that are given away in this message, by address; None where containers are lent.
    given_away: Option<HashMap<usize, u64>>,
    /// Whether this is an answer's value: the child's own code has let go of what it does not keep.
    answers: bool,
}

impl<'a, 'py> Encoder<'a, 'py> {
    pub(crate) fn new(session: &'a Bound<'py, Session>, out: &'a mut Writer, key: Key, mode: Mode) -> Self {
        Self {
            session,
            out,
            key,
            mode,
            depth: 0,
            given: Vec::new(),
            raising: Vec::new(),
            arguments: &[],
            given_away: (mode != Mode::Normal).then(HashMap::new),
            answers: false,
        }
    }

    /// An encoder for the answer to a call with these arguments.
    pub(crate) fn answering(mut self, arguments: &'a [Bound<'py, PyAny>]) -> Self {
        self.arguments = arguments;
        self.answers = true;
        self
    }

    /// The message will not be sent: nothing was given out after all.
    pub(crate) fn take_back(&mut self) {
        let releases: Vec<(u64, u64)> = self.given.drain(..).map(|id| (id, 1)).collect();
        let dropped = self.session.get().exports().take_back(&releases);
        drop(dropped);
    }

    pub(crate) fn value(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return Err(PyRecursionError::new_err("maximum recursion depth exceeded while sending an object").into());
        }
        self.depth += 1;
        let result = self.dispatch(object);
        self.depth -= 1;
        result
    }

    /// The positional arguments of a call. An immutable object that is given twice arrives as one.
    pub(crate) fn positional(&mut self, args: &Bound<'py, PyTuple>) -> Result<()> {
        let args: Vec<Bound<'py, PyAny>> = args.iter().collect();
        self.out.array(args.len());
        for (place, arg) in args.iter().enumerate() {
            match args[..place].iter().position(|earlier| earlier.is(arg)) {
                Some(earlier) if is_immutable(arg) => {
                    self.out.tag(tag::ARGUMENT);
                    self.out.u64(earlier as u64);
                }
                _ => self.value(arg)?,
            }
        }
        Ok(())
    }

    /// A keyword dictionary; its keys are strings by the rules of the language.
    pub(crate) fn kwargs(&mut self, kwargs: Option<&Bound<'py, PyDict>>) -> Result<()> {
        let Some(kwargs) = kwargs else {
            self.out.map(0);
            return Ok(());
        };
        self.out.map(kwargs.len());
        for (name, value) in kwargs {
            self.value(&name)?;
            self.value(&value)?;
        }
        Ok(())
    }

    /// An object by reference whatever it is: the root that a user wrapped.
    pub(crate) fn reference(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if object.is_instance_of::<PyType>() {
            return self.class(object);
        }
        if names::HAS_VALUE.get(object.py())?.call1((object.get_type(),))?.is_truthy()? {
            return self.valued(object);
        }
        let (id, class) = self.give(object);
        self.out.tag(tag::MINE);
        self.out.array(2);
        self.out.u64(id);
        self.out.u64(class);
        Ok(())
    }

    /// An instance of a subclass of an immutable built-in: by reference, with the value that it has as one.
    fn valued(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let value = names::PLAIN_VALUE.get(object.py())?.call1((object,))?;
        let (id, class) = self.give(object);
        self.out.tag(tag::VALUED);
        self.out.array(3);
        self.out.u64(id);
        self.out.u64(class);
        self.value(&value)
    }

    /// The stand-in for one of those: it goes home as the object itself.
    fn valued_proxy(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let handle = names::HANDLE.get(object.py())?.call1((object,))?;
        match handle.cast::<Proxy>() {
            Ok(proxy) if proxy.get().session.is(self.session) => self.proxy(&handle, proxy),
            _ => self.valued(object),
        }
    }

    fn give(&mut self, object: &Bound<'py, PyAny>) -> (u64, u64) {
        let class = object.get_type().into_any();
        let given = {
            let mut exports = self.session.get().exports();
            (exports.give(object), exports.pin(&class))
        };
        self.given.push(given.0);
        given
    }

    fn dispatch(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if let Some(place) = self.arguments.iter().position(|argument| argument.is(object))
            && is_immutable(object)
        {
            self.out.tag(tag::ARGUMENT);
            self.out.u64(place as u64);
            return Ok(());
        }
        if object.is_none() {
            self.out.null();
        } else if let Ok(value) = object.cast_exact::<PyBool>() {
            self.out.bool(value.is_true());
        } else if let Ok(value) = object.cast_exact::<PyInt>() {
            self.int(value)?;
        } else if let Ok(value) = object.cast_exact::<PyString>() {
            self.string(value)?;
        } else if let Ok(value) = object.cast_exact::<PyFloat>() {
            self.out.f64(value.value());
        } else if let Ok(value) = object.cast_exact::<PyBytes>() {
            self.out.bytes(value.as_bytes());
        } else if let Ok(value) = object.cast_exact::<PyTuple>() {
            self.out.array(value.len());
            for item in value {
                self.value(&item)?;
            }
        } else {
            return self.uncommon(object);
        }
        Ok(())
    }

    fn uncommon(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if let Ok(proxy) = object.cast::<Proxy>() {
            return self.proxy(object, proxy);
        }
        if let Some(number) = self.number_of(object) {
            if self.answers && self.session.get().side() == Side::Child && loans::is_kept(self.key, number) {
                // The child has put the copy away: it is an object of the child's now, and the caller's own is its former self.
                return self.reference(object);
            }
            self.out.tag(tag::SAME);
            self.out.u64(number);
            return Ok(());
        }
        if object.is_instance_of::<PyType>() {
            return self.class(object);
        }
        if object.is_instance_of::<PyBaseException>() {
            return self.exception(object);
        }
        if object.get_type().get_type().is_subclass(names::REMOTE_TYPE.get(object.py())?)? {
            return self.valued_proxy(object);
        }
        if self.lends() && self.container(object)? {
            return Ok(());
        }
        if self.plain(object)? {
            return Ok(());
        }
        self.other(object)
    }

    /// Whether mutable built-ins leave by value: as arguments into the child, or when the other side asked for a copy.
    fn lends(&self) -> bool {
        match self.mode {
            Mode::Normal => self.session.get().side() == Side::Parent,
            Mode::Copy { .. } => true,
            Mode::Shallow => self.depth == 1,
        }
    }

    fn number_of(&self, object: &Bound<'py, PyAny>) -> Option<u64> {
        let given_away = self.given_away.as_ref().and_then(|given| given.get(&(object.as_ptr() as usize)).copied());
        given_away.or_else(|| loans::number_of(self.key, object))
    }

    fn int(&mut self, value: &Bound<'py, PyInt>) -> Result<()> {
        if let Ok(small) = value.extract::<i64>() {
            self.out.i64(small);
            return Ok(());
        }
        // RFC 8949, 3.4.3: a negative bignum carries -1 - n, which is the bitwise complement.
        let negative = value.lt(0)?;
        let magnitude = if negative { value.call_method0("__invert__")? } else { value.clone().into_any() };
        let bits: usize = magnitude.call_method0("bit_length")?.extract()?;
        let bytes = magnitude.call_method1("to_bytes", (bits.div_ceil(8).max(1), "big"))?;
        self.out.bigint(negative, bytes.extract::<&[u8]>()?);
        Ok(())
    }

    fn string(&mut self, value: &Bound<'py, PyString>) -> Result<()> {
        if let Ok(text) = value.to_str() {
            self.out.text(text);
            return Ok(());
        }
        let bytes = value.call_method1("encode", ("utf-8", "surrogatepass"))?;
        self.out.tag(tag::SURROGATES);
        self.out.bytes(bytes.extract::<&[u8]>()?);
        Ok(())
    }

    fn proxy(&mut self, object: &Bound<'py, PyAny>, proxy: &Bound<'py, Proxy>) -> Result<()> {
        let proxy = proxy.get();
        if !proxy.session.is(self.session) {
            // A proxy of another child is an object of this process like any other.
            return self.reference(object);
        }
        self.out.tag(tag::THEIRS);
        self.out.u64(proxy.id);
        Ok(())
    }

    fn class(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        let session = self.session.get();
        if let Some(id) = session.mirrored(object) {
            self.out.tag(tag::THEIRS);
            self.out.u64(id);
            return Ok(());
        }
        if self.named(object)? {
            return Ok(());
        }
        let id = session.exports().pin(object);
        self.out.tag(tag::CLASS);
        self.out.u64(id);
        Ok(())
    }

    /// A class or function that the other side has under the same name.
    fn named(&mut self, object: &Bound<'py, PyAny>) -> Result<bool> {
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

    /// The exact mutable built-ins. A cycle finds its own loan number.
    fn container(&mut self, object: &Bound<'py, PyAny>) -> Result<bool> {
        if let Ok(list) = object.cast_exact::<PyList>() {
            self.lend(object, tag::LIST);
            let items: Vec<_> = list.iter().collect();
            self.out.array(items.len());
            self.items(&items)?;
        } else if let Ok(dict) = object.cast_exact::<PyDict>() {
            self.lend(object, tag::DICT);
            let items: Vec<_> = dict.iter().collect();
            self.out.map(items.len());
            for (key, value) in items {
                self.value(&key)?;
                self.value(&value)?;
            }
        } else if let Ok(set) = object.cast_exact::<PySet>() {
            self.lend(object, tag::SET);
            let items: Vec<_> = set.iter().collect();
            self.out.array(items.len());
            self.items(&items)?;
        } else if let Ok(bytes) = object.cast_exact::<PyByteArray>() {
            self.lend(object, tag::BYTEARRAY);
            self.out.bytes(&bytes.to_vec());
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn items(&mut self, items: &[Bound<'py, PyAny>]) -> Result<()> {
        items.iter().try_for_each(|item| self.value(item))
    }

    fn lend(&mut self, object: &Bound<'py, PyAny>, kind: u64) {
        let number = match &mut self.given_away {
            Some(given) => {
                let number = WITHIN_MESSAGE + given.len() as u64;
                given.insert(object.as_ptr() as usize, number);
                number
            }
            None => {
                let number = loans::lend(self.key, object);
                loans::settle(self.key, number, object.py());
                number
            }
        };
        self.out.tag(kind);
        self.out.array(2);
        self.out.u64(number);
    }

    /// Immutable values that need a tag.
    fn plain(&mut self, object: &Bound<'py, PyAny>) -> Result<bool> {
        if let Ok(set) = object.cast_exact::<PyFrozenSet>() {
            self.out.tag(tag::FROZENSET);
            let items: Vec<_> = set.iter().collect();
            self.out.array(items.len());
            self.items(&items)?;
        } else if let Ok(value) = object.cast_exact::<PyComplex>() {
            self.out.tag(tag::COMPLEX);
            self.out.array(2);
            self.out.f64(value.real());
            self.out.f64(value.imag());
        } else if object.is_exact_instance_of::<PyEllipsis>() {
            self.out.tag(tag::ELLIPSIS);
            self.out.null();
        } else if object.is_exact_instance_of::<PyNotImplemented>() {
            self.out.tag(tag::NOT_IMPLEMENTED);
            self.out.null();
        } else if object.is_exact_instance_of::<PySlice>() {
            self.triple(object, tag::SLICE)?;
        } else if object.is_exact_instance_of::<PyRange>() {
            self.triple(object, tag::RANGE)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn triple(&mut self, object: &Bound<'py, PyAny>, kind: u64) -> Result<()> {
        self.out.tag(kind);
        self.out.array(3);
        for part in ["start", "stop", "step"] {
            self.value(&object.getattr(part)?)?;
        }
        Ok(())
    }

    fn other(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        if let Ok(wrapper) = object.cast_exact::<Ref>() {
            return self.reference(wrapper.get().object.bind(object.py()));
        }
        if let Ok(wrapper) = object.cast_exact::<Val>() {
            return self.by_value(wrapper.get().object.bind(object.py()));
        }
        let py = object.py();
        if let Ok(traceback) = object.cast_exact::<pyo3::types::PyTraceback>() {
            self.out.tag(tag::TRACEBACK);
            let frames = names::TRACEBACK_FRAMES.get(py)?.call1((traceback,))?;
            return self.value(&frames);
        }
        match names::ROUTE.get(py)?.call1((self.session, object))?.extract::<u8>()? {
            route::KNOWN => self.known(object),
            route::NAMED if self.named(object)? => Ok(()),
            route::VALUED if self.mode == Mode::Normal => self.valued(object),
            route::PICKLE if self.session.get().side() == Side::Parent => self.pickled(object, false),
            _ => match self.mode {
                Mode::Normal | Mode::Shallow => self.reference(object),
                Mode::Copy { trusted } => self.copied(object, trusted),
            },
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
        let number = loans::lend(self.key, object);
        self.out.tag(tag::PICKLE);
        self.out.array(2);
        self.out.u64(number);
        self.out.bytes(pickled.extract::<&[u8]>()?);
        Ok(())
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
        self.out.tag(tag::PICKLE);
        self.out.array(2);
        self.out.u64(0);
        self.out.bytes(pickled.extract::<&[u8]>()?);
        Ok(())
    }

    /// An exception: its class, what it carries, its causes and its traceback, and an id so that it can come home.
    fn exception(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        self.exception_as(object, Origin::Object)
    }

    /// What an op raised.
    pub(crate) fn raised(&mut self, object: &Bound<'py, PyAny>) -> Result<()> {
        self.exception_as(object, Origin::Raised)
    }

    fn exception_as(&mut self, object: &Bound<'py, PyAny>, origin: Origin) -> Result<()> {
        let py = object.py();
        let parts = names::EXCEPTION_PARTS.get(py)?.call1((self.session, object))?;
        let address = object.as_ptr() as usize;
        if self.raising.contains(&address) {
            self.out.null();
            return Ok(());
        }
        self.raising.push(address);
        let parts = parts.cast_into::<PyTuple>()?;
        self.out.tag(tag::EXCEPTION);
        self.out.array(parts.len() + 1);
        // One that goes home has its id among the parts; the end of an iteration needs none.
        let fleeting = origin == Origin::Raised && object.is_exact_instance_of::<PyStopIteration>();
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

    /// What follows a message's own value: the changed loans and the modules that were loaded since. Absent when empty.
    pub(crate) fn trailer(&mut self, changes: Vec<Change<'py>>, news: &[String]) -> Result<()> {
        if changes.is_empty() && news.is_empty() {
            return Ok(());
        }
        // Inside a change a lent container is named by its number, kept or not: it is the caller's own that it belongs to.
        self.answers = false;
        self.out.array(2);
        self.out.array(changes.len());
        for change in changes {
            self.change(&change)?;
        }
        self.out.array(news.len());
        for module in news {
            self.out.text(module);
        }
        Ok(())
    }

    fn change(&mut self, change: &Change<'py>) -> Result<()> {
        self.out.array(2);
        self.out.u64(change.number);
        match &change.content {
            Content::Bytes(bytes) => {
                self.out.bytes(&bytes.to_vec());
                loans::settle(self.key, change.number, bytes.py());
            }
            Content::Items(items) => {
                self.out.array(items.len());
                for item in items {
                    self.changed_item(change, item)?;
                }
                loans::settle(self.key, change.number, self.session.py());
            }
        }
        Ok(())
    }

    /// An item both sides knew before goes by its old place, which keeps its identity at home.
    fn changed_item(&mut self, change: &Change<'py>, item: &Bound<'py, PyAny>) -> Result<()> {
        match change.before.get(&(item.as_ptr() as usize)) {
            Some(&place) => {
                self.out.tag(tag::MARKED);
                self.out.u64(place);
                Ok(())
            }
            None => self.value(item),
        }
    }
}

/// A value that nobody can tell from its copy, but by its identity.
fn is_immutable(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyTuple>()
        || object.is_exact_instance_of::<PyBytes>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyFrozenSet>()
        || object.is_exact_instance_of::<PyComplex>()
        || object.is_exact_instance_of::<PySlice>()
        || object.is_exact_instance_of::<PyRange>()
        || is_known(object)
}

fn is_known(object: &Bound<'_, PyAny>) -> bool {
    let kind = names::IS_KNOWN.get(object.py()).and_then(|is_known| is_known.call1((object.get_type(),)));
    kind.is_ok_and(|known| known.is_truthy().unwrap_or_default())
}
