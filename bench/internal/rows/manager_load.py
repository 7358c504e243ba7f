"""Clients of a manager, with nothing but Python's own library: so many processes
that do the same work at once. Each line of the input is a number of operations,
shared among them; the answer is the nanoseconds until the last was done."""
import gc
import multiprocessing as mp
import os
import sys
import time
from multiprocessing import managers, process

address, clients, work = sys.argv[1], int(sys.argv[2]), sys.argv[3]
idents = dict(x.split("=") for x in sys.argv[4:])
KEY = b"bench"
process.current_process().authkey = KEY
if ":" in address:
    host, port = address.rsplit(":", 1)
    address = (host, int(port))


def proxy(m, typeid, cls):
    ident = idents.get(typeid)
    return cls(managers.Token(typeid, address, ident), "pickle", manager=m, authkey=KEY)


def dictionary(m):
    d = proxy(m, "dict", managers.DictProxy)
    k = "k%d" % os.getpid()

    def run(n):
        for i in range(n):
            d[k] = i
            if d[k] != i:
                raise AssertionError("the dict has another value")
    return run


def queue(m):
    q = managers.AutoProxy(managers.Token("Queue", address, idents["Queue"]), "pickle", authkey=KEY)

    def run(n):
        for i in range(n):
            q.put(i)
            q.get()
    return run


def lock(m):
    l = proxy(m, "Lock", managers.AcquirerProxy)

    def run(n):
        for i in range(n):
            l.acquire()
            l.release()
    return run


def create(m):
    def run(n):
        for i in range(n):
            x = m.list()
            del x
    return run


def client(todo, done):
    gc.disable()
    m = managers.SyncManager(address=address, authkey=KEY)
    m.connect()
    run = {"dict": dictionary, "queue": queue, "lock": lock, "create": create}[work](m)
    run(1)
    os.write(done, b".")
    while True:
        line = b""
        while not line.endswith(b"\n"):
            c = os.read(todo, 1)
            if not c:
                os._exit(0)
            line += c
        run(int(line))
        os.write(done, b".")


def read(fd, n):
    while n:
        b = os.read(fd, n)
        if not b:
            sys.exit("a client ended")
        n -= len(b)


done_r, done_w = os.pipe()
todo = []
for i in range(clients):
    r, w = os.pipe()
    if os.fork() == 0:
        os.close(w)
        for x in todo:
            os.close(x)
        os.close(done_r)
        try:
            client(r, done_w)
        finally:
            os._exit(1)
    os.close(r)
    todo.append(w)
os.close(done_w)
read(done_r, clients)
print("ready", flush=True)
for line in sys.stdin:
    n = max(1, int(line.split()[-1]) // clients)
    t = time.perf_counter_ns()
    for w in todo:
        os.write(w, b"%d\n" % n)
    read(done_r, clients)
    print(time.perf_counter_ns() - t, flush=True)
