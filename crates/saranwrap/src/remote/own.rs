//! Objects of this side that the other one may use: what they can do, and the table of those that were given out.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::arguments::Args;
use super::encode::Encoder;
use super::fault::Result;
use crate::error::Result as LinkResult;
use crate::table::Table;

/// An object that is used from the other side: methods by their names.
///
/// Implemented for closures by [`Callback`](super::Callback), and for your own types by `#[saranwrap::wrap]`.
pub trait Served: Any + Send + Sync {
    /// What it is, for whoever makes a proxy of it.
    fn class(&self) -> &'static Class;

    /// Call the method of this name, and write what it returns.  A class has only those that its description lists.
    fn call(&self, method: &str, args: Args, out: &mut Encoder<'_>) -> Result<()>;

    /// The method that this is, where it is one by itself.
    #[doc(hidden)]
    fn method(&self) -> Option<&'static Method> {
        None
    }

    /// An attribute that is no method.
    #[doc(hidden)]
    fn attribute(&self, _name: &str) -> Option<Own> {
        None
    }
}

/// What is told of a class to whoever makes a proxy.
#[derive(Debug)]
pub struct Class {
    /// Where it is defined.
    pub module: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// What its instances can do, special methods included.
    pub methods: &'static [Method],
}

/// A method of a [`Class`].
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Its parameters, without the object itself, as they would be written there: `"by, times"`.
    pub parameters: &'static str,
    /// What it is called on.
    pub access: Access,
}

/// What a method is called on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// An object that others may look at meanwhile: `&self`.
    Read,
    /// An object that nobody else uses meanwhile: `&mut self`.
    Change,
    /// No object: a function that belongs to the class, such as one that makes its objects.
    Make,
}

impl Class {
    /// The method of this name.
    pub(crate) fn method(&self, name: &str) -> Option<&'static Method> {
        let methods: &'static [Method] = self.methods;
        methods.iter().find(|method| method.name == name)
    }
}

/// An object of this side, as a value.
#[derive(Clone)]
pub struct Own(pub(crate) Arc<dyn Served>);

impl Own {
    /// Whatever can be used from the other side.
    pub fn new(object: impl Served) -> Self {
        Self(Arc::new(object))
    }

    /// What it is.
    pub fn class(&self) -> &'static Class {
        self.0.class()
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.0).cast::<()>() as usize
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Own({})", self.class().name)
    }
}

impl PartialEq for Own {
    /// Whether it is the same object.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// What has an id here.
#[derive(Debug, Clone)]
pub(crate) enum Export {
    Object(Own),
    Class(&'static Class),
}

/// The objects and classes that were given out.
#[derive(Debug, Default)]
pub(crate) struct Exports {
    table: Table<Export>,
    /// The way back to an id, by address: the same object always goes by the same one.
    ids: HashMap<usize, u64>,
}

impl Exports {
    /// Give an object out once more.  Its id, and the number of its class.
    pub(crate) fn give(&mut self, object: &Own) -> (u64, u64) {
        let address = object.address();
        let id = match self.ids.get(&address) {
            Some(&id) if self.table.again(id) => id,
            _ => {
                let id = self.table.insert(Export::Object(object.clone()));
                self.ids.insert(address, id);
                id
            }
        };
        (id, self.number_of(object.class()))
    }

    /// The number of a class, which it keeps until the link ends.
    pub(crate) fn number_of(&mut self, class: &'static Class) -> u64 {
        let address = std::ptr::from_ref(class) as usize;
        *self.ids.entry(address).or_insert_with(|| self.table.insert(Export::Class(class)))
    }

    pub(crate) fn set_root(&mut self, root: Own) -> Option<Export> {
        self.table.set_root(Export::Object(root))
    }

    pub(crate) fn find(&self, id: u64) -> Option<Export> {
        self.table.find(id).cloned()
    }

    pub(crate) fn again(&mut self, id: u64) -> bool {
        self.table.again(id)
    }

    /// An id comes back.  What nobody has any more comes out, to be dropped where no lock is held.
    pub(crate) fn release(&mut self, id: u64, count: u64) -> LinkResult<Option<Export>> {
        // A class is described once, and its number is good for as long as the link is.
        if matches!(self.table.find(id), Some(Export::Class(_))) {
            return Ok(None);
        }
        let gone = self.table.release(id, count)?;
        if let Some(Export::Object(object)) = &gone {
            self.ids.remove(&object.address());
        }
        Ok(gone)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.table.next_id()
    }

    /// All of it, to be dropped where no lock is held.
    pub(crate) fn drain(&mut self) -> Vec<Export> {
        self.ids.clear();
        self.table.drain()
    }
}
