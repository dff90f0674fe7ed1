"""One child may hold many objects. They meet there as themselves, not as proxies."""

import io
import json
import os

import saranwrap

with saranwrap.Child() as child:
    files = child.wrap(io)
    codec = child.wrap(json)
    assert saranwrap.getpid(files) == saranwrap.getpid(codec) == child.pid != os.getpid()

    # `buffer` goes home as the object itself: json.dump writes into it without a word to this process.
    buffer = files.StringIO()
    codec.dump({"answer": 42}, buffer)
    print("written in the child:", buffer.getvalue())
    assert json.loads(buffer.getvalue()) == {"answer": 42}

    # A module can also be named, and then is never imported here.
    textwrap = child.wrap_module("textwrap")
    print(textwrap.shorten("one child, several objects, no copies", width=20))

    print("objects held for us:", child.status()["object_count"])

# The end of the block ended the process.
try:
    buffer.getvalue()
except saranwrap.LinkClosed as closed:
    print("afterwards:", closed)
else:
    raise SystemExit("the child outlived its block")
