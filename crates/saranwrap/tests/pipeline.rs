//! Pipelines from Rust: to an interpreter, by its faster and its portable child, and to a Rust program.
#![allow(clippy::unwrap_used, missing_docs)] // In a test a panic is the message, and names say what things are.

mod interpreter;

use std::collections::HashMap;
use std::time::Duration;

use saranwrap::{Callback, Fault, Kind, Object, Offer, Program, Session, Value};

/// Counts.
pub struct Counter {
    value: i64,
}

#[saranwrap::wrap]
impl Counter {
    pub fn new(value: i64) -> Self {
        Self { value }
    }

    pub fn add(&mut self, by: i64) -> i64 {
        self.value += by;
        self.value
    }

    pub fn twin(&self) -> Self {
        Self { value: self.value }
    }

    pub fn lower(&mut self, by: i64) -> Result<i64, Fault> {
        if by > self.value {
            return Err(Fault::raise("ValueError", "too low"));
        }
        self.value -= by;
        Ok(self.value)
    }
}

#[test]
fn child_main() {
    Offer::new().class::<Counter>().serve_if_child();
}

fn program() -> Session {
    let arguments = ["child_main", "--exact", "--nocapture", "--quiet"];
    arguments.into_iter().fold(Program::this().unwrap(), Program::arg).spawn().unwrap()
}

/// With each child of an interpreter.
fn with_each(story: impl Fn(Session)) {
    interpreter::children().for_each(story);
}

/// How many requests the child has served.
fn requests(child: &Session) -> i64 {
    let status: HashMap<String, Value> = child.status().unwrap().into_iter().collect();
    status["requests"].clone().extract().unwrap()
}

#[test]
fn a_chain_and_several_statements_are_one_request() {
    with_each(|child| {
        let before = requests(&child);
        let q = child.pipeline();
        let words = q.wrap_module("collections").call_method("Counter", ("abracadabra",));
        words.set_item("z", 3);
        words.call_method("update", (vec!["z", "z", "z"],));
        let z = words.get_item("z");
        let common = words.call_method("most_common", (2,)).get_item(1);
        let keys = q.wrap_module("builtins").call_method("list", (&words,)).fetch();
        q.run().unwrap();
        assert_eq!(z.extract::<i64>().unwrap(), 6);
        assert_eq!(common.extract::<(String, i64)>().unwrap(), ("a".to_owned(), 5).min(("z".to_owned(), 6)));
        assert_eq!(keys.extract::<Vec<String>>().unwrap(), ["a", "b", "r", "c", "d", "z"]);
        // One for the status, one for all of that.
        assert_eq!(requests(&child) - before, 2);
        // What came is an object like any other, and may be gone on from.
        assert_eq!(words.get().unwrap().get_item("a").unwrap(), Value::Int(5));
        let a = words.get_item("a");
        assert_eq!(a.extract::<i64>().unwrap(), 5);
    });
}

#[test]
fn a_promise_is_an_argument() {
    with_each(|child| {
        let q = child.pipeline();
        let operator = q.of(&child.wrap_module("operator").unwrap()).unwrap();
        let two = operator.call_method("add", (1, 1));
        let pair = operator.call_method("concat", (("x", 1), (&two, "end")));
        // An answer may name an argument that stands beside a promise.
        let same = operator.call_method("itemgetter", (1,)).call(((&two, "y"),));
        let text = "a text that comes back as itself";
        let chosen = operator.call_method("getitem", ((&two, text), 1));
        let back = q.wrap_module("builtins").call_method("max", (&two, 7, 3));
        assert_eq!(back.extract::<i64>().unwrap(), 7);
        assert_eq!(pair.get().unwrap().repr().unwrap(), "('x', 1, 2, 'end')");
        assert_eq!(same.extract::<String>().unwrap(), "y");
        assert_eq!(chosen.extract::<String>().unwrap(), text);
        // By now it is a value.
        assert_eq!(operator.call_method("add", (&two, 1)).extract::<i64>().unwrap(), 3);
        assert_eq!(child.wrap_module("math").unwrap().call_method("sqrt", (&two,)).unwrap().to_string().len(), 18);
    });
}

#[test]
fn a_failure_is_that_of_what_depends_on_it() {
    with_each(|child| {
        let q = child.pipeline();
        let operator = q.wrap_module("operator");
        let good = operator.call_method("add", (1, 1));
        let bad = operator.call_method("truediv", (1, 0));
        let worse = operator.call_method("add", (&bad, 1));
        let worst = worse.operate("__add__", (1,));
        let also_good = operator.call_method("add", (2, 2));
        q.run().unwrap();
        assert_eq!((good.extract::<i64>().unwrap(), also_good.extract::<i64>().unwrap()), (2, 4));
        for failed in [&bad, &worse, &worst, &worst] {
            assert_eq!(failed.get().unwrap_err().to_string(), "ZeroDivisionError: division by zero");
        }
        // What has failed fails whatever is done with it later.
        assert!(bad.getattr("real").get().unwrap_err().is_instance("ZeroDivisionError"));
    });
}

#[test]
fn a_statement_that_fails_is_told_at_the_end() {
    with_each(|child| {
        let q = child.pipeline();
        let operator = q.wrap_module("operator");
        operator.call_method("truediv", (1, 0));
        operator.call_method("nonsense", (1,));
        let good = operator.call_method("add", (1, 1));
        assert_eq!(good.extract::<i64>().unwrap(), 2, "what it came to is no matter of the statements");
        assert!(q.run().unwrap_err().is_instance("ZeroDivisionError"));
        q.run().unwrap();
    });
}

#[test]
fn what_cannot_be_sent_fails_alone() {
    with_each(|child| {
        let other = child.restart().unwrap();
        let q = other.pipeline();
        let operator = q.wrap_module("operator");
        let refused: Result<(), Fault> = Err(Fault::mismatch("not today"));
        let wrong = operator.call_method("neg", (refused,));
        let elsewhere = other.pipeline().wrap_module("operator");
        let foreign = operator.call_method("neg", (&elsewhere,));
        let right = operator.call_method("neg", (1,));
        assert!(q.of(&program().root().unwrap()).is_err());
        q.run().unwrap();
        assert_eq!(wrong.get().unwrap_err().to_string(), "not today");
        assert_eq!(foreign.get().unwrap_err().to_string(), "a promise is nothing before its pipeline has run");
        assert_eq!(right.extract::<i64>().unwrap(), -1);
        assert!(right.getattr("real").get().unwrap_err().to_string().contains("is here already"));
    });
}

#[test]
fn it_calls_back_and_gives_back() {
    with_each(|child| {
        let q = child.pipeline();
        let builtins = q.wrap_module("builtins");
        let doubled = builtins.call_method("map", (Callback::new(|(x,): (i64,)| x * 2), vec![1, 2, 3]));
        let sum = builtins.call_method("sum", (doubled,));
        assert_eq!(sum.extract::<i64>().unwrap(), 12);
        // Of one that is never sent nothing stays here.
        let builtins = child.builtins().unwrap();
        child.status().unwrap();
        let before = child.objects_out();
        let unsent = child.pipeline();
        unsent.of(&builtins).unwrap().call_method("print", (Callback::new(|(): ()| ()),));
        assert!(child.objects_out() > before);
        drop(unsent);
        assert_eq!(child.objects_out(), before);
    });
}

#[test]
fn it_ends_in_time_or_with_the_child() {
    with_each(|child| {
        let q = child.pipeline().with_timeout(Duration::from_millis(100));
        let late = q.wrap_module("time").call_method("sleep", (30,));
        let fault = q.run().unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::TimedOut), "{fault}");
        assert_eq!(late.get().unwrap_err().kind(), Some(Kind::TimedOut));
        let child = child.restart().unwrap();
        let q = child.pipeline();
        let fine = q.wrap_module("time").call_method("time", ());
        q.wrap_module("os").call_method("_exit", (3,));
        assert!(q.run().unwrap_err().is_death());
        assert!(fine.get().unwrap_err().is_death());
    });
}

#[test]
fn it_is_awaited() {
    with_each(|child| {
        smol::block_on(async {
            let q = child.pipeline();
            let operator = q.wrap_module("operator");
            let three = operator.call_method("add", (1, 2));
            let wrong = operator.call_method("truediv", (&three, 0));
            let running = q.run_later();
            assert!(three.get().is_err() || three.extract::<i64>().unwrap() == 3, "it is on its way, or has come");
            running.await.unwrap();
            assert_eq!(three.extract::<i64>().unwrap(), 3);
            assert!(wrong.get().unwrap_err().is_instance("ZeroDivisionError"));
            operator.call_method("nonsense", ());
            assert!(q.run_later().await.unwrap_err().is_instance("AttributeError"));
            q.run_later().await.unwrap();
            let dropped = q.wrap_module("time").call_method("sleep", (30,));
            drop(q.run_later());
            assert!(dropped.get().unwrap_err().to_string().contains("nobody waited"));
        });
    });
}

#[test]
fn a_rust_program_has_pipelines_too() {
    let child = program();
    let counter = CounterProxy::new(&child, 1).unwrap();
    let before = requests(&child);
    let q = child.pipeline();
    let here = q.of(&counter).unwrap();
    here.call_method("add", (1,));
    let three = here.call_method("add", (1,));
    let other = here.call_method("twin", ()).call_method("add", (&three,));
    let wrong = here.call_method("lower", (100,));
    let worse = here.call_method("add", (&wrong,));
    q.run().unwrap();
    assert_eq!((three.extract::<i64>().unwrap(), other.extract::<i64>().unwrap()), (3, 6));
    assert!(wrong.get().unwrap_err().is_instance("ValueError") && worse.get().unwrap_err().is_instance("ValueError"));
    assert_eq!(requests(&child) - before, 2);
    here.call_method("lower", (100,));
    assert!(q.run().unwrap_err().is_instance("ValueError"));
}
