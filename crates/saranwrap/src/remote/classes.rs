//! What the other side says of its classes: asked for once for each, the first time that something depends on it.

use std::sync::Arc;

use super::decode::Decoder;
use super::raised::{ClassName, family_of_builtin};
use super::shared::{Shared, lock};
use super::value::Value;
use crate::error::{Error, Result};
use crate::op::Op;

/// A class derives from at most so many here: what a liar says of its bases is not followed for ever.
const MOST_BASES: usize = 256;

/// A description of a class, as far as this side cares.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) name: ClassName,
    bases: Vec<Base>,
    /// Its own names.
    names: Vec<String>,
    /// The special methods of its instances, inherited ones too.
    special: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Base {
    Number(u64),
    Name(ClassName),
}

impl Described {
    /// Whether its instances have this special method.
    pub(crate) fn has(&self, special: &str) -> bool {
        self.special.iter().any(|name| name == special)
    }
}

impl Shared {
    /// The description of a class, if it is known already.
    pub(crate) fn known_class(&self, number: u64) -> Option<Arc<Described>> {
        lock(&self.classes).get(&number).cloned()
    }

    /// The description of a class.
    pub(crate) fn described(self: &Arc<Self>, number: u64) -> super::Result<Arc<Described>> {
        if let Some(known) = self.known_class(number) {
            return Ok(known);
        }
        let told = self.ask(None, Op::Describe, number, 0, |_| Ok(()))?;
        let described = Arc::new(read(&told).map_err(|error| self.fail(error))?);
        lock(&self.classes).insert(number, Arc::clone(&described));
        Ok(described)
    }

    /// The class of an exception, all that it is derived from, and whether its text is an idea of its own.
    pub(crate) fn family(self: &Arc<Self>, class: &Base) -> super::Result<(Vec<ClassName>, bool)> {
        let (mut family, mut speaks) = (Vec::new(), false);
        let mut open = vec![class.clone()];
        while let Some(base) = open.pop() {
            if family.len() > MOST_BASES {
                return Err(self.fail(Error::garbled("an exception with too many bases")).into());
            }
            match base {
                Base::Name(name) => family.extend(family_of_builtin(&name)),
                Base::Number(number) => {
                    let described = self.described(number)?;
                    family.push(described.name.clone());
                    speaks |= described.names.iter().any(|name| name == "__str__");
                    open.extend(described.bases.iter().rev().cloned());
                }
            }
        }
        Ok((family, speaks))
    }
}

impl Decoder<'_> {
    /// Which class a value names.
    pub(crate) fn base_of(value: &Value) -> Result<Base> {
        match value {
            Value::Named(named) => Ok(Base::Name(named.name().clone())),
            Value::Object(proxy) if proxy.is_class() => Ok(Base::Number(proxy.id())),
            Value::Int(number) => u64::try_from(*number).map(Base::Number).map_err(|_| senseless()),
            _ => Err(senseless()),
        }
    }
}

fn read(told: &Value) -> Result<Described> {
    let Value::Tuple(parts) = told else { return Err(senseless()) };
    let [Value::Str(module), Value::Str(qualname), _, Value::Tuple(bases), names, _, _, _, _, special, ..] = &parts[..]
    else {
        return Err(senseless());
    };
    let bases = bases.iter().map(Decoder::base_of).collect::<Result<_>>()?;
    Ok(Described { name: ClassName::new(module, qualname), bases, names: texts(names)?, special: texts(special)? })
}

fn texts(value: &Value) -> Result<Vec<String>> {
    let Value::Tuple(items) = value else { return Err(senseless()) };
    let text = |item: &Value| if let Value::Str(text) = item { Ok(text.clone()) } else { Err(senseless()) };
    items.iter().map(text).collect()
}

fn senseless() -> Error {
    Error::garbled("the description of a class makes no sense")
}
