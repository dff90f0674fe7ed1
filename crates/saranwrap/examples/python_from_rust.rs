//! A Rust program that uses Python without linking it: values, exceptions, closures, and an interpreter that crashes.

use saranwrap::{Callback, Fault, FromRemote, Object, Python, args};

/// What `platform.uname()` gives, by its attributes.
#[derive(Debug, FromRemote)]
struct Uname {
    system: String,
    machine: String,
}

fn main() -> Result<(), Fault> {
    // The interpreter may be any that has the package; the first argument says which.
    let interpreter = std::env::args().nth(1).unwrap_or_else(|| "python3".to_owned());
    let child = Python::new().interpreter(interpreter).spawn()?;

    let time = child.wrap_module("time")?;
    let t = time.call_method("gmtime", (0,))?;
    let year: i32 = t.getattr("tm_year")?.extract()?;
    println!("the epoch began in {year}");

    let platform = child.wrap_module("platform")?;
    let uname: Uname = platform.call_method0("uname")?.extract()?;
    println!("this is {} on {}", uname.system, uname.machine);

    let json = child.wrap_module("json")?;
    let text = json.call_method("dumps", args((vec![1, 2, 3],)).named("separators", (",", ":")))?;
    println!("a list of Rust's, as JSON: {text}");
    match json.call_method("loads", ("{",)) {
        Err(Fault::Raised(raised)) if raised.is_instance("ValueError") => println!("no JSON: {raised}"),
        other => println!("unexpected: {other:?}"),
    }

    let words = child.builtins()?.call_method("list", (vec!["pear", "fig", "banana"],))?;
    let length = Callback::new(|(word,): (String,)| word.len());
    words.call_method("sort", args(()).named("key", length))?;
    println!("sorted by a closure: {}", words.str()?);

    let fault = child.wrap_module("os")?.call_method0("abort");
    println!("and this program goes on: {}", fault.is_err_and(|fault| fault.is_death()));
    Ok(())
}
