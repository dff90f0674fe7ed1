//! Futures, under two runtimes that have nothing in common: answers, failures, deadlines, and what is dropped.
#![allow(clippy::unwrap_used)] // In a test a panic is the message.

mod interpreter;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use saranwrap::{Callback, Fault, Kind, Object, Session, Value};

/// Run under each of them, with each child.
fn under_each<F: Future<Output = ()>>(story: impl Fn(Session) -> F) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for python in interpreter::pythons() {
        smol::block_on(story(python.spawn().unwrap()));
        tokio.block_on(story(python.spawn().unwrap()));
    }
}

#[test]
fn answers_are_awaited() {
    under_each(async |child| {
        let time = child.wrap_module_later("time").await.unwrap().into_proxy().unwrap();
        let t = time.later().call_method("gmtime", (0,)).await.unwrap();
        let later = t.later().unwrap();
        assert_eq!(later.getattr("tm_year").await.unwrap(), Value::Int(1970));
        assert_eq!(later.get_item(0).await.unwrap(), Value::Int(1970));
        let builtins = child.builtins().unwrap().later();
        let list = builtins.call_method("list", (vec![1, 2],)).await.unwrap();
        assert_eq!(list.later().unwrap().fetch().await.unwrap().extract::<Vec<i64>>().unwrap(), [1, 2]);
        let callback = Callback::new(|(x,): (i64,)| x * 2);
        let call = builtins.call_method("eval", ("lambda f: f(21)",)).await.unwrap();
        assert_eq!(call.later().unwrap().call((callback,)).await.unwrap(), Value::Int(42));
    });
}

#[test]
fn several_are_on_their_way_at_once() {
    under_each(async |child| {
        let builtins = child.builtins().unwrap().later();
        let answers: Vec<_> = (0..300).map(|x| builtins.call_method("abs", (-x,))).collect();
        for (x, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap(), Value::Int(x as i128));
        }
    });
}

#[test]
fn failures_are_awaited() {
    under_each(async |child| {
        let builtins = child.builtins().unwrap().later();
        let fault = builtins.call_method("divmod", (1, 0)).await.unwrap_err();
        assert!(fault.is_instance("ZeroDivisionError"), "{fault}");
        assert!(builtins.getattr("nothing").await.unwrap_err().is_instance("AttributeError"));
        let refused: Result<(), Fault> = Err(Fault::mismatch("not today"));
        assert_eq!(builtins.call_method("abs", (refused,)).await.unwrap_err().to_string(), "not today");
        let os = child.wrap_module("os").unwrap().later();
        let (one, other) = (os.call_method("_exit", (3,)), os.getattr("name"));
        assert!(one.await.unwrap_err().to_string().contains("ended with exit code 3"));
        assert!(other.await.unwrap_err().is_death());
        assert!(os.getattr("name").await.unwrap_err().is_death());
    });
}

#[test]
fn a_deadline_ends_what_is_awaited() {
    under_each(async |child| {
        let time = child.wrap_module("time").unwrap().later();
        let fault = time.with_timeout(Duration::from_millis(20)).call_method("sleep", (1000,)).await.unwrap_err();
        assert_eq!(fault.kind(), Some(Kind::TimedOut));
        let text = fault.to_string();
        assert_eq!(text, "`callattr` of `sleep` took longer than 20ms: it was interrupted in the child");
        assert!(time.call_method("time", ()).await.is_ok());
    });
}

#[test]
fn what_is_dropped_is_stopped() {
    under_each(async |child| {
        let time = child.wrap_module("time").unwrap();
        let mut sleeping = Box::pin(time.later().call_method("sleep", (1000,)));
        assert!(sleeping.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(sleeping);
        // It would wait for the other otherwise.
        assert!(time.call_method0("time").is_ok());
    });
}

#[test]
fn a_coroutine_is_run_there() {
    under_each(async |child| {
        let asyncio = child.wrap_module("asyncio").unwrap();
        let sleeping = asyncio.call_method("sleep", (0, "done")).unwrap();
        assert_eq!(sleeping.later().unwrap().run().await.unwrap(), Value::Str("done".to_owned()));
    });
}

#[test]
fn nothing_is_left_when_the_child_goes() {
    with_child!(|child| {
        let builtins = child.builtins().unwrap();
        let mut answer = pin!(builtins.later().call_method("abs", (1,)));
        child.kill();
        let mut context = Context::from_waker(Waker::noop());
        let answered = loop {
            match answer.as_mut().poll(&mut context) {
                Poll::Ready(answered) => break answered,
                Poll::Pending => std::thread::yield_now(),
            }
        };
        // It may have come before.
        assert!(answered.is_ok_and(|value| value == Value::Int(1)) || builtins.getattr("abs").is_err());
    });
}
