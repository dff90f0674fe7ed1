//! Values of your own types that are used from another process: what `#[saranwrap::wrap]` makes of an `impl` block.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use super::arguments::Args;
use super::convert::FromRemote;
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::own::{Access, Class, Method, Own, Served};
use super::proxy::Proxy;
use super::value::Value;

/// A type whose values can be used from another process.
///
/// Derived by `#[saranwrap::wrap]` on its `impl` block, which tells what can be done with them.
#[diagnostic::on_unimplemented(
    message = "values of `{Self}` cannot be used from another process",
    note = "put `#[saranwrap::wrap]` on the `impl` block with the methods that are to be used"
)]
pub trait Wrapped: Sized + Send + Sync + 'static {
    /// Its proxy.
    type Proxy: From<Proxy>;

    /// What it is, for whoever makes a proxy.
    const CLASS: &'static Class;

    /// Call a function that belongs to the type.
    fn make(function: &str, args: Args, out: &mut Encoder<'_>) -> Result<()>;

    /// Call a method that takes `&self`.
    fn read(&self, method: &str, args: Args, out: &mut Encoder<'_>) -> Result<()>;

    /// Call a method that takes `&mut self`.
    fn change(&mut self, method: &str, args: Args, out: &mut Encoder<'_>) -> Result<()>;
}

/// A value with its lock.
struct Holder<T>(RwLock<T>);

/// A value can be in the middle of a method when it is called back; then there is no second way in that changes it.
fn is_busy(class: &Class) -> Fault {
    Fault::raise("RuntimeError", format!("this {} is in the middle of another method", class.name))
}

impl<T: Wrapped> Served for Holder<T> {
    fn class(&self) -> &'static Class {
        T::CLASS
    }

    fn call(&self, method: &str, args: Args, out: &mut Encoder<'_>) -> Result<()> {
        match T::CLASS.method(method).map(|method| method.access) {
            Some(Access::Read) => read(&self.0, T::CLASS)?.read(method, args, out),
            Some(Access::Change) => change(&self.0, T::CLASS)?.change(method, args, out),
            Some(Access::Make) => T::make(method, args, out),
            None => {
                Err(Fault::raise("AttributeError", format!("'{}' object has no attribute '{method}'", T::CLASS.name)))
            }
        }
    }
}

// A method that panicked has left the value as it was at that moment; as with any value, what that means is up to the type.
fn read<'a, T>(lock: &'a RwLock<T>, class: &Class) -> Result<RwLockReadGuard<'a, T>> {
    match lock.try_read() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(is_busy(class)),
    }
}

fn change<'a, T>(lock: &'a RwLock<T>, class: &Class) -> Result<RwLockWriteGuard<'a, T>> {
    match lock.try_write() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(is_busy(class)),
    }
}

impl Own {
    /// A value of yours, to be used from the other side.
    pub fn wrap<T: Wrapped>(value: T) -> Self {
        Self::new(Holder(RwLock::new(value)))
    }

    fn holder<T: Wrapped>(&self) -> Option<&Holder<T>> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref()
    }
}

/// A value of yours that is in this process and was given out: what a method takes that is called with a proxy going home.
pub struct Here<T> {
    own: Own,
    value: PhantomData<fn() -> T>,
}

impl<T: Wrapped> Here<T> {
    /// Look at it.  Fails when it is in the middle of a method that changes it.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> Result<R> {
        let holder = self.own.holder::<T>().ok_or_else(|| Fault::mismatch("a value of another type"))?;
        Ok(look(&*read(&holder.0, T::CLASS)?))
    }

    /// Change it.  Fails when it is in the middle of a method.
    pub fn change<R>(&self, work: impl FnOnce(&mut T) -> R) -> Result<R> {
        let holder = self.own.holder::<T>().ok_or_else(|| Fault::mismatch("a value of another type"))?;
        Ok(work(&mut *change(&holder.0, T::CLASS)?))
    }

    /// Take it, if nobody else has it.
    pub fn into_inner(self) -> Option<T> {
        let any: Arc<dyn Any + Send + Sync> = self.own.0;
        let holder = Arc::into_inner(any.downcast::<Holder<T>>().ok()?)?;
        Some(holder.0.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Wrapped> FromRemote for Here<T> {
    fn from_remote(value: Value) -> Result<Self> {
        match value {
            Value::Own(own) if own.holder::<T>().is_some() => Ok(Self { own, value: PhantomData }),
            other => Err(super::convert::mismatch(&format!("a {} of this process", T::CLASS.name), &other)),
        }
    }
}

impl<T> fmt::Debug for Here<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.own.fmt(f)
    }
}

/// A type as an object: what makes its values.
struct Type<T> {
    class: &'static Class,
    values: PhantomData<fn() -> T>,
}

impl<T: Wrapped> Type<T> {
    /// Its functions, of which `new` is what it does when it is called.  Made once for each type that a program offers.
    fn new() -> Self {
        let functions = T::CLASS.methods.iter().filter(|method| method.access == Access::Make);
        let mut methods: Vec<Method> = functions.copied().collect();
        if let Some(new) = methods.iter().find(|method| method.name == "new").copied() {
            methods.push(Method { name: "__call__", ..new });
        }
        let class = Class { module: T::CLASS.module, name: T::CLASS.name, doc: T::CLASS.doc, methods: methods.leak() };
        Self { class: Box::leak(Box::new(class)), values: PhantomData }
    }
}

impl<T: Wrapped> Served for Type<T> {
    fn class(&self) -> &'static Class {
        self.class
    }

    fn call(&self, function: &str, args: Args, out: &mut Encoder<'_>) -> Result<()> {
        T::make(if function == "__call__" { "new" } else { function }, args, out)
    }

    fn method(&self) -> Option<&'static Method> {
        self.class.method("__call__")
    }
}

/// What a program offers: types, and one object that is there from the beginning.
///
/// ```no_run
/// use saranwrap::Offer;
/// # struct Counter;
/// # #[saranwrap::wrap]
/// # impl Counter {
/// #     fn new() -> Self { Self }
/// # }
///
/// fn main() {
///     // Where this program was started as a child it serves, and does not come back from here.
///     Offer::new().class::<Counter>().serve_if_child();
/// }
/// ```
#[derive(Debug, Default)]
#[must_use = "nothing is offered before `serve`"]
pub struct Offer {
    types: Vec<(&'static str, Own)>,
    root: Option<Own>,
}

impl Offer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The functions of this type.
    pub fn class<T: Wrapped>(mut self) -> Self {
        self.types.push((T::CLASS.name, Own::new(Type::<T>::new())));
        self
    }

    /// This value is what whoever starts the program gets, rather than all the types.
    pub fn root<T: Wrapped>(mut self, value: T) -> Self {
        self.root = Some(Own::wrap(value));
        self
    }

    pub(crate) fn into_root(self) -> Own {
        let (types, root) = (self.types, self.root);
        let attribute = |name: &&'static str| Method { name, doc: "", parameters: "", access: Access::Make };
        let methods: Vec<Method> = types.iter().map(|(name, _)| attribute(name)).collect();
        let class = Class { module: "rust", name: "program", doc: "A Rust program.", methods: methods.leak() };
        Own::new(Root { types, root, class: Box::leak(Box::new(class)) })
    }
}

/// What has the id 0 in a child.
struct Root {
    types: Vec<(&'static str, Own)>,
    root: Option<Own>,
    class: &'static Class,
}

impl Served for Root {
    fn class(&self) -> &'static Class {
        self.class
    }

    fn call(&self, name: &str, args: Args, out: &mut Encoder<'_>) -> Result<()> {
        match self.attribute(name) {
            Some(named) => named.0.call("__call__", args, out),
            None => Err(Fault::raise("AttributeError", format!("this program offers nothing of the name '{name}'"))),
        }
    }

    fn attribute(&self, name: &str) -> Option<Own> {
        match name {
            "" => self.root.clone(),
            name => self.types.iter().find(|(known, _)| *known == name).map(|(_, own)| own.clone()),
        }
    }
}
