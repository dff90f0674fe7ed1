"""A list, dict, set or bytearray given to the child holds afterwards what the call did to it."""

import heapq
import io
import operator
import random

import saranwrap

# heappush changes its argument. The argument is ours, so the change must arrive here.
remote_heapq = saranwrap.wrap(heapq)
heap = [5, 7, 9]
remote_heapq.heappush(heap, 1)
print("after heappush:", heap)
assert heap == [1, 5, 9, 7]

# The list stays the same list: whoever else holds it sees the change too.
cards = list(range(10))
alias = cards
saranwrap.wrap(random).shuffle(cards)
print("after shuffle:", cards)
assert alias is cards
assert sorted(cards) == list(range(10))

# A bytearray is filled in place.
room = bytearray(5)
count = saranwrap.wrap(io).BytesIO(b"hello world").readinto(room)
print("after readinto:", room)
assert (count, room) == (5, b"hello")

# Aliases and cycles inside the arguments keep their shape.
row = [0, 0]
table = [row, row]
table.append(table)
saranwrap.wrap(operator).setitem(row, 0, "x")
saranwrap.wrap(operator).setitem(table, 1, None)
assert table[0] is row
assert table[2] is table
print("after setitem:", row, table)

# What a call *returns* is a live reference: no copy is made, and changes are changes of the remote object.
merged = saranwrap.wrap(heapq).nlargest(2, [3, 1, 2])
merged.append(0)
print("a remote list:", repr(merged))
assert saranwrap.local(merged) == [3, 2, 0]
