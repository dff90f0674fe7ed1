"""Remote coroutines, async generators and async context managers, awaited here; and local ones awaited there."""

from tests.same.check import cases, made, same

test_await = cases(
    same("run(flow.answer())"),
    same("run(flow.answer([1, 2]))"),
    same("run(flow.answer(x)) is x", [1]),
    same("run(x)", made("flow.answer('made before')")),
    same("asyncio.run(flow.answer('directly'))"),
    same("run(flow.fails('async'))"),
    same(
        "async def main():\n  try: await flow.fails('async')\n  except family.ZooError as e: return e.number\nrun(main())"
    ),
    same("async def main(): return [await flow.answer(i) for i in range(3)]\nrun(main())"),
    same("async def main(): return await asyncio.gather(flow.answer(1), flow.answer(2))\nrun(main())"),
    same("async def main(): return await asyncio.wait_for(flow.answer(1), 5)\nrun(main())"),
    same("async def main(): return await asyncio.create_task(flow.answer(1))\nrun(main())"),
    same("async def main(): return await asyncio.ensure_future(flow.Pause())\nrun(main())"),
    same("run(flow.twice(flow.answer(1)))"),
    same("run(flow.twice(my_flow.answer(1)))"),
    same("run(my_flow.twice(flow.answer(1)))"),
    same("run(flow.twice(flow.twice(my_flow.twice(flow.answer('deep')))))"),
    same("run(flow.twice(my_flow.fails('from here')))"),
    same("async def local(): return 'local'\nrun(flow.twice(local()))"),
    same("drive(flow.asks('a', ['b'], 3), 1, 2, 3)"),
    same("drive(flow.asks())"),
    same("drive(my_flow.twice(flow.asks('x')), 'answered')"),
    same("drive(flow.twice(my_flow.asks('x')), 'answered')"),
    same("c = flow.catches(); c.send(None)\ntry: c.throw(ValueError('v'))\nexcept StopIteration as e: left = e.value"),
    same("c = flow.catches(); c.send(None); c.throw(KeyError('k'))"),
    same("c = flow.catches(); c.send(None); c.close(); c.send(None)"),
    same("c = flow.answer(); c.close(), c.close()"),
    same("c = flow.answer(); run(c); run(c)"),
    same("c = flow.answer()\ntry: c.send('too early')\nfinally: c.close()"),
    same(
        "c = flow.answer(); r = (asyncio.iscoroutine(c), inspect.isawaitable(c), inspect.iscoroutine(c), c.__name__); c.close(); r"
    ),
    same("isinstance(flow.Pause(), abc.Awaitable), isinstance(zoo.Point(1), abc.Awaitable)"),
    same("c = flow.answer(); r = isinstance(c, abc.Coroutine), isinstance(c, types.CoroutineType); c.close(); r"),
    same("i = flow.Pause('p').__await__(); next(i)"),
    same("async def main(): return await x\nrun(main())", [1]),
    same("async def main(): return await flow.Pause('not a future')\nrun(main())"),
)

test_async_iteration = cases(
    same("run(my_flow.collects(flow.slowly(3)))"),
    same("run(flow.collects(flow.slowly(3)))"),
    same("run(flow.collects(my_flow.slowly(3)))"),
    same("run(my_flow.collects(x)), x.left", made("flow.AsyncCountdown(3)")),
    same("async def main(): return {v: 1 async for v in flow.slowly(3) if v}\nrun(main())"),
    same("async def main():\n  async for v in flow.slowly(9):\n    if v == 2: return v\nrun(main())"),
    same("async def main():\n  async for v in flow.slowly(1): pass\n  else: return 'else'\nrun(main())"),
    same("async def main(): return await anext(flow.slowly(1)), await anext(flow.slowly(0), 'default')\nrun(main())"),
    same("async def main(): return await anext(flow.slowly(0))\nrun(main())"),
    same(
        "async def main():\n  g = flow.conversation(); return [await g.asend(None), await g.asend('a'), await g.asend('b')]\nrun(main())"
    ),
    same("async def main():\n  g = flow.conversation(); await g.asend(None); await g.asend('stop')\nrun(main())"),
    same(
        "async def main():\n  g = flow.conversation(); await g.asend(None); await g.athrow(KeyError('k'))\nrun(main())"
    ),
    same(
        "async def main():\n  g = flow.conversation(); await g.asend(None); await g.aclose(); return [v async for v in g]\nrun(main())"
    ),
    same("async def main():\n  async for v in [1]: pass\nrun(main())"),
    same("async def main():\n  async for v in x: pass\nrun(main())", [1]),
    same(
        "g = flow.slowly(1); isinstance(g, abc.AsyncGenerator), isinstance(g, abc.AsyncIterator), inspect.isasyncgen(g)"
    ),
    same("aiter(x) is x", made("flow.AsyncCountdown(1)")),
)

test_async_contexts = cases(
    same("async def main():\n  async with x as y: return y is x\nrun(main())", made("flow.AsyncDoor()")),
    same("async def main():\n  async with x: raise KeyError('swallowed')\nrun(main())", made("flow.AsyncDoor()")),
    same("async def main():\n  async with x: raise ValueError('not')\nrun(main())", made("flow.AsyncDoor()")),
    same(
        "async def main():\n  async with x, flow.AsyncDoor() as second: await flow.answer()\n  return second.log\nrun(main())",
        made("flow.AsyncDoor()"),
    ),
    same("async def main():\n  async with x: pass\nrun(main())", made("flow.Door()")),
    same(
        "async def main():\n  async with contextlib.aclosing(flow.slowly(5)) as g: return await anext(g)\nrun(main())"
    ),
    same(
        "async def main():\n  async with contextlib.AsyncExitStack() as s: await s.enter_async_context(x)\nrun(main())",
        made("flow.AsyncDoor()"),
    ),
)
