"""Python's side of the rows: says that it is ready, reads "ROW N" lines, does
the work of ROW N times, and answers with the nanoseconds that it took, or with what was wrong.

Each function does exactly what its counterpart in Go does, and checks it."""
import multiprocessing
import queue
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(2)
CAPACITY = 128
CONTENDERS = 8


def add_one(x):
    return x + 1


def check(got, want):
    if got != want:
        raise AssertionError(f"wrong result: got {got}, want {want}")


def fire(n):
    left, lock, done = n, threading.Lock(), threading.Event()

    def job():
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                done.set()

    for _ in range(n):
        pool.submit(job)
    done.wait()
    check(left, 0)


def result(n):
    total = 0
    for i in range(n):
        total += pool.submit(add_one, i).result()
    check(total, n * (n + 1) // 2)


def futures(n):
    total = 0
    for i in range(0, n, 100):
        batch = [pool.submit(add_one, j) for j in range(i, min(i + 100, n))]
        total += sum(f.result() for f in batch)
    check(total, n * (n + 1) // 2)


def lock(n):
    mu, count = threading.Lock(), 0
    for _ in range(n):
        mu.acquire()
        count += 1
        mu.release()
    check(count, n)


def rlock(n):
    mu, count = threading.RLock(), 0
    for _ in range(n):
        mu.acquire()
        mu.acquire()
        count += 1
        mu.release()
        mu.release()
    check(count, n)


def mplock(n):
    mu, count = multiprocessing.Lock(), 0
    for _ in range(n):
        mu.acquire()
        count += 1
        mu.release()
    check(count, n)


def contended(n):
    mu, count = threading.Lock(), 0
    each = n // CONTENDERS + 1

    def body():
        nonlocal count
        for _ in range(each):
            mu.acquire()
            count += 1
            mu.release()

    threads = [threading.Thread(target=body) for _ in range(CONTENDERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(count, each * CONTENDERS)


def queue_pairs(n):
    q, total = queue.Queue(CAPACITY), 0
    for i in range(n):
        q.put(i)
        total += q.get()
    check(total, n * (n - 1) // 2)


def pipe(n):
    q, total = queue.Queue(CAPACITY), 0

    def putter():
        for i in range(n):
            q.put(i)

    t = threading.Thread(target=putter)
    t.start()
    for _ in range(n):
        total += q.get()
    t.join()
    check(total, n * (n - 1) // 2)


def thread(n):
    count = 0

    def body():
        nonlocal count
        count += 1

    for _ in range(n):
        t = threading.Thread(target=body)
        t.start()
        t.join()
    check(count, n)


ROWS = {
    "fire": fire, "result": result, "futures": futures, "lock": lock, "rlock": rlock, "mplock": mplock,
    "contended": contended, "queue": queue_pairs, "pipe": pipe, "thread": thread,
}

print("ready", flush=True)
for line in sys.stdin:
    name, n = line.split()
    begin = time.perf_counter_ns()
    try:
        ROWS[name](int(n))
        print(time.perf_counter_ns() - begin, flush=True)
    except Exception as err:  # told to the other side, which ends the row
        print(f"{type(err).__name__}: {err}", flush=True)
