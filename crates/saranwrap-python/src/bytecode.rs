//! The instructions of the interpreter that runs, as far as they tell what is done with an attribute next.
//!
//! In `p.a.b` one instruction follows the other. The compiler has an instruction of its own for the last attribute of `p.m(x)`: what
//! it leaves on the stack can go nowhere but into the call. If all that stands between the two puts constants and variables
//! there, no code runs until the call.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::names;

/// More names than these go in more than one trip.
const MAX_NAMES: usize = 16;

/// An instruction that loads an attribute of what the one before it has left.
pub(crate) struct Load {
    pub(crate) at: usize,
    /// The place of its name.
    pub(crate) index: usize,
    /// It is called next.
    pub(crate) called: bool,
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
pub(crate) struct Language {
    /// Loads an attribute, and one in order to call it.
    load: u8,
    load_to_call: u8,
    /// Since 3.12 they are the same, and the lowest bit of the argument says that it is for a call.
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
    pub(crate) fn spoken(py: Python<'_>) -> PyResult<Option<&Self>> {
        static SPOKEN: PyOnceLock<Option<Language>> = PyOnceLock::new();
        Ok(SPOKEN.get_or_try_init(py, || Self::learn(py))?.as_ref())
    }

    fn learn(py: Python<'_>) -> PyResult<Option<Self>> {
        let version = py.version_info();
        let (load_to_call, marked) = match (version.major, version.minor) {
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
        let loads = code("LOAD_ATTR")?.zip(code(load_to_call)?);
        Ok(loads.map(|(load, load_to_call)| Self { load, load_to_call, marked, effects }))
    }

    /// The attributes that are loaded from `at` on, each of what the one before it came to. The last one may be called; it is only told
    /// of if that is the next thing that happens.
    pub(crate) fn loads(&self, code: &[u8], at: usize) -> Vec<Load> {
        let mut loads = Vec::new();
        let mut next = Some(at);
        while let Some(at) = next
            && let Some(load) = self.load(code, at)
            && loads.len() < MAX_NAMES
        {
            next = (!load.called).then(|| self.after(code, at + 2));
            if !load.called || self.reaches_call(code, at + 2) {
                loads.push(load);
            }
        }
        loads
    }

    fn load(&self, code: &[u8], at: usize) -> Option<Load> {
        let (&instruction, argument) = (code.get(at)?, self.argument(code, at)?);
        let (index, called) = match instruction {
            _ if instruction != self.load && instruction != self.load_to_call => return None,
            _ if self.marked => (argument >> 1, argument & 1 == 1),
            _ => (argument, instruction == self.load_to_call),
        };
        Some(Load { at, index, called })
    }

    /// The next instruction that does something.
    fn after(&self, code: &[u8], from: usize) -> usize {
        let idle = |&at: &usize| {
            let effect = code.get(at).map(|&code| self.effects[usize::from(code)]);
            !matches!(effect, Some(Effect::Nothing | Effect::Extended))
        };
        (from..code.len()).step_by(2).find(idle).unwrap_or(code.len())
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
