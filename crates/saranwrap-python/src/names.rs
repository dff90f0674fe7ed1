//! Every Python object that the Rust side borrows, imported at first use. Nothing here calls them.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// A Python object that is looked up once and kept.
pub(crate) struct Name {
    module: &'static str,
    attribute: &'static str,
    object: PyOnceLock<Py<PyAny>>,
}

impl Name {
    const fn new(module: &'static str, attribute: &'static str) -> Self {
        Self { module, attribute, object: PyOnceLock::new() }
    }

    /// The object; imports its module the first time.
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let object =
            self.object.get_or_try_init(py, || py.import(self.module)?.getattr(self.attribute).map(Bound::unbind))?;
        Ok(object.bind(py))
    }
}

macro_rules! names {
    ($($name:ident = $module:literal . $attribute:literal;)*) => {
        $(pub(crate) static $name: Name = Name::new($module, $attribute);)*
    };
}

names! {
    // What comes beside the objects.
    POSTED = "saranwrap._home"."posted";
    LISTEN = "saranwrap._home"."listen";
    // The vocabulary of failures.
    CHILD_DIED = "saranwrap.errors"."ChildDied";
    LINK_CLOSED = "saranwrap.errors"."LinkClosed";
    REFUSED = "saranwrap.errors"."Refused";
    CALL_TIMEOUT = "saranwrap.errors"."CallTimeout";
    STALE_PROXY = "saranwrap.errors"."StaleProxy";
    PROTOCOL_ERROR = "saranwrap.errors"."ProtocolError";
    FORKED_PROXY = "saranwrap.errors"."ForkedProxy";
    STOPPED = "saranwrap.errors"."Stopped";
    UNREACHABLE = "saranwrap.errors"."Unreachable";
    NOT_TRANSPARENT = "saranwrap.errors"."NotTransparent";
    SARANWRAP_ERROR = "saranwrap.errors"."SaranwrapError";
    // Remote classes as local classes.
    REMOTE_TYPE = "saranwrap._remote"."RemoteType";
    MAKE_MIRROR = "saranwrap._mirrors"."make";
    DESCRIBE = "saranwrap._mirrors"."describe";
    FORESEEN = "saranwrap._mirrors"."foreseen";
    SUBCLASS = "saranwrap._host"."subclass";
    LOCAL_LOOKUP = "saranwrap._remote"."local_lookup";
    OBJECT_PROXY = "saranwrap._members"."ObjectProxy";
    OF_DERIVED = "saranwrap._members"."of_derived";
    REDUCE = "saranwrap._copies"."reduce";
    LOCATE = "saranwrap._whereabouts"."locate";
    SUPER_SET = "saranwrap._derived"."super_set";
    // Values that cross with a tag of their own.
    IS_KNOWN = "saranwrap._values"."is_known";
    KNOWN_ENCODE = "saranwrap._values"."encode";
    KNOWN_DECODE = "saranwrap._values"."decode";
    IDENTITY = "saranwrap._values"."IDENTITY";
    ROUTE = "saranwrap._values"."route";
    NAME_OF = "saranwrap._values"."name_of";
    RESOLVE = "saranwrap._values"."resolve";
    PICKLE = "saranwrap._pickles"."pickle";
    UNPICKLE = "saranwrap._pickles"."unpickle";
    BASE_OF = "saranwrap._valued"."base_of";
    PLAIN_VALUE = "saranwrap._valued"."plain";
    MAKE_VALUED = "saranwrap._valued"."instance";
    HANDLE = "saranwrap._valued"."handle_of";
    // Arrays of numpy.
    ARRAY_PARTS = "saranwrap._arrays"."parts";
    ARRAY_BUILD = "saranwrap._arrays"."build";
    ARRAY_BYTES = "saranwrap._arrays"."bytes_of";
    ARRAY_PATCH = "saranwrap._arrays"."patch";
    // Columnar data of Arrow.
    ARROW_PARTS = "saranwrap._arrow"."parts";
    ARROW_BUILD = "saranwrap._arrow"."build";
    ARROW_OFFERED = "saranwrap._arrow"."offered";
    ARROW_TAKEN = "saranwrap._arrow"."taken";
    // Exceptions.
    EXCEPTION_PARTS = "saranwrap._exceptions"."parts";
    EXCEPTION_BUILD = "saranwrap._exceptions"."build";
    HANDLED = "sys"."exception";
    IN_CONTEXT = "saranwrap._exceptions"."in_context";
    TRACEBACK_BUILD = "saranwrap._tracebacks"."build_traceback";
    LAST_WORDS = "saranwrap._exceptions"."last_words";
    TRACEBACK_FRAMES = "saranwrap._exceptions"."frames";
    // What the child does beyond the plain operations.
    SIGNATURE = "inspect"."signature";
    HASHED = "saranwrap._host"."hashed";
    NEXT = "builtins"."next";
    REVERSED = "builtins"."reversed";
    FORMAT = "builtins"."format";
    INDEX = "_operator"."index";
    OPERATE = "saranwrap._host"."operate";
    SUPER = "saranwrap._host"."super_call";
    COROUTINE = "types"."CoroutineType";
    COOPERATE = "saranwrap._greenlets"."waiter";
    STRAND = "saranwrap._greenlets"."strand";
    IMPORT_MODULE = "importlib"."import_module";
    ADOPT = "saranwrap._host"."adopt";
    IS_TWIN = "saranwrap._host"."is_twin";
    IS = "saranwrap._host"."is_check";
    REDUCE_PARTS = "saranwrap._host"."reduce_parts";
    HOME = "saranwrap._home"."Door";
    STATUS = "saranwrap._host"."status";
    // Where an attribute is asked for.
    GETFRAME = "sys"."_getframe";
    GETTRACE = "sys"."gettrace";
    OPMAP = "opcode"."opmap";
    METHOD = "types"."MethodType";
    IS_ENUM = "saranwrap._values"."is_enum";
    REGISTER_AT_FORK = "os"."register_at_fork";
    EQ = "_operator"."eq";
    // Deadlines and threads.
    DEADLINE = "saranwrap._deadlines"."current";
    ENTER_DEADLINE = "saranwrap._deadlines"."enter";
    LEAVE_DEADLINE = "saranwrap._deadlines"."leave";
    RUN = "saranwrap._serving"."run";
    GC_IS_ENABLED = "gc"."isenabled";
    GC_DISABLE = "gc"."disable";
    GC_ENABLE = "gc"."enable";
    CALM = "saranwrap._serving"."calm";
    // Iteration in batches.
    READ_AHEAD = "saranwrap._ahead"."TYPES";
    SHADOW = "saranwrap._ahead"."shadow";
    THREADS = "_thread"."_count";
    SYS_MODULES = "sys"."modules";
    DIR = "builtins"."dir";
}
