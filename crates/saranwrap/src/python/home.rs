//! What a Python child asks of its parent beyond the objects: to show a warning, what could not be raised, or what was logged.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::remote::{Access, Args, Class, Encoder, Fault, Method, Object, Result, Served, Value};

/// How many warnings are remembered, so that each is shown once: what a child makes up is not to stay for ever.
const MOST_SHOWN: usize = 4096;

/// Warnings that an interpreter does not show unless it is asked to.
const IGNORED: &[&str] = &["DeprecationWarning", "PendingDeprecationWarning", "ImportWarning", "ResourceWarning"];

/// The root of this side.  All that it is told it writes to stderr, as an interpreter would that runs the code itself.
#[derive(Debug, Default)]
pub(super) struct Home {
    shown: Mutex<HashSet<String>>,
}

static HOME: Class = Class {
    module: "rust",
    name: "home",
    doc: "What a child asks of its parent beyond the objects.",
    methods: &[Method { name: "__call__", doc: "", parameters: "kind, *args", access: Access::Read }],
};

impl Served for Home {
    fn class(&self) -> &'static Class {
        &HOME
    }

    fn call(&self, _: &str, mut args: Args, out: &mut Encoder<'_>) -> Result<()> {
        let kind: String = args.take("kind")?;
        let told = args.rest();
        match (kind.as_str(), &told[..]) {
            ("warning", [message, category, about, line, ..]) => self.warn(message, category, about, line),
            ("unraisable", [error, message, ..]) => unraisable(error, message),
            ("log", [Value::Tuple(fields)]) => log(fields),
            // A stream of the child's own that this side was to write to; it has been told that there is none.
            ("stdout" | "stderr", _) => {}
            _ => return Err(Fault::raise("ValueError", format!("a child cannot ask for {kind:?}"))),
        }
        out.none();
        Ok(())
    }
}

impl Home {
    fn warn(&self, message: &Value, category: &Value, about: &Value, line: &Value) {
        let category = match category {
            Value::Named(named) => named.qualname().to_owned(),
            Value::Object(class) => class.getattr("__name__").map_or("Warning".to_owned(), |name| name.to_string()),
            _ => "Warning".to_owned(),
        };
        if IGNORED.contains(&&*category) {
            return;
        }
        // Where no file is told, it is about whoever called: this program.
        let place = if let Value::Str(file) = about { format!("{file}:{line}: ") } else { String::new() };
        let text = format!("{place}{category}: {message}");
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() >= MOST_SHOWN {
            shown.clear();
        }
        let is_new = shown.insert(text.clone());
        drop(shown);
        if is_new {
            eprintln!("{text}");
        }
    }
}

fn unraisable(error: &Value, message: &Value) {
    let about = if let Value::Str(message) = message { message } else { "Exception ignored" };
    match error {
        Value::Exception(raised) => eprintln!("{about}\n{raised:#}"),
        other => eprintln!("{about}: {other}"),
    }
}

/// A record that no handler of the child's own took.
fn log(fields: &[Value]) {
    let field = |name: &str| {
        fields.iter().find_map(|field| match field {
            Value::Tuple(pair) => match &pair[..] {
                [Value::Str(key), Value::Str(text)] if key == name => Some(text),
                _ => None,
            },
            _ => None,
        })
    };
    if let Some(message) = field("message") {
        eprintln!("{message}");
    }
    if let Some(traceback) = field("exc_text") {
        eprintln!("{traceback}");
    }
}
