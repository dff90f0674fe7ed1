//! An exception that was raised on the other side, as data: its class, what it carries, and where it came from.

use std::fmt::{self, Write};

use super::proxy::Proxy;
use super::value::Value;

/// A class by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClassName {
    /// The module that it is defined in.
    pub module: String,
    /// Its name in there, such as `Outer.Inner`.
    pub qualname: String,
}

impl ClassName {
    pub(crate) fn new(module: impl Into<String>, qualname: impl Into<String>) -> Self {
        Self { module: module.into(), qualname: qualname.into() }
    }

    /// Whether it is the one of that name, which may begin with its module.
    fn is(&self, name: &str) -> bool {
        let qualified =
            || name.strip_suffix(&*self.qualname)?.strip_suffix('.').filter(|&module| module == self.module);
        self.qualname == name || qualified().is_some()
    }
}

impl fmt::Display for ClassName {
    /// As a traceback has it: the module is left out where it is clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.module != "builtins" && self.module != "__main__" {
            write!(f, "{}.", self.module)?;
        }
        f.write_str(&self.qualname)
    }
}

/// One frame of a traceback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The file that the code is in.
    pub file: String,
    /// The function.
    pub function: String,
    /// The line.
    pub line: i64,
}

/// An exception of the other side.
///
/// `{}` shows the class and the text, `{:#}` all that the other side's interpreter would print.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    pub(crate) class: ClassName,
    /// The class itself and all that it is derived from.
    pub(crate) family: Vec<ClassName>,
    pub(crate) args: Vec<Value>,
    pub(crate) state: Vec<(String, Value)>,
    pub(crate) cause: Option<Box<Raised>>,
    pub(crate) context: Option<Box<Raised>>,
    pub(crate) suppresses_context: bool,
    pub(crate) notes: Vec<String>,
    pub(crate) traceback: Vec<Frame>,
    /// What the exception says of itself, where its class has an idea of its own of that.
    pub(crate) said: Option<String>,
    /// The exception itself, where it is still there.
    pub(crate) proxy: Option<Proxy>,
}

impl Raised {
    /// One that is raised here, for the other side: of a class of the language, with a text.
    pub fn new(class: &str, text: impl Into<String>) -> Self {
        let class = match class.rsplit_once('.') {
            Some((module, name)) => ClassName::new(module, name),
            None => ClassName::new("builtins", class),
        };
        Self {
            family: family_of_builtin(&class),
            class,
            args: vec![Value::Str(text.into())],
            state: Vec::new(),
            cause: None,
            context: None,
            suppresses_context: false,
            notes: Vec::new(),
            traceback: Vec::new(),
            said: None,
            proxy: None,
        }
    }

    /// Its class.
    pub fn class(&self) -> &ClassName {
        &self.class
    }

    /// The bare name of its class.
    pub fn name(&self) -> &str {
        self.class.qualname.rsplit('.').next().unwrap_or_default()
    }

    /// Whether it is of this class or of one derived from it: `"OSError"`, or with its module, `"json.decoder.JSONDecodeError"`.
    pub fn is_instance(&self, class: &str) -> bool {
        self.family.iter().any(|name| name.is(class))
    }

    /// What it was made with.
    pub fn args(&self) -> &[Value] {
        &self.args
    }

    /// An attribute that it carries, such as `errno`.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.state.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// What it says: `str(exception)`.
    pub fn text(&self) -> String {
        if let Some(said) = &self.said {
            return said.clone();
        }
        if self.is_instance("OSError") && self.args.len() >= 2 {
            return self.system_text();
        }
        match &self.args[..] {
            [] => String::new(),
            [key] if self.is_instance("KeyError") => key.literal(),
            [one] => one.to_string(),
            several => Value::Tuple(several.to_vec()).literal(),
        }
    }

    fn system_text(&self) -> String {
        let mut text = format!("[Errno {}] {}", self.args[0], self.args[1]);
        let files = ["filename", "filename2"].map(|name| self.attribute(name).filter(|file| !file.is_none()));
        if let [Some(file), second] = files {
            let _ = write!(text, ": {}", file.literal());
            if let Some(second) = second {
                let _ = write!(text, " -> {}", second.literal());
            }
        }
        text
    }

    /// What was added to it by `add_note`.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Where it was raised, outermost frame first.
    pub fn traceback(&self) -> &[Frame] {
        &self.traceback
    }

    /// The exception that it was raised from.
    pub fn cause(&self) -> Option<&Raised> {
        self.cause.as_deref()
    }

    /// The exception that was being handled when it was raised.
    pub fn context(&self) -> Option<&Raised> {
        self.context.as_deref()
    }

    /// The exception itself, for what did not come along; `None` where it is not kept.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    fn write_whole(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = match (&self.cause, &self.context) {
            (Some(cause), _) => Some((cause, "The above exception was the direct cause of the following exception:")),
            (None, Some(context)) if !self.suppresses_context => {
                Some((context, "During handling of the above exception, another exception occurred:"))
            }
            _ => None,
        };
        if let Some((before, how)) = before {
            before.write_whole(f)?;
            write!(f, "\n\n{how}\n\n")?;
        }
        if !self.traceback.is_empty() {
            f.write_str("Traceback (most recent call last):\n")?;
        }
        for Frame { file, function, line } in &self.traceback {
            writeln!(f, "  File \"{file}\", line {line}, in {function}")?;
        }
        self.write_end(f)?;
        self.notes.iter().try_for_each(|note| write!(f, "\n{note}"))
    }

    fn write_end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            text if text.is_empty() => write!(f, "{}", self.class),
            text => write!(f, "{}: {text}", self.class),
        }
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { self.write_whole(f) } else { self.write_end(f) }
    }
}

impl std::error::Error for Raised {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

/// A class of the language and all that it is derived from.  One that is not known here is an exception, no more.
pub(crate) fn family_of_builtin(class: &ClassName) -> Vec<ClassName> {
    let mut family = vec![class.clone()];
    if class.module != "builtins" {
        family.push(ClassName::new("builtins", "Exception"));
    }
    while let Some(base) = family.last().and_then(|last| base_of(&last.qualname)) {
        family.push(ClassName::new("builtins", base));
    }
    family
}

/// What an exception of the language is derived from.  Those that are not listed are derived from `Exception`, or are the top.
fn base_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "BaseException" | "object" => return None,
        "Exception" | "KeyboardInterrupt" | "SystemExit" | "GeneratorExit" | "BaseExceptionGroup" => "BaseException",
        "FloatingPointError" | "OverflowError" | "ZeroDivisionError" => "ArithmeticError",
        "IndexError" | "KeyError" => "LookupError",
        "ModuleNotFoundError" => "ImportError",
        "UnboundLocalError" => "NameError",
        "NotImplementedError" | "RecursionError" | "PythonFinalizationError" => "RuntimeError",
        "IndentationError" => "SyntaxError",
        "TabError" => "IndentationError",
        "UnicodeError" => "ValueError",
        "UnicodeDecodeError" | "UnicodeEncodeError" | "UnicodeTranslateError" => "UnicodeError",
        "BlockingIOError" | "ChildProcessError" | "ConnectionError" | "FileExistsError" | "FileNotFoundError" => {
            "OSError"
        }
        "InterruptedError" | "IsADirectoryError" | "NotADirectoryError" | "PermissionError" => "OSError",
        "ProcessLookupError" | "TimeoutError" => "OSError",
        "BrokenPipeError" | "ConnectionAbortedError" | "ConnectionRefusedError" | "ConnectionResetError" => {
            "ConnectionError"
        }
        "BytesWarning" | "DeprecationWarning" | "EncodingWarning" | "FutureWarning" | "ImportWarning" => "Warning",
        "PendingDeprecationWarning" | "ResourceWarning" | "RuntimeWarning" | "SyntaxWarning" => "Warning",
        "UnicodeWarning" | "UserWarning" => "Warning",
        _ => "Exception",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_knows_what_is_derived_from_what() {
        let raised = Raised::new("FileNotFoundError", "x");
        assert!(
            ["FileNotFoundError", "OSError", "Exception", "BaseException", "builtins.OSError"]
                .iter()
                .all(|class| raised.is_instance(class))
        );
        assert!(!raised.is_instance("ValueError") && !raised.is_instance("Error") && !raised.is_instance(""));
        assert!(!Raised::new("KeyboardInterrupt", "").is_instance("Exception"));
        assert!(Raised::new("pkg.Own", "").is_instance("Exception"));
    }

    #[test]
    fn it_is_shown_as_a_traceback_shows_it() {
        let mut raised = Raised::new("KeyError", "k");
        assert_eq!(raised.to_string(), "KeyError: 'k'");
        raised.traceback = vec![Frame { file: "a.py".into(), function: "f".into(), line: 3 }];
        raised.notes = vec!["a note".into()];
        let whole = "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\nKeyError: 'k'\na note";
        assert_eq!(format!("{raised:#}"), whole);
        let mut outer = Raised::new("pkg.mod.Bad", "");
        outer.cause = Some(Box::new(raised));
        let end = "\n\nThe above exception was the direct cause of the following exception:\n\npkg.mod.Bad";
        assert_eq!(format!("{outer:#}"), format!("{whole}{end}"));
    }
}
