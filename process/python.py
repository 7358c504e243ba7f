"""The worker of a process.Python pool: it calls functions by name, one after another.

Frames on descriptors 3 (in) and 4 (out): length (4 bytes), kind (1), the rest. Numbers
are little-endian, values are CBOR (RFC 8949).
"""
import importlib
import mmap
import os
import struct
import sys
import time
import traceback

RAW, SEGMENT, FAULT = 1, 2, 16
JOB, RESULT, HELLO, CONFIG, STOP = 1, 2, 3, 4, 5


class Args:
    def __init__(self, pair):
        self.args, self.kwargs = pair[0] or [], pair[1] or {}


def head(out, major, n):
    if n < 24:
        out.append(major << 5 | n)
    elif n < 1 << 8:
        out += struct.pack(">BB", major << 5 | 24, n)
    elif n < 1 << 16:
        out += struct.pack(">BH", major << 5 | 25, n)
    elif n < 1 << 32:
        out += struct.pack(">BI", major << 5 | 26, n)
    else:
        out += struct.pack(">BQ", major << 5 | 27, n)


def encode(out, v):
    t = type(v)
    if t is int:
        if -(1 << 64) <= v < 1 << 64:
            head(out, 0, v) if v >= 0 else head(out, 1, -1 - v)
        else:
            out.append(0xC2 if v >= 0 else 0xC3)
            n = v if v >= 0 else -1 - v
            encode(out, n.to_bytes((n.bit_length() + 7) // 8, "big"))
    elif t is str:
        b = v.encode("utf-8", "surrogateescape")
        head(out, 3, len(b))
        out += b
    elif v is None:
        out.append(0xF6)
    elif t is bool:
        out.append(0xF5 if v else 0xF4)
    elif t is float:
        out += struct.pack(">Bd", 0xFB, v)
    elif isinstance(v, (bytes, bytearray, memoryview)):
        head(out, 2, len(v))
        out += v
    elif isinstance(v, dict):
        head(out, 5, len(v))
        for k, x in v.items():
            encode(out, k)
            encode(out, x)
    elif isinstance(v, (list, tuple, set, frozenset)):
        head(out, 4, len(v))
        for x in v:
            encode(out, x)
    elif isinstance(v, int):
        encode(out, int(v))
    elif isinstance(v, float):
        encode(out, float(v))
    elif isinstance(v, str):
        encode(out, str(v))
    elif hasattr(v, "isoformat") and getattr(v, "tzinfo", None) is not None:
        out.append(0xC0)
        encode(out, v.isoformat())
    elif hasattr(v, "item") and getattr(v, "shape", None) == ():
        encode(out, v.item())
    elif hasattr(v, "tolist"):
        encode(out, v.tolist())
    else:
        raise TypeError("a %s.%s cannot be sent back; return numbers, text, bytes, None, lists and dicts of them"
                        % (t.__module__, t.__qualname__))


def decode(b, i):
    first = b[i]
    major, n = first >> 5, first & 31
    i += 1
    if major == 7:
        if n == 20 or n == 21:
            return n == 21, i
        if n == 27:
            return struct.unpack_from(">d", b, i)[0], i + 8
        if n == 26:
            return struct.unpack_from(">f", b, i)[0], i + 4
        if n == 25:
            return struct.unpack_from(">e", b, i)[0], i + 2
        return None, i
    if n == 24:
        n, i = b[i], i + 1
    elif n == 25:
        n, i = struct.unpack_from(">H", b, i)[0], i + 2
    elif n == 26:
        n, i = struct.unpack_from(">I", b, i)[0], i + 4
    elif n == 27:
        n, i = struct.unpack_from(">Q", b, i)[0], i + 8
    if major == 0:
        return n, i
    if major == 1:
        return -1 - n, i
    if major == 2:
        return bytes(b[i:i + n]), i + n
    if major == 3:
        return str(b[i:i + n], "utf-8", "surrogateescape"), i + n
    if major == 4:
        out = []
        for _ in range(n):
            v, i = decode(b, i)
            out.append(v)
        return out, i
    if major == 5:
        d = {}
        for _ in range(n):
            k, i = decode(b, i)
            d[k], i = decode(b, i)
        return d, i
    v, i = decode(b, i)  # a tag
    if n == 2:
        return int.from_bytes(v, "big"), i
    if n == 3:
        return -1 - int.from_bytes(v, "big"), i
    if n == 40000:
        return Args(v), i
    return v, i


def fault(e):
    return {1: str(e), 2: "%s.%s" % (type(e).__module__, type(e).__qualname__),
            9: "".join(traceback.format_exception(type(e), e, e.__traceback__))}


functions = {}


def function(name):
    f = functions.get(name)
    if f is None:
        module, _, path = name.partition(":")
        f = importlib.import_module(module)
        for part in path.split("."):
            f = getattr(f, part)
        functions[name] = f
    return f


def call(f, v):
    if type(v) is Args:
        return f(*v.args, **v.kwargs)
    return f(v)


def run(name, flags, body):
    if flags & SEGMENT:
        (n,) = struct.unpack_from("<Q", body)
        with open(str(body[8:], "utf-8"), "rb") as f, mmap.mmap(f.fileno(), n, access=mmap.ACCESS_READ) as m:
            body = m[:n]
    v = bytes(body) if flags & RAW else decode(body, 0)[0]
    if not name.endswith("[]"):
        r = call(function(name), v)
        if type(r) in (bytes, bytearray):
            out = bytearray()
            head(out, 2, len(r))
            out += r
            return out
        out = bytearray()
        encode(out, r)
        return out
    f, values, lost = function(name[:-2]), bytearray(), []
    head(values, 4, len(v or []))
    for i, x in enumerate(v or []):
        at = len(values)
        try:
            encode(values, call(f, x))
        except Exception as e:
            del values[at:]
            values.append(0xF6)
            lost.append({1: i, 2: fault(e)})
    out = bytearray(struct.pack("<I", len(values)))
    out += values
    encode(out, lost)
    return out


def send(kind, *parts):
    b = b"".join(parts)
    b = struct.pack("<IB", len(b) + 1, kind) + b
    while b:
        n = os.write(4, b)
        b = b[n:]


def main():
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the parent's to handle
    for fd in 3, 4:
        os.set_inheritable(fd, False)
        os.set_blocking(fd, True)
    pipe = os.fdopen(3, "rb", 1 << 16)
    while True:
        h = pipe.read(5)
        if len(h) < 5:
            return
        n, kind = struct.unpack("<IB", h)
        b = memoryview(pipe.read(n - 1))
        if len(b) < n - 1:
            return
        if kind == CONFIG:
            cfg = decode(b, 0)[0]
            sys.path[:0] = cfg["path"] or []
            if cfg["memory"]:
                import resource
                resource.setrlimit(resource.RLIMIT_DATA, (cfg["memory"], cfg["memory"]))
            send(HELLO)
        elif kind == STOP:
            return
        elif kind == JOB:
            slot, seq, flags, size = struct.unpack_from("<HQBH", b)
            name = str(b[13:13 + size], "utf-8")
            began = time.perf_counter()
            out = 0
            try:
                body = run(name, flags, b[13 + size:])
            except Exception as e:
                body, out = bytearray(), FAULT
                encode(body, fault(e))
            except SystemExit as e:
                sys.stdout.flush()
                os._exit(e.code if isinstance(e.code, int) else 0 if e.code is None else 1)
            ran = min(int((time.perf_counter() - began) * 1e9), 0xFFFFFFFF)
            sys.stdout.flush()
            send(RESULT, struct.pack("<HQIB", slot, seq, ran, out), body)


main()
