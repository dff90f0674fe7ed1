//! Types that serde knows, against an interpreter.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

mod interpreter;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use saranwrap::{Object, Serde, args};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    name: String,
    counts: Vec<u32>,
    state: State,
    #[serde(default)]
    notes: BTreeMap<String, Option<i64>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum State {
    Open,
    Sent { by: String, at: f64 },
    Back(bool, i8),
}

type Mixed = (Vec<i32>, BTreeMap<String, Vec<u8>>, Vec<u8>);

fn orders() -> impl Strategy<Value = Order> {
    let state = prop_oneof![
        Just(State::Open),
        // Eighths, since serde_json rounds others at the last place.
        any::<(String, i32)>().prop_map(|(by, at)| State::Sent { by, at: f64::from(at) / 8.0 }),
        any::<(bool, i8)>().prop_map(|(flag, number)| State::Back(flag, number)),
    ];
    let parts = (any::<String>(), any::<Vec<u32>>(), state, any::<BTreeMap<String, Option<i64>>>());
    parts.prop_map(|(name, counts, state, notes)| Order { name, counts, state, notes })
}

#[test]
fn what_json_makes_of_it_there_is_what_serde_json_makes_of_it_here() {
    with_child!(|child| {
        let json = child.wrap_module("json").unwrap();
        let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 64, ..Config::default() });
        let outcome = runner.run(&orders(), |order| {
            let text: String = json.call_method("dumps", (Serde(&order),)).unwrap().extract().unwrap();
            prop_assert_eq!(&serde_json::from_str::<Order>(&text).unwrap(), &order);
            // `loads` leaves a live dict there, which is fetched.
            let text = serde_json::to_string(&order).unwrap();
            let Serde(back): Serde<Order> = json.call_method("loads", (text,)).unwrap().extract().unwrap();
            prop_assert_eq!(back, order);
            Ok(())
        });
        outcome.unwrap();
        assert_eq!(child.objects_out(), 0);
    });
}

#[test]
fn live_containers_inside_of_a_tuple_are_fetched() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let value = builtins.call_method("eval", ("([1, 2], {'a': bytearray(b'xy')}, b'z')",)).unwrap();
        let Serde(found): Serde<Mixed> = value.extract().unwrap();
        assert_eq!(found, (vec![1, 2], BTreeMap::from([("a".to_owned(), b"xy".to_vec())]), b"z".to_vec()));
    });
}

#[test]
fn an_object_that_is_no_data_is_named_with_its_place() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let value = builtins.call_method("eval", ("(1, (2, __import__('threading').Lock()))",)).unwrap();
        let fault = value.extract::<Serde<(i32, (i32, String))>>().unwrap_err().to_string();
        assert!(fault.starts_with("`[1][1]`: an object is no plain data: cannot fetch a `_thread.lock`"), "{fault}");
        let value = builtins.call_method("eval", ("(1 << 200,)",)).unwrap();
        let fault = value.extract::<Serde<(u128,)>>().unwrap_err().to_string();
        assert_eq!(fault, "`[0]`: an int of more than 128 bits is no number here");
    });
}

#[test]
fn named_arguments_and_callbacks_take_it_too() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let key = saranwrap::Callback::new(|(Serde(state),): (Serde<State>,)| match state {
            State::Back(_, number) => i64::from(number),
            _ => 0,
        });
        let states = [State::Back(true, 2), State::Open, State::Back(false, -1)];
        let sorted = builtins.call_method("sorted", args((Serde(&states),)).named("key", key)).unwrap();
        let Serde(sorted): Serde<Vec<State>> = sorted.extract().unwrap();
        assert_eq!(sorted, [State::Back(false, -1), State::Open, State::Back(true, 2)]);
    });
}
