"""A child that lies: it speaks the protocol's frames by hand, as a list of steps says. The standard library is all it needs.

Run as `python hostile_child.py FILE`, where the file holds the steps in JSON. Imported, it has what the steps are made of.

A step is one of
    ["say", hex]            these bytes, as they are; where they hold the marks ID and CHAIN, those of the last call read
    ["listen", kind]        read frames until one of this kind comes; null is for an answer of either kind
    ["echo", null]          answer the last call with the kind and the body of the last frame read
    ["forever", hex]        answer every call with this body
    ["fill", count]         write this many bytes into the memory for large data
    ["deaf", null]          ignore the signal that interrupts
    ["end", code]           leave at once; minus a number is a signal
After the last step it reads on, and says nothing more until its parent is gone.
"""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path

HELLO, CALL, REPLY, RAISED, RELEASE, CANCEL, BYE = range(1, 8)
HEADER = struct.Struct("<IB3xQQ")
# Where a frame answers a call that nobody has asked yet, these stand for the call's numbers.
ID, CHAIN = b"\xfe<the-id", b"\xfe<chain>"
OURS = 1 << 63

LIST, DICT, SET, BYTEARRAY, SAME, THEIRS, MINE, CLASS, NAMED, FROZENSET, COMPLEX = range(21248, 21259)
ELLIPSIS, NOT_IMPLEMENTED, SLICE, RANGE, SURROGATES, KNOWN, EXCEPTION, TRACEBACK, PICKLE, ARGUMENT, MARKED = range(
    21259, 21270
)
PROMISE, BLOCK, BUFFER, NDARRAY, ARROW, PARTWAY = range(21272, 21278)


class Tag:
    """A tagged value."""

    def __init__(self, number, content):
        self.number, self.content = number, content


def head(major, number):
    """The first bytes of an item."""
    if number < 24:
        return bytes([major << 5 | number])
    for code, layout in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if number < 1 << (8 * struct.calcsize(layout)):
            return bytes([major << 5 | code]) + struct.pack(layout, number)
    raise OverflowError(number)


def cbor(value):
    """The bytes of a value. Bytes within a tuple are a byte string; `Tag(None, bytes)` puts them in as they are."""
    if isinstance(value, Tag):
        return value.content if value.number is None else head(6, value.number) + cbor(value.content)
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        return head(5, len(value)) + b"".join(cbor(key) + cbor(item) for key, item in value.items())
    return head(4, len(value)) + b"".join(map(cbor, value))


def raw(data):
    """Bytes that are no value, in the place of one."""
    return Tag(None, data)


def frame(kind, body=b"", number=0, chain=0, length=None):
    """A frame; `number` and `chain` may be the marks."""
    numbers = [part if isinstance(part, bytes) else struct.pack("<Q", part) for part in (number, chain)]
    return struct.pack("<IB3x", len(body) if length is None else length, kind) + b"".join(numbers) + body


def say(data):
    """The step that sends these bytes."""
    return ["say", data.hex()]


def hello(protocol=1, **more):
    """The step that greets."""
    return say(frame(HELLO, cbor({"protocol": protocol, "version": "9.9", "pid": 1, **more})))


def answer(value, kind=REPLY):
    """The steps that wait for a call and answer it."""
    return [["listen", CALL], say(frame(kind, cbor(value), ID, CHAIN))]


def ask(op, target, *args):
    """The steps that wait for a call, ask something before they answer it, and answer with what that came to."""
    question = say(frame(CALL, cbor([op, target, *args]), OURS | 1, CHAIN))
    return [["listen", CALL], question, ["listen", None], ["echo", None]]


def ask_with(op, trailer, *args):
    """The steps that ask something of the root, with these bytes behind it, before they answer."""
    question = say(frame(CALL, cbor([op, 0, *args]) + trailer, OURS | 1, CHAIN))
    return [["listen", CALL], question, ["listen", None], ["echo", None]]


class Link:
    """The parent's end of the world."""

    def __init__(self):
        self.socket = socket.socket(fileno=os.dup(0))
        data, ancillary, *_ = self.socket.recvmsg(1, socket.CMSG_SPACE(4 * 8))
        assert data == b"0"
        gifts = [fd for _, _, data in ancillary for fd in array.array("i", data)]
        os.dup2(gifts[0], 0)
        # The last of four is the memory that this side writes to. A portable child gets none, and may lie about it all the same.
        self.memory = gifts[-1] if len(gifts) > 3 else None
        self.stream = self.socket.makefile("rb")
        self.called = bytes(16)
        self.heard = (0, b"")

    def say(self, text):
        data = bytes.fromhex(text).replace(ID, self.called[:8]).replace(CHAIN, self.called[8:])
        try:
            self.socket.sendall(data)
        except BrokenPipeError:
            os._exit(0)

    def listen(self, wanted):
        kind = -1
        while kind != wanted and not (wanted is None and kind in {REPLY, RAISED}):
            read = self.stream.read(HEADER.size)
            if len(read) < HEADER.size:
                os._exit(0)
            length, kind, *_ = HEADER.unpack(read)
            self.heard = (kind, self.stream.read(length))
            if kind == CALL:
                called = read[8:]
        if wanted == CALL:
            self.called = called

    def echo(self, _):
        self.say(frame(REPLY, cbor(self.heard), ID, CHAIN).hex())

    def forever(self, text):
        while True:
            self.listen(CALL)
            self.say(frame(REPLY, bytes.fromhex(text), ID, CHAIN).hex())

    def fill(self, count):
        if self.memory is not None:
            os.pwrite(self.memory, b"7" * count, 0)

    def deaf(self, _):
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end(self, code):
        if code < 0:
            os.kill(os.getpid(), -code)
        os._exit(code)


def read_preamble(size):
    """Claim to be an interpreter that is about to be the portable child."""
    while size > 0:
        size -= len(os.read(0, size))
    os.write(0, b"s")


def main():
    """Do what the file says."""
    if len(sys.argv) > 2:
        read_preamble(int(sys.argv[-1]))
    link = Link()
    for step, argument in json.loads(Path(sys.argv[1]).read_text(encoding="ascii")):
        getattr(link, step)(argument)
    link.listen(0)


if __name__ == "__main__":
    main()
