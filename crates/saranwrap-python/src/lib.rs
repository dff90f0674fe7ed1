//! The face: the extension module `saranwrap._native`, as the package `saranwrap` uses it. Everything a user sees is in the package.
//!
//! Rooms in reading order: `names` and `fault` are used by all; `loans` and `exports` keep what crossed; `proxy`, `special`,
//! `classes`, `convert` and `host` are the two ends of the walk; `session` holds one link and ties them together. `promise`,
//! `batch` and `pipeline` record many ops and send them as one.

use pyo3::prelude::*;

mod addresses;
mod ahead;
mod asking;
mod batch;
mod buffer;
mod bytecode;
mod callsite;
mod chains;
mod ending;
mod classes;
mod convert;
mod deadlines;
mod exports;
mod fault;
mod flight;
mod forking;
mod front;
mod greeting;
mod guard;
mod host;
mod hub;
mod iterator;
mod kinds;
mod living;
mod loans;
mod mirror;
mod names;
mod numbers;
mod path;
mod pipeline;
mod promise;
mod proxy;
mod rehearsal;
mod root;
mod serving;
mod session;
mod special;
mod stopping;
mod succession;
mod texts;
mod voices;
mod waiter;
mod zygote;

/// The Rust side of saranwrap.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::buffer::{Buffer, BufferProxy, offers_buffer};
    #[pymodule_export]
    use crate::deadlines::{close_block, open_block};
    #[pymodule_export]
    use crate::ending::{begin_to_end, end_process};
    #[pymodule_export]
    use crate::flight::{Call, abandon, pump, start};
    #[pymodule_export]
    use crate::front::Front;
    #[pymodule_export]
    use crate::hub::use_hubs;
    #[pymodule_export]
    use crate::iterator::{IteratorProxy, take};
    #[pymodule_export]
    use crate::pipeline::{flush, pipeline, result};
    #[pymodule_export]
    use crate::promise::{Pipeline, Promise, operate};
    #[pymodule_export]
    use crate::proxy::{Proxy, Ref, Val, call, identity, move_root, take_root, whereabouts};
    #[pymodule_export]
    use crate::rehearsal::rehearse;
    #[pymodule_export]
    use crate::serving::{Server, expect_company, interrupts, sound_alarm_here};
    #[pymodule_export]
    use crate::session::Session;
    #[pymodule_export]
    use crate::stopping::Stop;
    #[pymodule_export]
    use crate::voices::{Listener, listener, post};
    #[pymodule_export]
    use crate::waiter::Waiter;
    #[pymodule_export]
    use crate::zygote::{Zygote, attributes, await_birth, environment};

    use pyo3::prelude::*;
    use pyo3::types::PyModule;
    use saranwrap::op::Op;

    /// The codes of the ops, by name.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let ops = pyo3::types::PyDict::new(module.py());
        for &op in Op::ALL {
            ops.set_item(op.name(), op.code())?;
        }
        module.add("OPS", ops)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
