//! A Rust program and a Python interpreter: what is asked, what comes back, and what goes wrong.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

mod interpreter;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use saranwrap::{Callback, Fault, Kind, Object, Value, args};

#[test]
fn a_module_is_used_as_if_it_were_here() {
    with_child!(|child| {
        let time = child.wrap_module("time").unwrap();
        let t = time.call_method("gmtime", (0,)).unwrap();
        let year: i32 = t.getattr("tm_year").unwrap().extract().unwrap();
        assert_eq!(year, 1970);
        assert_eq!(t.get_item(0).unwrap(), Value::Int(1970));
        assert_eq!(t.len().unwrap(), 9);
        assert!(t.repr().unwrap().starts_with("time.struct_time(tm_year=1970"));
        let plain: Vec<i64> = t.extract().unwrap();
        assert_eq!(plain, [1970, 1, 1, 0, 0, 0, 3, 1, 0]);
        assert!(time.hasattr("sleep").unwrap() && !time.hasattr("wake").unwrap());
        assert!(time.getattr("sleep").unwrap().is_callable().unwrap());
        assert!(time.dir().unwrap().contains(&"gmtime".to_owned()));
    });
}

#[test]
fn what_is_raised_is_data() {
    with_child!(|child| {
        let json = child.wrap_module("json").unwrap();
        let fault = json.call_method("loads", ("{",)).unwrap_err();
        let raised = fault.raised().unwrap();
        assert_eq!(raised.name(), "JSONDecodeError");
        assert!(raised.is_instance("ValueError") && raised.is_instance("json.decoder.JSONDecodeError"));
        assert!(!raised.is_instance("KeyError"));
        assert!(raised.to_string().starts_with("json.decoder.JSONDecodeError: Expecting property name"));
        assert_eq!(raised.attribute("pos"), Some(&Value::Int(1)));
        let whole = format!("{raised:#}");
        assert!(whole.starts_with("Traceback (most recent call last):\n  File \""), "{whole}");
        assert!(whole.contains("json/decoder.py\", line "), "{whole}");

        let os = child.wrap_module("os").unwrap();
        let fault = os.call_method("stat", ("/no/such/file",)).unwrap_err();
        assert!(fault.is_instance("FileNotFoundError") && fault.is_instance("OSError"));
        assert_eq!(fault.to_string(), "FileNotFoundError: [Errno 2] No such file or directory: '/no/such/file'");
        let environ = os.getattr("environ").unwrap();
        assert_eq!(environ.get_item("NO_SUCH").unwrap_err().to_string(), "KeyError: 'NO_SUCH'");
        assert!(child.is_alive());
    });
}

#[test]
fn a_value_becomes_a_type_of_ours() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let eval = |text: &str| builtins.call_method("eval", (text,)).unwrap();
        assert_eq!(eval("2**100").extract::<i128>().unwrap(), 1 << 100);
        assert_eq!(eval("-2**127").extract::<i128>().unwrap(), i128::MIN);
        assert_eq!(eval("2**128 - 1").extract::<u128>().unwrap(), u128::MAX);
        assert!(matches!(eval("2**200"), Value::BigInt(_)));
        assert!(eval("300").extract::<u8>().unwrap_err().to_string().contains("does not fit into u8"));
        assert_eq!(eval("1.5").extract::<f64>().unwrap(), 1.5);
        assert_eq!(eval("3").extract::<f64>().unwrap(), 3.0);
        assert_eq!(eval("'häßlich'").extract::<String>().unwrap(), "häßlich");
        assert_eq!(eval("b'\\x00\\xff'").extract::<Vec<u8>>().unwrap(), [0, 255]);
        assert_eq!(eval("[1, 2, 3]").extract::<Vec<i64>>().unwrap(), [1, 2, 3]);
        assert_eq!(eval("{1, 2}").extract::<HashSet<i64>>().unwrap(), HashSet::from([1, 2]));
        let map: HashMap<String, Vec<f64>> = eval("{'a': [1.0], 'b': []}").extract().unwrap();
        assert_eq!(map, HashMap::from([("a".to_owned(), vec![1.0]), ("b".to_owned(), vec![])]));
        assert_eq!(eval("(1, 'a', None)").extract::<(i64, String, Option<bool>)>().unwrap(), (1, "a".to_owned(), None));
        assert_eq!(eval("range(4)").to_string(), "<a range>");
        assert_eq!(eval("(x * x for x in range(4))").extract::<Vec<i64>>().unwrap(), [0, 1, 4, 9]);
        let fault = eval("[1, 'x']").extract::<Vec<i64>>().unwrap_err();
        assert_eq!(fault.to_string(), "wanted an int, found a str");
    });
}

#[test]
fn types_of_ours_go_there() {
    with_child!(|child| {
        let json = child.wrap_module("json").unwrap();
        let data = BTreeMap::from([("a", vec![1, 2]), ("b", vec![])]);
        let text = json.call_method("dumps", args((data,)).named("indent", None::<i64>).named("sort_keys", true));
        assert_eq!(text.unwrap(), Value::Str(r#"{"a": [1, 2], "b": []}"#.to_owned()));
        let builtins = child.builtins().unwrap();
        let repr = |value: Value| builtins.call_method("repr", (value,)).unwrap().to_string();
        assert_eq!(repr(Value::Int(i128::MIN)), i128::MIN.to_string());
        assert_eq!(repr(Value::Tuple(vec![Value::None, Value::Bool(true), Value::Float(0.5)])), "(None, True, 0.5)");
        assert_eq!(repr(Value::Set(vec![Value::Int(1)])), "{1}");
        assert_eq!(repr(Value::Bytes(vec![7; 3])), "b'\\x07\\x07\\x07'");
        let numbers = [0, -1, 1 << 20, i64::MAX, i64::MIN].repeat(20);
        assert_eq!(
            repr(Value::List(numbers.iter().map(|&number| Value::Int(number.into())).collect())),
            format!("{numbers:?}")
        );
        let there = builtins.call_method("list", (&numbers,)).unwrap();
        assert!(there.equals(numbers.clone()).unwrap());
        assert_eq!(there.extract::<Vec<i64>>().unwrap(), numbers);
        let wide = vec![u64::MAX; 40];
        let there = builtins.call_method("list", (&wide,)).unwrap();
        assert_eq!(there.extract::<Vec<u64>>().unwrap(), wide);
        let floats = [0.5f32, -0.0, f32::INFINITY].repeat(20);
        let there = builtins.call_method("list", (&floats,)).unwrap();
        assert_eq!(there.repr().unwrap(), format!("{floats:?}"));
        assert_eq!(there.extract::<Vec<f32>>().unwrap(), floats);
        let large = vec![3u8; 1 << 20];
        assert_eq!(builtins.call_method("len", (large,)).unwrap(), Value::Int(1 << 20));
    });
}

#[test]
fn an_object_is_changed_where_it_is() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let list = builtins.call_method("list", (vec![1, 2, 3],)).unwrap();
        list.set_item(0, 9).unwrap();
        list.del_item(1).unwrap();
        list.call_method("append", ("x",)).unwrap();
        assert_eq!(list.str().unwrap(), "[9, 3, 'x']");
        assert!(list.contains(3).unwrap() && !list.contains(4).unwrap());
        assert!(list.equals(vec![Value::Int(9), Value::Int(3), Value::Str("x".into())]).unwrap());
        let twice = list.add(&list).unwrap();
        assert_eq!(twice.len().unwrap(), 6);
        assert!(list.is_instance(&builtins.getattr("list").unwrap()).unwrap());
        let namespace = child.wrap_module("types").unwrap().call_method0("SimpleNamespace").unwrap();
        namespace.setattr("x", &list).unwrap();
        assert_eq!(namespace.getattr("x").unwrap(), list, "the same object");
        namespace.delattr("x").unwrap();
        assert!(!namespace.hasattr("x").unwrap());
    });
}

#[test]
fn a_closure_is_called_from_there() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let double = Callback::new(|(x,): (i64,)| x * 2);
        let mapped = builtins.call_method("map", (&double, vec![1, 2, 3])).unwrap();
        assert_eq!(mapped.extract::<Vec<i64>>().unwrap(), [2, 4, 6]);
        let list = builtins.call_method("list", (vec![3, 1, 2],)).unwrap();
        list.call_method("sort", args(()).named("key", Callback::new(|(x,): (i64,)| -x))).unwrap();
        assert_eq!(list.extract::<Vec<i64>>().unwrap(), [3, 2, 1]);
        let home =
            builtins.call_method("max", args((&double, &double)).named("key", Callback::new(|(_,): (Value,)| 1)));
        assert_eq!(home.unwrap(), Value::Own(double.into_own()), "it comes home as itself");
    });
}

#[test]
fn what_a_closure_fails_with_is_raised_there() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let call = |callback: Callback| {
            let mapped = builtins.call_method("map", (callback, vec![1]))?;
            builtins.call_method("list", (mapped,))
        };
        let error = call(Callback::new(|(_,): (i64,)| Err::<(), _>("not today"))).unwrap_err();
        assert_eq!(error.to_string(), "RuntimeError: not today");
        let error = call(Callback::new(|(_,): (i64,)| Err::<(), _>(Fault::raise("LookupError", "lost")))).unwrap_err();
        assert!(error.is_instance("LookupError"), "{error}");
        let error = call(Callback::new(|(_,): (i64,)| -> i64 { panic!("oh no") })).unwrap_err();
        assert_eq!(error.to_string(), "RuntimeError: the code behind the call panicked: oh no");
        let error = call(Callback::new(|(_,): (String,)| 1)).unwrap_err();
        assert_eq!(error.to_string(), "TypeError: argument '0': wanted a str, found an int");
        let error = call(Callback::new(|(): ()| 1)).unwrap_err();
        assert!(error.is_instance("TypeError"), "{error}");
        let inner = builtins.clone();
        let own = Callback::new(move |(x,): (i64,)| inner.call_method("divmod", (x, 0)));
        assert!(call(own).unwrap_err().is_instance("ZeroDivisionError"));
        assert!(child.is_alive());
    });
}

#[test]
fn calls_nest() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        fn down(builtins: &saranwrap::Proxy, depth: i64) -> Result<i64, Fault> {
            if depth == 0 {
                return Ok(0);
            }
            let (inner, eval) = (builtins.clone(), builtins.call_method("eval", ("lambda f: f() + 1",))?);
            eval.call((Callback::new(move |(): ()| down(&inner, depth - 1)),))?.extract()
        }
        assert_eq!(down(&builtins, 50).unwrap(), 50);
    });
}

#[test]
fn a_death_is_told() {
    with_child!(|child| {
        let os = child.wrap_module("os").unwrap();
        os.call_method("write", (2, b"these are last words\n".as_slice())).unwrap();
        let fault = os.call_method0("abort").unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::Died));
        assert!(fault.to_string().contains("was killed by SIGABRT"), "{fault}");
        assert!(fault.to_string().contains("these are last words"), "{fault}");
        assert_eq!(child.exit(), Some(saranwrap::Exit::Signal(6)));
        assert!(!child.is_alive());
        assert!(os.getattr("name").unwrap_err().is_death());
    });
}

#[test]
fn a_call_that_takes_too_long_is_stopped() {
    with_child!(|child| {
        let time = child.wrap_module("time").unwrap();
        let fault = time.with_timeout(Duration::from_millis(30)).call_method("sleep", (1000,)).unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::TimedOut));
        let text = fault.to_string();
        assert_eq!(text, "`callattr` of `sleep` took longer than 30ms: it was interrupted in the child");
        assert!(time.call_method0("time").unwrap().extract::<f64>().unwrap() > 0.0, "the child goes on");
    });
}

#[test]
fn a_child_is_replaced() {
    with_child!(|child| {
        let old = child.wrap_module("os").unwrap();
        assert!(old.call_method("_exit", (1,)).unwrap_err().is_death());
        let next = child.restart().unwrap();
        assert_ne!(next.pid(), child.pid());
        assert_eq!(next.wrap_module("os").unwrap().call_method0("getpid").unwrap(), Value::Int(next.pid().into()));
        let fault = old.getattr("name").unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::Closed));
        assert!(fault.to_string().contains("another process has replaced the one"), "{fault}");
        let third = next.restart().unwrap();
        assert_eq!(next.exit(), Some(saranwrap::Exit::Code(0)));
        third.close();
        assert_eq!(third.exit(), Some(saranwrap::Exit::Code(0)));
    });
}

#[test]
fn what_a_child_warns_of_and_logs_breaks_nothing() {
    with_child!(|child| {
        let warnings = child.wrap_module("warnings").unwrap();
        warnings.call_method("warn", ("a warning",)).unwrap();
        let logging = child.wrap_module("logging").unwrap();
        logging.call_method("warning", ("a record",)).unwrap();
        let builtins = child.builtins().unwrap();
        builtins.call_method("print", ("a line",)).unwrap();
        assert!(child.is_alive());
    });
}

#[test]
fn a_child_calls_back_as_deep_as_it_may_and_not_deeper() {
    // A thread with the stack that threads have: what the child does must not exhaust it.
    std::thread::spawn(|| {
        with_child!(|child| {
            let builtins = child.builtins().unwrap();
            let call = builtins.call_method("eval", ("lambda f: f(f)",)).unwrap();
            let again = call.clone();
            let fault = call.call((Callback::new(move |(f,): (Value,)| again.call((f,))),)).unwrap_err();
            assert!(fault.to_string().contains("nested"), "{fault}");
            assert!(child.is_alive());
        });
    })
    .join()
    .unwrap();
}

#[test]
fn proxies_are_given_back() {
    with_child!(|child| {
        let count = || {
            let status: HashMap<String, Value> = child.status().unwrap().into_iter().collect();
            status["object_count"].clone().extract::<i64>().unwrap()
        };
        let builtins = child.builtins().unwrap();
        let lists: Vec<Value> = (0..10).map(|_| builtins.call_method0("list").unwrap()).collect();
        let before = count();
        let clone = lists[0].clone();
        drop(lists);
        assert_eq!(count(), before - 9);
        drop(clone);
        assert_eq!(count(), before - 10);
        builtins.call_method("id", (Callback::new(|(): ()| ()),)).unwrap();
        count();
        assert_eq!(child.objects_out(), 1, "the class is left");
    });
}

#[test]
fn any_thread_may_ask() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let builtins = &builtins;
                scope.spawn(move || {
                    for x in 0..200 {
                        let value: i64 = builtins.call_method("abs", (-x * thread,)).unwrap().extract().unwrap();
                        assert_eq!(value, x * thread);
                    }
                });
            }
        });
    });
}

#[test]
fn items_come_one_after_the_other() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let eval = |text: &str| builtins.call_method("eval", (text,)).unwrap();
        let items = |value: Value| value.try_iter().unwrap().map(|item| item.unwrap().extract().unwrap()).collect();
        let all: Vec<i64> = items(eval("[1, 2, 3]"));
        assert_eq!(all, [1, 2, 3]);
        let many: Vec<i64> = items(eval("iter(range(10_000))"));
        assert_eq!(many, (0..10_000).collect::<Vec<_>>());
        let mut some = eval("(1 // x for x in (1, 1, 0))").try_iter().unwrap().prefetch(100);
        assert_eq!(some.next().unwrap().unwrap(), Value::Int(1));
        assert_eq!(some.next().unwrap().unwrap(), Value::Int(1));
        assert!(some.next().unwrap().unwrap_err().is_instance("ZeroDivisionError"));
        assert!(some.next().is_none() && some.next().is_none());
    });
}

#[test]
fn an_interpreter_that_is_not_there_is_named() {
    let error = saranwrap::Python::new().interpreter("/no/such/python").spawn().unwrap_err();
    assert_eq!(error.kind(), Some(Kind::Refused));
    assert!(error.to_string().starts_with("could not start the child `/no/such/python -c"), "{error}");
}

#[test]
fn nothing_need_be_installed_for_the_interpreter() {
    let Some(python) = interpreter::python() else { return };
    let child = python.portable().spawn().unwrap();
    let told: HashMap<String, Value> = child.status().unwrap().into_iter().collect();
    assert_eq!(told["pid"], Value::Int(i128::from(child.pid())));
    let time = child.wrap_module("time").unwrap();
    let t = time.call_method("gmtime", (0,)).unwrap();
    assert_eq!(t.getattr("tm_year").unwrap().extract::<i32>().unwrap(), 1970);
    let fault = child.wrap_module("json").unwrap().call_method("loads", ("{",)).unwrap_err();
    assert!(fault.is_instance("ValueError"), "{fault}");
    let words = child.builtins().unwrap().call_method("list", (vec!["pear", "fig"],)).unwrap();
    words.call_method("sort", args(()).named("key", Callback::new(|(word,): (String,)| word.len()))).unwrap();
    assert_eq!(words.extract::<Vec<String>>().unwrap(), ["fig", "pear"]);
}
