//! Whether the attribute that is being asked for is about to be called, and nothing else can come in between: what the code
//! that asks says itself.
//!
//! The compiler has an instruction of its own for the attribute of `p.m(x)`: what it leaves on the stack can go nowhere but into
//! the call. If all that stands between the two puts constants and variables there, no code runs until the call. So the
//! attribute may as well be fetched by the call. Whatever is not known here says no.

use std::sync::Mutex;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::addresses::{self, AddressMap};
use crate::ahead::lock;
use crate::names;

/// How many places are remembered. Code that is made anew again and again must not fill the memory.
const MAX_PLACES: usize = 8192;

/// An instruction: the code it stands in, and where.
type Place = (usize, usize);

struct Verdict {
    /// Keeps the address in the place its own.
    _code: Py<PyAny>,
    /// The attribute that is called there; None if none is.
    called: Option<Py<PyString>>,
}

static PLACES: Mutex<AddressMap<Place, Verdict>> = Mutex::new(addresses::new());

/// Whether the running code asks for this name only to call what it gets, with nothing in between.
pub(crate) fn is_called(name: &Bound<'_, PyString>) -> bool {
    // No error of this room's own making concerns anybody.
    look(name).unwrap_or(false)
}

fn look(name: &Bound<'_, PyString>) -> PyResult<bool> {
    let py = name.py();
    // An audit hook hears of this, as it does of each log record and each namedtuple.
    let frame = names::GETFRAME.get(py)?.call0()?;
    let at: usize = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
    let code = frame.getattr(intern!(py, "f_code"))?;
    let place = (code.as_ptr() as usize, at);
    let known = lock(&PLACES).get(&place).map(|verdict| is_name(&verdict.called, name));
    let called = match known {
        Some(called) => called,
        None => judge(&code, place)?.is_some_and(|called| called.is(name)),
    };
    // A debugger may run code wherever it likes.
    Ok(called && names::GETTRACE.get(py)?.call0()?.is_none())
}

fn is_name(called: &Option<Py<PyString>>, name: &Bound<'_, PyString>) -> bool {
    called.as_ref().is_some_and(|called| called.is(name))
}

/// The name that is called at a place; it is remembered.
fn judge<'py>(code: &Bound<'py, PyAny>, place: Place) -> PyResult<Option<Bound<'py, PyString>>> {
    let called = called_at(code, place.1)?;
    let verdict = Verdict { _code: code.clone().unbind(), called: called.clone().map(Bound::unbind) };
    let (full, replaced) = {
        let mut places = lock(&PLACES);
        let full = if places.len() < MAX_PLACES { addresses::new() } else { std::mem::take(&mut *places) };
        (full, places.insert(place, verdict))
    };
    drop((full, replaced));
    Ok(called)
}

fn called_at<'py>(code: &Bound<'py, PyAny>, at: usize) -> PyResult<Option<Bound<'py, PyString>>> {
    let py = code.py();
    let Some(language) = Language::spoken(py)? else { return Ok(None) };
    let bytes = code.getattr(intern!(py, "co_code"))?.cast_into::<PyBytes>()?;
    let Some(index) = language.called(bytes.as_bytes(), at) else { return Ok(None) };
    let names = code.getattr(intern!(py, "co_names"))?.cast_into::<PyTuple>()?;
    Ok(Some(names.get_item(index)?.cast_into::<PyString>()?))
}

/// What an instruction does to the stack, as far as it runs no code.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It may run code, or leads elsewhere.
    Other,
    Nothing,
    Extended,
    Push(usize),
    /// One, and another one if the lowest bit of the argument is set.
    PushGlobal,
    /// As many as the argument says become one.
    Build,
    Call,
    /// The names of the keyword arguments lie on the stack as well.
    CallNaming,
}

/// The instructions that matter here, of the interpreter that runs.
struct Language {
    load: u8,
    /// Since 3.12 the instruction serves all attributes, and the lowest bit of its argument says that it is for a call.
    marked: bool,
    effects: [Effect; 256],
}

/// All that may stand between an attribute and its call. An interpreter has those of them that it has.
const EFFECTS: &[(&str, Effect)] = &[
    ("CACHE", Effect::Nothing),
    ("NOP", Effect::Nothing),
    ("PRECALL", Effect::Nothing),
    ("KW_NAMES", Effect::Nothing),
    ("EXTENDED_ARG", Effect::Extended),
    ("LOAD_CONST", Effect::Push(1)),
    ("LOAD_SMALL_INT", Effect::Push(1)),
    ("LOAD_FAST", Effect::Push(1)),
    ("LOAD_FAST_BORROW", Effect::Push(1)),
    ("LOAD_FAST_CHECK", Effect::Push(1)),
    ("LOAD_DEREF", Effect::Push(1)),
    ("LOAD_NAME", Effect::Push(1)),
    ("LOAD_GLOBAL", Effect::PushGlobal),
    ("LOAD_FAST_LOAD_FAST", Effect::Push(2)),
    ("LOAD_FAST_BORROW_LOAD_FAST_BORROW", Effect::Push(2)),
    ("BUILD_TUPLE", Effect::Build),
    ("BUILD_LIST", Effect::Build),
    ("BUILD_SLICE", Effect::Build),
    ("CALL", Effect::Call),
    ("CALL_KW", Effect::CallNaming),
];

impl Language {
    /// That of the interpreter that runs; None if it is not known here.
    fn spoken(py: Python<'_>) -> PyResult<Option<&Self>> {
        static SPOKEN: PyOnceLock<Option<Language>> = PyOnceLock::new();
        Ok(SPOKEN.get_or_try_init(py, || Self::learn(py))?.as_ref())
    }

    fn learn(py: Python<'_>) -> PyResult<Option<Self>> {
        let version = py.version_info();
        let (load, marked) = match (version.major, version.minor) {
            (3, 11) => ("LOAD_METHOD", false),
            (3, 12..=14) => ("LOAD_ATTR", true),
            _ => return Ok(None),
        };
        let codes = names::OPMAP.get(py)?.cast::<PyDict>()?;
        let code = |name| codes.get_item(name)?.map(|code| code.extract::<u8>()).transpose();
        let mut effects = [Effect::Other; 256];
        for &(name, effect) in EFFECTS {
            if let Some(code) = code(name)? {
                effects[usize::from(code)] = effect;
            }
        }
        Ok(code(load)?.map(|load| Self { load, marked, effects }))
    }

    /// The index of the name, if the instruction at `at` loads an attribute whose call is the next thing that happens.
    fn called(&self, code: &[u8], at: usize) -> Option<usize> {
        if code.get(at) != Some(&self.load) {
            return None;
        }
        let argument = self.argument(code, at)?;
        let index = match self.marked {
            true if argument & 1 == 0 => return None,
            true => argument >> 1,
            false => argument,
        };
        self.reaches_call(code, at + 2).then_some(index)
    }

    /// The argument of an instruction, with all that stands before it to extend it.
    fn argument(&self, code: &[u8], at: usize) -> Option<usize> {
        let extends = |at: usize| code.get(at).is_some_and(|&code| self.effects[usize::from(code)] == Effect::Extended);
        let first = (1..=3).map_while(|count| at.checked_sub(2 * count).filter(|&at| extends(at))).last().unwrap_or(at);
        (first..=at).step_by(2).try_fold(0, |argument, at| Some(argument << 8 | usize::from(*code.get(at + 1)?)))
    }

    /// Whether only arguments are put on the stack before a call, and all of them are that call's.
    fn reaches_call(&self, code: &[u8], from: usize) -> bool {
        let mut pushed = 0_usize;
        for at in (from..code.len()).step_by(2) {
            let Some(argument) = self.argument(code, at) else { return false };
            match self.effects[usize::from(code[at])] {
                Effect::Nothing | Effect::Extended => {}
                Effect::Push(count) => pushed += count,
                Effect::PushGlobal => pushed += 1 + (argument & 1),
                Effect::Build if argument <= pushed => pushed = pushed - argument + 1,
                Effect::Call => return pushed == argument,
                Effect::CallNaming => return pushed == argument + 1,
                Effect::Build | Effect::Other => return false,
            }
        }
        false
    }
}
