//! The stand-in for an object of the other side.  What can be done with it is told in `object`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::classes::Described;
use super::fault::Result;
use super::raised::ClassName;
use super::session::Session;
use super::shared::Shared;
use super::value::Value;
use crate::op::Op;

/// Stands for an object of the other side.  A clone stands for the same object; the object is given back when the last one is gone.
///
/// What can be done with it is in the trait [`Object`](super::Object).  Any thread may use it.
#[derive(Clone)]
pub struct Proxy {
    held: Arc<Held>,
    limit: Option<Duration>,
}

/// An id that the other side has given out.
struct Held {
    session: Arc<Shared>,
    id: u64,
    class: ClassOf,
    /// What an instance of a subclass of an immutable built-in is as one.
    value: Option<Value>,
    /// It was given out for this, and goes back when this goes.
    counts: bool,
}

/// What is known of the class of an object.
#[derive(Clone, Copy)]
enum ClassOf {
    /// Its number there.
    Number(u64),
    /// The object is a class itself.
    Itself,
    Unknown,
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.counts {
            self.session.give_back(self.id);
        }
    }
}

impl Proxy {
    /// An object that was given out just now.
    pub(crate) fn given(session: &Arc<Shared>, id: u64, class: u64, value: Option<Value>) -> Self {
        Self::of(Held { session: Arc::clone(session), id, class: ClassOf::Number(class), value, counts: true })
    }

    /// The object that an exception is, of which no class is told here.
    pub(crate) fn of_exception(session: &Arc<Shared>, id: u64) -> Self {
        Self::of(Held { session: Arc::clone(session), id, class: ClassOf::Unknown, value: None, counts: true })
    }

    /// A class, which stays in the table there.
    pub(crate) fn of_class(session: &Arc<Shared>, id: u64) -> Self {
        Self::of(Held { session: Arc::clone(session), id, class: ClassOf::Itself, value: None, counts: false })
    }

    fn of(held: Held) -> Self {
        Self { held: Arc::new(held), limit: None }
    }

    /// The same object; what is asked of it by this proxy takes so long at most.
    ///
    /// A call that takes longer is cancelled, interrupted, and, when it goes on all the same, ended with its child; it comes to
    /// [`Kind::TimedOut`](crate::Kind::TimedOut).
    #[must_use]
    pub fn with_timeout(&self, limit: Duration) -> Self {
        Self { held: Arc::clone(&self.held), limit: Some(limit) }
    }

    /// The process that the object is in, and the conversation with it.
    pub fn session(&self) -> Session {
        Session::of(&self.held.session)
    }

    /// What it is as a plain value, where its class is derived from a built-in that cannot change: a namedtuple is a tuple.
    pub fn value(&self) -> Option<&Value> {
        self.held.value.as_ref()
    }

    /// Whether it is a class.
    pub fn is_class(&self) -> bool {
        matches!(self.held.class, ClassOf::Itself)
    }

    /// The name of its class.
    pub fn class_name(&self) -> Result<ClassName> {
        match self.described()? {
            Some(described) => Ok(described.name.clone()),
            None => {
                let class = self.ask(Op::GetAttr, 1, super::object::text_argument("__class__"))?;
                super::object::name_of_class(&class)
            }
        }
    }

    /// What the other side says of its class; `None` where it has no number.
    pub(crate) fn described(&self) -> Result<Option<Arc<Described>>> {
        match self.held.class {
            ClassOf::Number(number) => self.held.session.described(number).map(Some),
            _ => Ok(None),
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.held.id
    }

    /// Its id, which is not given back any more.
    pub(crate) fn keep(self) -> u64 {
        let id = self.id();
        if self.held.counts {
            // The session is left to those who still have it.
            let held = Arc::into_inner(self.held).map(std::mem::ManuallyDrop::new);
            if let Some(mut held) = held {
                held.counts = false;
                drop(std::mem::ManuallyDrop::into_inner(held));
            }
        }
        id
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.held.session
    }

    pub(crate) fn limit(&self) -> Option<Duration> {
        self.limit
    }

    pub(crate) fn belongs_to(&self, session: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.held.session, session)
    }

    /// Ask for something of this object.
    pub(crate) fn ask(
        &self,
        op: Op,
        argc: usize,
        write: impl FnOnce(&mut super::encode::Encoder<'_>) -> Result<()>,
    ) -> Result<Value> {
        self.held.session.ask(self.limit, op, self.held.id, argc, write)
    }

    /// What it is, for messages; without asking.
    pub(crate) fn kind(&self) -> String {
        let known = match self.held.class {
            ClassOf::Number(number) => self.held.session.known_class(number),
            _ => None,
        };
        match (known, self.held.class) {
            (Some(known), _) => format!("an object of the class `{}`", known.name),
            (None, ClassOf::Itself) => "a class".to_owned(),
            (None, _) => "an object".to_owned(),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({:#x}, {})", self.held.id, self.kind())
    }
}

impl PartialEq for Proxy {
    /// Whether both stand for the same object.
    fn eq(&self, other: &Self) -> bool {
        self.held.id == other.held.id && other.belongs_to(&self.held.session)
    }
}

/// A class or function that both sides have under its name.  It has no id until one is needed.
#[derive(Clone)]
pub struct Named {
    session: Arc<Shared>,
    name: Arc<ClassName>,
}

impl Named {
    pub(crate) fn new(session: &Arc<Shared>, module: &str, qualname: &str) -> Self {
        Self { session: Arc::clone(session), name: Arc::new(ClassName::new(module, qualname)) }
    }

    /// The module that it is in.
    pub fn module(&self) -> &str {
        &self.name.module
    }

    /// Its name there.
    pub fn qualname(&self) -> &str {
        &self.name.qualname
    }

    pub(crate) fn name(&self) -> &ClassName {
        &self.name
    }

    /// A proxy of it; the other side is asked for its id once for each name.
    pub(crate) fn proxy(&self) -> Result<Proxy> {
        Ok(Proxy::of_class(&self.session, self.session.id_of_named(&self.name)?))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Named({}.{})", self.module(), self.qualname())
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.session, &other.session)
    }
}
