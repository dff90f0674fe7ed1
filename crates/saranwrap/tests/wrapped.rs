//! Values of Rust types in a process of their own: this test program, once more.
#![allow(clippy::unwrap_used, missing_docs)] // In a test a panic is the message, and names say what things are.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use saranwrap::child::Carrier;
use saranwrap::remote::{BigInt, Known};
use saranwrap::{AsBuffer, Buffer, Callback, Fault, Here, Kind, Object, Offer, Program, Proxy, Session, Value};

/// Counts.
pub struct Counter {
    value: i64,
    name: String,
}

#[derive(Debug)]
pub struct TooLow;

impl fmt::Display for TooLow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it would be too low")
    }
}

impl std::error::Error for TooLow {}

/// A counter in its own process.
#[saranwrap::wrap]
impl Counter {
    /// One that begins at `start`.
    pub fn new(start: i64) -> Self {
        Self { value: start, name: "plain".to_owned() }
    }

    pub fn named(name: &str, start: Option<i64>) -> Self {
        Self { value: start.unwrap_or_default(), name: name.to_owned() }
    }

    /// Count on.
    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }

    pub fn value(&self) -> i64 {
        self.value
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn lower(&mut self, by: i64) -> Result<i64, TooLow> {
        if by > self.value {
            return Err(TooLow);
        }
        self.value -= by;
        Ok(self.value)
    }

    pub fn sum(&self, items: &[i64]) -> i64 {
        items.iter().sum::<i64>() + self.value
    }

    pub fn mean(&self, items: Buffer<f64>) -> f64 {
        items.iter().sum::<f64>() / items.item_count() as f64
    }

    pub fn twin(&self) -> Self {
        Self { value: self.value, name: self.name.clone() }
    }

    pub fn twins(&self, count: usize) -> Vec<Counter> {
        (0..count).map(|_| self.twin()).collect()
    }

    pub fn take_over(&mut self, other: Here<Counter>) -> Result<(), Fault> {
        let value = other.read(|other| other.value)?;
        self.value = value;
        Ok(())
    }

    pub fn tell(&self, to: Proxy) -> Result<Value, Fault> {
        to.call((self.value, self.name.as_str()))
    }

    pub fn tell_and_change(&mut self, to: Proxy) -> Result<Value, Fault> {
        to.call(())
    }

    pub fn panic(&self) {
        panic!("as it was told to");
    }

    pub fn missing(&self) -> Result<(), Fault> {
        Err(Fault::raise("KeyError", "key"))
    }

    pub fn exit(&self, code: i32) {
        std::process::exit(code);
    }

    pub fn table(&self) -> HashMap<String, i64> {
        HashMap::from([(self.name.clone(), self.value)])
    }

    pub fn echo(&self, value: Value) -> Value {
        value
    }

    // Nobody asks for it from elsewhere.
    #[allow(dead_code)]
    fn secret(&self) {}
}

/// What the program is when it finds itself a child.
#[test]
fn child_main() {
    Offer::new().class::<Counter>().serve_if_child();
}

/// This test program once more, as a child.
fn place(carrier: Carrier) -> Session {
    let program = Program::this().unwrap().carrier(carrier);
    let arguments = ["child_main", "--exact", "--nocapture", "--quiet"];
    arguments.into_iter().fold(program, Program::arg).spawn().unwrap()
}

fn counter(start: i64) -> CounterProxy {
    CounterProxy::new(&place(Carrier::Ring), start).unwrap()
}

#[test]
fn a_value_lives_in_its_own_process() {
    for carrier in [Carrier::Ring, Carrier::Stream] {
        let place = place(carrier);
        let counter = CounterProxy::new(&place, 5).unwrap();
        assert_eq!(counter.add(2).unwrap(), 7);
        assert_eq!(counter.value().unwrap(), 7);
        assert_eq!(counter.name().unwrap(), "plain");
        assert_eq!(counter.sum(&[1, 2, 3]).unwrap(), 13);
        assert_eq!(counter.table().unwrap(), HashMap::from([("plain".to_owned(), 7)]));
        assert_ne!(place.pid(), std::process::id());
        assert_eq!(CounterProxy::named(&place, "own", None).unwrap().name().unwrap(), "own");
    }
}

#[test]
fn what_a_method_returns_of_its_own_type_stays_there() {
    let first = counter(1);
    let second = first.twin().unwrap();
    second.add(1).unwrap();
    assert_eq!((first.value().unwrap(), second.value().unwrap()), (1, 2));
    let more = first.twins(3).unwrap();
    assert_eq!(more.len(), 3);
    first.take_over(&second).unwrap();
    assert_eq!(first.value().unwrap(), 2);
    let fault = first.take_over(&first).unwrap_err();
    assert!(fault.to_string().contains("is in the middle of another method"), "{fault}");
}

#[test]
fn failures_are_raised_and_the_child_goes_on() {
    let counter = counter(1);
    assert_eq!(counter.lower(2).unwrap_err().to_string(), "RuntimeError: it would be too low");
    assert_eq!(counter.lower(1).unwrap(), 0);
    let fault = counter.panic().unwrap_err();
    assert_eq!(fault.to_string(), "RuntimeError: the code behind the call panicked: as it was told to");
    assert!(counter.missing().unwrap_err().is_instance("LookupError"));
    let fault = counter.call_method("add", ("x",)).unwrap_err();
    assert_eq!(fault.to_string(), "TypeError: argument 'by': wanted an int, found a str");
    assert!(counter.call_method0("add").unwrap_err().to_string().contains("missing required argument: 'by'"));
    assert!(counter.call_method0("secret").unwrap_err().is_instance("AttributeError"));
    assert!(counter.getattr("nothing").unwrap_err().is_instance("AttributeError"));
    assert_eq!(counter.value().unwrap(), 0);
}

#[test]
fn a_closure_of_the_parent_is_called() {
    let counter = counter(3);
    let told = counter.tell(Callback::new(|(value, name): (i64, String)| format!("{name}: {value}")));
    assert_eq!(told.unwrap(), Value::Str("plain: 3".to_owned()));
    let again = counter.clone();
    let reading = Callback::new(move |(_, _): (i64, String)| again.value());
    assert_eq!(counter.tell(reading).unwrap(), Value::Int(3), "others may look meanwhile");
    let again = counter.clone();
    let fault = counter.tell_and_change(Callback::new(move |(): ()| again.value())).unwrap_err();
    assert!(fault.to_string().contains("this Counter is in the middle of another method"), "{fault}");
    let fault = counter.tell(Callback::new(|(_, _): (i64, String)| Err::<(), _>("no"))).unwrap_err();
    assert_eq!(fault.to_string(), "RuntimeError: no");
}

#[test]
fn its_end_is_told() {
    let counter = counter(0);
    let fault = counter.exit(3).unwrap_err();
    assert_eq!(fault.kind(), Some(Kind::Died));
    assert!(fault.to_string().contains("ended with exit code 3"), "{fault}");
    assert!(counter.value().unwrap_err().is_death());
}

#[test]
fn values_are_given_back() {
    let place = place(Carrier::Ring);
    let count = || {
        let status: HashMap<String, Value> = place.status().unwrap().into_iter().collect();
        status["object_count"].clone().extract::<i64>().unwrap()
    };
    let first = CounterProxy::new(&place, 0).unwrap();
    let before = count();
    drop(first.twins(10).unwrap());
    assert_eq!(count(), before);
}

#[test]
fn a_program_that_does_not_serve_is_told_apart() {
    let fault = Program::at("true").spawn().unwrap_err();
    assert!(fault.is_death() && fault.to_string().contains("ended with exit code 0"), "{fault}");
    assert!(Offer::new().serve().unwrap_err().to_string().contains("was not started as a child"));
}

/// Values of every kind that can be sent both ways.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        Just(Value::Ellipsis),
        any::<bool>().prop_map(Value::Bool),
        any::<i128>().prop_map(Value::Int),
        (any::<bool>(), prop::collection::vec(any::<u8>(), 16..24)).prop_map(|(negative, mut magnitude)| {
            magnitude[0] |= 0x80;
            Value::BigInt(BigInt { negative, magnitude })
        }),
        any::<u64>().prop_map(f64::from_bits).prop_filter("is itself", |x| !x.is_nan()).prop_map(Value::Float),
        (-1e9..1e9, -1e9..1e9).prop_map(|(real, imaginary)| Value::Complex(real, imaginary)),
        ".*".prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(Value::Bytes),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(Value::ByteArray),
        Just(Value::Bytes(vec![7; 100_000])),
    ];
    // Many of one kind cross as one run, unless one of them is too large.
    let integers = (0..128u32, prop::collection::vec(any::<i128>(), 0..100)).prop_map(|(cut, integers)| {
        let cut = |integer| Value::Int(integer >> cut);
        integers.into_iter().map(cut).collect::<Vec<_>>()
    });
    let number = any::<u64>().prop_map(f64::from_bits).prop_filter("is itself", |x| !x.is_nan());
    let floats = prop::collection::vec(number.prop_map(Value::Float), 0..100);
    let leaf = prop_oneof![
        8 => leaf,
        1 => integers.clone().prop_map(Value::Tuple),
        1 => integers.prop_map(Value::List),
        1 => floats.clone().prop_map(Value::Tuple),
        1 => floats.prop_map(Value::List),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let items = || prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            items().prop_map(Value::Tuple),
            items().prop_map(Value::List),
            items().prop_map(Value::Set),
            items().prop_map(Value::FrozenSet),
            prop::collection::vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Dict),
            items().prop_map(|parts| Value::Known(Box::new(Known { kind: "uuid".to_owned(), parts }))),
            [inner.clone(), inner.clone(), inner].prop_map(|parts| Value::Slice(Box::new(parts))),
        ]
    })
}

#[test]
fn every_value_comes_back() {
    let counter = counter(0);
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let comes_back = |value: Value| {
        prop_assert_eq!(counter.echo(&value).unwrap(), value);
        Ok(())
    };
    runner.run(&values(), comes_back).unwrap();
}

#[test]
fn depth_has_a_limit() {
    let counter = counter(0);
    let nested = |depth| (0..depth).fold(Value::None, |inner, _| Value::List(vec![inner]));
    assert_eq!(counter.echo(nested(890)).unwrap(), nested(890));
    // At the bottom of callbacks, too, there is room on the stack of a thread for what the other side sends.
    fn dive(counter: CounterProxy, depth: usize, value: Arc<Value>) -> Result<Value, Fault> {
        if depth == 0 {
            return counter.echo(&*value);
        }
        let inner = counter.clone();
        counter.tell(Callback::new(move |(_, _): (i64, String)| dive(inner.clone(), depth - 1, Arc::clone(&value))))
    }
    assert_eq!(dive(counter.clone(), 63, Arc::new(nested(890))).unwrap(), nested(890));
    let fault = counter.echo(nested(2000)).unwrap_err();
    assert_eq!(fault.to_string(), "a value that is nested deeper than 900 cannot be sent");
    assert_eq!(counter.value().unwrap(), 0);
}

#[test]
fn a_proxy_of_elsewhere_is_refused() {
    let (here, there) = (counter(0), counter(1));
    let fault = here.take_over(&there).unwrap_err();
    assert_eq!(fault.to_string(), "an object of one child cannot be sent to another process");
    assert_eq!(here.value().unwrap(), 0);
}

#[test]
fn a_method_takes_a_buffer() {
    for carrier in [Carrier::Ring, Carrier::Stream] {
        let counter = CounterProxy::new(&place(carrier), 0).unwrap();
        let items: Vec<f64> = (0..100_001).map(f64::from).collect();
        assert_eq!(counter.mean(Buffer::from(&items[..])).unwrap(), 50_000.0);
        let proxy = Object::proxy(&counter).unwrap();
        assert_eq!(proxy.call_method("mean", (AsBuffer(&items),)).unwrap(), Value::Float(50_000.0));
        let back = proxy.call_method("echo", (AsBuffer(&items),)).unwrap().extract::<Buffer<f64>>().unwrap();
        assert_eq!(back.to_vec(), items);
        let fault = proxy.call_method("mean", (AsBuffer(&[1u8]),)).unwrap_err();
        assert!(fault.to_string().contains("wanted a buffer of f64"), "{fault}");
    }
}
