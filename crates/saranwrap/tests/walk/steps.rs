//! The walk of a call through both sides of a link, with a toy host and both sides in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use saranwrap::message::{self, Frame, Header, Hello};
use saranwrap::transport::Transport;
use saranwrap::{Kind, Link, Outcome, Side};

use super::pair;
use crate::toy::{Shared, Toy, World, gates, request};

#[test]
fn links_and_children_are_for_all_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Link>();
    shared::<saranwrap::Child>();
    shared::<saranwrap::Error>();
}

#[test]
fn a_call_comes_back() {
    let world = World::new(pair());
    assert_eq!(world.parent(1).echo(b"hello").unwrap(), b"hello");
    let stats = world.link.stats();
    assert_eq!((stats.calls_asked, stats.calls_served), (1, 0));
    assert!(stats.bytes_in > 24 && stats.bytes_out > 24);
    assert_eq!(world.child_link.stats().calls_served, 1);
    world.end();
}

#[test]
fn what_raised_is_data() {
    let world = World::new(pair());
    let (outcome, body) = world.link.call(&world.parent(1), &request("raise", 0)).unwrap();
    assert_eq!(outcome, Outcome::Raised);
    assert!(!body.is_empty());
    world.end();
}

#[test]
fn callbacks_nest() {
    let world = World::new(pair());
    assert_eq!(world.parent(1).number("nest", 50).unwrap(), 50);
    assert_eq!(world.link.chain(), None);
    world.end();
}

#[test]
fn callbacks_too_deep_are_refused_and_break_nothing() {
    let builder = std::thread::Builder::new().stack_size(64 << 20);
    let run = || {
        let (ours, theirs) = pair();
        let shared = Arc::new(Shared::default());
        let link = Link::new(ours, Side::Parent);
        let child_link = Link::new(theirs, Side::Child);
        let child = std::thread::Builder::new().stack_size(64 << 20);
        let serving = child
            .spawn({
                let (link, shared) = (Arc::clone(&child_link), Arc::clone(&shared));
                move || link.serve(&Toy::new(&link, 500, &shared))
            })
            .unwrap();
        // The toy does not turn its own errors into something raised, so here it ends the link; what matters is which error.
        let error = Toy::new(&link, 1, &shared).number("nest", 100_000).unwrap_err();
        link.close();
        let _ = serving.join().unwrap();
        error.kind()
    };
    let kind = builder.spawn(run).unwrap().join().unwrap();
    assert!(matches!(kind, Kind::Refused | Kind::Died), "{kind:?}");
}

#[test]
fn callbacks_run_on_the_thread_that_asked() {
    let world = World::new(pair());
    std::thread::scope(|scope| {
        for name in 0..8 {
            let parent = world.parent(name);
            // A toy cannot be sent to another thread, but what it is made of can.
            let (link, shared) = (Arc::clone(&parent.link), Arc::clone(&parent.shared));
            scope.spawn(move || {
                let parent = Toy::new(&link, name, &shared);
                for _ in 0..200 {
                    assert_eq!(parent.number("ask-who", 0).unwrap(), name);
                    assert_eq!(parent.number("nest", 5).unwrap(), 5);
                }
            });
        }
    });
    world.end();
}

#[test]
fn many_threads_share_one_link() {
    let world = World::new(pair());
    std::thread::scope(|scope| {
        for name in 0..16 {
            let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
            scope.spawn(move || {
                let parent = Toy::new(&link, name, &shared);
                for round in 0..300 {
                    // Answers of all sizes, so that several come in one read, or one in several.
                    let bytes = vec![name as u8; 1 << (round % 18)];
                    assert!(parent.echo(&bytes).unwrap() == bytes);
                }
            });
        }
    });
    world.end();
}

#[test]
fn a_thread_of_the_child_asks_on_a_chain_of_its_own() {
    let world = World::new(pair());
    // The child's thread 1042 asks the parent, which has nobody in that chain and serves it while it waits; what the parent
    // asks in turn is served by that thread and no other.
    assert_eq!(world.parent(7).number("thread", 42).unwrap(), 1042);
    world.end();
}

#[test]
fn chains_of_the_two_sides_do_not_collide() {
    let world = World::new(pair());
    let chain = world.parent(1).number("chain", 0).unwrap();
    assert_eq!(chain >> 63, 0);
    world.end();
}

#[test]
fn a_callback_may_wait_for_the_call_of_another_thread() {
    let world = World::new(pair());
    let (is_holding, let_go) = gates(&world.parents);
    std::thread::scope(|scope| {
        let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
        let one = scope.spawn(move || Toy::new(&link, 1, &shared).number("call-hold", 0));
        is_holding.recv().unwrap();
        // The child waits for the answer of the first thread's callback, and serves the second thread meanwhile.
        assert_eq!(world.parent(2).number("ask-who", 0).unwrap(), 2);
        let_go.send(()).unwrap();
        assert_eq!(one.join().unwrap().unwrap(), 0);
    });
    world.end();
}

#[test]
fn big_frames_go_both_ways_at_once() {
    let world = World::new(pair());
    std::thread::scope(|scope| {
        for name in 0..4 {
            let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
            scope.spawn(move || {
                let parent = Toy::new(&link, name, &shared);
                let bytes = vec![name as u8; 5_000_000];
                for _ in 0..3 {
                    assert!(parent.echo(&bytes).unwrap() == bytes);
                    assert_eq!(parent.number("call-echo", 5_000_000).unwrap(), 1);
                }
            });
        }
    });
    world.end();
}

#[test]
fn releases_ride_on_the_next_frame() {
    let world = World::new(pair());
    world.parents.to_release.lock().unwrap().extend([(5, 1), (6, 2)]);
    world.childs.to_release.lock().unwrap().push((9, 3));
    world.parent(1).number("who", 0).unwrap();
    assert_eq!(*world.childs.released.lock().unwrap(), [(5, 1), (6, 2)]);
    // The child's came behind the answer, and wait for the next turn.
    world.parent(1).number("who", 0).unwrap();
    assert_eq!(*world.parents.released.lock().unwrap(), [(9, 3)]);
    world.end();
}

#[test]
fn releases_go_alone_when_told() {
    let world = World::new(pair());
    world.parents.to_release.lock().unwrap().push((5, 1));
    world.link.flush_releases(&world.parent(1)).unwrap();
    assert!(world.parents.to_release.lock().unwrap().is_empty());
    world.parent(1).number("who", 0).unwrap();
    assert_eq!(*world.childs.released.lock().unwrap(), [(5, 1)]);
    world.end();
}

#[test]
fn a_release_waits_until_the_answer_before_it_is_decoded() {
    let world = World::new(pair());
    let parent = world.parent(1);
    world.childs.to_release.lock().unwrap().push((9, 1));
    let answer = world.link.ask(&parent, &request("who", 0), None).unwrap();
    parent.number("who", 0).unwrap();
    parent.number("who", 0).unwrap();
    assert!(world.parents.released.lock().unwrap().is_empty());
    drop(answer);
    parent.number("who", 0).unwrap();
    assert_eq!(*world.parents.released.lock().unwrap(), [(9, 1)]);
    world.end();
}

#[test]
fn an_interrupted_call_is_given_up_and_its_answer_discarded() {
    let world = World::new(pair());
    let (is_holding, let_go) = gates(&world.childs);
    let parent = world.parent(1);
    parent.interrupt.set(true);
    parent.give_up.set(true);
    parent.when.replace(Some(is_holding));
    assert_eq!(parent.number("hold", 0).unwrap_err().kind(), Kind::Interrupted);
    let_go.send(()).unwrap();
    // The link is whole, and the child knew that nobody waited any more.
    assert_eq!(parent.number("ask-who", 0).unwrap(), 1);
    parent.number("who", 0).unwrap();
    assert_eq!(*world.parents.discarded.lock().unwrap(), [[1]]);
    world.end();
}

#[test]
fn a_call_that_is_given_up_before_it_begins_is_declined() {
    let world = World::new(pair());
    let (is_holding, let_go) = gates(&world.childs);
    std::thread::scope(|scope| {
        let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
        let one = scope.spawn(move || Toy::new(&link, 1, &shared).number("hold", 0));
        is_holding.recv().unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        let late = world.link.ask(&world.parent(2), &request("who", 0), Some(soon));
        assert_eq!(late.err().unwrap().kind(), Kind::TimedOut);
        let_go.send(()).unwrap();
        one.join().unwrap().unwrap();
    });
    assert_eq!(world.parent(1).number("who", 0).unwrap(), 500);
    assert_eq!(world.parent(1).number("who", 0).unwrap(), 500);
    assert_eq!(*world.childs.declined.lock().unwrap(), [request("who", 0)]);
    assert_eq!(world.parents.discarded.lock().unwrap().len(), 1);
    world.end();
}

#[test]
fn the_end_of_a_call_that_was_given_up_is_waited_for() {
    let world = World::new(pair());
    // The interruption is that of a sleep, which whoever looks for the answer and finds it does not begin.
    world.link.set_spin(Duration::ZERO);
    let (is_holding, let_go) = gates(&world.childs);
    let parent = world.parent(1);
    parent.interrupt.set(true);
    parent.give_up.set(true);
    parent.when.replace(Some(is_holding));
    parent.patience.set(1000);
    let_go.send(()).unwrap();
    assert_eq!(parent.number("hold", 0).unwrap_err().kind(), Kind::Interrupted);
    // The answer has come, and was handed to the host: nothing of the call is left.
    assert_eq!(world.parents.discarded.lock().unwrap().len(), 1);
    assert!(parent.patience.get() > 0);
    assert_eq!(parent.number("who", 0).unwrap(), 500);
    world.end();
}

#[test]
fn who_is_interrupted_is_told_once() {
    let world = World::new(pair());
    let child = Toy::new(&world.child_link, 500, &world.childs);
    let parent = world.parent(1);
    // The child's own thread stands in for a signal handler: it cannot, while the call is in another one.
    assert_eq!(child.link.interrupts(), (false, Vec::new()));
    let soon = Instant::now() + Duration::from_millis(5);
    let late = world.link.ask(&parent, &request("interrupted", 0), Some(soon));
    assert_eq!(late.err().unwrap().kind(), Kind::TimedOut);
    parent.number("who", 0).unwrap();
    // It has heard it, since it asked: there is nothing to be calmed.
    assert_eq!(*world.childs.calmed.lock().unwrap(), 0);
    world.end();
}

/// Wait until "later" has left so many calls.
fn later(shared: &Shared, count: usize) -> Vec<u64> {
    loop {
        let left = shared.later.lock().unwrap().clone();
        if left.len() >= count {
            return left;
        }
        std::thread::yield_now();
    }
}

#[test]
fn answers_come_later_and_in_any_order() {
    let world = World::new(pair());
    let parent = world.parent(1);
    let calls: Vec<_> = (0..10).map(|_| world.link.start(&parent, &request("later", 0)).unwrap()).collect();
    let left = later(&world.childs, 10);
    // Meanwhile the child serves others.
    assert_eq!(parent.number("who", 0).unwrap(), 500);
    let child = Toy::new(&world.child_link, 7, &world.childs);
    for &id in left.iter().rev() {
        world.child_link.answer(&child, id, Outcome::Answered, vec![5]).unwrap();
    }
    for id in calls {
        let answer = loop {
            world.link.pump().unwrap();
            if let Some(answer) = world.link.finish(id).unwrap() {
                break answer;
            }
            std::thread::yield_now();
        };
        assert_eq!((answer.outcome, &answer.body[..]), (Outcome::Answered, &[5][..]));
    }
    world.end();
}

#[test]
fn a_call_is_answered_once() {
    let world = World::new(pair());
    let parent = world.parent(1);
    let id = world.link.start(&parent, &request("later", 0)).unwrap();
    let left = later(&world.childs, 1)[0];
    let child = Toy::new(&world.child_link, 7, &world.childs);
    world.child_link.answer(&child, left, Outcome::Raised, vec![5]).unwrap();
    for wrong in [left, left + 1, 0] {
        let error = world.child_link.answer(&child, wrong, Outcome::Answered, vec![5]).unwrap_err();
        assert_eq!(error.kind(), Kind::Refused);
    }
    // That was a fault of this side's own, and the link is whole.
    assert_eq!(parent.number("who", 0).unwrap(), 500);
    assert_eq!(world.link.finish(id).unwrap().unwrap().outcome, Outcome::Raised);
    world.end();
}

#[test]
fn an_answer_that_never_comes_ends_with_the_link() {
    let world = World::new(pair());
    std::thread::scope(|scope| {
        let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
        let asking = scope.spawn(move || Toy::new(&link, 1, &shared).number("later", 0));
        let left = later(&world.childs, 1)[0];
        world.link.close();
        assert_eq!(asking.join().unwrap().unwrap_err().kind(), Kind::Closed);
        world.serving.join().unwrap().unwrap();
        let child = Toy::new(&world.child_link, 7, &world.childs);
        let error = world.child_link.answer(&child, left, Outcome::Answered, vec![5]).unwrap_err();
        assert_eq!(error.kind(), Kind::Died);
    });
}

#[test]
fn a_call_that_goes_on_is_cancelled_and_asks_in_its_own_chain() {
    let world = World::new(pair());
    let parent = world.parent(3);
    let (link, shared) = (Arc::clone(&world.child_link), Arc::clone(&world.childs));
    let stepping = std::thread::spawn(move || {
        let left = later(&shared, 1)[0];
        let child = Toy::new(&link, 7, &shared);
        // The thread that asked serves it, though it is another one that asks here.
        let (who, chain) = link.within(left, || (child.number("who", 0).unwrap(), link.chain())).unwrap();
        assert_eq!((who, link.chain()), (3, None));
        while link.take_cancelled().is_empty() {
            child.link.pump().unwrap();
            std::thread::yield_now();
        }
        assert!(link.within(left, || link.cancelled()).unwrap());
        link.answer(&child, left, Outcome::Answered, vec![5]).unwrap();
        assert_eq!(link.within(left, || ()).unwrap_err().kind(), Kind::Refused);
        chain
    });
    let soon = Instant::now() + Duration::from_millis(50);
    assert_eq!(world.link.ask(&parent, &request("later", 0), Some(soon)).err().unwrap().kind(), Kind::TimedOut);
    assert!(stepping.join().unwrap().is_some());
    parent.number("who", 0).unwrap();
    parent.number("who", 0).unwrap();
    assert_eq!(*world.parents.discarded.lock().unwrap(), [[5]]);
    world.end();
}

#[test]
fn several_threads_serve_at_once() {
    let world = World::new(pair());
    let servers: Vec<_> = (0..3)
        .map(|name| {
            let (link, shared) = (Arc::clone(&world.child_link), Arc::clone(&world.childs));
            std::thread::spawn(move || link.serve(&Toy::new(&link, 600 + name, &shared)))
        })
        .collect();
    let barrier = Arc::new(std::sync::Barrier::new(4));
    *world.childs.barrier.lock().unwrap() = Some(Arc::clone(&barrier));
    std::thread::scope(|scope| {
        for name in 0..4 {
            let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
            scope.spawn(move || {
                let parent = Toy::new(&link, name, &shared);
                for _ in 0..100 {
                    // None of the four comes back unless all are under way.
                    parent.number("meet", 0).unwrap();
                    assert_eq!(parent.number("ask-who", 0).unwrap(), name);
                    assert_eq!(parent.number("nest", 5).unwrap(), 5);
                }
            });
        }
    });
    world.end();
    servers.into_iter().for_each(|server| server.join().unwrap().unwrap());
}

#[test]
fn a_server_that_another_one_interrupts_is_calmed() {
    let world = World::new(pair());
    // Or the first call of the first server would not be noted.
    world.child_link.expect_company();
    let (link, shared) = (Arc::clone(&world.child_link), Arc::clone(&world.childs));
    let second = std::thread::spawn(move || link.serve(&Toy::new(&link, 600, &shared)));
    let barrier = Arc::new(std::sync::Barrier::new(3));
    *world.childs.barrier.lock().unwrap() = Some(Arc::clone(&barrier));
    let told = std::thread::scope(|scope| {
        for name in 0..2 {
            let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
            scope.spawn(move || {
                // Time for both to be begun: one that is late before that is declined.
                let soon = Instant::now() + Duration::from_secs(1);
                let late = link.ask(&Toy::new(&link, name, &shared), &request("meet", 0), Some(soon));
                assert_eq!(late.err().unwrap().kind(), Kind::TimedOut);
            });
        }
        // Both servers are at the barrier, so it is a third thread that stands in for the handler.
        let mut told = Vec::new();
        while told.len() < 2 {
            let (here, others) = world.child_link.interrupts();
            assert!(!here);
            told.extend(others);
            std::thread::yield_now();
        }
        assert_eq!(world.child_link.interrupts(), (false, Vec::new()));
        barrier.wait();
        told
    });
    assert_ne!(told[0], told[1]);
    // Until both late answers are here: a server that is still about to send one would find the link ended.
    while world.parents.discarded.lock().unwrap().len() < 2 {
        world.parent(1).number("who", 0).unwrap();
    }
    world.link.close();
    world.serving.join().unwrap().unwrap();
    second.join().unwrap().unwrap();
    assert_eq!(*world.childs.calmed.lock().unwrap(), 2);
}

#[test]
fn an_interruption_that_means_nothing_is_survived() {
    let world = World::new(pair());
    let parent = world.parent(1);
    parent.interrupt.set(true);
    assert_eq!(parent.number("who", 0).unwrap(), 500);
    world.end();
}

#[test]
fn an_interruption_that_did_not_end_the_wait_is_found() {
    let world = World::new(pair());
    let (is_holding, let_go) = gates(&world.childs);
    let parent = world.parent(1);
    parent.give_up.set(true);
    assert_eq!(parent.number("hold", 0).unwrap_err().kind(), Kind::Interrupted);
    is_holding.recv().unwrap();
    let_go.send(()).unwrap();
    world.end();
}

#[test]
fn a_deadline_ends_a_call() {
    let world = World::new(pair());
    let (is_holding, let_go) = gates(&world.childs);
    let parent = world.parent(1);
    let soon = Instant::now() + Duration::from_millis(500);
    let answer = world.link.ask(&parent, &request("hold", 0), Some(soon));
    assert_eq!(answer.err().unwrap().kind(), Kind::TimedOut);
    is_holding.recv().unwrap();
    let_go.send(()).unwrap();
    assert_eq!(parent.number("who", 0).unwrap(), 500);
    world.end();
}

#[test]
fn a_deadline_holds_though_others_keep_the_link_busy() {
    let world = World::new(pair());
    let (is_holding, let_go) = gates(&world.childs);
    let late = std::thread::scope(|scope| {
        let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
        let asking = scope.spawn(move || {
            let soon = Instant::now() + Duration::from_millis(500);
            let toy = Toy::new(&link, 1, &shared);
            link.ask(&toy, &request("hold", 0), Some(soon)).map(|answer| answer.outcome)
        });
        is_holding.recv().unwrap();
        // Rings its bell all the while: nothing that comes of it may push the deadline away.
        while !asking.is_finished() {
            world.link.pump().unwrap();
        }
        asking.join().unwrap()
    });
    assert_eq!(late.unwrap_err().kind(), Kind::TimedOut);
    let_go.send(()).unwrap();
    world.end();
}

#[test]
fn close_wakes_every_waiter() {
    let world = World::new(pair());
    let (is_holding, let_go) = gates(&world.childs);
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|name| {
                let (link, shared) = (Arc::clone(&world.link), Arc::clone(&world.parents));
                scope.spawn(move || Toy::new(&link, name, &shared).number("hold", 0))
            })
            .collect();
        is_holding.recv().unwrap();
        world.link.close();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap().unwrap_err().kind(), Kind::Closed);
        }
    });
    drop(let_go);
    assert_eq!(world.parent(1).number("who", 0).unwrap_err().kind(), Kind::Closed);
    assert_eq!(world.link.error().unwrap().kind(), Kind::Closed);
    // "hold" found its gate gone, which is the toy's way of being killed in the middle of something.
    assert!(world.serving.join().is_err());
}

#[test]
fn the_first_error_stays() {
    let world = World::new(pair());
    world.link.break_with(saranwrap::Error::garbled("first"));
    world.link.break_with(saranwrap::Error::garbled("second"));
    world.link.close();
    for _ in 0..2 {
        assert_eq!(world.parent(1).number("who", 0).unwrap_err().what(), "first");
    }
    assert_eq!(world.serving.join().unwrap().unwrap_err().kind(), Kind::Died);
}

#[test]
fn a_fault_found_by_the_host_breaks_the_link() {
    let world = World::new(pair());
    assert_eq!(world.parent(1).number("garble", 0).unwrap_err().kind(), Kind::Died);
    assert_eq!(world.serving.join().unwrap().unwrap_err().kind(), Kind::Garbled);
}

#[test]
fn a_host_that_panics_leaves_nobody_waiting() {
    let world = World::new(pair());
    assert_eq!(world.parent(1).number("panic", 0).unwrap_err().kind(), Kind::Died);
    assert!(world.serving.join().is_err());
    assert_eq!(world.child_link.error().unwrap().kind(), Kind::Refused);
}

#[test]
fn a_call_can_be_started_and_pumped() {
    let world = World::new(pair());
    let parent = world.parent(3);
    let calls: Vec<_> = (0..20).map(|_| world.link.start(&parent, &request("ask-who", 0)).unwrap()).collect();
    for id in calls {
        let answer = loop {
            use saranwrap::sys::fd::{PollFd, PollFlags, poll};
            world.link.pump().unwrap();
            world.link.serve_ready(&parent).unwrap();
            if let Some(answer) = world.link.finish(id).unwrap() {
                break answer;
            }
            let fd = world.link.fd();
            poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], None).unwrap();
        };
        assert_eq!(saranwrap::wire::Reader::new(&answer.body).u64("answer").unwrap(), 3);
    }
    world.end();
}

#[test]
fn a_forgotten_link_is_closed_here_only() {
    let (ours, theirs) = pair();
    let link = Link::new(ours, Side::Parent);
    link.forget();
    assert_eq!(link.error().unwrap().kind(), Kind::Closed);
    link.close();
    let mut frames = Vec::new();
    assert_eq!(theirs.receive(&mut frames).unwrap(), saranwrap::transport::Received::Empty);
    assert_eq!(frames, []);
}

#[test]
fn the_two_sides_greet() {
    let (ours, theirs) = pair();
    let link = Link::new(ours, Side::Parent);
    let child_link = Link::new(theirs, Side::Child);
    let hello = Hello::ours(Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| child_link.hello(&hello, None).unwrap());
        assert_eq!(link.hello(&hello, None).unwrap(), hello);
    });
    let again = link.hello(&hello, None).unwrap_err();
    assert_eq!(again.kind(), Kind::Refused);
}

#[test]
fn another_version_is_refused_by_name() {
    let (ours, theirs) = pair();
    let link = Link::new(ours, Side::Parent);
    let hello = Hello { protocol: 99, ..Hello::ours(Vec::new()) };
    send(&*theirs, message::Kind::Hello, 0, 0, &hello.encode().unwrap());
    let error = link.hello(&Hello::ours(Vec::new()), None).unwrap_err();
    assert_eq!(error.kind(), Kind::Refused);
    assert!(error.what().contains("version 99") && error.what().contains("version 1"), "{error}");
    assert_eq!(link.error().unwrap().what(), error.what());
}

#[test]
fn a_silent_peer_runs_into_the_deadline() {
    let (ours, _theirs) = pair();
    let link = Link::new(ours, Side::Parent);
    let soon = Instant::now() + Duration::from_millis(500);
    let error = link.hello(&Hello::ours(Vec::new()), Some(soon)).unwrap_err();
    assert_eq!(error.kind(), Kind::TimedOut);
}

#[test]
fn a_hello_may_come_before_it_is_awaited() {
    let (ours, theirs) = pair();
    let link = Link::new(ours, Side::Parent);
    send(&*theirs, message::Kind::Hello, 0, 0, &Hello::ours(Vec::new()).encode().unwrap());
    link.pump().unwrap();
    assert_eq!(link.hello(&Hello::ours(Vec::new()), None).unwrap().protocol, 1);
}

fn send(transport: &dyn Transport, kind: message::Kind, id: u64, chain: u64, body: &[u8]) {
    let frame = Frame { header: Header { kind, id, chain, len: body.len() as u32 }, body: body.to_vec() };
    let bytes = [&frame.header.encode()[..], &frame.body].concat();
    assert_eq!(transport.send(&[std::io::IoSlice::new(&bytes)]).unwrap(), bytes.len());
}
