"""The work of the coroutine rows, for greenlet and gevent."""
import sys
import time

import gevent
import greenlet
from gevent.queue import Queue


def check(got, want):
    if got != want:
        raise AssertionError(f"wrong result: got {got}, want {want}")


def ring(size):
    def row(n):
        count = 0
        members = []

        def body(i):
            nonlocal count
            following = members[(i + 1) % size]
            while True:
                count += 1
                if count >= n:
                    return
                following.switch()

        for i in range(size):
            members.append(greenlet.greenlet(lambda i=i: body(i)))
        members[0].switch()
        check(count, n)

    return row


def spawn(n):
    count = 0

    def body():
        nonlocal count
        count += 1

    for _ in range(n):
        gevent.spawn(body).join()
    check(count, n)


def sleep0(n):
    def body():
        for _ in range(n // 2):
            gevent.sleep(0)

    gevent.joinall([gevent.spawn(body), gevent.spawn(body)])


def queue(n):
    q, total = Queue(1), 0

    def putter():
        for i in range(n):
            q.put(i)

    g = gevent.spawn(putter)
    for _ in range(n):
        total += q.get()
    g.join()
    check(total, n * (n - 1) // 2)


ROWS = {"pair": ring(2), "ring3": ring(3), "ring8": ring(8), "spawn": spawn, "sleep0": sleep0, "queue": queue}

print("ready", flush=True)
for line in sys.stdin:
    name, n = line.split()
    begin = time.perf_counter_ns()
    try:
        ROWS[name](int(n))
        print(time.perf_counter_ns() - begin, flush=True)
    except Exception as err:  # told to the other side, which ends the row
        print(f"{type(err).__name__}: {err}", flush=True)
