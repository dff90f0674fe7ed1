//! Asking without waiting: a front, its one descriptor, and the threads that wait on the same link.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use saranwrap::link::Front;
use saranwrap::sys::fd::{PollFd, PollFlags, Polled, poll};
use saranwrap::wire::Reader;
use saranwrap::{Kind, Outcome};

use super::pair;
use crate::toy::{Toy, World, gates, request};

/// Wait until the front's descriptor is readable.
fn is_rung(front: &Front) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(front.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(Instant::now() + Duration::from_secs(20))).unwrap() == Polled::Ready
}

fn begin(world: &World, toy: &Toy, front: &Front, body: &[u8]) -> u64 {
    world.link.begin(toy, front, world.link.new_chain(), body).unwrap().0
}

/// Pump as a loop does until so many calls are answered: their ids, in the order in which they were.
fn answered(world: &World, toy: &Toy, front: &Front, count: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    loop {
        world.link.pump_for(front).unwrap();
        ids.extend(std::iter::from_fn(|| world.link.answered(front)));
        while let Some(taken) = world.link.take(toy, front).unwrap() {
            world.link.serve_taken(toy, front, &taken).unwrap();
        }
        if ids.len() >= count {
            return ids;
        }
        assert!(is_rung(front), "{} of {count} are here", ids.len());
    }
}

#[test]
fn answers_are_told_by_one_descriptor() {
    let world = World::new(pair());
    let (toy, front) = (world.parent(1), world.link.front().unwrap());
    let calls: Vec<_> = (0..300).map(|_| begin(&world, &toy, &front, &request("who", 0))).collect();
    assert_eq!(answered(&world, &toy, &front, calls.len()), calls);
    for id in calls {
        let answer = world.link.finish(id).unwrap().unwrap();
        assert_eq!((answer.outcome, Reader::new(&answer.body).u64("answer").unwrap()), (Outcome::Answered, 500));
    }
    world.link.withdraw(&front);
    world.end();
}

#[test]
fn what_is_asked_in_a_fronts_chain_is_for_the_front() {
    let world = World::new(pair());
    let (toy, front) = (world.parent(7), world.link.front().unwrap());
    let id = begin(&world, &toy, &front, &request("ask-who", 0));
    // Another thread waits meanwhile, and must not serve it.
    assert_eq!(world.parent(8).number("who", 0).unwrap(), 500);
    assert_eq!(answered(&world, &toy, &front, 1), [id]);
    let answer = world.link.finish(id).unwrap().unwrap();
    assert_eq!(Reader::new(&answer.body).u64("answer").unwrap(), 7);
    drop(answer);
    world.end();
}

#[test]
fn a_thread_that_reads_rings_for_the_front() {
    let world = World::new(pair());
    let (toy, front) = (world.parent(1), world.link.front().unwrap());
    for _ in 0..100 {
        let id = begin(&world, &toy, &front, &request("who", 0));
        // It is answered before this one is, so that this thread reads it.
        assert_eq!(world.parent(2).number("who", 0).unwrap(), 500);
        assert_eq!(answered(&world, &toy, &front, 1), [id]);
        drop(world.link.finish(id).unwrap().unwrap());
    }
    world.end();
}

#[test]
fn more_than_fits_goes_when_there_is_room() {
    let world = World::new(pair());
    let (toy, front) = (world.parent(1), world.link.front().unwrap());
    let (is_holding, let_go) = gates(&world.childs);
    let first = begin(&world, &toy, &front, &request("hold", 0));
    is_holding.recv().unwrap();
    let mut body = saranwrap::wire::Writer::new();
    body.array(2);
    body.text("echo");
    body.bytes(&vec![7; 1 << 20]);
    let calls: Vec<_> = (0..8).map(|_| begin(&world, &toy, &front, body.as_slice())).collect();
    let_go.send(()).unwrap();
    assert_eq!(answered(&world, &toy, &front, 9), [&[first], &calls[..]].concat());
    world.end();
}

#[test]
fn the_end_is_told() {
    let world = World::new(pair());
    let front = world.link.front().unwrap();
    let toy = world.parent(1);
    world.link.pump_for(&front).unwrap();
    world.child_link.close();
    assert!(is_rung(&front));
    let error = loop {
        if let Err(error) = world.link.pump_for(&front) {
            break error;
        }
        assert!(is_rung(&front));
    };
    assert_eq!(error.kind(), Kind::Died);
    assert_eq!(world.link.begin(&toy, &front, 1, &[]).unwrap_err().kind(), Kind::Died);
    let _ = world.serving.join();
}

#[test]
fn a_call_that_was_given_up_is_not_told() {
    let world = World::new(pair());
    let (toy, front) = (world.parent(1), world.link.front().unwrap());
    let (is_holding, let_go) = gates(&world.childs);
    let first = begin(&world, &toy, &front, &request("hold", 0));
    is_holding.recv().unwrap();
    let second = begin(&world, &toy, &front, &request("who", 0));
    world.link.abandon(first);
    let_go.send(()).unwrap();
    assert_eq!(answered(&world, &toy, &front, 1), [second]);
    world.link.withdraw(&front);
    world.end();
}
