//! How an op is applied to an object of this side: attributes, methods, and what every object can do.

use std::sync::Arc;

use super::arguments::Args;
use super::encode::Encoder;
use super::fault::{Fault, Result};
use super::own::{Class, Method, Own, Served};
use super::value::Value;
use crate::op::Op;

/// A method of an object, as an object.
struct Bound {
    object: Own,
    method: &'static Method,
}

static METHOD: Class = Class {
    module: "rust",
    name: "method",
    doc: "A method of an object of a Rust program.",
    methods: &[Method { name: "__call__", doc: "", parameters: "*args, **kwargs" }],
};

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
pub(crate) fn apply(object: &Own, op: Op, name: &str, args: Args, out: &mut Encoder<'_>) -> Result<()> {
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
    let told = object.0.method();
    if let Some(method) = told {
        match name {
            "__name__" | "__qualname__" => {
                out.text(method.name);
                return Ok(());
            }
            "__doc__" => {
                text_or_none(method.doc, out);
                return Ok(());
            }
            _ => {}
        }
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

/// A special method: the object's own, or what every object can do.
fn special(object: &Own, name: &str, mut args: Args, out: &mut Encoder<'_>) -> Result<()> {
    if object.class().method(name).is_some() {
        return object.0.call(name, args, out);
    }
    let class = object.class();
    match name {
        "__repr__" | "__str__" => out.text(&format!("<{}.{} object>", class.module, class.name)),
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
        "__signature__" => {
            let parameters = object.0.method().or_else(|| class.method("__call__")).map(|method| method.parameters);
            // A text, which `inspect` reads as it reads those of built-in functions.
            out.text(&format!("({})", parameters.unwrap_or("*args, **kwargs")));
        }
        _ => return Err(no_attribute(class, name)),
    }
    Ok(())
}

fn text_or_none(text: &str, out: &mut Encoder<'_>) {
    if text.is_empty() { out.none() } else { out.text(text) }
}

fn no_attribute(class: &Class, name: &str) -> Fault {
    Fault::raise("AttributeError", format!("'{}' object has no attribute '{name}'", class.name))
}
