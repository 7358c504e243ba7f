"""Celery: this file is the module of its worker, and the program that submits.

As a program it gets the URL of Redis, starts the worker, says "ready", and for
each line "ROW N" prints the nanoseconds that it took, or their median.
"""
import os
import statistics
import subprocess
import sys
import time

from celery import Celery

url = os.environ["BENCH_REDIS"]
app = Celery("bench_celery", broker=url, backend=url)
app.conf.worker_hijack_root_logger = False
app.conf.task_ignore_result = False


@app.task(name="echo")
def echo(x):
    return x


PAYLOAD = "x" * 100


def many(n):
    begin = time.perf_counter_ns()
    results = [echo.delay(PAYLOAD) for _ in range(n)]
    for r in results:
        assert r.get(timeout=60) == PAYLOAD
    return time.perf_counter_ns() - begin


def idle(n):
    took = []
    for _ in range(n):
        time.sleep(0.02)
        begin = time.perf_counter_ns()
        assert echo.delay(PAYLOAD).get(timeout=60) == PAYLOAD
        took.append(time.perf_counter_ns() - begin)
    return statistics.median(took)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "bench_celery", "worker", "-c", "2", "-l", "ERROR",
         "--without-gossip", "--without-mingle", "--without-heartbeat"],
        cwd=here, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=dict(os.environ, PYTHONPATH=here, C_FORCE_ROOT="1"))
    try:
        echo.delay(PAYLOAD).get(timeout=60)
        print("ready", flush=True)
        for line in sys.stdin:
            row, n = line.split()
            try:
                print({"many": many, "idle": idle}[row](int(n)), flush=True)
            except Exception as e:
                print("failed:", repr(e), flush=True)
    finally:
        worker.terminate()
        worker.wait()


if __name__ == "__main__":
    main()
