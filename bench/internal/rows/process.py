"""Python's side of the rows of processes; see rows.py. A row may return the
nanoseconds itself; then what it does before and after does not count."""
import functools
import multiprocessing as mp
import sys
import time
from concurrent.futures import ProcessPoolExecutor

WORKERS = 2
BATCH = 1000
PAYLOAD = 64 << 20


def check(got, want):
    if got != want:
        raise AssertionError(f"wrong result: got {got}, want {want}")


def add_one(x):
    return x + 1


def nothing():
    pass


@functools.cache
def executor():
    return ProcessPoolExecutor(WORKERS)


@functools.cache
def pool():
    return mp.Pool(WORKERS)


@functools.cache
def loky():
    from joblib.externals.loky import get_reusable_executor
    return get_reusable_executor(max_workers=WORKERS)


def calls(submit, n):
    total = 0
    for i in range(n):
        total += submit(i)
    check(total, n * (n + 1) // 2)


def idle_calls(submit, n):
    took = 0
    for i in range(n):
        time.sleep(300e-6)
        begin = time.perf_counter_ns()
        check(submit(i), i + 1)
        took += time.perf_counter_ns() - begin
    return took


def bulk(ex, n):
    total = 0
    for i in range(0, n, BATCH):
        batch = [ex.submit(add_one, j) for j in range(i, min(i + BATCH, n))]
        total += sum(f.result() for f in batch)
    check(total, n * (n + 1) // 2)


def call(n):
    calls(lambda i: executor().submit(add_one, i).result(), n)


def apply(n):
    calls(lambda i: pool().apply(add_one, (i,)), n)


def call_loky(n):
    calls(lambda i: loky().submit(add_one, i).result(), n)


def call_idle(n):
    return idle_calls(lambda i: executor().submit(add_one, i).result(), n)


def bulk_executor(n):
    bulk(executor(), n)


def bulk_loky(n):
    bulk(loky(), n)


def pool_map(n):
    """The best of several chunk sizes, the default among them."""
    best = None
    for chunk in (None, 1000, 10_000, max(1, n // 64)):
        begin = time.perf_counter_ns()
        total = sum(pool().map(add_one, range(n), chunk))
        took = time.perf_counter_ns() - begin
        check(total, n * (n + 1) // 2)
        best = took if best is None else min(best, took)
    return best


def joblib_map(n):
    from joblib import Parallel, delayed
    total = sum(Parallel(n_jobs=WORKERS)(delayed(add_one)(i) for i in range(n)))
    check(total, n * (n + 1) // 2)


def start(method, n):
    ctx = mp.get_context(method)
    for _ in range(n):
        p = ctx.Process(target=nothing)
        p.start()
        p.join()
        check(p.exitcode, 0)


def echo(conn):
    try:
        while True:
            conn.send(conn.recv())
    except EOFError:
        pass


@functools.cache
def echo_end():
    here, there = mp.Pipe()
    p = mp.Process(target=echo, args=(there,), daemon=True)
    p.start()
    there.close()
    return here


def pipe(n):
    total = 0
    for i in range(n):
        echo_end().send(i)
        total += echo_end().recv()
    check(total, n * (n - 1) // 2)


def payload_worker(conn):
    try:
        while True:
            data = conn.recv()
            check(data.count(b"\xff"), 0)  # reads all of it
            conn.send(bytes([data[0] ^ 255]) * len(data))
    except EOFError:
        pass


@functools.cache
def payload_end():
    here, there = mp.Pipe()
    p = mp.Process(target=payload_worker, args=(there,), daemon=True)
    p.start()
    there.close()
    return here


def payload(n):
    for i in range(n):
        payload_end().send(bytes([i % 100]) * PAYLOAD)
        data = payload_end().recv()
        check(data.count(bytes([i % 100 ^ 255])), PAYLOAD)


def consume(queue, done):
    total = 0
    while True:
        item = queue.get()
        if item is None:
            done.send(total)
            total = 0
        else:
            total += item[0]


@functools.cache
def queue_ends():
    queue, (here, there) = mp.Queue(1024), mp.Pipe()
    mp.Process(target=consume, args=(queue, there), daemon=True).start()
    return queue, here


def queue(n):
    q, done = queue_ends()
    for i in range(n):
        q.put(bytes([i % 100]) + bytes(63))
    q.put(None)
    check(done.recv(), sum(i % 100 for i in range(n)))


@functools.cache
def shared():
    return mp.Array("q", 4), mp.Value("q", 0)


def array(n):
    a, _ = shared()
    before = a[1]
    for _ in range(n):
        with a.get_lock():
            a[1] += 1
    check(a[1], before + n)


def value(n):
    _, v = shared()
    before = v.value
    for _ in range(n):
        with v.get_lock():
            v.value += 1
    check(v.value, before + n)


ROWS = {
    "call": call, "apply": apply, "call-loky": call_loky, "call-idle": call_idle,
    "bulk": bulk_executor, "bulk-loky": bulk_loky, "map": pool_map, "map-joblib": joblib_map,
    "start-fork": functools.partial(start, "fork"), "start-spawn": functools.partial(start, "spawn"),
    "pipe": pipe, "payload": payload, "queue": queue, "array": array, "value": value,
}


def main():
    if sys.argv[1:] == ["loky"]:
        import joblib  # noqa: F401 (told at once if it is missing)
    print("ready", flush=True)
    for line in sys.stdin:
        name, n = line.split()
        begin = time.perf_counter_ns()
        try:
            took = ROWS[name](int(n))
            print(took or time.perf_counter_ns() - begin, flush=True)
        except Exception as err:  # told to the other side, which ends the row
            print(f"{type(err).__name__}: {err}", flush=True)


if __name__ == "__main__":
    main()
