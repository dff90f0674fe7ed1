//! A Rust parent in two of the four quadrants, over each transport: the stories of `stories.json`, which `tests/test_quadrants.py` tells
//! of a Python parent.
// In a test a panic is the message, and names say what things are.  What a macro makes public is so for nobody else here.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "../interpreter/mod.rs"]
mod interpreter;
mod subject;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use saranwrap::child::Carrier;
use saranwrap::{Callback, Fault, Kind, Object, Offer, Program, Proxy, Session, Value};
use subject::Subject;

/// Where what is told of lives.
#[derive(Clone, Copy)]
enum Home {
    Python,
    /// The portable child of Python.
    Portable,
    Rust,
}

/// What the program is when it finds itself a child.
#[test]
fn child_main() {
    Offer::new().class::<Subject>().root(Subject::new(5)).serve_if_child();
}

/// A subject with the number 5; none where there is no interpreter.
fn subject(home: Home, carrier: Carrier) -> Option<Proxy> {
    match home {
        Home::Python | Home::Portable => {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quadrants");
            let python = interpreter::python()?.carrier(carrier).path(directory);
            let python = if matches!(home, Home::Portable) { python.portable() } else { python };
            let child = python.spawn().unwrap();
            let module = child.wrap_module("quadrant_subject").unwrap();
            module.call_method("Subject", (5,)).unwrap().into_proxy()
        }
        Home::Rust => {
            let program = Program::this().unwrap().carrier(carrier).grace(Duration::ZERO);
            let arguments = ["child_main", "--exact", "--nocapture", "--quiet"];
            Some(arguments.into_iter().fold(program, Program::arg).spawn().unwrap().root().unwrap())
        }
    }
}

/// Tell each story in each quadrant.
macro_rules! quadrants {
    ($($story:ident)*) => {
        const TOLD: &[&str] = &[$(stringify!($story)),*];
        quadrants! { @of python_over_ring Python Ring $($story)* }
        quadrants! { @of python_over_stream Python Stream $($story)* }
        // It is offered what there is, and has but a socket.
        quadrants! { @of portable_over_stream Portable Ring $($story)* }
        quadrants! { @of rust_over_ring Rust Ring $($story)* }
        quadrants! { @of rust_over_stream Rust Stream $($story)* }
    };
    (@of $name:ident $home:ident $carrier:ident $($story:ident)*) => {
        mod $name {
            $(
                #[test]
                fn $story() {
                    if let Some(subject) = super::subject(super::Home::$home, super::Carrier::$carrier) {
                        super::$story(&subject);
                    }
                }
            )*
        }
    };
}

quadrants! {
    values_come_back
    what_is_given_twice_arrives_twice
    an_error_is_raised
    a_function_is_called_back
    a_failure_of_a_function_comes_back
    a_proxy_goes_back
    items_are_read
    objects_are_given_back
    steps_travel_together
    a_call_ends_in_time
    a_death_is_told
}

/// The table that all quadrants share.
fn table() -> serde_json::Value {
    serde_json::from_str(include_str!("stories.json")).unwrap()
}

/// An array is a tuple here: a list would stay where it is in one of the quadrants.
fn value_of(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => {
            number.as_i128().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Int)
        }
        serde_json::Value::String(text) => Value::Str(text.clone()),
        serde_json::Value::Array(items) => Value::Tuple(items.iter().map(value_of).collect()),
        _ => Value::None,
    }
}

#[test]
fn all_stories_are_told() {
    let stories: Vec<String> = serde_json::from_value(table()["stories"].clone()).unwrap();
    assert_eq!(stories, TOLD);
}

fn values_come_back(subject: &Proxy) {
    for json in table()["values"].as_array().unwrap() {
        let value = value_of(json);
        assert_eq!(subject.call_method("echo", (&value,)).unwrap(), value);
    }
}

fn what_is_given_twice_arrives_twice(subject: &Proxy) {
    let row = Value::Tuple(vec![Value::Int(1)]);
    let twice = Value::Tuple(vec![row.clone(), row]);
    assert_eq!(subject.call_method("echo", (&twice,)).unwrap(), twice);
}

fn an_error_is_raised(subject: &Proxy) {
    let fault = subject.call_method("fail", ("as told",)).unwrap_err();
    assert!(fault.is_instance("ValueError") && fault.to_string() == "ValueError: as told", "{fault}");
    assert!(subject.call_method("nothing", ()).unwrap_err().is_instance("AttributeError"));
    assert_eq!(subject.call_method("number", ()).unwrap(), Value::Int(5));
}

fn a_function_is_called_back(subject: &Proxy) {
    let again = subject.clone();
    let function = Callback::new(move |(x,): (i64,)| {
        // It asks while it is asked.
        again.call_method("number", ())?.extract::<i64>().map(|number| number * x)
    });
    assert_eq!(subject.call_method("call", (function, 3)).unwrap(), Value::Int(15));
}

fn a_failure_of_a_function_comes_back(subject: &Proxy) {
    let function = Callback::new(|(_,): (i64,)| Err::<(), _>(Fault::raise("KeyError", "no")));
    let fault = subject.call_method("call", (function, 3)).unwrap_err();
    assert_eq!(fault.to_string(), "KeyError: 'no'");
}

fn a_proxy_goes_back(subject: &Proxy) {
    let twin = subject.call_method("twin", ()).unwrap();
    assert_eq!(subject.call_method("sum_with", (&twin,)).unwrap(), Value::Int(11));
    assert_eq!(subject.call_method("echo", (&twin,)).unwrap(), twin);
}

fn items_are_read(subject: &Proxy) {
    let items: Vec<Value> = (0..subject.len().unwrap() as i64).map(|place| subject.get_item(place).unwrap()).collect();
    assert_eq!(items, [Value::Int(5), Value::Int(6), Value::Int(7)]);
    assert!(subject.get_item(3).unwrap_err().is_instance("IndexError"));
}

/// How many objects the child has given out.
fn objects(session: &Session) -> i64 {
    let status: HashMap<String, Value> = session.status().unwrap().into_iter().collect();
    status["object_count"].clone().extract().unwrap()
}

fn objects_are_given_back(subject: &Proxy) {
    let session = subject.session();
    drop(subject.call_method("twin", ()).unwrap());
    let before = objects(&session);
    let twins: Vec<Value> = (0..20).map(|_| subject.call_method("twin", ()).unwrap()).collect();
    assert_eq!(objects(&session), before + 20);
    drop(twins);
    assert_eq!(objects(&session), before);
}

fn steps_travel_together(subject: &Proxy) {
    let q = subject.session().pipeline();
    let here = q.of(subject).unwrap();
    let twin = here.call_method("twin", ());
    let sum = here.call_method("sum_with", (&twin,));
    let wrong = here.call_method("fail", ("as told",));
    let after = here.call_method("number", ());
    q.run().unwrap();
    assert_eq!((sum.get().unwrap(), after.get().unwrap()), (Value::Int(11), Value::Int(5)));
    assert!(wrong.get().unwrap_err().is_instance("ValueError"));
}

fn a_call_ends_in_time(subject: &Proxy) {
    let fault = subject.with_timeout(Duration::from_millis(100)).call_method("sleep", (30.0,)).unwrap_err();
    assert_eq!(fault.kind(), Some(Kind::TimedOut), "{fault}");
}

fn a_death_is_told(subject: &Proxy) {
    let fault = subject.call_method("exit", (3,)).unwrap_err();
    assert!(fault.is_death() && fault.to_string().contains("ended with exit code 3"), "{fault}");
    assert!(subject.call_method("number", ()).unwrap_err().is_death());
}
