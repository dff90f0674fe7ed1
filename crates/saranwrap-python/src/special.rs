//! Special methods, both ends: what the classes of proxies have in place of them, and how one is applied to the object itself.
//!
//! Each is a method descriptor of `ProxyBase` under a hidden name; the class of a remote type holds it under the real one
//! (`_members.py`). The interpreter calls a method descriptor without binding it, which no function of Python's is spared.

use std::iter;

use pyo3::PyTypeInfo;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyString, PyTuple};
use saranwrap::link::Side;

use crate::names;
use crate::proxy::Proxy;
use crate::session::Session;

/// The descriptors, by how many operands they take beside the object.
macro_rules! descriptors {
    (
        none: $($none:ident $of_none:literal)*;
        one: $($one:ident $of_one:literal)*;
        two: $($two:ident $of_two:literal)*;
        any: $($any:ident $of_any:literal)*;
    ) => {
        #[pymethods]
        impl Proxy {
            $(fn $none<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                ask(slf, $of_none, &[])
            })*
            $(fn $one<'py>(slf: &Bound<'py, Self>, operand: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
                ask(slf, $of_one, &[operand])
            })*
            $(fn $two<'py>(
                slf: &Bound<'py, Self>,
                first: Bound<'py, PyAny>,
                second: Bound<'py, PyAny>,
            ) -> PyResult<Bound<'py, PyAny>> {
                ask(slf, $of_two, &[first, second])
            })*
            $(#[pyo3(signature = (*operands))]
            fn $any<'py>(slf: &Bound<'py, Self>, operands: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
                let operands: Vec<_> = operands.iter().collect();
                ask(slf, $of_any, &operands)
            })*

            #[pyo3(signature = (*args, **kwargs))]
            fn _saran_call_<'py>(
                slf: &Bound<'py, Self>,
                args: &Bound<'py, PyTuple>,
                kwargs: Option<&Bound<'py, PyDict>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                // Held for the length of the call; see `ask`.
                let slf = slf.clone();
                let proxy = slf.get();
                proxy.stand.there(slf.py(), |place| Session::call(place.session.bind(slf.py()), place.id, args, kwargs))
            }

            /// The value that the object hashes as, where it hashes as one, is hashed here: texts hash differently in each process.
            fn _saran_hash_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                let hash = ask(slf, "__hash__", &[])?;
                if hash.is_instance_of::<PyInt>() {
                    return Ok(hash);
                }
                Ok(hash.hash()?.into_pyobject(slf.py())?.into_any())
            }

            fn _saran_repr_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                let slf = slf.clone();
                let text = ask(&slf, "__repr__", &[])?;
                match slf.get().stand.spot().session.get().side() {
                    Side::Parent => Ok(PyString::new(slf.py(), "saran:").as_any().add(text)?),
                    Side::Child => Ok(text),
                }
            }
        }
    };
}

descriptors! {
    none:
        _saran_len_ "__len__" _saran_length_hint_ "__length_hint__" _saran_iter_ "__iter__" _saran_next_ "__next__"
        _saran_reversed_ "__reversed__" _saran_bool_ "__bool__" _saran_neg_ "__neg__" _saran_pos_ "__pos__"
        _saran_abs_ "__abs__" _saran_invert_ "__invert__" _saran_int_ "__int__" _saran_float_ "__float__"
        _saran_complex_ "__complex__" _saran_index_ "__index__" _saran_trunc_ "__trunc__" _saran_floor_ "__floor__"
        _saran_ceil_ "__ceil__" _saran_str_ "__str__" _saran_bytes_ "__bytes__" _saran_fspath_ "__fspath__"
        _saran_dir_ "__dir__" _saran_sizeof_ "__sizeof__" _saran_enter_ "__enter__" _saran_await_ "__await__"
        _saran_aiter_ "__aiter__" _saran_anext_ "__anext__" _saran_aenter_ "__aenter__";
    one:
        _saran_getitem_ "__getitem__" _saran_delitem_ "__delitem__" _saran_contains_ "__contains__"
        _saran_eq_ "__eq__" _saran_ne_ "__ne__" _saran_lt_ "__lt__" _saran_le_ "__le__" _saran_gt_ "__gt__"
        _saran_ge_ "__ge__" _saran_format_ "__format__" _saran_delete_ "__delete__"
        _saran_add_ "__add__" _saran_radd_ "__radd__" _saran_iadd_ "__iadd__"
        _saran_sub_ "__sub__" _saran_rsub_ "__rsub__" _saran_isub_ "__isub__"
        _saran_mul_ "__mul__" _saran_rmul_ "__rmul__" _saran_imul_ "__imul__"
        _saran_matmul_ "__matmul__" _saran_rmatmul_ "__rmatmul__" _saran_imatmul_ "__imatmul__"
        _saran_truediv_ "__truediv__" _saran_rtruediv_ "__rtruediv__" _saran_itruediv_ "__itruediv__"
        _saran_floordiv_ "__floordiv__" _saran_rfloordiv_ "__rfloordiv__" _saran_ifloordiv_ "__ifloordiv__"
        _saran_mod_ "__mod__" _saran_rmod_ "__rmod__" _saran_imod_ "__imod__"
        _saran_divmod_ "__divmod__" _saran_rdivmod_ "__rdivmod__"
        _saran_lshift_ "__lshift__" _saran_rlshift_ "__rlshift__" _saran_ilshift_ "__ilshift__"
        _saran_rshift_ "__rshift__" _saran_rrshift_ "__rrshift__" _saran_irshift_ "__irshift__"
        _saran_and_ "__and__" _saran_rand_ "__rand__" _saran_iand_ "__iand__"
        _saran_xor_ "__xor__" _saran_rxor_ "__rxor__" _saran_ixor_ "__ixor__"
        _saran_or_ "__or__" _saran_ror_ "__ror__" _saran_ior_ "__ior__";
    two:
        _saran_setitem_ "__setitem__" _saran_set_ "__set__" _saran_set_name_ "__set_name__";
    any:
        _saran_pow_ "__pow__" _saran_rpow_ "__rpow__" _saran_ipow_ "__ipow__" _saran_round_ "__round__"
        _saran_get_ "__get__" _saran_exit_ "__exit__" _saran_aexit_ "__aexit__";
}

fn ask<'py>(slf: &Bound<'py, Proxy>, name: &str, operands: &[Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    // C code may call a slot of an object that it alone holds, and let go of it while the call goes on (`itertools.pairwise`,
    // entered again by what it iterates, does). A function of Python would hold its `self`; so must this.
    let slf = &slf.clone();
    let proxy = slf.get();
    if proxy.derived() {
        // Only the base of all proxies is asked here for such a one: see `_members.tell_apart`.
        return names::OF_DERIVED.get(py)?.call1((slf, name, PyTuple::new(py, operands)?));
    }
    proxy.stand.there(py, |place| Session::special(place.session.bind(py), place.id, name, operands))
}

/// Special method `name` of `object`, as the interpreter itself applies it.
///
/// Where there is one operand, or where the other has no say, the interpreter's own way to do it knows best. An operator is
/// looked up on the type and called: its answer may be that it does not know the operand, which is for the asker to hear.
pub(crate) fn apply<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyAny>,
    operands: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let name = name.cast::<PyString>()?;
    let text = name.to_string_lossy();
    let operands = operands.cast::<PyTuple>()?;
    let operand = |place| operands.get_item(place);
    let done = || py.None().into_bound(py);
    match (text.as_ref(), operands.len()) {
        ("__getitem__", 1) => object.get_item(operand(0)?),
        ("__setitem__", 2) => object.set_item(operand(0)?, operand(1)?).map(|()| done()),
        ("__delitem__", 1) => object.del_item(operand(0)?).map(|()| done()),
        ("__contains__", 1) => Ok(PyBool::new(py, object.contains(operand(0)?)?).to_owned().into_any()),
        ("__len__", 0) => Ok(object.len()?.into_pyobject(py)?.into_any()),
        ("__bool__", 0) => Ok(PyBool::new(py, object.is_truthy()?).to_owned().into_any()),
        ("__iter__", 0) => object.try_iter().map(Bound::into_any),
        ("__neg__", 0) => object.neg(),
        ("__pos__", 0) => object.pos(),
        ("__abs__", 0) => object.abs(),
        ("__invert__", 0) => object.bitnot(),
        ("__repr__", 0) => exact::<PyString>(object.repr()?.into_any()),
        ("__str__", 0) => exact::<PyString>(object.str()?.into_any()),
        // `PyIter_Next` would lose the value that the end of a generator carries.
        ("__next__", 0) => names::NEXT.get(py)?.call1((object,)),
        ("__reversed__", 0) => names::REVERSED.get(py)?.call1((object,)),
        ("__index__", 0) => exact::<PyInt>(names::INDEX.get(py)?.call1((object,))?),
        ("__format__", 1) => exact::<PyString>(names::FORMAT.get(py)?.call1((object, operand(0)?))?),
        ("__signature__", 0) => names::SIGNATURE.get(py)?.call1((object,)),
        ("__hash__", 0) => exact::<PyInt>(names::HASHED.get(py)?.call1((object,))?),
        (text, _) => by_type(object, name, text, operands),
    }
}

fn by_type<'py>(
    object: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
    text: &str,
    operands: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let kind = object.get_type();
    match kind.getattr_opt(name)? {
        Some(method) if !method.is_none() => {
            let result = match operands.len() {
                1 => method.call1((object, operands.get_item(0)?))?,
                _ => method.call1(PyTuple::new(py, iter::once(object.clone()).chain(operands).collect::<Vec<_>>())?)?,
            };
            match text {
                "__bytes__" => exact::<PyBytes>(result),
                "__float__" => exact::<PyFloat>(result),
                "__int__" | "__length_hint__" => exact::<PyInt>(result),
                _ => Ok(result),
            }
        }
        // A C sequence concatenates without having a reflected form.
        _ if text == "__radd__" && operands.len() == 1 => operands.get_item(0)?.add(object),
        _ => {
            let kind = kind.name()?;
            Err(PyAttributeError::new_err(format!("{} object has no attribute {}", kind.repr()?, name.repr()?)))
        }
    }
}

/// The interpreter demands exactly this type of some methods, so an instance of a subclass does not stay a reference.
fn exact<'py, T: PyTypeInfo>(result: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if result.is_exact_instance_of::<T>() || !result.is_instance_of::<T>() {
        return Ok(result);
    }
    names::PLAIN_VALUE.get(result.py())?.call1((result,))
}
