"""The main job on real input: a session, a C extension at work, a crash that stays where it happens."""

import ctypes
import os
import sqlite3
import tempfile
from pprint import pprint

import saranwrap

ROWS = 5000


def session(*lines):
    """Run the lines as a person would type them, and show what the interpreter shows."""
    names = {}
    for line in lines:
        print(">>>", line)
        exec(compile(line, "<session>", "single"), names)
    print()


def heading(text):
    print(f"--- {text} ---", flush=True)


def work_in_a_database(folder):
    sql = saranwrap.wrap(sqlite3)
    connection = sql.connect(os.path.join(folder, "cities.db"))
    with connection:
        connection.execute("create table city (name text, people integer)")
        rows = [(f"city {n}", n * n) for n in range(ROWS)]
        connection.executemany("insert into city values (?, ?)", rows)
    count, people = connection.execute("select count(*), sum(people) from city").fetchone()
    assert (count, people) == (ROWS, sum(n * n for n in range(ROWS)))
    longest = [name for name, _ in connection.execute("select * from city order by people desc limit 3")]
    print(f"{count} rows written and read back by child {saranwrap.getpid(sql)}; the sum is {people}")
    print(f"the last three: {longest}\n")
    connection.close()
    return sql


def crash():
    c = saranwrap.wrap(ctypes)
    try:
        c.string_at(0)
    except saranwrap.ChildDied as death:
        print(f"ChildDied: {death}\n")
    else:
        raise SystemExit("the child read address 0 and lived")


heading(f"this is process {os.getpid()}; every proxy below has a process of its own")
session(
    "import saranwrap, time",
    "s_time = saranwrap.wrap(time)",
    "timeobj = s_time.gmtime(0)",
    "timeobj",
    "timeobj.tm_sec",
)
with tempfile.TemporaryDirectory() as folder:
    heading("the sqlite3 extension module, in a child, on a file")
    sql = work_in_a_database(folder)
    heading("a child is made to read address 0")
    crash()
    heading(f"process {os.getpid()} goes on, and so does the database's child; its status:")
    pprint(saranwrap.status(sql))
