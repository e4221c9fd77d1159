# An app of an attacker. Each of its workers has memory files that lie in another way. Run as
# a program it claims to be a worker of another app, whose name is its argument.
import fcntl
import os
import struct
import sys
import tempfile
import threading
import time

SIZE, SLOT, REQUESTS, POOLS, TASKS, UNSENT = 53248, 256, 128, 16, 32, 49664
HEAD = 2  # slots of the header
KINDS = ("lies", "shortened", "sealed", "another magic", "a terabyte", "another pid", "written all the time")
ODD = b'\x1b[31m"\n} 1\\\xff'
MOST = 0xFFFFFFFF


def content(pid, pool=b"main", many=True):
    """Returns a memory file with the most and the worst that can be said."""
    now = time.monotonic_ns()
    b = bytearray(SIZE)
    struct.pack_into("<8sIIIIIIQ24x6Q", b, 0, b"RESPMEM1", SIZE, pid, REQUESTS, POOLS, TASKS, 0, now, *[2**64 - 1] * 6)
    struct.pack_into("<3I", b, 112, *[MOST] * 3)  # what is followed of a control file
    struct.pack_into("<56s3QIH42s", b, 200, ODD * 4, *[2**64 - 1] * 3, MOST, 65535, ODD * 3)
    for i in range(REQUESTS):
        at = SLOT * (HEAD + i)
        route = b"/claimed/%d" % i + ODD
        began = now if i % 2 else 2**64 - 1
        struct.pack_into("<IIQ16sH200s", b, at, 2, 1, began, b"GET", 65535 if i % 3 else len(route), route)
    for i in range(POOLS if many else 1):
        at = SLOT * (HEAD + REQUESTS + i)
        name = pool if i == 0 else b"%d %d" % (i, int.from_bytes(os.urandom(2), "big")) + ODD
        struct.pack_into("<II32s6I3QIIH158s", b, at, 2, 1, name, *[MOST] * 6, *[2**64 - 1] * 2, now, MOST, MOST, 65535, b"evil.py\0f\0/" + ODD * 20)
    for i in range(TASKS):
        at = SLOT * (HEAD + REQUESTS + POOLS + i)
        struct.pack_into("<II48s7Q", b, at, 2, 1 + i % 7, b"task%d" % i + ODD, *[2**64 - 1] * 5, now, now)
    struct.pack_into("<I4x", b, UNSENT, MOST)  # lines that are not sent yet
    lines = b"resp.request:1|ms|#code:200,app:root,route:/claimed/unsent\n\xff|\n" + ODD
    b[UNSENT + 8 :] = (lines * 100)[: SIZE - UNSENT - 8]
    return bytes(b)


def made(data, flags=os.MFD_CLOEXEC):
    fd = os.memfd_create("resp-flask", flags)
    os.write(fd, data)
    return fd


def forever(*steps):
    def run():
        while True:
            for step in steps:
                step()

    threading.Thread(target=run, daemon=True).start()


def lie(kind):
    true = content(os.getpid())
    if kind == "lies":
        for _ in range(8):
            made(content(os.getpid()))
    elif kind == "shortened":
        fd = made(true)
        forever(lambda: os.ftruncate(fd, 0), lambda: os.pwrite(fd, true, 0), lambda: os.ftruncate(fd, 300))
    elif kind == "sealed":
        fd = made(true, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        fcntl.fcntl(fd, 1033, 15)  # F_ADD_SEALS: no seal, shrink, grow or write any more
    elif kind == "another magic":
        made(b"RESPMEM9" + true[8:])
    elif kind == "a terabyte":
        os.ftruncate(made(true), 1 << 40)
    elif kind == "another pid":
        made(content(int(os.environ.get("VICTIM", "1"))))
    else:
        fd, n = made(true), [0]

        def step():
            n[0] += 1
            for i in range(REQUESTS + POOLS + TASKS):
                os.pwrite(fd, struct.pack("<I", n[0] & MOST), SLOT * (HEAD + i))

        forever(step)


def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"].startswith("/slow"):
        time.sleep(60)
    return [b"ok"]


if __name__ == "__main__":
    if len(sys.argv) == 2:  # a title of gunicorn's, with the other app's name in all its arguments
        name = sys.argv[1]
        os.execv(sys.executable, ["gunicorn: worker [%s]" % name, os.path.abspath(sys.argv[0]), name + ":app", "-"])
    made(content(os.getpid(), many=False))
    print("ready", flush=True)
    time.sleep(3600)
else:
    for kind in KINDS:
        try:
            os.close(os.open(os.path.join(os.environ["TURNS"], kind), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        lie(kind)
        break
