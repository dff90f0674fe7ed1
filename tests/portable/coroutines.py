"""What the tests of the portable child await in it, where the language has a word for that."""

import asyncio

done = []


class Meeting:
    def __init__(self, count):
        self.missing = count
        self.complete = asyncio.Event()

    async def come(self):
        self.missing -= 1
        if not self.missing:
            self.complete.set()
        await self.complete.wait()
        return self.missing


async def sleeps():
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        done.append("cancelled")
        raise


async def calls_twice(function):
    first = function()
    await asyncio.sleep(0)
    return first, function()


async def spins():
    while True:
        pass


async def exits():
    raise SystemExit(3)


async def numbers(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number
