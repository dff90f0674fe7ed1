//! What can be done with an object of the other side.

use std::borrow::Cow;

use super::arguments::{ArgumentTuple, Arguments};
use super::buffer::{Buffer, UntypedBuffer};
use super::convert::{FromRemote, IntoRemote, mismatch};
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::iterator::RemoteIter;
use super::proxy::Proxy;
use super::raised::ClassName;
use super::value::Value;
use crate::op::Op;
use crate::sys::numbers::Element;

/// Something that stands for an object of the other side: a [`Proxy`], or a [`Value`] that turned out to be one.
///
/// Each method is one trip.  What it comes to is a value, or a proxy in one where the object stayed there; `extract` makes a type of
/// yours of it.  The names are those that PyO3 has for the same.  All may fail with what the code there raised
/// ([`Fault::Raised`](super::Fault::Raised)), with what happened to the link ([`Fault::Link`](super::Fault::Link)), and, where a
/// value is here already, with a [`Fault::Mismatch`](super::Fault::Mismatch).
pub trait Object {
    /// The proxy.
    fn proxy(&self) -> Result<Cow<'_, Proxy>>;

    /// An attribute.
    fn getattr(&self, name: &str) -> Result<Value> {
        self.proxy()?.ask(Op::GetAttr, 1, |out| {
            out.text(name);
            Ok(())
        })
    }

    /// Whether there is such an attribute.
    fn hasattr(&self, name: &str) -> Result<bool> {
        match self.getattr(name) {
            Ok(_) => Ok(true),
            Err(fault) if fault.is_instance("AttributeError") => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Set an attribute.
    fn setattr(&self, name: &str, value: impl IntoRemote) -> Result<()> {
        let done = self.proxy()?.ask(Op::SetAttr, 2, |out| {
            out.text(name);
            value.into_remote(out)
        });
        done.map(drop)
    }

    /// Delete an attribute.
    fn delattr(&self, name: &str) -> Result<()> {
        let done = self.proxy()?.ask(Op::DelAttr, 1, |out| {
            out.text(name);
            Ok(())
        });
        done.map(drop)
    }

    /// Call it: `f.call((1, "a"))`, or with names `f.call(args((1,)).named("indent", 2))`.
    fn call(&self, args: impl Arguments) -> Result<Value> {
        self.proxy()?.ask(Op::Call, 2, |out| args.write(out))
    }

    /// Call it without arguments.
    fn call0(&self) -> Result<Value> {
        self.call(())
    }

    /// Call one of its attributes, in one trip.
    fn call_method(&self, name: &str, args: impl Arguments) -> Result<Value> {
        self.proxy()?.ask(Op::CallAttr, 3, |out| {
            out.text(name);
            args.write(out)
        })
    }

    /// Call one of its attributes without arguments.
    fn call_method0(&self, name: &str) -> Result<Value> {
        self.call_method(name, ())
    }

    /// `object[item]`.
    fn get_item(&self, item: impl IntoRemote) -> Result<Value> {
        self.proxy()?.ask(Op::GetItem, 1, |out| item.into_remote(out))
    }

    /// `object[item] = value`.
    fn set_item(&self, item: impl IntoRemote, value: impl IntoRemote) -> Result<()> {
        let done = self.proxy()?.ask(Op::SetItem, 2, |out| {
            item.into_remote(out)?;
            value.into_remote(out)
        });
        done.map(drop)
    }

    /// `del object[item]`.
    fn del_item(&self, item: impl IntoRemote) -> Result<()> {
        self.proxy()?.ask(Op::DelItem, 1, |out| item.into_remote(out)).map(drop)
    }

    /// Whether `item in object`.
    fn contains(&self, item: impl IntoRemote) -> Result<bool> {
        self.special("__contains__", (item,))?.extract()
    }

    /// How many items it has.
    fn len(&self) -> Result<usize> {
        self.special("__len__", ())?.extract()
    }

    /// Whether it has none.
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Whether it counts as true.
    fn is_truthy(&self) -> Result<bool> {
        self.special("__bool__", ())?.extract()
    }

    /// Its items, one after the other.
    fn try_iter(&self) -> Result<RemoteIter> {
        RemoteIter::new(self.special("__iter__", ())?)
    }

    /// Make a type of yours of it; a list, a dict and the like is fetched for that.
    fn extract<T: FromRemote>(&self) -> Result<T> {
        T::from_remote(Value::Object(self.proxy()?.into_owned()))
    }

    /// It by value: a copy, as deep as it goes.  Only plain data can be had so: numbers, texts, lists, dicts, sets, arrays.
    fn fetch(&self) -> Result<Value> {
        self.proxy()?.ask(Op::Copy, 2, |out| {
            out.bool(false);
            out.bool(true);
            Ok(())
        })
    }

    /// What it lends by the buffer protocol, as numbers of a type: see [`Buffer`].  Items of another type are a
    /// [`Fault::Mismatch`](super::Fault::Mismatch) that names both.
    fn buffer<T: Element>(&self) -> Result<Buffer<T>> {
        self.untyped_buffer()?.into_typed()
    }

    /// What it lends by the buffer protocol, whatever its items are.
    fn untyped_buffer(&self) -> Result<UntypedBuffer> {
        match self.special("__buffer__", ())? {
            Value::Buffer(buffer) => Ok(buffer),
            other => Err(mismatch("a buffer", &other)),
        }
    }

    /// How it would be written in a program.
    fn repr(&self) -> Result<String> {
        self.special("__repr__", ())?.extract()
    }

    /// Its text.
    fn str(&self) -> Result<String> {
        self.special("__str__", ())?.extract()
    }

    /// What it is hashed as.
    fn hash(&self) -> Result<i64> {
        self.special("__hash__", ())?.extract()
    }

    /// Whether the other side finds it equal to that.  (PyO3 calls this `eq`, which is `PartialEq`'s name here.)
    fn equals(&self, other: impl IntoRemote) -> Result<bool> {
        self.proxy()?.ask(Op::Eq, 1, |out| other.into_remote(out))?.extract()
    }

    /// Whether it can be called.
    fn is_callable(&self) -> Result<bool> {
        let proxy = self.proxy()?;
        Ok(proxy.is_class() || proxy.described()?.is_some_and(|class| class.has("__call__")))
    }

    /// The names of its attributes.
    fn dir(&self) -> Result<Vec<String>> {
        self.proxy()?.ask(Op::Dir, 0, |_| Ok(()))?.extract()
    }

    /// Whether it is an instance of that class.
    fn is_instance(&self, class: &impl Object) -> Result<bool>
    where
        Self: Sized,
    {
        let candidate = self.proxy()?;
        let answer = class.proxy()?.ask(Op::Is, 2, |out| {
            out.text("instance");
            out.proxy(&candidate)
        });
        answer?.extract()
    }

    /// A special method, looked up on the type as the language does.
    fn special(&self, name: &str, args: impl ArgumentTuple) -> Result<Value> {
        self.proxy()?.ask(Op::Special, 2, |out| {
            out.text(name);
            args.write_positional(out)
        })
    }

    /// The operator of this special method between it and an operand, with all that the language does for it: `"__add__"` for `+`.
    fn operate(&self, name: &str, args: impl ArgumentTuple) -> Result<Value> {
        self.proxy()?.ask(Op::Operate, 2, |out| {
            out.text(name);
            args.write_positional(out)
        })
    }

    /// `object + other`.
    fn add(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__add__", (other,))
    }

    /// `object - other`.
    fn sub(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__sub__", (other,))
    }

    /// `object * other`.
    fn mul(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__mul__", (other,))
    }

    /// `object @ other`.
    fn matmul(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__matmul__", (other,))
    }

    /// `object / other`.
    fn div(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__truediv__", (other,))
    }

    /// `object // other`.
    fn floor_div(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__floordiv__", (other,))
    }

    /// `object % other`.
    fn rem(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__mod__", (other,))
    }

    /// `object ** other`.
    fn pow(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__pow__", (other,))
    }

    /// `object & other`.
    fn bitand(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__and__", (other,))
    }

    /// `object | other`.
    fn bitor(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__or__", (other,))
    }

    /// `object ^ other`.
    fn bitxor(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__xor__", (other,))
    }

    /// `object < other`; arrays answer with an array.
    fn lt(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__lt__", (other,))
    }

    /// `object <= other`.
    fn le(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__le__", (other,))
    }

    /// `object > other`.
    fn gt(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__gt__", (other,))
    }

    /// `object >= other`.
    fn ge(&self, other: impl IntoRemote) -> Result<Value> {
        self.operate("__ge__", (other,))
    }

    /// `-object`.
    fn neg(&self) -> Result<Value> {
        self.operate("__neg__", ())
    }
}

impl Object for Proxy {
    fn proxy(&self) -> Result<Cow<'_, Proxy>> {
        Ok(Cow::Borrowed(self))
    }
}

impl Object for Value {
    fn proxy(&self) -> Result<Cow<'_, Proxy>> {
        match self {
            Self::Object(proxy) => Ok(Cow::Borrowed(proxy)),
            Self::Named(named) => named.proxy().map(Cow::Owned),
            Self::Exception(raised) => match raised.proxy() {
                Some(proxy) => Ok(Cow::Borrowed(proxy)),
                None => Err(mismatch("an object of the other side", self)),
            },
            here => {
                let kind = here.kind();
                Err(Fault::mismatch(format!("{kind} crossed by value and is here already: use `extract`")))
            }
        }
    }

    fn extract<T: FromRemote>(&self) -> Result<T> {
        T::from_remote(self.clone())
    }

    fn untyped_buffer(&self) -> Result<UntypedBuffer> {
        UntypedBuffer::from_remote(self.clone())
    }

    fn repr(&self) -> Result<String> {
        match self.proxy() {
            Ok(proxy) => Object::repr(&*proxy),
            Err(_) => Ok(self.literal()),
        }
    }

    fn str(&self) -> Result<String> {
        match self.proxy() {
            Ok(proxy) => Object::str(&*proxy),
            Err(_) => Ok(self.to_string()),
        }
    }
}

/// The name of a class that was asked for.
pub(crate) fn name_of_class(class: &Value) -> Result<ClassName> {
    match class {
        Value::Named(named) => Ok(named.name().clone()),
        class => {
            let text = |name| class.getattr(name)?.extract::<String>();
            Ok(ClassName::new(text("__module__")?, text("__qualname__")?))
        }
    }
}

/// An attribute of a name.
pub(crate) fn text_argument(text: &str) -> impl FnOnce(&mut Encoder<'_>) -> Result<()> + '_ {
    move |out| {
        out.text(text);
        Ok(())
    }
}
