//! How an op is applied to an object of this side: attributes, methods, and what every object can do.

use std::sync::Arc;

use super::arguments::Args;
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::own::{Access, Class, Method, Own, Served};
use super::value::Value;
use crate::op::Op;

/// A method of an object, as an object.
struct Bound {
    object: Own,
    method: &'static Method,
}

/// What everything that can be called has.
pub(crate) const CALL: Method =
    Method { name: "__call__", doc: "", parameters: "*args, **kwargs", access: Access::Read };

// To the other side it is a method of the interpreter's own: `help` and `inspect` know what to make of that.
static METHOD: Class = Class { module: "builtins", name: "builtin_function_or_method", doc: "", methods: &[CALL] };

impl Served for Bound {
    fn class(&self) -> &'static Class {
        &METHOD
    }

    fn call(&self, _: &str, args: Args, out: &mut Encoder<'_>) -> Result<()> {
        self.object.0.call(self.method.name, args, out)
    }

    fn method(&self) -> Option<&'static Method> {
        Some(self.method)
    }
}

/// Apply an op to an object.
pub(crate) fn apply(object: &Own, op: Op, name: &str, mut args: Args, out: &mut Encoder<'_>) -> Result<()> {
    match op {
        Op::Call => invoke(object, "__call__", args, out),
        Op::CallAttr => invoke(object, name, args, out),
        Op::GetAttr => attribute(object, name, out),
        Op::Special | Op::Operate => special(object, name, args, out),
        Op::GetItem => invoke(object, "__getitem__", args, out),
        Op::SetItem => invoke(object, "__setitem__", args, out),
        Op::DelItem => invoke(object, "__delitem__", args, out),
        Op::Eq => special(object, "__eq__", args, out),
        Op::Dir => {
            out.tuple(object.class().methods.len());
            object.class().methods.iter().for_each(|method| out.text(method.name));
            Ok(())
        }
        // What `super()` and lookups through a class come to: classes of this side have no bases.
        Op::Super => match args_of_super(&mut args) {
            None => attribute(object, name, out),
            Some(args) => invoke(object, name, args, out),
        },
        Op::SetAttr | Op::DelAttr => Err(no_attribute(object.class(), name)),
        other => Err(Fault::raise(
            "TypeError",
            format!("an object of a Rust program does not know `{}`: '{}'", other.name(), object.class().name),
        )),
    }
}

/// What a class itself can be asked for.
pub(crate) fn of_class(class: &'static Class, op: Op, name: &str, out: &mut Encoder<'_>) -> Result<()> {
    match (op, name) {
        (Op::GetAttr, "__doc__") => text_or_none(class.doc, out),
        (Op::GetAttr, "__name__" | "__qualname__") => out.text(class.name),
        (Op::GetAttr, "__module__") => out.text(class.module),
        (Op::Special, "__repr__" | "__str__") => out.text(&format!("<class '{}.{}'>", class.module, class.name)),
        (Op::Dir, _) => {
            out.tuple(class.methods.len());
            class.methods.iter().for_each(|method| out.text(method.name));
        }
        (Op::GetAttr, name) if class.method(name).is_some() => {
            let text = format!("a method of '{}' is bound to an object of it: '{name}'", class.name);
            return Err(Fault::raise("TypeError", text));
        }
        _ => return Err(no_attribute(class, name)),
    }
    Ok(())
}

fn invoke(object: &Own, name: &str, args: Args, out: &mut Encoder<'_>) -> Result<()> {
    if object.class().method(name).is_none() {
        return match name {
            "__call__" => Err(Fault::raise("TypeError", format!("'{}' object is not callable", object.class().name))),
            name => Err(no_attribute(object.class(), name)),
        };
    }
    object.0.call(name, args, out)
}

fn attribute(object: &Own, name: &str, out: &mut Encoder<'_>) -> Result<()> {
    let class = object.class();
    if let Some(attribute) = object.0.attribute(name) {
        out.own(&attribute);
        return Ok(());
    }
    if class.method("__call__").is_some() && tell_of_function(object.0.method(), name, out) {
        return Ok(());
    }
    match name {
        "__doc__" => text_or_none(class.doc, out),
        "__module__" => out.text(class.module),
        "__call__" if class.method(name).is_some() => out.own(object),
        _ => match class.method(name) {
            Some(method) => out.own(&Own::new(Bound { object: object.clone(), method })),
            None => return Err(no_attribute(class, name)),
        },
    }
    Ok(())
}

/// What functions tell of themselves.  Whether this was such a thing.
fn tell_of_function(method: Option<&'static Method>, name: &str, out: &mut Encoder<'_>) -> bool {
    match name {
        "__name__" | "__qualname__" => out.text(method.map_or("function", |method| method.name)),
        "__doc__" => text_or_none(method.map_or("", |method| method.doc), out),
        "__text_signature__" => {
            out.text(&format!("({})", method.map_or("*args, **kwargs", |method| method.parameters)))
        }
        "__self__" | "__module__" => out.none(),
        _ => return false,
    }
    true
}

/// A special method: the object's own, or what every object can do.
fn special(object: &Own, name: &str, mut args: Args, out: &mut Encoder<'_>) -> Result<()> {
    if object.class().method(name).is_some() {
        return object.0.call(name, args, out);
    }
    let class = object.class();
    match name {
        "__repr__" | "__str__" => match object.0.method() {
            Some(method) => out.text(&format!("<built-in method {}>", method.name)),
            None if class.method("__call__").is_some() => out.text("<built-in function>"),
            None => out.text(&format!("<{}.{} object>", class.module, class.name)),
        },
        "__hash__" => out.int(Arc::as_ptr(&object.0).cast::<()>() as usize as i64 >> 4),
        "__eq__" | "__ne__" => {
            let same = args.rest().first() == Some(&Value::Own(object.clone()));
            out.bool(same == (name == "__eq__"));
        }
        "__format__" => {
            let spec: String = args.take("format_spec")?;
            return match spec.as_str() {
                "" => special(object, "__str__", args, out),
                _ => Err(Fault::raise("TypeError", "unsupported format string passed to object.__format__")),
            };
        }
        _ => return Err(no_attribute(class, name)),
    }
    Ok(())
}

/// The arguments of the call, where the attribute is to be called.
fn args_of_super(args: &mut Args) -> Option<Args> {
    let session = Arc::clone(args.shared());
    let mut rest = args.rest().into_iter();
    let Some(Value::Tuple(positional)) = rest.next() else { return None };
    let pairs = if let Some(Value::Tuple(pairs)) = rest.next() { pairs } else { Vec::new() };
    let named = pairs.into_iter().filter_map(|pair| pair.extract::<(String, Value)>().ok()).collect();
    Some(Args::new(&session, positional, named))
}

fn text_or_none(text: &str, out: &mut Encoder<'_>) {
    if text.is_empty() { out.none() } else { out.text(text) }
}

fn no_attribute(class: &Class, name: &str) -> Fault {
    Fault::raise("AttributeError", format!("'{}' object has no attribute '{name}'", class.name))
}
