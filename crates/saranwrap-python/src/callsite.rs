//! Whether the attribute that is being asked for is about to be asked for another one, or to be called, and nothing else can come in
//! between: what the code that asks says itself. Then they may as well be fetched together. Whatever is not known here says no.

use std::sync::Mutex;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::addresses::{self, AddressMap};
use crate::ahead::lock;
use crate::bytecode::{Language, Load};
use crate::mirror::Known;
use crate::names;

/// How many places are remembered. Code that is made anew again and again must not fill the memory.
const MAX_PLACES: usize = 8192;

/// An instruction: the code it stands in, and where.
type Place = (usize, usize);

/// Attributes that are asked for one after the other, with nothing in between.
pub(crate) struct Route {
    pub(crate) names: Py<PyTuple>,
    /// The last one is fetched only to be called.
    pub(crate) calls: bool,
}

struct Verdict {
    /// Keeps the address in the place its own.
    _code: Py<PyAny>,
    /// The attributes that are asked for from there on, as values.
    values: Py<PyTuple>,
    /// The same with one more that is called, and where that one is asked for.
    called: Option<(Py<PyTuple>, usize)>,
    /// What is called there was something to call on the other side.
    proven: bool,
}

static PLACES: Mutex<AddressMap<Place, Verdict>> = Mutex::new(addresses::new());

/// What the running code goes on to do with what it gets for this name, as far as it is worth to be left to one trip. What was never
/// asked for is called where it is, if it is asked for only to be called: the other side says so where that is not its own business.
pub(crate) fn route(name: &Bound<'_, PyString>, known: Option<Known>) -> Option<Route> {
    if known.is_some_and(|known| !known.method && !known.leads) {
        return None;
    }
    // No error of this room's own making concerns anybody.
    look(name, known).unwrap_or(None)
}

fn look(name: &Bound<'_, PyString>, known: Option<Known>) -> PyResult<Option<Route>> {
    let py = name.py();
    // An audit hook hears of this, as it does of each log record and each namedtuple.
    let frame = names::GETFRAME.get(py)?.call0()?;
    let at: usize = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
    let code = frame.getattr(intern!(py, "f_code"))?;
    let place = (code.as_ptr() as usize, at);
    let chosen = choose(&mut lock(&PLACES), place, name, known);
    let route = match chosen {
        Some(route) => route,
        None => {
            judge(&code, place)?;
            choose(&mut lock(&PLACES), place, name, known).flatten()
        }
    };
    // A debugger may run code wherever it likes.
    Ok(route.filter(|_| names::GETTRACE.get(py).and_then(|trace| trace.call0()).is_ok_and(|trace| trace.is_none())))
}

/// The way from a place; None where that has not been judged. A call at the end of several names is left to the trip once it went to
/// the other side: a method of a value that comes here is called here.
fn choose(
    places: &mut AddressMap<Place, Verdict>,
    place: Place,
    name: &Bound<'_, PyString>,
    known: Option<Known>,
) -> Option<Option<Route>> {
    let py = name.py();
    let is_method = known.is_some_and(|known| known.method);
    let leads = known.is_some_and(|known| known.leads);
    let verdict = places.get_mut(&place)?;
    let begins = |names: &Py<PyTuple>| names.bind(py).get_borrowed_item(0).is_ok_and(|first| first.is(name));
    if let Some((names, at)) = verdict.called.as_ref().filter(|(names, _)| begins(names)) {
        let route = Route { names: names.clone_ref(py), calls: true };
        if *at == place.1 {
            verdict.proven |= is_method;
            return Some((is_method || known.is_none()).then_some(route));
        }
        let last = (place.0, *at);
        if leads && places.get(&last).is_some_and(|last| last.proven) {
            return Some(Some(route));
        }
    }
    let values = &places.get(&place)?.values;
    let worth = leads && values.bind(py).len() > 1 && begins(values);
    Some(worth.then(|| Route { names: values.clone_ref(py), calls: false }))
}

/// Look what the code says at a place, and remember it.
fn judge(code: &Bound<'_, PyAny>, place: Place) -> PyResult<()> {
    let py = code.py();
    let verdict = match Language::spoken(py)? {
        Some(language) => read(code, language, place.1)?,
        None => {
            Verdict { _code: code.clone().unbind(), values: PyTuple::empty(py).unbind(), called: None, proven: false }
        }
    };
    let (full, replaced) = {
        let mut places = lock(&PLACES);
        let full = if places.len() < MAX_PLACES { addresses::new() } else { std::mem::take(&mut *places) };
        (full, places.insert(place, verdict))
    };
    drop((full, replaced));
    Ok(())
}

fn read(code: &Bound<'_, PyAny>, language: &Language, at: usize) -> PyResult<Verdict> {
    let py = code.py();
    let bytes = code.getattr(intern!(py, "co_code"))?.cast_into::<PyBytes>()?;
    let all = code.getattr(intern!(py, "co_names"))?.cast_into::<PyTuple>()?;
    let names = |loads: &[Load]| -> PyResult<Vec<Bound<'_, PyAny>>> {
        let names = loads.iter().map(|load| all.get_item(load.index)).collect::<PyResult<Vec<_>>>()?;
        // What is special about an object is not always asked of it. Of the first one that is known already.
        let ordinary = names.iter().skip(1).take_while(|name| is_ordinary(name)).count();
        Ok(names.into_iter().take(1 + ordinary).collect())
    };
    let loads = language.loads(bytes.as_bytes(), at);
    let found = names(&loads)?;
    let called = match loads.last() {
        Some(last) if last.called && found.len() == loads.len() => Some((PyTuple::new(py, &found)?.unbind(), last.at)),
        _ => None,
    };
    let values = loads.iter().take(found.len()).take_while(|load| !load.called).count();
    let values = PyTuple::new(py, &found[..values])?.unbind();
    Ok(Verdict { _code: code.clone().unbind(), values, called, proven: false })
}

fn is_ordinary(name: &Bound<'_, PyAny>) -> bool {
    let text = name.cast::<PyString>().map(|name| name.to_str().unwrap_or_default());
    text.is_ok_and(|name| !name.is_empty() && !name.starts_with("__") && name != "_export_to_c")
}
