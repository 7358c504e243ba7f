"""What Python programs pass to shared containers: iterators, keys to sort by, the
container itself, exceptions. The outcome is that of plain containers.

    python3 shapes_check.py ADDRESS
"""
import operator
import subprocess
import sys
import json
import struct
from multiprocessing import managers, process

host, _, port = sys.argv[1].rpartition(":")
process.current_process().authkey = b"secret"
m = managers.SyncManager((host, int(port)), authkey=b"secret")
m.connect()


def same(what, got, want):
    assert got == want, "%s: %r, want %r" % (what, got, want)


# Iterators, in the place of what they yield, some of which have begun.
begun = iter([9, 1, 2])
next(begun)
for make in (
    lambda: map(str, [1, 2]), lambda: map(pow, [2, 3], [4, 5, 6]), lambda: zip("ab", [1, 2]), lambda: enumerate("ab", 5),
    lambda: reversed([1, 2, 3]), lambda: iter({1: 2}), lambda: iter("xy"), lambda: iter(range(5)), lambda: iter(()),
    lambda: filter(None, [0, 1, "", "a"]), lambda: filter(str.strip, [" ", "a "]), lambda: iter(b"ab"),
    lambda: zip(map(int, ["1", "2"]), reversed("ab")), lambda: map(str.upper, iter("ab")), lambda: zip(),
):
    same("extend", (lambda l: (l.extend(make()), l._getvalue())[1])(m.list()), list(make()))
    same("list", m.list(make())._getvalue(), list(make()))
    kept = m.list([make()])
    same("kept", list(kept[0]), list(make()))
l = m.list()
l.extend(begun)
same("begun", l._getvalue(), [1, 2])
half = reversed([1, 2, 3])
next(half)
same("half", m.list(half)._getvalue(), [2, 1])
d = m.dict(zip("ab", [1, 2]))
d.update(enumerate("xy"))
d.update(z=m.list([1]))
same("update", d.keys(), ["a", "b", 0, 1, "z"])
l[0:1] = map(abs, [-7, -8])
same("slice", l._getvalue(), [7, 8, 2])

# Keys to sort by.
for key in operator.itemgetter(1), operator.itemgetter(1, 0), str, len, None:
    items = [(2, "b"), (1, "c"), (3, "a"), (0, "b")]
    shared = m.list(items)
    shared.sort(key=key)
    same("sort", shared._getvalue(), sorted(items, key=key))
words = ["b", "A", "c", "B"]
shared = m.list(words)
shared.sort(key=str.lower, reverse=True)
same("lower", shared._getvalue(), sorted(words, key=str.lower, reverse=True))

# A container that is looked into while it is changed may be itself.
l = m.list([1, 2])
l.extend(l)
l += l
same("itself", len(l), 8)
l[0:1] = l
same("itself in a slice", len(l), 15)
d = m.dict(a=1)
d.update(d)
pairs = m.list([m.list(["k", 1])])
d.update(pairs)
same("dict", d._getvalue(), {"a": 1, "k": 1})
ab = m.dict(a=1, b=2)
ab.update([ab])
same("a dict as a pair", ab._getvalue(), {"a": "b", "b": 2})
l = m.list([[1, 2], [3]])
l.append(l)
l.sort(key=len)
same("sorts itself", [len(x) for x in l], [1, 2, 3])
if hasattr(m, "set"):
    s = m.set([1, 2])
    s.update(s)
    same("set", s._getvalue(), {1, 2})
    s.difference_update(s)
    same("empty set", len(s), 0)

# Exceptions that programs hand on.
q = m.Queue()
for e in (
    UnicodeDecodeError("utf8", b"a", 0, 1, "r"), subprocess.CalledProcessError(1, "x"), struct.error("t"),
    json.JSONDecodeError("a", "b", 0), FutureWarning("w"), subprocess.TimeoutExpired("x", 3),
):
    q.put(e)
    got = q.get()
    same("exception", (type(got), str(got)), (type(e), str(e)))
if sys.version_info >= (3, 11):
    q.put(ExceptionGroup("g", [ValueError(1)]))
    same("group", repr(q.get()), "ExceptionGroup('g', [ValueError(1)])")

# What is printed.
odd = [..., NotImplemented, int, ValueError, abs, str]
same("str", str(m.list(odd)), str(odd))
if sys.version_info < (3, 16):
    same("array", str(m.Array("u", "abc")), "array('u', 'abc')")

# An iterator that would be far too long is refused, and costs nothing.
for bomb in (lambda: zip(range(10**12)), lambda: map(str, range(10**12))):
    try:
        m.list().extend(bomb())
    except MemoryError:
        continue
    raise AssertionError("no MemoryError")
try:
    m.list().extend(map(abs, map(print, [1])))
except managers.RemoteError:
    pass
else:
    raise AssertionError("print was called")
print("ok")
