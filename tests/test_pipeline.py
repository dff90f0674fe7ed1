"""Pipelines: what is recorded is done in one round trip, in order, as it would have been done one by one."""

from __future__ import annotations

import contextlib
import copy
import gc
import operator
import os
import pickle
import signal
import sys
import threading
import traceback

import pytest
import saranwrap
from saranwrap import flush, pipeline, result

from tests import recorded
from tests.conftest import of_the_native_child


@pytest.fixture
def p():
    proxy = saranwrap.wrap(recorded)
    # Classes are described once each, in round trips of their own.
    assert repr((proxy.ROOT, proxy.ROOT.items, proxy.Node, proxy.log))
    yield proxy
    saranwrap.close(proxy)


@contextlib.contextmanager
def trips(proxy, count):
    """The block takes so many round trips."""
    before = saranwrap.status(proxy)["requests"]
    yield
    assert saranwrap.status(proxy)["requests"] - before - 1 == count


# --- one round trip ---------------------------------------------------------------------------------------------------


def test_a_chain_takes_one_round_trip(p):
    with trips(p, 1):
        with pipeline(p) as q:
            r = q.ROOT.child("a").items[1]
        assert result(r) == 2


def test_several_statements_take_one_round_trip(p):
    log = list(p.LOG)
    with trips(p, 1), pipeline(p) as q:
        for number in range(100):
            q.log(number)
    assert list(p.LOG) == log + list(range(100))


def test_nothing_is_sent_before_the_block_ends(p):
    with pipeline(p) as q:
        q.log("waits")
        assert "waits" not in p.LOG
    assert "waits" in p.LOG


def test_a_pipeline_that_records_nothing_sends_nothing(p):
    with trips(p, 0), pipeline(p):
        pass


def test_flush_sends_what_was_recorded_so_far(p):
    with trips(p, 2), pipeline(p) as q:
        q.log("first")
        flush(q)
        q.log("second")
        q.log("third")


def test_result_sends_what_was_recorded_so_far(p):
    with pipeline(p) as q, trips(p, 1):
        a = q.log("a")
        b = q.log("b")
        assert result(a) == "a"
        assert result(b) == "b"


def test_results_are_what_the_plain_expressions_give(p):
    root = p.ROOT
    with pipeline(p) as q:
        name, node, cls, nothing = q.ROOT.name, q.ROOT, q.Node, q.log(None)
        made, function = q.Node("x"), q.identity
    assert result(name) == "root"
    assert result(node) is root
    assert result(cls) is p.Node
    assert result(nothing) is None
    assert isinstance(result(made), saranwrap.Proxy)
    assert type(result(made)) is p.Node
    assert result(function) is p.identity


def test_a_result_may_be_asked_for_again(p):
    with pipeline(p) as q:
        r = q.Node("x")
    assert result(r) is result(r)


def test_the_result_of_what_is_no_promise_is_itself():
    thing = [1]
    assert result(thing) is thing
    assert result(5) == 5


def test_the_result_of_the_recorder_is_the_proxy(p):
    with pipeline(p) as q:
        assert result(q) is p


def test_attributes_and_items_are_set_and_deleted_in_order(p):
    with trips(p, 1):
        with pipeline(p) as q:
            node = q.Node("n")
            node.colour = "red"
            node.items[0] = "first"
            del node.items[1]
            colour, items = node.colour, node.items[:]
            del node.colour
            gone = q.identity(node)
        assert result(colour) == "red"
    assert saranwrap.local(result(items)) == ["first", 3]
    assert not hasattr(result(gone), "colour")


def test_keyword_arguments(p):
    with pipeline(p) as q:
        r = q.ROOT.add(1, *[2, 3], key="value", **{"other": q.ROOT.name})
    assert result(r) == ("root", (1, 2, 3), (("key", "value"), ("other", "root")))


def test_a_bound_method_is_a_promise_too(p):
    with pipeline(p) as q:
        add = q.ROOT.add
        one, two = add(1), add(2)
    assert result(one)[1:] == ((1,), ())
    assert result(two)[1:] == ((2,), ())
    assert result(add)(3)[1:] == ((3,), ())


def test_several_proxies_of_one_child(p):
    node = p.Node("n")
    with trips(p, 1):
        with pipeline(p, node) as (q, n):
            r = q.identity(n)
            s = n.name
        assert result(r) is node
        assert result(s) == "n"


def test_a_class_is_a_start_too(p):
    with pipeline(p.Node) as q:
        name = q("made").name
    assert result(name) == "made"


def test_several_children_cannot_share_a_pipeline(p):
    other = saranwrap.wrap(recorded)
    with pytest.raises(saranwrap.Refused, match="different children"):
        pipeline(p, other)


def test_what_is_no_proxy_is_a_type_error(p):
    for thing in (5, [1], object()):
        with pytest.raises(TypeError, match="proxy"):
            pipeline(thing)
        with pytest.raises(TypeError, match="proxy"):
            pipeline(p, thing)
        with pytest.raises(TypeError, match="records"):
            flush(thing)


# --- promises as arguments --------------------------------------------------------------------------------------------


def test_a_promise_may_be_an_argument(p):
    with trips(p, 1):
        with pipeline(p) as q:
            node = q.ROOT
            r = q.same(node, q.ROOT)
            s = q.identity(thing=node.name)
        assert result(r) is True
        assert result(s) == "root"


def test_a_promise_may_stand_inside_of_a_list_a_tuple_and_a_dict(p):
    with pipeline(p) as q:
        r = q.text([q.ROOT.name, (q.ROOT.count, {"k": q.ROOT.items[2]})])
        s = q.identity((q.ROOT.name, 1, q.ROOT))
        t = q.identity(mine := [q.ROOT.name])
    assert result(r) == "['root', (0, {'k': 3})]"
    assert result(s) == ("root", 1, p.ROOT)
    assert result(t) is mine
    assert [result(item) for item in mine] == ["root"]


def test_the_recorder_as_an_argument_is_the_proxy(p):
    with pipeline(p) as q:
        r = q.identity(q)
    assert result(r) is p


def test_a_promise_that_is_there_is_an_argument_like_its_value(p):
    with pipeline(p) as q:
        node, name = q.Node("n"), q.ROOT.name
        flush(q)
        r, s, t = q.identity(node), q.text([name]), node.name
        u, v = q.identity(name), q.identity((name, (node,)))
    assert result(r) is result(node)
    assert result(s) == "['root']"
    assert result(t) == "n"
    assert result(u) is result(name)
    assert result(v) == ("root", (result(node),))


def test_a_promise_of_another_pipeline_must_be_sent_first(p):
    with pipeline(p) as q, pipeline(p) as other:
        node = q.ROOT
        with pytest.raises(saranwrap.NotTransparent, match="flush"):
            other.identity(node)
        with pytest.raises(saranwrap.NotTransparent, match="flush"):
            other.identity([node])
        flush(q)
        r = other.identity(node)
    assert result(r) is p.ROOT


def test_a_promise_is_no_argument_of_a_plain_call(p):
    with pipeline(p) as q:
        r = q.ROOT
        with pytest.raises(saranwrap.NotTransparent, match=r"saranwrap\.result"):
            p.identity(r)
    with pytest.raises(saranwrap.NotTransparent, match=r"saranwrap\.result"):
        p.identity([r])
    assert p.identity(result(r)) is p.ROOT


def test_ordinary_arguments_go_as_ever(p):
    thing, called = object(), []
    with pipeline(p) as q:
        there = q.identity(thing)
        callback = q.call(called.append, "called")
        function = q.call(lambda: [thing])
        long = q.identity(text := "long" * 100)
        value = q.identity((1, "a", 2.5, b"b", None))
    assert result(there) is thing
    assert result(callback) is None
    assert called == ["called"]
    assert result(function)[0] is thing
    assert result(long) is text
    assert result(value) == (1, "a", 2.5, b"b", None)


def test_a_lent_list_holds_what_the_steps_did_to_it(p):
    items = []
    with pipeline(p) as q:
        q.append(items, 1)
        q.append(items, 2)
        r = q.identity(items)
        n = q.append(items, r)
        assert items == []
    assert items[:2] == [1, 2]
    assert items[2] is items
    assert result(r) is items
    assert result(n) is None


def test_a_list_that_a_step_keeps_has_parted_from_the_caller_s(p):
    mine, inner = [0], []
    mine.append(inner)
    with pipeline(p) as q:
        place = q.keep(mine) - 1
        q.append(q.kept(place), "theirs")
        q.append(q.kept(place)[1], "theirs too")
        again = q.keep(mine) - 1
        apart = q.same(q.kept(place), q.kept(again))
        q.append(mine, "mine")
    assert mine == [0, inner, "mine"]
    assert inner == []
    assert result(apart) is False
    assert saranwrap.local(p.kept(result(place))) == [0, ["theirs too"], "theirs"]
    assert saranwrap.local(p.kept(result(again))) == [0, []]


def test_a_list_that_is_changed_between_recording_and_sending_is_an_error_of_its_step(p):
    items = [1]
    with pipeline(p) as q:
        before, after = q.identity(items), q.log("after")
        items.append(2)
    with pytest.raises(saranwrap.NotTransparent, match="list given to `.identity.*flush"):
        result(before)
    assert result(after) == "after"


@pytest.mark.parametrize("change", [
    (lambda: {"k": 1}, lambda thing: thing.update(j=2)),
    (lambda: {1}, lambda thing: thing.add(2)),
    (lambda: bytearray(b"a"), lambda thing: thing.extend(b"b")),
    (lambda: ([[1]],), lambda thing: thing[0][0].append(2)),
])  # fmt: skip
def test_so_is_any_other_that_would_be_copied(p, change):
    make, work = change
    thing = make()
    with pytest.raises(saranwrap.NotTransparent, match="changed before"), pipeline(p) as q:
        q.identity(thing)
        work(thing)


def test_an_argument_that_cannot_be_sent_is_an_error_of_its_step(p):
    lock, items = threading.Lock(), [1]
    with pipeline(p) as q:
        good = q.log("good")
        bad = q.identity([items, saranwrap.val(lock)])
        worse = q.identity(bad)
        worst = bad.attribute
        fine = q.append(items, "fine")
        also = q.log("also")
    assert result(good) == "good"
    for promise in (bad, worse, worst):
        with pytest.raises(TypeError, match="pickle"):
            result(promise)
    assert result(fine) is None
    assert items == [1, "fine"]
    assert result(also) == "also"


def test_deep_arguments(p):
    deep = nested = []
    for _ in range(5000):
        nested.append([])
        nested = nested[0]
    with pipeline(p) as q:
        r, s = q.identity(deep), q.log("next")
    with pytest.raises(RecursionError):
        result(r)
    assert result(s) == "next"
    while deep:
        deep = deep.pop()


# --- operators --------------------------------------------------------------------------------------------------------


def test_operators_are_recorded(p):
    with trips(p, 1):
        with pipeline(p) as q:
            n = q.log(7)
            results = [
                n + 1, n - 1, n * 2, n / 2, n // 2, n % 4, divmod(n, 4), n**2, pow(n, 2, 5), n << 1, n >> 1, n & 3, n ^ 1,
                n | 8, 1 + n, 10 - n, 2 * n, 14 / n, 15 // n, 10 % n, divmod(10, n), 2**n, 1 << n, 1 >> n, 3 & n, 1 ^ n,
                8 | n, -n, +n, ~n, abs(n), round(n), n == 7, n != 7, n < 8, n <= 7, n > 8, n >= 7, 7 == n, 8 > n, n - n,
            ]  # fmt: skip
        n = 7
        expected = [
            n + 1, n - 1, n * 2, n / 2, n // 2, n % 4, divmod(n, 4), n**2, pow(n, 2, 5), n << 1, n >> 1, n & 3, n ^ 1,
            n | 8, 1 + n, 10 - n, 2 * n, 14 / n, 15 // n, 10 % n, divmod(10, n), 2**n, 1 << n, 1 >> n, 3 & n, 1 ^ n,
            8 | n, -n, +n, ~n, abs(n), round(n), True, False, True, True, False, True, True, True, 0,
        ]  # fmt: skip
        assert [result(r) for r in results] == expected
        assert [type(result(r)) for r in results] == [type(e) for e in expected]


def test_operators_ask_both_operands_as_ever(p):
    with pipeline(p) as q:
        concatenated = [0] + q.ROOT.items
        repeated = 2 * q.ROOT.items
        bad = q.ROOT + 1
    assert list(result(concatenated)) == [0, 1, 2, 3]
    assert list(result(repeated)) == [1, 2, 3, 1, 2, 3]
    with pytest.raises(TypeError, match="unsupported operand"):
        result(bad)


def test_in_place_operators_change_the_object_where_it_is(p):
    with trips(p, 1):
        with pipeline(p) as q:
            node = q.Node("n")
            node.count += 5
            node.items += [4]
            node.items[0] -= 1
            items = node.items
            count = node.count
            before = same = items
            same += [5]
            r = q.same(before, same)
        assert result(count) == 5
        assert result(r) is True
    assert list(result(items)) == [0, 2, 3, 4, 5]


NEEDS_A_VALUE = {
    "bool": bool,
    "not": operator.not_,
    "len": len,
    "iter": iter,
    "unpacking": lambda promise: (lambda a, b: 0)(*promise),
    "next": next,
    "reversed": reversed,
    "in": lambda promise: 1 in promise,
    "hash": hash,
    "str": str,
    "format": lambda promise: f"{promise}",
    "bytes": bytes,
    "int": int,
    "float": float,
    "complex": complex,
    "range": range,
    "index": lambda promise: [1][promise],
    "open": open,
    "isinstance": lambda promise: isinstance(promise, int),
    "class": lambda promise: promise.__class__,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("name", NEEDS_A_VALUE)
def test_what_needs_a_value_says_how_to_get_it(p, name):
    with pipeline(p) as q:
        r = q.log(1)
        with pytest.raises(TypeError, match=r"promise|Promise"):
            NEEDS_A_VALUE[name](r)
        if name not in {"copy", "deepcopy", "pickle"}:
            with pytest.raises(saranwrap.NotTransparent, match=r"saranwrap\.result"):
                NEEDS_A_VALUE[name](r)
    assert result(r) == 1


def test_with_and_await_say_it_too(p):
    async def wait(promise):
        await promise

    async def loop(promise):
        async for _ in promise:
            pass

    with pipeline(p) as q:
        r = q.log(1)
        with pytest.raises(saranwrap.NotTransparent, match="with statement"), r:
            pass
        for use in (wait, loop):
            with pytest.raises(saranwrap.NotTransparent, match="await|iterated"):
                use(r).send(None)


def test_special_methods_are_recorded_under_their_names(p):
    with pipeline(p) as q:
        r, s, t = q.ROOT.items.__len__(), q.Node.__name__, q.ROOT.items.__contains__(2)
    assert result(r) == 3
    assert result(s) == "Node"
    assert result(t) is True


def test_type_and_repr_record_nothing(p):
    with trips(p, 1), pipeline(p) as q:
        r = q.log(1)
        assert isinstance(r, saranwrap.Promise)
        assert isinstance(q, saranwrap.Promise)
        assert not isinstance(r, saranwrap.Proxy)
        assert callable(r)
        assert "Promise" in repr(r)
        assert "Promise" in repr(q)
    assert "Promise" in repr(r)


# --- exceptions -------------------------------------------------------------------------------------------------------


def test_an_exception_surfaces_at_its_promise_and_at_those_that_depend_on_it(p):
    with pipeline(p) as q:
        good = q.log("good")
        bad = q.boom("no")
        after = bad.attribute
        argument = q.identity([bad])
        other = q.log("other")
    assert result(good) == "good"
    assert result(other) == "other"
    caught = []
    for promise in (bad, after, argument, bad):
        with pytest.raises(ValueError, match="^no$") as raised:
            result(promise)
        caught.append(raised.value)
    assert all(error is caught[0] for error in caught)


def test_a_step_after_a_failed_one_that_it_depends_on_is_not_performed(p):
    with contextlib.suppress(ValueError), pipeline(p) as q:
        q.log(q.boom())
        q.call(q.log, q.boom())
        q.log("independent")
    assert list(p.LOG) == ["independent"]


def test_an_exception_has_the_child_s_traceback_each_time(p):
    with pipeline(p) as q:
        bad = q.boom()
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="boom") as caught:
            result(bad)
        text = "".join(traceback.format_exception(caught.value))
        assert "raise ValueError(text)" in text
        lengths.add(len(text))
    assert len(lengths) == 1


def test_an_exception_has_its_context(p):
    with pipeline(p) as q:
        bad = q.boom()
    first = KeyError("first")
    try:
        raise first
    except KeyError:
        with pytest.raises(ValueError, match="boom") as caught:
            result(bad)
    assert caught.value.__context__ is first


def test_what_a_statement_raised_is_raised_at_the_end_of_the_block(p):
    with pytest.raises(ValueError, match="no") as caught, pipeline(p) as q:
        q.log("before")
        q.boom("no")
        q.log("after")
    assert any("`.boom(...)`" in note for note in caught.value.__notes__)
    assert list(p.LOG) == ["before", "after"]


def test_of_several_the_first_is_raised_and_tells_of_the_others(p):
    with pytest.raises(ValueError, match="one") as caught, pipeline(p) as q:
        q.boom("one")
        q.ROOT.nonsense
        q.boom("three").attribute
    notes = "\n".join(caught.value.__notes__)
    assert "nonsense" in notes
    assert "AttributeError" in notes
    assert "three" in notes


def test_a_statement_that_depends_on_a_failed_promise_raises_at_the_end(p):
    with pytest.raises(ValueError, match="held"), pipeline(p) as q:
        node = q.boom("held")
        node.child("a")
    with pytest.raises(ValueError, match="held"):
        result(node)


def test_what_is_held_raises_when_it_is_asked_for(p):
    with pipeline(p) as q:
        r = q.boom("later").attribute
    with pytest.raises(ValueError, match="later"):
        result(r)


def test_a_failure_that_nobody_asked_for_is_told(p, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(str(what.exc_value)))
    with pipeline(p) as q:
        asked, forgotten = q.boom("asked"), q.boom("forgotten")
        also = forgotten.attribute
    with pytest.raises(ValueError, match="asked"):
        result(asked)
    del asked, forgotten
    gc.collect()
    assert told == []
    del also
    gc.collect()
    assert told == ["forgotten"]


def test_what_is_told_of_a_failure_can_be_kept_though_the_collector_took_the_failure(p, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: told.append(what.exc_value))
    for _ in range(20):
        with pipeline(p) as q:
            forgotten = q.boom("forgotten")
        circle = [forgotten]
        circle.append(circle)
        # The exception itself is in the circle, too.
        forgotten = circle = None
        gc.collect()
    assert [(type(error), str(error)) for error in told] == [(ValueError, "forgotten")] * 20


def test_flush_raises_what_statements_raised_so_far(p):
    with pipeline(p) as q:
        q.boom("at once")
        with pytest.raises(ValueError, match="at once"):
            flush(q)
        q.log("goes on")
    assert list(p.LOG) == ["goes on"]


def test_result_leaves_the_failures_of_others_for_the_end(p):
    seen = []
    with pytest.raises(ValueError, match="other"), pipeline(p) as q:
        q.boom("other")
        seen.append(result(q.log("mine")))
    assert seen == ["mine"]


def test_a_block_that_an_exception_leaves_sends_nothing_more(p):
    with pytest.raises(KeyError), pipeline(p) as q:
        r = q.log("never")
        raise KeyError
    assert list(p.LOG) == []
    with pytest.raises(saranwrap.NotTransparent, match="never sent"):
        result(r)
    with pytest.raises(saranwrap.NotTransparent, match="never sent"):
        r.attribute
    assert "never sent" in repr(r)


def test_a_block_that_an_exception_leaves_tells_what_had_failed_before(p):
    with pytest.raises(KeyError) as caught, pipeline(p) as q:
        q.boom("before")
        assert result(q.log("x")) == "x"
        raise KeyError
    assert any("before" in note for note in caught.value.__notes__)


def test_with_the_block_the_recording_ends(p):
    with pipeline(p) as q:
        r = q.ROOT
    for use in (lambda: q.log, lambda: r.name, lambda: q + 1, lambda: setattr(q, "x", 1), lambda: q()):
        with pytest.raises(saranwrap.NotTransparent, match="has ended"):
            use()
    flush(q)
    assert result(r) is p.ROOT


def test_a_pipeline_has_one_block(p):
    opened = pipeline(p)
    with opened as q:
        q.log(1)
    with pytest.raises(saranwrap.NotTransparent, match="one block"), opened:
        pass


def test_to_go_on_from_a_value_that_is_here_is_an_error(p):
    with pipeline(p) as q:
        name = q.ROOT.name
        assert result(name) == "root"
        with pytest.raises(saranwrap.NotTransparent, match=r"saranwrap\.result"):
            name.upper()


def test_to_go_on_from_a_failure_is_the_same_failure(p):
    with pipeline(p) as q:
        bad = q.boom("no")
        with pytest.raises(ValueError, match="no"):
            result(bad)
        worse = bad.child("a")
        with pytest.raises(ValueError, match="no"):
            result(worse)
        also = q.identity([bad])
    with pytest.raises(ValueError, match="no"):
        result(also)


# --- what lives how long ----------------------------------------------------------------------------------------------


def test_what_nobody_holds_is_not_exported(p):
    assert p.Node is not None
    count = saranwrap.status(p)["object_count"]
    with pipeline(p) as q:
        r = q.Node("a").child("b").child("c").name
    assert result(r) == "a.b.c"
    assert saranwrap.status(p)["object_count"] == count


def test_what_was_used_for_the_last_time_goes_at_once(p):
    before = p.live()
    with pipeline(p) as q:
        q.Node("statement")
        chain = q.Node("a").child("b").name
        meanwhile = q.live()
        named = q.Node("named")
        then = q.live()
    assert result(chain) == "a.b"
    assert result(meanwhile) == before
    assert result(then) == before + 1
    assert result(named).name == "named"
    del named
    gc.collect()
    assert p.live() == before


def test_arguments_alone_do_not_hold_a_promise(p):
    count = saranwrap.status(p)["object_count"]
    with pipeline(p) as q:
        r = q.same(q.Node("a"), q.Node("b"))
        s = q.Node("c") == q.Node("d")
    assert result(r) is False
    assert result(s) is False
    assert saranwrap.status(p)["object_count"] == count


def test_a_promise_that_a_tuple_holds_is_held(p):
    with pipeline(p) as q:
        args = (q.ROOT, q.ROOT)
        r = q.same(*args)
    assert result(r) is True
    assert result(args[0]) is p.ROOT


def test_a_dropped_pipeline_leaves_nothing(p):
    opened = pipeline(p)
    q = opened.__enter__()
    q.log([q.ROOT, q])
    del opened, q
    gc.collect()
    assert list(p.LOG) == []


def test_a_failed_promise_and_its_traceback_are_collected(p):
    import weakref

    class Marker:
        pass

    def fails():
        marker = Marker()
        with pipeline(p) as q:
            r = q.boom()
        try:
            result(r)
        except ValueError:
            return weakref.ref(marker)
        return None

    marker = fails()
    gc.collect()
    assert marker() is None


# --- threads, callbacks, death, interrupts ----------------------------------------------------------------------------


def test_a_pipeline_belongs_to_its_thread(p):
    errors = []

    def elsewhere(q, r):
        for use in (lambda: q.log, lambda: flush(q), lambda: result(r)):
            try:
                use()
            except saranwrap.NotTransparent as error:
                errors.append(str(error))

    with pipeline(p) as q:
        r = q.log("here")
        thread = threading.Thread(target=elsewhere, args=(q, r))
        thread.start()
        thread.join()
    assert len(errors) == 3
    assert all("thread" in error for error in errors)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(result(r)))
    thread.start()
    thread.join()
    assert seen == ["here"]


def test_each_thread_has_pipelines_of_its_own(p):
    wrong = []

    def work(number):
        for _ in range(50):
            with pipeline(p) as q:
                made = q.Node(number).child("x")
                name = made.name
            if result(name) != f"{number}.x":
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_pipelines_nest(p):
    with pipeline(p) as outer:
        outer.log("outer")
        with pipeline(p) as inner:
            inner.log("inner")
        outer.log("outer again")
    assert list(p.LOG) == ["inner", "outer", "outer again"]


def test_a_callback_may_call_the_child_and_record_a_pipeline(p):
    def callback(items):
        items.append(p.log("plain"))
        with pipeline(p) as q:
            r = q.log("nested")
            q.append(items, "by the child")
        items.append(result(r))

    items = []
    with pipeline(p) as q:
        q.log("before")
        q.call(callback, items)
        q.log("after")
    assert items == ["plain", "by the child", "nested"]
    assert list(p.LOG) == ["before", "plain", "nested", "after"]


def test_what_a_callback_records_is_sent_too(p):
    errors = []

    def callback():
        q.log("late")
        try:
            r.attribute
        except saranwrap.NotTransparent as error:
            errors.append(str(error))

    with pipeline(p) as q:
        r = q.log("first")
        q.call(callback)
    assert list(p.LOG) == ["first", "late"]
    assert "on its way" in errors[0]


def test_an_exception_of_a_callback_comes_home_as_itself(p):
    error = RuntimeError("mine")

    def callback():
        raise error

    with pipeline(p) as q:
        r = q.call(callback)
    with pytest.raises(RuntimeError) as caught:
        result(r)
    assert caught.value is error


@of_the_native_child("the package that its code imports knows nothing of the link")
def test_the_child_may_record_a_pipeline_for_an_object_of_the_parent(p):
    node = recorded.Node("mine")
    assert p.use_the_parent(saranwrap.ref(node)) == "mine.from the child.twice"


@of_the_native_child("the package that its code imports knows nothing of the link")
def test_a_child_does_not_work_on_values_of_the_parent(p):
    node = recorded.Node("mine")
    with pytest.raises(saranwrap.Unreachable, match="by value"):
        p.work_on_a_value_of_the_parent(saranwrap.ref(node))


@of_the_native_child("the package that its code imports knows nothing of the link")
def test_a_trusted_child_does():
    with saranwrap.Child(trust=True) as child:
        node = recorded.Node("mine")
        assert child.wrap(recorded).work_on_a_value_of_the_parent(saranwrap.ref(node)) == "MINE"


def test_when_the_child_dies_every_promise_says_so(p):
    with pytest.raises(saranwrap.ChildDied) as died, pipeline(p) as q:
        before = q.log("before")
        q.leave(3)
        after = q.log("after")
    assert died.value.returncode == 3
    for promise in (before, after):
        with pytest.raises(saranwrap.ChildDied) as caught:
            result(promise)
        assert caught.value is died.value
    with pytest.raises(saranwrap.ChildDied), pipeline(p) as q:
        q.log("never")


def test_a_closed_child_says_so(p):
    saranwrap.close(p)
    with pytest.raises(saranwrap.LinkClosed), pipeline(p) as q:
        r = q.log("never")
    with pytest.raises(saranwrap.LinkClosed):
        result(r)


def test_ctrl_c_gives_the_pipeline_up():
    import time

    with saranwrap.Child() as child:
        s_time, s_log = child.wrap(time), child.wrap(recorded)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt), pipeline(s_time, s_log) as (t, q):
            timer.start()
            slept = t.sleep(60)
            q.log("after the interrupt")
        timer.join()
        with pytest.raises(KeyboardInterrupt):
            result(slept)
        assert list(s_log.LOG) == []
        assert s_log.log("goes on") == "goes on"


def test_a_keyboard_interrupt_of_the_child_s_own_is_an_exception_like_any_other(p):
    with pipeline(p) as q:
        r, s = q.interrupt(), q.log("goes on")
    with pytest.raises(KeyboardInterrupt):
        result(r)
    assert result(s) == "goes on"


def test_many_steps(p):
    with trips(p, 1):
        with pipeline(p) as q:
            total = q.log(0)
            for number in range(10_000):
                total = total + number
        assert result(total) == sum(range(10_000))
