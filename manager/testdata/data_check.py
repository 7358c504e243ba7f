"""Values of Python's library that are data go to a manager's server and come back.

    python3 data_check.py ADDRESS
"""
import collections
import datetime
import decimal
import fractions
import ipaddress
import operator
import pathlib
import sys
import time
import types
import uuid
from multiprocessing import managers, process

host, _, port = sys.argv[1].rpartition(":")
process.current_process().authkey = b"secret"
m = managers.SyncManager((host, int(port)), authkey=b"secret")
m.connect()

utc = datetime.timezone.utc
keys = [
    datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 2, 3, 4, 5, 6), datetime.datetime(2020, 1, 2, tzinfo=utc),
    datetime.time(1, 2, 3), datetime.timedelta(1, 2, 3), utc, decimal.Decimal("1.50"), fractions.Fraction(3, 4),
    uuid.UUID(int=7), ipaddress.ip_address("1.2.3.4"), ipaddress.ip_network("10.0.0.0/8"), pathlib.PurePosixPath("/a/b"),
]
held = [
    collections.OrderedDict([("b", 1), ("a", 2)]), collections.defaultdict(list, {"k": [1]}), collections.Counter("aab"),
    collections.deque([1, 2], 5), types.SimpleNamespace(a=1), time.gmtime(0), NotImplemented,
    [{"deep": collections.OrderedDict(day=datetime.date(2020, 1, 2))}],
]
d = m.dict()
for x in keys + held:
    d["x"] = x
    assert d["x"] == x and type(d["x"]) is type(x), (x, d["x"])
    l = m.list([0, x])
    if x is not NotImplemented:
        assert l.index(x) == 1 and x in l, x
for i, x in enumerate(keys):
    d[x] = i
    d[(i, x)] = -i
for i, x in enumerate(keys):
    assert d[x] == i and d[(i, x)] == -i, x
assert d[decimal.Decimal("1.5")] == d[decimal.Decimal("1.50")]
for x in held[:5]:
    try:
        d[x] = 1
    except TypeError:
        continue
    raise AssertionError("%r is a key" % (x,))
for x in keys[0], keys[1], keys[4], keys[8]:
    assert str(m.list([x])) == str([x]), str(m.list([x]))

for items in (
    [datetime.datetime(2020, 1, 2), datetime.datetime(2019, 5, 5), datetime.datetime(2020, 1, 1, 23)],
    [datetime.timedelta(2), datetime.timedelta(-1), datetime.timedelta(0, 1)],
    [decimal.Decimal(1), decimal.Decimal("-3.5"), decimal.Decimal("1e2"), decimal.Decimal("0.25")],
):
    l = m.list(items)
    l.sort()
    assert l[:] == sorted(items), l[:]
l = m.list([datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=utc)])
try:
    l.sort()
    raise AssertionError("sorted")
except TypeError:
    pass

p = m.Pool(1)
assert p.map(hex, [255, -1]) == ["0xff", "-0x1"]
assert p.apply(max, (1, 3, 2)) == 3 and p.apply(min, ([3, 1],)) == 1
assert p.apply(sorted, ([1, 3, 2],), {"reverse": True}) == [3, 2, 1]
assert p.apply(dict, ([("a", 1)],), {"b": 2}) == {"a": 1, "b": 2}
assert p.apply(operator.add, (1, 2)) == 3 and p.apply(operator.mul, (2.5, 2)) == 5.0
assert p.apply(any, ([0, 1],)) is True and p.apply(all, ([0, 1],)) is False
print("ok")
