"""Threads that wait, each in another way, and what the interpreter says of them.

One line of JSON is written when all of them wait: the native id of each thread,
and its frames, the innermost first, as [file, function, line].
"""
import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager

never = threading.Event()
ends = []


def sleeps():
    time.sleep(
        3600
    )


def receives():
    a, b = socket.socketpair()
    ends.append(b)
    return (
        a.recv(1)
    )


def waits():
    never.wait()


def deep(n):
    if n == 0:
        return sleeps()
    return deep(
        n - 1)


def generator():
    yield 1
    yield from inner()


def inner():
    sleeps()
    yield 2


def generates():
    return [x for x in
            generator()]


def lambdas():
    f = lambda g: (lambda: g(

    ))()
    return f(sleeps)


def executes():
    exec(compile("\n\ndef żółw():\n\n    import time; time.sleep(3600)\nżółw()", "/srv/własne/café.py", "exec"), {})


class Класс:
    @property
    def 属性(self):
        return sleeps()

    def метод(self):
        with entered():
            try:
                raise ValueError
            except ValueError:
                return self.属性


@contextmanager
def entered():
    yield


class Meta(type):
    def __call__(cls, *args):
        return super().__call__(*args)


class Made(metaclass=Meta):
    def __init__(self, call):
        self.call = call
        call()


def made():
    Made(sleeps)


def sorts():
    sorted([3, 1], key=lambda x:
           sleeps())


def sends():
    a, b = socket.socketpair()
    ends.append(b)
    a.sendall(
        b"x" *
        (1 << 26))


def many_lines():
    code = "def far():\n" + "\n" * 5000 + "    import time\n    time.sleep(3600)\nfar()"
    exec(compile(code, "<string>", "exec"), {})


KINDS = [sleeps, receives, waits, lambda: deep(60), lambda: deep(190), lambda: deep(900), generates, lambdas, executes,
         Класс().метод, made, sorts, sends, many_lines]


def frames(f):
    out = []
    while f is not None:
        c = f.f_code
        out.append([c.co_filename, getattr(c, "co_qualname", c.co_name), f.f_lineno or 0])
        f = f.f_back
    return out


def asleep(ids):
    """Reports whether the kernel lets none of the threads run, nor any of them wait for a CPU."""
    for i in ids:
        with open("/proc/self/task/%d/stat" % i) as f:
            if f.read().rpartition(") ")[2][0] != "S":
                return False
    return True


def report():
    me = threading.get_ident()
    last, same = None, 0
    while same < 5:
        time.sleep(0.05)
        ids = {t.ident: t.native_id for t in threading.enumerate()}
        now = {ids[i]: frames(f) for i, f in sys._current_frames().items() if i != me and i in ids}
        # On a busy machine a thread may be on its way for long without having got anywhere.
        same = same + 1 if now == last and asleep(now) else 0
        last = now
    print(json.dumps({"threads": last}), flush=True)
    never.wait()


if __name__ == "__main__":
    sys.setrecursionlimit(5000)
    for kind in KINDS:
        threading.Thread(target=kind, daemon=True).start()
    threading.Thread(target=report, daemon=True).start()
    sys.stdin.read()
    os._exit(0)
