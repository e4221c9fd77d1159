"""resp_flask reports the requests, connection pools and background tasks of a WSGI app
to resp-exporter, sheds requests and collects garbage when the exporter asks for it.

    import resp_flask
    resp_flask.init_app(app)

One file, standard library only, Python 3.8 to 3.14, Linux. Copy it beside the app. Flask,
SQLAlchemy and redis are used when the app has them. README.md describes the settings.

What a process reports is in two places. A datagram (StatsD) has the requests that are over,
those of a tenth of a second under load; it is lost when nobody listens, and sending never
waits. A memory file (memfd_create(2)) holds what is true now: the requests in progress, the
lines that are not sent yet, the pools, the tasks, the counters. The exporter finds it in
/proc/PID/fd and reads it, also after the process was killed. The kernel removes it with the
process, so no file stays behind.
"""

import atexit
import contextlib
import errno
import fcntl
import gc
import hmac
import json
import logging
import math
import mmap
import os
import pwd
import random
import re
import socket
import stat
import struct
import sys
import tempfile
import threading
import time
import weakref
from collections import deque

__version__ = "1.0"
__all__ = ["Resp", "Middleware", "init_app"]

# The memory file: a header, then slots for requests, pools and tasks, each of a fixed size.
# Integers are little-endian. A slot's sequence number is odd while the slot is written.
MEMORY_NAME = "resp-flask"
MAGIC = b"RESPMEM1"
HEADER_SIZE, REQUEST_SIZE, POOL_SIZE, TASK_SIZE, GROWTH_SIZE = 512, 256, 256, 256, 256
REQUESTS, POOLS, TASKS, GROWTHS = 128, 16, 32, 16
REQUESTS_AT = HEADER_SIZE
POOLS_AT = REQUESTS_AT + REQUESTS * REQUEST_SIZE
TASKS_AT = POOLS_AT + POOLS * POOL_SIZE
GROWTHS_AT = TASKS_AT + TASKS * TASK_SIZE
UNSENT_AT = GROWTHS_AT + GROWTHS * GROWTH_SIZE  # bytes of lines that are not sent yet, the lines
UNSENT_SIZE = 3584
MEMORY_SIZE = UNSENT_AT + UNSENT_SIZE

_SEQUENCE = struct.Struct("<I")
_HEADER = struct.Struct(
    "<8sIIIIIIQ"
)  # magic, size, pid, requests, pools, tasks, flags, started (ns)
_COUNTERS_AT = 64  # requests, unslotted, shed, lost lines, errors, seen by a throttle
_CONTROL_AT = 112  # flags, percentage of the throttle, share that is shed; both in hundredths
_CONTROL = struct.Struct("<III4x")
FOLLOWS, THROTTLED, REFUSED, QUEUE_TIME = 1, 2, 4, 8
_CYCLES_AT = 256  # collections of cyclic garbage so far, by generation
_CYCLES = struct.Struct("<3Q")
_SESSIONS_AT = 280  # of Flask-Session in Redis: lifetime in seconds, length of the prefix, prefix
_SESSIONS = struct.Struct("<IH42s")
_SHED_AT = 328  # requests that were shed, by priority: low, normal, high
_QUEUE_AT = 352  # of the last seconds: requests that say how long they waited, their mean (us)
_QUEUE = struct.Struct("<II")
_GARBAGE_AT = 128  # sequence, run, objects, nanoseconds, resident bytes before and after
_GARBAGE = struct.Struct("<I4x32s4Q")
_NAME_AT, _NAME_MAX = 200, 56  # of the app, as its control file has it
_REQUEST = struct.Struct("<IIQ16sH")  # sequence, state, started (ns), method, length of the route
FREE, IN_PROGRESS, CUT = 0, 1, 2
_ROUTE = struct.Struct("<H200s")
_TIME, _CUT_AT = struct.Struct("<Q"), 240  # when it was cut off (ns)
_ROUTE_AT = _REQUEST.size - 2
_ROUTE_MAX = 200
# sequence, used, name, size, checked out, largest overflow, leaked, waiting, idle, waits,
# waited (ns), oldest (ns)
_POOL = struct.Struct("<II32sIIIIIIQQQ")
# Where the oldest one was checked out: the leaked ones of there, the line, and the length of
# file, function and route, with a zero byte between them.
_SITE = struct.Struct("<IIH158s")
_SITE_AT = _POOL.size
_SITE_MAX = 158
# sequence, state, name, runs, failures, restarts, skipped, progress, beat (ns), due (ns), when
# the last run began (ns), the last restart that was asked for and done
_TASK = struct.Struct("<II48sQQQQQQQQ32s")
# sequence, used, line, blocks, bytes, run, length of the file, file
_GROWTH = struct.Struct("<IIIIQ32sH150s")

_METHODS = {
    m.decode(): m
    for m in (
        b"GET",
        b"HEAD",
        b"POST",
        b"PUT",
        b"DELETE",
        b"OPTIONS",
        b"PATCH",
        b"TRACE",
        b"CONNECT",
    )
}
_UNSAFE = re.compile(r"[\x00-\x1f\x7f,|]")
_MAX_ROUTES = 1000  # whose cleaned text is remembered
_MAX_CONTROL = 64 << 10  # bytes of a control file
_LATELY = 5  # seconds over which the queue and the share that is shed are averaged
_CONTROL_EVERY = 0.1  # seconds between two looks at the control file
_KEY_PREFIX = "resp:control:"  # of the key in Redis of an app
_KEY_PURPOSE = b"resp-exporter control 1"  # what a signature is for
_KEY_LEAST = 16  # bytes of the secret
_KEY_EVERY, _KEY_PATIENCE, _KEY_PAUSE = 1.0, 0.5, 10.0  # seconds: reads, a reply, longest pause
_KEY_FRESH = 5.0  # seconds for which what was read is followed; the exporter renews it each second
_KEY_SKEW = 60.0  # seconds between the clocks of two hosts
_KEY_SIGNERS = 64  # exporters whose last time of signing is remembered
# Settings of the app's connections that those of the key do not have: each read is tried again
# anyway, and the pool of redis-py 7 and 8 keeps the rest for its own connections, such as the
# timeouts that these return to after a maintenance of the server.
_KEY_NOT_COPIED = (
    "retry",
    "cache",
    "cache_config",
    "maint_notifications_pool_handler",
    "oss_cluster_maint_notifications_handler",
    "orig_host_address",
    "orig_socket_timeout",
    "orig_socket_connect_timeout",
)
_MAX_RUNS = 64  # runs that a process remembers to have done
_POOL_EVERY = 0.1  # seconds between two writes of a pool by those who use it
_SEND_EVERY = 0.1  # seconds between two datagrams under load; the rest leaves within a second
_UNSENT_MAX = UNSENT_SIZE - 8  # bytes of a datagram on this host
_FAR_MAX = 1400  # to another host, so that it is one packet
_REFUSED = (errno.ECONNREFUSED, errno.EHOSTUNREACH)  # what ICMP said of an earlier datagram
_MAX_TRACE = 16 << 20  # bytes that a trace of memory keeps
_PRIORITIES = ("low", "normal", "high")
_AIM = 0.8  # of the target: what the mean of the time in the queue is to be
_GAIN = 4.0  # of the proportional part: all is shed that waited for longer than the target
_LATE = 1.5  # how far the mean must be above the aim before the highest priority is shed: 2 targets

_log = logging.getLogger("resp_flask")
_now, _now_ns, _time, _getpid = time.monotonic, time.monotonic_ns, time.time, os.getpid


def _clean(text, limit):
    """Returns text as bytes that fit a tag of DogStatsD and a field of the memory file."""
    data = _UNSAFE.sub("_", str(text)).encode("utf-8", "replace")
    return data if len(data) <= limit else data[:limit].decode("utf-8", "ignore").encode()


def _counter(place):
    """Returns a property: a counter of the memory file."""

    def value(memory):
        return memory.counters[place]

    def set_value(memory, n):
        memory.counters[place] = n

    return property(value, set_value)


def _collections():
    """Returns how often the collector of cyclic garbage has run in this process and those that
    it was forked from, by generation; zeros if this Python does not count them."""
    try:
        return [s["collections"] for s in gc.get_stats()[:3]]
    except (AttributeError, TypeError):  # not CPython
        return [0, 0, 0]


class _Memory:
    """The memory file of this process. Its writers are the threads of the process."""

    def __init__(self):
        self.lock = threading.RLock()  # a collection of garbage may return a connection
        # The last slot that was in use is the next one: its memory is still in the cache.
        self.free, self.sequence, self.collections = deque(range(REQUESTS)), [0] * REQUESTS, 0
        self.pools, self.tasks = {}, {}
        self.inherited = _collections()  # also of the process that this one was forked from
        self.control = None
        self.waits, self.waited = 0, 0.0
        self.lately = deque([(0, 0.0, 0, 0)], _LATELY)  # totals, one a second
        self.unsent, self.sent, self.pause = 0, 0.0, 0.0  # bytes, when, the least time between
        self.busy = False  # a thread that has the lock adds lines or sends them
        self.user = os.geteuid()  # to whom the file belongs
        self.fd, self.map, self.pid = -1, None, _getpid()
        self.words = self.counters = self.shed_by = self.lines = memoryview(b"")
        try:
            if sys.byteorder != "little":
                raise OSError("the numbers of the file are little-endian")
            self.fd = os.memfd_create(MEMORY_NAME, os.MFD_CLOEXEC)
            os.ftruncate(self.fd, MEMORY_SIZE)
            self.map = mmap.mmap(self.fd, MEMORY_SIZE)
        except (AttributeError, OSError):  # not Linux, an old kernel, no descriptor left
            self.close()
            self.map = bytearray(MEMORY_SIZE)
        self.view(self.map)
        _HEADER.pack_into(
            self.map, 0, MAGIC, MEMORY_SIZE, self.pid, REQUESTS, POOLS, TASKS, 0, _now_ns()
        )

    def close(self):
        """Closes the file. A process that was forked does so with that of its parent, whose lock
        may be held for ever: requests that are in progress here go on with a new one."""
        self.lock = threading.RLock()
        self.view(None)
        if isinstance(self.map, mmap.mmap):
            self.map.close()
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self.map, self.unsent = -1, bytearray(MEMORY_SIZE), 0
        self.view(self.map)

    def leave(self):
        """Closes the descriptor of a file that is replaced in the same process. The file itself
        lasts until the requests that are in progress in it are over."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def view(self, data):
        """Sets the views of the file, which are quicker than a Struct."""
        for v in (self.words, self.counters, self.shed_by, self.lines):
            v.release()
        if data is not None:
            self.words = memoryview(data).cast("I")
            self.counters = memoryview(data)[_COUNTERS_AT : _COUNTERS_AT + 48].cast("Q")
            self.shed_by = memoryview(data)[_SHED_AT : _SHED_AT + 24].cast("Q")
            self.lines = memoryview(data)[UNSENT_AT + 8 : UNSENT_AT + UNSENT_SIZE]

    requests, unslotted, shed, lost, errors, offered = map(_counter, range(6))

    def begin(self, method):
        """Returns the slot of a request that begins; -1 if all are in use."""
        try:
            slot = self.free.pop()
        except IndexError:
            with self.lock:
                self.unslotted += 1
            return -1
        at = REQUESTS_AT + slot * REQUEST_SIZE
        n = self.sequence[slot] = (self.sequence[slot] + 2) & 0xFFFFFFFE
        _REQUEST.pack_into(self.map, at, n | 1, IN_PROGRESS, _now_ns(), method, 0)
        self.words[at >> 2] = n
        return slot

    def route(self, slot, route):
        """Sets the route of a request."""
        at = REQUESTS_AT + slot * REQUEST_SIZE
        n = self.sequence[slot] = (self.sequence[slot] + 2) & 0xFFFFFFFE
        words, first = self.words, at >> 2
        words[first] = n | 1
        _ROUTE.pack_into(self.map, at + _ROUTE_AT, len(route), route)
        words[first] = n

    def cut(self, slot):
        """Says that a request was cut off: the process ends, or the thread that had it."""
        if slot >= 0:
            at = REQUESTS_AT + slot * REQUEST_SIZE
            _TIME.pack_into(self.map, at + _CUT_AT, _now_ns())
            _SEQUENCE.pack_into(self.map, at + 4, CUT)
            self.free.appendleft(slot)  # it is to be seen for long

    def end(self, slot):
        """Frees the slot of a request. Counts the request, also without a slot."""
        if slot >= 0:
            self.words[(REQUESTS_AT + 4 >> 2) + slot * (REQUEST_SIZE >> 2)] = FREE
            self.free.append(slot)
        with self.lock:
            self.counters[0] += 1

    def add(self, lines):
        """Adds lines, each with its end, to those that are not sent yet. The caller has the
        lock, and has made room."""
        n, end = self.unsent, self.unsent + len(lines)
        self.lines[n:end] = lines
        self.unsent = self.words[UNSENT_AT >> 2] = end

    def take(self):
        """Returns the lines that are not sent yet, and forgets them: if the process ends now,
        they are lost, and never counted twice. The caller has the lock."""
        lines = bytes(self.map[UNSENT_AT + 8 : UNSENT_AT + 8 + self.unsent])  # no view is left
        self.unsent = self.words[UNSENT_AT >> 2] = 0
        return lines

    def queued(self, seconds):
        """Counts a request that says how long it has waited in the proxy's queue."""
        with self.lock:
            self.waits += 1
            self.waited += seconds

    def look_back(self):
        """Writes how long requests have waited lately, and returns the share of them that a
        throttle has shed. It is called once a second."""
        with self.lock:
            now = (self.waits, self.waited, self.offered, self.shed)
        waits, waited, offered, shed = (n - b for n, b in zip(now, self.lately[0]))
        self.lately.append(now)
        mean = min(int(1e6 * waited / waits), 0xFFFFFFFF) if waits else 0
        _QUEUE.pack_into(self.map, _QUEUE_AT, min(waits, 0xFFFFFFFF), mean)
        return shed / offered if offered else 0.0

    def judged(self, sheds, priority):
        """Counts a request that a throttle shed or let through."""
        with self.lock:
            self.counters[5] += 1
            if sheds:
                self.counters[2] += 1
                self.shed_by[_PRIORITIES.index(priority)] += 1

    def controlled(self, flags, percent, share):
        """Says what is followed of the control file."""
        now = (flags, round(percent * 100), round(share * 10000))
        if now != self.control:
            self.control = now
            _CONTROL.pack_into(self.map, _CONTROL_AT, *now)

    def name(self, name):
        """Says what the app is called."""
        name = name.encode()[:_NAME_MAX]
        self.map[_NAME_AT : _NAME_AT + len(name)] = name

    def garbage(self, run, objects, took, before, after):
        """Says that the garbage of a run has been collected."""
        run = run.encode("utf-8", "replace")[:32]
        self.collections += 2
        _GARBAGE.pack_into(
            self.map, _GARBAGE_AT, self.collections | 1, run, objects, took, before, after
        )
        _SEQUENCE.pack_into(self.map, _GARBAGE_AT, self.collections)

    def cycles(self):
        """Writes how often the collector of cyclic garbage has run since this file began."""
        counts = (n - before for n, before in zip(_collections(), self.inherited))
        _CYCLES.pack_into(self.map, _CYCLES_AT, *counts)

    def sessions(self, prefix, lifetime):
        """Writes where Flask-Session keeps its sessions in Redis."""
        prefix = _clean(prefix, 42)
        seconds = min(max(int(lifetime), 0), 0xFFFFFFFF)
        _SESSIONS.pack_into(self.map, _SESSIONS_AT, seconds, len(prefix), prefix)

    def growth(self, run, lines):
        """Writes which lines have allocated most of what is new: file, line, blocks, bytes."""
        run, empty = run.encode("utf-8", "replace")[:32], ("", 0, 0, 0)
        for i in range(GROWTHS):
            file, line, blocks, size = lines[i] if i < len(lines) else empty
            at = GROWTHS_AT + i * GROWTH_SIZE
            n = (self.words[at >> 2] + 2) & 0xFFFFFFFE
            name, blocks = _clean(file, 150), min(blocks, 0xFFFFFFFF)
            used = 1 if i < len(lines) else 0
            _GROWTH.pack_into(
                self.map, at, n | 1, used, line, blocks, size, run, len(name), name
            )
            self.words[at >> 2] = n

    def place(self, table, name, limit):
        """Returns the place of a named pool or task; None if there is none left."""
        with self.lock:
            if name not in table:
                if len(table) >= limit:
                    return None
                table[name] = len(table)
            return table[name]

    def pool(self, place, name, numbers, here, line, site):
        """Writes what is true of a pool of connections."""
        at = POOLS_AT + place * POOL_SIZE
        with self.lock:
            n = (_SEQUENCE.unpack_from(self.map, at)[0] + 2) & 0xFFFFFFFE
            _POOL.pack_into(self.map, at, n | 1, 1, name, *numbers)
            _SITE.pack_into(self.map, at + _SITE_AT, here, line, len(site), site)
            _SEQUENCE.pack_into(self.map, at, n)

    def task(self, place, name, state, counts, beat, due, began, restarted):
        """Writes what is true of a background task: runs, failures, restarts, skipped, progress."""
        at = TASKS_AT + place * TASK_SIZE
        with self.lock:
            n = (_SEQUENCE.unpack_from(self.map, at)[0] + 2) & 0xFFFFFFFE
            times = (beat, due, began)
            _TASK.pack_into(self.map, at, n | 1, state, name, *counts, *times, restarted)
            _SEQUENCE.pack_into(self.map, at, n)


class _Sender:
    """Sends datagrams to the exporter and never waits."""

    def __init__(self, address):
        self.address, self.socket, self.retry = address, None, 0.0
        self.lock = threading.RLock()  # a handler of a signal may send, too
        self.last = 0  # lines of the last datagram that left by this socket
        near = re.match(r"^(udp://(127\.|localhost:|\[::1\])|unix)", address)
        self.most = _UNSENT_MAX if near else _FAR_MAX  # bytes of a datagram

    def send(self, data):
        """Sends a datagram and returns how many lines are lost: its own, if it did not leave, and
        those of the last one, if nobody received it. UDP reports that at the next datagram, which
        has not left then; a UNIX socket is to be connected again. So it is sent once more."""
        lines, lost = data.count(b"\n"), 0
        for _ in range(2):
            try:
                (self.socket or self._open()).send(data)
                self.last = lines
                return lost
            except OSError as e:
                if e.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS):
                    break
                if e.errno in _REFUSED and self.address.startswith("udp:"):
                    lost, self.last = lost + self.last, 0  # the socket stays usable
                else:
                    self.close()
        return lost + lines

    def _open(self):
        """Returns a connected socket; connects at most once a second."""
        with self.lock:
            if self.socket is None:
                now = _now()
                if now < self.retry:
                    raise BlockingIOError(errno.EAGAIN, "retried later")
                self.retry = now + 1
                s = self._connected()
                if self.socket is None:
                    self.socket = s
                else:  # a handler of a signal was quicker
                    s.close()
            return self.socket

    def _connected(self):
        scheme, _, rest = self.address.partition("://")
        if scheme == "udp":
            host, _, port = rest.rpartition(":")
            host = "127.0.0.1" if host == "localhost" else host.strip("[]")
            numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV  # a request never waits for DNS
            family, kind, _, _, to = socket.getaddrinfo(
                host, port, type=socket.SOCK_DGRAM, flags=numeric
            )[0]
        else:
            family, kind, to = socket.AF_UNIX, socket.SOCK_DGRAM, rest
        s = socket.socket(family, kind)
        try:
            s.setblocking(False)
            s.connect(to)
        except OSError:
            s.close()
            raise
        return s

    def close(self):
        s, self.socket, self.last = self.socket, None, 0
        if s is not None:
            s.close()

    def forked(self):
        """Leaves the socket of the parent. This process connects with its first datagram, also if
        the parent has just connected."""
        self.lock, self.retry = threading.RLock(), 0.0
        self.close()


class _Control:
    """What the exporter asks of the app: a file of the app in the exporter's directory."""

    def __init__(self, directory, name, owners):
        self.directory, self.path = directory, os.path.join(directory, name + ".json")
        self.owners = owners
        self.lock, self.next, self.seen, self.logged = threading.Lock(), 0.0, None, None
        self.throttle = self.garbage = self.restart = self.trace = None
        self.refused = False

    def look(self):
        """Reads the file again if it is another one than at the last look."""
        now = _now()
        if now < self.next or not self.lock.acquire(False):
            return
        try:
            self.next = now + _CONTROL_EVERY
            seen = None
            try:
                s = os.stat(self.path)
            except OSError as e:
                self.seen = self.throttle = self.garbage = self.restart = self.trace = None
                if e.errno != errno.ENOENT:
                    raise
                self.check_directory()
                self.refused, self.logged = False, None
                return
            seen = (s.st_ino, s.st_mtime_ns, s.st_size)
            if seen != self.seen:
                self.throttle, self.garbage, self.restart, self.trace = self.read()
                self.seen, self.refused, self.logged = seen, False, None
        except Exception as e:  # also of the parser; what passes by itself is tried again
            self.throttle = self.garbage = self.restart = self.trace = None
            if getattr(e, "errno", None) != errno.ENOENT:  # else it was removed meanwhile
                self.refused = True
            passing = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOENT)
            if not isinstance(e, _TooFarAhead) and getattr(e, "errno", None) not in passing:
                self.seen = seen
            if self.logged != (seen, type(e)):  # once, although it is tried again
                self.logged = (seen, type(e))
                _log.warning(
                    "control file is not followed: path=%s err=%r", self.path, str(e)[:200]
                )
        finally:
            self.lock.release()

    def check_directory(self):
        """Raises an error if a file in the directory would be refused. If there is none yet, the
        exporter makes it, most often in one of its own user."""
        try:
            home = os.stat(self.directory)
        except FileNotFoundError:
            try:
                home = os.stat(os.path.dirname(os.path.abspath(self.directory)))
            except FileNotFoundError:
                return
            if home.st_uid not in self.owners:
                raise ValueError("its directory would belong to user %d" % home.st_uid)
            return
        if home.st_uid not in self.owners:
            raise ValueError("%s belongs to user %d" % (self.directory, home.st_uid))
        if not stat.S_ISDIR(home.st_mode) or home.st_mode & 0o022:
            raise ValueError(
                "%s: not a directory that only its owner may write" % self.directory
            )
        if not os.access(self.directory, os.R_OK | os.X_OK):
            raise ValueError("%s cannot be read" % self.directory)

    def read(self):
        """Returns what the file asks for. It and its directory belong to one user, who may do
        that, and nobody else may write to either."""
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            home = os.fstat(fd)
            at = os.open(
                os.path.basename(self.path),
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
                dir_fd=fd,
            )
        finally:
            os.close(fd)
        with open(at, "rb") as f:
            s = os.fstat(at)
            if home.st_uid not in self.owners or s.st_uid != home.st_uid:
                raise ValueError(
                    "%s belongs to user %d, its directory to user %d"
                    % (self.path, s.st_uid, home.st_uid)
                )
            if not stat.S_ISREG(s.st_mode) or (s.st_mode | home.st_mode) & 0o022 or s.st_nlink != 1:
                raise ValueError("%s: not a regular file that only its owner may write" % self.path)
            data = f.read(_MAX_CONTROL + 1)
        return _asked(data, self.path)


def _asked(data, where):
    """Returns what a document of the exporter asks for, wherever it was read: throttle, garbage,
    restart of a task, trace of memory; None for what it does not ask for."""
    if len(data) > _MAX_CONTROL:
        raise ValueError("%s: more than %d bytes" % (where, _MAX_CONTROL))
    asked = json.loads(data)
    if asked["version"] != 1:
        raise ValueError("%s: version %r is not supported" % (where, asked["version"]))
    return (
        _Throttle(asked["throttle"]) if "throttle" in asked else None,
        _Garbage(asked["collect_garbage"]) if "collect_garbage" in asked else None,
        _RestartTask(asked["restart_task"]) if "restart_task" in asked else None,
        _Trace(asked["trace_memory"]) if "trace_memory" in asked else None,
    )


class _Key:
    """What an exporter of another host asks of the app: a signed key of Redis. Only what
    concerns all workers of the app is followed, a throttle and a collection of garbage."""

    def __init__(self, client, name, secret):
        """client: of redis-py, of one server. secret: bytes, see [_secret]."""
        kwargs = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
        if not isinstance(kwargs, dict):
            raise ValueError("resp_flask: control_redis is not a client of redis-py of one server")
        if not name:
            raise ValueError("resp_flask: control_redis needs the name of the app")
        self.client, self.name, self.secret = client, name, secret
        self.throttle = self.garbage = None
        self.signed = {}  # by exporter: when its last value was signed (ms), when that was read
        self.logged = None

    def start(self, serves):
        """Starts the thread of this process that reads the key while serves() is true."""
        self.throttle = self.garbage = None
        args = (serves,)
        threading.Thread(target=self.watch, args=args, name="resp-flask-key", daemon=True).start()

    def watch(self, serves):
        """Reads the key once a second, and less often while Redis is away. No request waits for
        it: what has not been read for a while ends by itself."""
        own, failures = None, 0
        while serves():
            try:
                if own is None:
                    own = self.connect()
                failures = 0 if self.read(own) else failures + 1
            except Exception as e:  # whatever the driver raises
                failures += 1
                self.warn(e)
            end = _now() + min(_KEY_EVERY * 2 ** min(failures, 10), _KEY_PAUSE)
            while serves() and _now() < end:
                time.sleep(min(_KEY_EVERY, max(end - _now(), 0.001)))

    def read(self, own):
        """Reads the key once with a client of this process; reports whether Redis is well."""
        try:
            data = own.execute_command("GETRANGE", _KEY_PREFIX + self.name, 0, _MAX_CONTROL)
        except Exception as e:
            self.garbage = None
            foreign = str(e).startswith("WRONGTYPE")  # somebody else's key
            if foreign:
                self.throttle = None
            self.warn(e)
            return foreign
        self.take(data)
        return True

    def connect(self):
        """Returns a client of this process's own with a deadline for each operation. It
        connects with its first command."""
        from redis import ConnectionPool, Redis

        of = self.client.connection_pool
        kwargs = dict(of.connection_kwargs, socket_timeout=_KEY_PATIENCE, decode_responses=False)
        if "path" not in kwargs:  # else of a UNIX socket
            kwargs["socket_connect_timeout"] = _KEY_PATIENCE
        for name in _KEY_NOT_COPIED:
            kwargs.pop(name, None)
        pool = ConnectionPool(connection_class=of.connection_class, max_connections=1, **kwargs)
        return Redis(connection_pool=pool)

    def take(self, data):
        """Follows a value of the key; b"": there is none. What is no exporter's is refused."""
        try:
            if not data:
                self.throttle = self.garbage = self.logged = None
                return
            asked, left = self.genuine(data)
            throttle, garbage, _, _ = _asked(asked, "its document")
            if throttle is not None:
                throttle.over = min(throttle.over, _now() + left)
            self.throttle, self.garbage, self.logged = throttle, garbage, None
        except Exception as e:  # also of the parser
            self.throttle = self.garbage = None
            self.warn(e)

    def genuine(self, data):
        """Returns the document in a value that an exporter has signed for this app lately, and
        for how many seconds it may be followed. A value that is not renewed ends, and an
        earlier one of the same exporter does not come back."""
        if len(data) > _MAX_CONTROL:
            raise ValueError("more than %d bytes" % _MAX_CONTROL)
        value = json.loads(data)
        if value["version"] != 1:
            raise ValueError("version %r is not supported" % (value["version"],))
        by, sent, document = value["by"], value["sent"], value["document"]
        if not isinstance(sent, int) or isinstance(sent, bool) or not 0 <= sent < 2**53:
            raise ValueError("sent is not a time")
        fields = (self.name.encode(), by.encode(), b"%d" % sent, document.encode())
        want = _signature(self.secret, _KEY_PURPOSE, *fields)
        if not hmac.compare_digest(value["mac"].encode(), want.encode()):
            raise ValueError("it is not signed with the secret of this app's control_key")
        if abs(time.time() - sent / 1000) > _KEY_SKEW:
            raise ValueError("it was signed more than %d s ago or ahead" % _KEY_SKEW)
        before, since = self.signed.get(by, (-1, 0.0))
        if sent < before:
            raise ValueError("it is older than one that was read before")
        if sent > before:
            since = _now()
            if len(self.signed) >= _KEY_SIGNERS:
                self.signed.clear()
            self.signed[by] = (sent, since)
        left = since + _KEY_FRESH - _now()
        if left <= 0:
            raise ValueError("it is not renewed")
        return document.encode(), left

    def warn(self, error):
        """Logs why the key is not followed, once for each reason in a row."""
        why = (type(error), str(error)[:200])
        if self.logged != why:
            self.logged = why
            key = _KEY_PREFIX + self.name
            _log.warning("control key is not followed: key=%s err=%r", key, why[1] or why[0])


def _signature(secret, *fields):
    """Returns the HMAC-SHA256 of fields in hexadecimal. Each has its length before it, so that
    no two lists of fields are the same bytes."""
    h = hmac.new(secret, digestmod="sha256")
    for f in fields:
        h.update(struct.pack(">Q", len(f)) + f)
    return h.hexdigest()


def _secret(key, path):
    """Returns the secret of control keys as bytes: the one given, else the line in a file, else
    None."""
    if key is None and path:
        try:
            with open(path, "rb") as f:
                key = f.read(4097)
        except OSError as e:
            raise ValueError("resp_flask: the file of the control key cannot be read: %s" % e)
        if key.startswith(b"\xef\xbb\xbf"):
            key = key[3:]
        key = key.rstrip(b"\r\n")
        if len(key) > 4096 or b"\n" in key or b"\r" in key:
            raise ValueError("resp_flask: the file of the control key has more than one line")
    if key is None:
        return None
    key = key.encode() if isinstance(key, str) else bytes(key)
    if len(key) < _KEY_LEAST:
        raise ValueError("resp_flask: control_key has less than %d bytes" % _KEY_LEAST)
    return key


def _user(value):
    """Returns the ids of a user given by id or name: none for "", or if nobody has the name."""
    text = str(value)
    if text.isascii() and text.isdigit():
        return {int(text)}
    try:
        return {pwd.getpwnam(text).pw_uid} if text else set()
    except (KeyError, ValueError):
        _log.warning("no user has this name: control_user=%r", text[:64])
        return set()


def _finite(value, low, high):
    """Returns a number of a control file that is within its limits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError("%r is not a number from %s to %s" % (value, low, high))
    return value


class _TooFarAhead(ValueError):
    """The end of a request is further ahead than it may be, until time has passed."""


def _until(value, most):
    """Returns the time at which a request ends, which is at most so many seconds ahead."""
    if _finite(value, 0, sys.float_info.max) > time.time() + most:
        raise _TooFarAhead("%r is more than %d s ahead" % (value, most))
    return value


class _Garbage:
    """One request to collect garbage."""

    def __init__(self, asked):
        self.run = str(asked["run"])[:32]
        self.until = _until(asked["until"], 3600)
        self.stagger = _finite(asked.get("stagger_seconds", 0), 0, 60)


class _RestartTask:
    """One request to restart a background task, of one process or of whichever runs it."""

    def __init__(self, asked):
        self.run, self.task = str(asked["run"])[:32], _clean(asked["task"], 48)
        self.pid = int(asked["pid"]) if "pid" in asked else None
        self.until = _until(asked["until"], 3600)

    def concerns(self, task):
        """Reports whether a task of this process is to be restarted now."""
        return (
            self.task == _clean(task.name, 48)
            and self.pid in (None, os.getpid())
            and self.run != task.asked
            and time.time() < self.until
        )


class _Trace:
    """One request to one process: find the lines that allocate what stays."""

    def __init__(self, asked):
        self.run, self.pid = str(asked["run"])[:32], int(asked["pid"])
        self.until = _until(asked["until"], 3600)
        self.seconds = _finite(asked.get("seconds", 60), 1, 60)


class _Throttle:
    """One request to shed load. It ends by itself: `until` is at most 30 minutes ahead."""

    def __init__(self, asked):
        self.until = _until(asked["until"], 1800)
        self.over = _now() + self.until - time.time()  # also if the clock is set back
        self.percent = _finite(asked.get("percent", 0), 0, 95)
        self.target = _finite(asked.get("target_seconds", 0), 0, 3600)
        exempt = asked.get("exempt", [])
        self.exempt = frozenset(str(e) for e in exempt[:1000])

    def lasts(self):
        """Reports whether the throttle is not over."""
        return time.time() < self.until and _now() < self.over


class _Shedder:
    """Decides which requests are shed: so many that the share asked for is reached, those of
    a lower priority first."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = 0
        self.mix = dict.fromkeys(_PRIORITIES, 0.0)  # shares of the requests, of late
        self.due = dict.fromkeys(_PRIORITIES, 0.0)  # sheddings that are owed
        self.waited_at, self.waits, self.sum = 0.0, 0, 0.0  # of waits since the last correction
        self.corrected, self.drains = 0.0, True
        self.means = deque([math.inf] * 4, 4)  # of the excess, at the last corrections
        self.integral = self.last = 0.0  # integral parts: of all requests, of the highest priority

    def share(self, throttle, lately):
        """Returns the share of all requests that is shed: the one of late while a target is
        followed, which is as long as requests say how long they waited, else the percentage."""
        if throttle.target and _now() - self.waited_at < 2 * _LATELY:
            return lately
        return throttle.percent / 100

    def aimed(self, throttle, priority, waited):
        """Returns the share to be shed that a target comes to for a request which has waited so
        long: of all requests, or of those of the highest priority.

        It is a PID rule on the time in the queue. The proportional part is that of the request
        itself: what has waited too long is shed before the app does anything for it, so the
        queue is corrected at once, and not after the time that requests wait in it. The
        integral part is corrected twice a second, by the mean. The highest priority has a rule
        of its own, by the mean and with a later aim, where all others have been shed; its
        derivative part spares it while the queue drains, as one does that was too long at the
        beginning."""
        now = _now()
        if now - self.waited_at > 2:  # the rule begins
            self.waits, self.sum, self.corrected = 0, 0.0, now
            self.integral = self.last = 0.0
            self.means.extend([math.inf] * 4)
            self.drains = True
        self.waited_at = now
        excess = waited / (_AIM * throttle.target) - 1
        self.waits += 1
        self.sum += excess
        if now - self.corrected >= 0.5:
            self.correct(min(now - self.corrected, 1))
            self.corrected = now
        if priority != _PRIORITIES[-1]:
            return self.integral + _GAIN * excess
        return self.last + (0.0 if self.drains else _GAIN * (self.means[-1] - _LATE))

    def correct(self, step):
        """Corrects the integral parts after so many seconds."""
        mean, before = self.sum / self.waits, self.means[0]
        self.waits, self.sum, self.drains = 0, 0.0, mean < before
        self.means.append(mean)
        rise = max(-1 / _GAIN, min(mean, 1 / _GAIN))
        self.integral = max(0.0, min(self.integral + step * rise / 2, 1.0))
        rise = max(-1 / _GAIN, min(mean - _LATE, 1 / _GAIN))
        if rise < 0 or not self.drains:
            self.last = max(0.0, min(self.last + step * rise / 2, 0.95))

    def sheds(self, throttle, priority, waited=None):
        """Reports whether a request of a priority is to be shed. waited: the seconds before the
        app began with it; None: not known."""
        with self.lock:
            self.seen += 1
            for p in _PRIORITIES:
                self.mix[p] += ((p == priority) - self.mix[p]) / min(self.seen, 128)
            left = throttle.percent / 100
            if throttle.target and waited is not None:
                left = max(0.0, min(self.aimed(throttle, priority, waited), 1.0))
                if priority == _PRIORITIES[-1]:
                    return left > random.random()
            for p in _PRIORITIES:
                mine = min(1.0, left / self.mix[p]) if self.mix[p] > 0.001 else float(left > 0)
                if p == priority:
                    break
                left = max(0.0, left - self.mix[p])
            self.due[priority] = min(self.due[priority] + mine, 2.0)
            if mine >= 1 or self.due[priority] > random.random():
                self.due[priority] -= 1
                return mine > 0
        return False


class _Request:
    """One request. The app calls it as start_response; it is also the body of a response that
    is not over when the app returns. One object costs less than several closures."""

    __slots__ = (
        "resp",
        "environ",
        "start_response",
        "memory",
        "slot",
        "method",
        "waited",
        "began",
        "code",
        "body",
        "over",
    )

    def __init__(self, resp, environ, start_response, memory, method, waited, began):
        self.resp, self.environ, self.start_response = resp, environ, start_response
        self.memory, self.method, self.waited, self.began = memory, method, waited, began
        self.code, self.body, self.over = b"500", None, False
        self.slot = environ["resp.slot"] = memory.begin(method)

    def __call__(self, status, headers, exc_info=None):
        self.code = _CODES.get(status) or _code(status)
        if exc_info:
            return self.start_response(status, headers, exc_info)
        return self.start_response(status, headers)

    def __iter__(self):
        return iter(self.body)

    def close(self):
        body, self.body = self.body, ()
        raised = sys.exc_info()[1]  # the server closes what it could not send
        try:
            close = getattr(body, "close", None)
            if close is not None:
                close()
        finally:
            if raised is None or isinstance(raised, (Exception, GeneratorExit)):
                self.done()
            else:
                self.cut()

    def cut(self):
        """Says that the request was cut off: gunicorn's timeout, the end of a greenlet."""
        memory, self.memory = self.memory, None
        if memory is not None:
            memory.cut(self.slot)

    def done(self):
        """Says that the request is over, once."""
        memory = self.memory
        if memory is None or self.over:
            return
        self.over = True
        try:
            rule = self.environ.get("resp.rule", "")
            self.resp.ended(self.method, rule, self.code, self.began, self.waited, self.free)
        except Exception:  # reporting fails without harm to the request
            memory.errors += 1
        finally:
            self.free()

    def free(self):
        """Frees the slot of the request, once. It is called as soon as the line is in the memory
        file: if the process is killed before, the request counts as killed."""
        memory, self.memory = self.memory, None
        if memory is not None:
            memory.end(self.slot)


_CODES = {}  # of the statuses that apps have used, 100 at most


def _code(status):
    """Returns the code of a status; 500 if it has none."""
    code = status[:3].encode("latin-1", "replace")
    if len(code) != 3 or not code.isdigit():
        return b"500"
    if len(_CODES) < 100:
        _CODES[status] = code
    return code


class Resp:
    """The state of one app in one process. Its methods never raise what the app did not."""

    def __init__(
        self,
        name=None,
        statsd=None,
        control_dir=None,
        control_user=None,
        request_start=None,
        lock_dir=None,
        redis=None,
        control_redis=None,
        control_key=None,
    ):
        """Reads the settings.

        name: of the app, as in the exporter's configuration; without it the exporter takes
            the app whose process sent the datagram.
        statsd: "udp://127.0.0.1:9125" (the default), "unixgram:///path", or "" for none.
        control_dir: the exporter's directory of control files; "" for none.
        control_user: the id or the name of the user to whom it may belong beside root and the
            app's own, such as "resp-exporter".
        request_start: True if a proxy sets X-Request-Start on every request, so that shedding
            may follow it; False to ignore it. By default it is published only: it is a claim.
        lock_dir: a directory of the app's own, for tasks; by default one in $RUNTIME_DIRECTORY,
            $XDG_RUNTIME_DIR, /run (of root) or the directory for temporary files.
        redis: a client of redis-py; tasks then run on one host at a time.
        control_redis: a client of redis-py for the Redis by which exporters of other hosts ask
            the app to shed requests and to collect garbage (healing.control).
        control_key: the secret of their key_file, 16 bytes or more; by default the line of the
            file that $RESP_CONTROL_KEY_FILE names.
        """
        env = os.environ.get
        self.name = name or env("RESP_APP", "")
        address = env("RESP_STATSD", "udp://127.0.0.1:9125") if statsd is None else statsd
        directory = (
            env("RESP_CONTROL_DIR", "/run/resp-exporter/control")
            if control_dir is None
            else control_dir
        )
        valid = re.match(
            r"^(?:udp://(?:[0-9.]+|localhost|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})|unix(?:gram)?:///.+)$",
            address,
        )
        if address and not (valid and 1 <= int(valid.group(1) or 1) <= 65535):
            raise ValueError(
                "resp_flask: the address %r is neither udp://IP:PORT nor unixgram:///PATH" % address
            )
        if self.name and (
            not re.match(r"^[A-Za-z0-9._:@~/-]{1,64}$", self.name)
            or "/" in self.name
            or self.name[0] == "."
        ):
            raise ValueError(
                "resp_flask: the name %r is not made of 1 to 64 of A-Z a-z 0-9 . _ : @ ~ -"
                % self.name
            )
        self.sender = _Sender(address) if address else None
        owners = {0, os.geteuid()} | _user(
            env("RESP_CONTROL_USER", "") if control_user is None else control_user
        )
        self.control = _Control(directory, self.name, owners) if directory and self.name else None
        secret = _secret(control_key, env("RESP_CONTROL_KEY_FILE", ""))
        if (secret is None) != (control_redis is None):
            missing = "control_redis" if control_redis is None else "control_key"
            raise ValueError(
                "resp_flask: %s is missing: control_redis and control_key belong together" % missing
            )
        self.key = _Key(control_redis, self.name, secret) if secret is not None else None
        self.request_start = request_start
        self.tag = b",app:" + self.name.encode() if self.name else b""
        self.wait_tags = b"|ms|#source:header%s\n" % self.tag
        self.shedder = _Shedder()
        self.routes, self.lines = {}, {}  # cleaned routes, and the ends of lines about requests
        self.garbage_done, self.garbage_due = deque([], _MAX_RUNS), ("", 0.0)
        self.memory, self.serving = None, 0
        self.session_config = None  # returns prefix and lifetime of Flask-Session
        self.traced, self.trace_ends = "", 0.0
        self.starting = {}  # a lock by process: that of a parent may be held for ever
        self.pools, self.tasks = [], []
        if redis is not None:
            self.locks = _RedisLocks(redis, "resp:task:%s:" % (self.name or "app"))
        else:
            self.locks = _FileLocks(lock_dir or _lock_dir(self.name or "app"))
        _all.add(self)

    def pool(self, engine, name="main", leak_after=60):
        """Reports the connections of an engine of SQLAlchemy. One that has been checked out for
        longer than leak_after seconds counts as leaked."""
        p = _Pool(self, engine, name, leak_after)
        p.attach()
        self.pools.append(p)

    def task(self, name, every, longest=3600):
        """Returns a decorator: the function runs every so many seconds, in one process at a
        time, from the first request of a process on. A run takes `longest` seconds at most."""
        if not every > 0 or not longest > 0:
            raise ValueError("resp_flask: every and longest are seconds above 0")

        def register(function):
            self.tasks.append(Task(self, name, every, function, longest))
            return function

        return register

    def stop(self, within=30):
        """Stops the tasks and waits for those that run."""
        for t in self.tasks:
            t.stop()
        end = _now() + within
        for t in self.tasks:
            if t.thread is not None and t.thread is not threading.current_thread():
                t.thread.join(max(0.0, end - _now()))

    def here(self):
        """Returns the memory file of this process for a request. The first one of a process
        starts its threads, and the tasks. What is not a request calls [Resp.remember]."""
        pid = _getpid()
        if self.serving != pid:
            with self.starting.setdefault(pid, threading.RLock()):
                if self.serving != pid:
                    self.own()
                    self.serving = pid
                    try:
                        self._serve(pid)
                    except Exception:  # no more threads: requests are reported all the same
                        self.memory.errors += 1
        return self.memory

    def own(self):
        """Makes the memory file of this process if it has none, or one of a user that the process
        has given up since: the exporter takes that of the worker's own user alone."""
        before = self.remember()
        if before.user == os.geteuid():
            return
        memory = self._new()
        memory.pause = before.pause
        self.memory = memory
        with before.lock:
            lines = before.take()
        self.leaves(memory, lines)
        before.leave()

    def _new(self):
        """Returns a new memory file."""
        memory = _Memory()
        memory.name(self.name)
        return memory

    def remember(self):
        """Returns the memory file of this process, and makes it if there is none. It starts no
        thread: the process may be one that only forks. A process may have been forked without
        Python's handlers, as uWSGI does: what belongs to its parent is left here, at the latest."""
        memory, pid = self.memory, _getpid()
        if memory is None or memory.pid != pid:
            with self.starting.setdefault(pid, threading.RLock()):
                if self.memory is not None and self.memory.pid != pid:
                    self.forked()
                if self.memory is None:
                    memory = self._new()
                    if self.memory is None:
                        self.memory = memory
                    else:  # a handler of a signal was quicker
                        memory.close()
                memory = self.memory
        return memory

    def _serve(self, pid):
        """Starts the threads of this process."""
        self._sessions()
        threading.Thread(target=self._watch, args=(pid,), name="resp-flask", daemon=True).start()
        if self.key is not None:
            self.key.start(lambda: self.serving == pid)
        for t in self.tasks:
            t.start()
        if self.tasks:
            atexit.register(self.stop)

    def _sessions(self):
        """Says where Flask-Session keeps its sessions."""
        where = self.session_config() if self.session_config is not None else None
        if where is not None:
            self.memory.sessions(*where)

    def _watch(self, pid):
        """Follows the control file and the pools where no request comes, once a second."""
        if _threads_run():
            self.memory.pause = _SEND_EVERY
        while self.serving == pid:
            try:
                if self.memory.user != os.geteuid() and len(self.memory.free) == REQUESTS:
                    with self.starting.setdefault(pid, threading.RLock()):
                        self.own()
                    self._sessions()
                self.flush()
                self.memory.cycles()
                if self.control is not None:
                    self.control.look()
                if self.control is not None or self.key is not None:
                    self.acknowledge()
                    self.collect()
                if self.control is not None:
                    self.trace()
                    restart = self.control.restart
                    for t in self.tasks:
                        if restart is not None and restart.concerns(t):
                            t.restart(restart.run)
                for p in self.pools:
                    p.write()
            except Exception:
                self.memory.errors += 1
            time.sleep(1)

    def forked(self):
        """Leaves what belongs to the process that this one was forked from."""
        memory, self.memory, self.serving = self.memory, None, 0
        if self.trace_ends:
            sys.modules["tracemalloc"].stop()
            self.trace_ends = 0.0
        for pid in list(self.starting):
            if pid != _getpid():
                self.starting.pop(pid, None)
        self.shedder.lock = threading.Lock()
        if self.control is not None:
            self.control.lock = threading.Lock()
        if self.key is not None:
            self.key.throttle = self.key.garbage = None
        for p in self.pools:
            p.forgotten()
        for t in self.tasks:
            t.reset()
        if self.sender is not None:
            self.sender.forked()
        if memory is not None:
            memory.close()
            self.remember()  # so that the exporter finds it before the first request

    def send(self, line):
        """Reports a line of StatsD."""
        if self.sender is not None:
            self.remember()
            self.add(line[: _FAR_MAX - 1] + b"\n", _now())

    def add(self, lines, now, free=None):
        """Reports lines, each with its end: at once, or under load with a later datagram. They
        are in the memory file until then; free is called once they are there. A signal handler
        or a finalizer may call it while this thread is in the middle of it: those lines leave
        by themselves."""
        memory = self.memory
        with memory.lock:
            if memory.busy or memory is not self.memory:
                self.leaves(memory, lines)
                return
            try:
                memory.busy = True
                if memory.unsent + len(lines) > self.sender.most:
                    memory.sent = now
                    self.leaves(memory, memory.take())
                memory.add(lines)
                if free is not None:
                    free()
                if now - memory.sent >= memory.pause:
                    memory.sent = now
                    self.leaves(memory, memory.take())
            finally:
                memory.busy = False

    def flush(self):
        """Sends what is not sent yet, or counts the lines that are lost."""
        memory = self.memory
        if memory is None or not memory.unsent:
            return
        with memory.lock:
            if memory.busy:  # it was called in the middle of add or flush
                return
            try:
                memory.busy = True
                self.leaves(memory, memory.take())
            finally:
                memory.busy = False

    def leaves(self, memory, lines):
        """Sends lines, or counts those that are lost."""
        if lines:
            memory.lost += self.sender.send(lines)

    def route(self, rule):
        """Returns the cleaned text of a route."""
        out = self.routes.get(rule)
        if out is None:
            out = _clean(rule, _ROUTE_MAX)
            if len(self.routes) < _MAX_ROUTES:
                self.routes[rule] = out
        return out

    def ended(self, method, rule, code, began, waited, free=None):
        """Reports a request that is over now. free frees its slot."""
        if self.sender is None:
            return
        now = _now()
        tags = self.lines.get((method, rule, code))
        if tags is None:
            route = b",route:" + self.route(rule) if rule else b""
            tags = b"|ms|#code:%s%s,method:%s%s\n" % (code, self.tag, method, route)
            if len(self.lines) < 4 * _MAX_ROUTES:
                self.lines[method, rule, code] = tags
        took = (now - began) * 1000
        if waited is None:
            self.add(b"resp.request:%.3f%s" % (took, tags), now, free)
        else:
            wait = (took, tags, waited * 1000, self.wait_tags)
            self.add(b"resp.request:%.3f%sresp.queue_time:%.3f%s" % wait, now, free)

    def acknowledge(self):
        """Says in the memory file what is followed of the control file, which throttle is in
        force, and how long requests wait."""
        lately = self.memory.look_back()
        c, flags, percent, share = self.control, 0, 0, 0
        if c is not None:
            flags = FOLLOWS | REFUSED if c.refused else FOLLOWS
        if self.request_start:
            flags |= QUEUE_TIME
        t = self.throttle()
        if t is not None:
            flags, percent = flags | THROTTLED, t.percent
            share = self.shedder.share(t, lately)
        self.memory.controlled(flags, percent, share)

    def throttle(self):
        """Returns the throttle in force: that of the control file, else that of the key; None if
        there is none."""
        for source in (self.control, self.key):
            t = source.throttle if source is not None else None  # once: another thread may end it
            if t is not None and t.lasts():
                return t
        return None

    def collect(self):
        """Collects garbage for each run that was asked for and has not been done."""
        for source in (self.control, self.key):
            asked = source.garbage if source is not None else None
            if asked is not None and asked.run not in self.garbage_done:
                self.collect_for(asked)
                return

    def collect_for(self, asked):
        """Collects garbage for a run when it is due."""
        if time.time() > asked.until:
            self.garbage_done.append(asked.run)
            return
        if self.garbage_due[0] != asked.run:  # not all workers at once
            self.garbage_due = (asked.run, _now() + asked.stagger * random.random())
        if _now() < self.garbage_due[1]:
            return
        self.garbage_done.append(asked.run)
        before, t = _resident(), _now_ns()
        objects = gc.collect()
        _trim()
        self.remember().garbage(asked.run, objects, _now_ns() - t, before, _resident())

    def trace(self):
        """Traces what this process allocates for up to a minute, if that was asked for, or until
        the trace itself takes too much memory. What is left at the end is written, the most
        first. It costs the process much meanwhile."""
        asked, now = self.control.trace, _now()
        if asked is None and not self.trace_ends:
            return
        import tracemalloc

        if self.trace_ends:
            gone = asked is None or asked.run != self.traced
            full = tracemalloc.get_tracemalloc_memory() >= _MAX_TRACE
            if now < self.trace_ends and not gone and not full:
                return
            self.trace_ends = 0.0
            try:
                if not gone:
                    self.memory.growth(self.traced, _grown(tracemalloc.take_snapshot()))
            finally:
                tracemalloc.stop()
            return
        if asked.run == self.traced or asked.pid != os.getpid():
            return
        self.traced = asked.run
        if time.time() < asked.until and not tracemalloc.is_tracing():  # else it is the app's own
            tracemalloc.start()
            self.trace_ends = now + asked.seconds


def _grown(snapshot):
    """Returns the lines with most memory in a snapshot, without those of this file."""
    out = []
    for s in snapshot.statistics("lineno"):
        frame = s.traceback[0]
        if frame.filename != _FILE and "tracemalloc" not in frame.filename:
            out.append((frame.filename[-150:], frame.lineno, s.count, s.size))
            if len(out) == GROWTHS:
                break
    return out


_all = weakref.WeakSet()


def _after_fork():
    for r in list(_all):
        try:
            r.forked()
        except Exception as e:
            _log.warning("what belongs to the parent is not left: err=%r", e)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _at_exit():
    """Sends what is not sent yet."""
    for r in list(_all):
        try:
            if r.memory is not None and r.memory.pid == _getpid():
                r.flush()
        except Exception as e:
            _log.warning("the last reports are not sent: err=%r", e)


atexit.register(_at_exit)


def _threads_run():
    """Reports whether threads run while no request does: not in uWSGI without its option."""
    try:
        options = sys.modules["uwsgi"].opt
    except (KeyError, AttributeError):
        return True
    return any(k in options for n in ("enable-threads", "threads") for k in (n, n.encode()))


def _resident():
    """Returns the resident memory of this process in bytes; 0 if it cannot be read."""
    try:
        with open("/proc/self/statm", "rb") as f:
            return int(f.read().split()[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return 0


def _trim():
    """Gives free memory of glibc's allocator back to the kernel."""
    try:
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
    except (ImportError, OSError, AttributeError):
        pass


class _Pool:
    """A pool of connections of SQLAlchemy, 1.4 or 2."""

    def __init__(self, resp, engine, name, leak_after):
        self.resp, self.engine, self.name, self.leak_after = (
            resp,
            engine,
            _clean(name, 32),
            leak_after,
        )
        self.lock = threading.RLock()  # a collection of garbage may return a connection
        self.out = {}  # connections that are checked out, the oldest first: when, and where
        self.waiting = self.waits = self.waited = 0
        self.written = 0.0  # when the memory file was written

    def attach(self):
        """Listens to the events of the engine."""
        from sqlalchemy import event

        event.listen(self.engine, "checkout", self.taken)
        event.listen(self.engine, "checkin", self.returned)
        event.listen(self.engine, "detach", self.returned)
        event.listen(self.engine, "engine_disposed", self.disposed)
        self.disposed(self.engine)

    def disposed(self, engine):
        """Times the checkouts of a new pool: no event says when one begins."""
        pool = engine.pool
        connect = pool.connect

        def timed():
            began = _now_ns()
            self.remember()
            with self.lock:
                self.waiting += 1
            try:
                return connect()
            finally:
                self.waited_for(_now_ns() - began)

        pool.connect = timed

    def remember(self):
        """Leaves what belongs to the process that this one was forked from, before its numbers
        change."""
        try:
            self.resp.remember()
        except Exception as e:
            _log.warning("a pool is not reported: pool=%s err=%r", self.name.decode(), e)

    def waited_for(self, took):
        """Counts a checkout, and reports how long it took if it waited: more than a
        millisecond."""
        with self.lock:
            self.waiting -= 1
            self.waits += 1
            self.waited += took
        try:
            if took > 1000000:
                line = b"resp.pool_wait:%.3f|ms|#pool:%s%s"
                self.resp.send(line % (took / 1e6, self.name, self.resp.tag))
        except Exception:
            self.resp.remember().errors += 1

    def taken(self, connection, record, proxy):
        self.remember()
        try:
            site = _site()
            with self.lock:
                self.out[id(record)] = (_now_ns(), site)
            self.changed()
        except Exception:
            self.resp.remember().errors += 1

    def returned(self, connection, record):
        self.remember()
        with self.lock:
            self.out.pop(id(record), None)
        self.changed()

    def forgotten(self):
        """Leaves what belongs to the process that this one was forked from."""
        self.lock, self.out = threading.RLock(), {}
        self.waiting = self.waits = self.waited = 0
        self.written = 0.0

    def changed(self):
        """Writes the pool, unless that was done lately and the thread of the process writes it
        once a second: none runs before the first request."""
        now, memory = _now(), self.resp.memory
        if now - self.written >= _POOL_EVERY or memory is None or not memory.pause:
            self.written = now
            self.write()

    def write(self):
        """Writes the pool into the memory file."""
        try:
            memory = self.resp.remember()
            place = memory.place(memory.pools, self.name, POOLS)
            if place is None:
                return
            with self.lock:
                out = list(self.out.values())
                counts = (self.waiting, self.waits, self.waited)
            oldest, site = out[0] if out else (0, None)
            before = _now_ns() - int(self.leak_after * 1e9)
            leaked = here = 0
            for at, where in out:
                if at > before:
                    break
                leaked += 1
                here += where == site
            pool = self.engine.pool
            size, idle = _number(pool, "size"), _number(pool, "checkedin")
            most = getattr(pool, "_max_overflow", 0)
            most = most if most >= 0 else 0xFFFFFFFF
            numbers = (size, len(out), most, leaked, counts[0], idle, counts[1], counts[2], oldest)
            memory.pool(place, self.name, numbers, here, *_text_of(site))
        except Exception:
            self.resp.remember().errors += 1


def _number(pool, name):
    """Returns what a method of a pool counts; 0 if it has none, as some kinds of pools."""
    count = getattr(pool, name, None)
    return max(count(), 0) if callable(count) else 0


_FILE = _resident.__code__.co_filename
_LIBRARIES = ("site-packages", "dist-packages", "/lib/python3")


def _site():
    """Returns the file, line and function of the app that called a library, and the route of
    its request."""
    f = sys._getframe(2)
    for _ in range(60):
        if f is None:
            return None
        file = f.f_code.co_filename
        if file != _FILE and not any(part in file for part in _LIBRARIES):
            break
        f = f.f_back
    else:
        return None
    rule = None
    flask = sys.modules.get("flask")
    if flask is not None and flask.has_request_context():
        rule = flask.request.url_rule
    return file, f.f_lineno, f.f_code.co_name, "" if rule is None else rule.rule


def _text_of(site):
    """Returns the line and the text of a site, as a memory file has them."""
    if site is None:
        return 0, b""
    file, line, function, route = site
    file, function = _clean(os.path.basename(file), 50), _clean(function, 40)
    left = _SITE_MAX - len(file) - len(function) - 2
    return line, b"\0".join((file, function, _clean(route, left)))


WAITING, RUNNING, BACKOFF, ELSEWHERE, STOPPED = 1, 2, 3, 4, 5


class Task:
    """A function that runs again and again in a thread of its own."""

    def __init__(self, resp, name, every, function, longest):
        self.resp, self.name, self.every = resp, name, every
        self.function, self.longest = function, longest
        code = getattr(function, "__code__", None)
        self.wants_progress = code is not None and code.co_argcount > 0
        self.reset()

    def reset(self):
        """Sets what a process begins with."""
        self.lock, self.stopping, self.thread = threading.Lock(), threading.Event(), None
        self.waking = threading.Event()
        self.state, self.asked, self.restarted, self.began_at = WAITING, "", "", 0
        self.inside = self.interrupted = False
        self.runs = self.failures = self.restarts = self.skipped = self.done = 0
        self.beat_at = self.due_at = _now_ns()

    def progress(self, steps=1):
        """Says that the task is alive and how many steps it has done since the last call."""
        self.done += max(int(steps), 0)
        self.beat()

    def beat(self):
        """Writes into the memory file that the task is alive."""
        self.beat_at = _now_ns()
        self.write()

    def write(self):
        """Writes the task into the memory file."""
        memory = self.resp.remember()
        place = memory.place(memory.tasks, self.name, TASKS)
        if place is None:
            return
        counts = (self.runs, self.failures, self.restarts, self.skipped, self.done)
        counts = [n & 0x7FFFFFFFFFFFFFFF for n in counts]
        name, restarted = _clean(self.name, 48), self.restarted.encode("utf-8", "replace")[:32]
        times = (self.beat_at, self.due_at, self.began_at)
        memory.task(place, name, self.state, counts, *times, restarted)

    def start(self):
        """Starts the thread in this process."""
        name = "resp-task-" + self.name
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def stop(self):
        """Asks the task to end."""
        self.stopping.set()
        self.waking.set()

    def _run(self):
        """Runs the function until the process ends. After a failure the pause doubles, from a
        second to half an hour."""
        pause, failed = min(self.every, 10) * random.random(), 0
        while not self.stopping.is_set():
            try:
                self.due_at = _now_ns() + int(pause * 1e9)
                self.beat()
                self.waking.wait(pause)
                self.waking.clear()
                if self.stopping.is_set():
                    break
                if self._once():
                    self.state, pause = WAITING, self.every * (0.95 + 0.1 * random.random())
                else:
                    self.state, pause = ELSEWHERE, min(self.every, 5) * (0.5 + random.random())
                failed = 0
            except _Restart:
                failed, pause = 0, 0.8 + 0.4 * random.random()
                self._interrupted(pause)
            except BaseException as e:
                failed += 1
                pause = min(2 ** min(failed - 1, 12), 1800) * (0.8 + 0.4 * random.random())
                self._failed(e, pause)
        self.state = STOPPED
        self.beat()

    def _again(self):
        """Counts a run that begins again after a pause."""
        with self.lock:
            self.inside = self.interrupted = False
        self.restarts += 1
        self.state = BACKOFF

    def _interrupted(self, pause):
        """Counts a run that ended because the exporter asked for a restart: it has not failed."""
        self._again()
        _log.warning("task restarted on request: task=%s again_seconds=%.1f", self.name, pause)

    def _failed(self, error, pause):
        """Counts a run that failed."""
        self._again()
        self.failures += 1
        _log.error("task failed: task=%s again_seconds=%.0f", self.name, pause, exc_info=error)
        line = b"resp.task:0|ms|#task:%s,outcome:failed%s"
        self.resp.send(line % (_clean(self.name, 48), self.resp.tag))

    def _once(self):
        """Runs the function, unless another process does or has done so; reports whether it
        ran."""
        r = self.resp
        with r.locks.lease(self.name, self.every, self.longest) as mine:
            if not mine:
                self.skipped += 1
                return False
            self.state, began = RUNNING, _now()
            self.began_at = _now_ns()
            self.runs += 1
            self.beat()
            self._call()
            line = b"resp.task:%.3f|ms|#task:%s,outcome:ok%s"
            r.send(line % ((_now() - began) * 1000, _clean(self.name, 48), r.tag))
        return True

    def _call(self):
        """Calls the function. Only meanwhile the task may be interrupted."""
        try:
            with self.lock:
                self.inside = True
            if self.wants_progress:
                self.function(self)
            else:
                self.function()
        finally:
            with self.lock:
                self.inside = False
                interrupted, self.interrupted = self.interrupted, False
            if interrupted:  # the exception arrives here at the latest
                for _ in range(100):
                    time.sleep(0.001)

    def restart(self, run):
        """Restarts the task, once for each request, and says so in the memory file: a run is
        interrupted, which is no failure, and begins again after a second, a pause is over, and a
        thread that has ended begins again. A run that waits in a call of C is interrupted when
        that returns. A greenlet cannot be interrupted."""
        self.asked = run
        with self.lock:
            if self.stopping.is_set():
                return
            if self.thread is None or not self.thread.is_alive():
                self.inside = self.interrupted = False
                self.start()
            elif not self.inside:
                self.waking.set()
            elif not self.interrupted and not self._interrupt():
                return
            self.restarted = run
        self.write()

    def _interrupt(self):
        """Raises an exception in the thread; reports whether there is such a thread."""
        import ctypes

        thread = ctypes.c_ulong(self.thread.ident)
        raises = ctypes.pythonapi.PyThreadState_SetAsyncExc
        self.interrupted = raises(thread, ctypes.py_object(_Restart)) == 1
        return self.interrupted


class _Restart(BaseException):
    """The exporter asked for a restart of a task."""


def _lock_dir(name):
    """Returns the directory of the locks of an app."""
    for base in (os.environ.get("RUNTIME_DIRECTORY"), os.environ.get("XDG_RUNTIME_DIR"), "/run"):
        if base and os.access(base, os.W_OK | os.X_OK):
            return os.path.join(base, "resp-flask-" + name)
    own = "resp-flask-%d-%s" % (os.geteuid(), name)
    return os.path.join(tempfile.gettempdir(), own)


class _FileLocks:
    """Leases among the processes of a host: locked files in a directory of the app's own."""

    def __init__(self, directory):
        self.directory = directory

    @contextlib.contextmanager
    def lease(self, name, every, longest):
        """Yields whether the task is to run here and now: no other process runs it, and none
        has finished it within nine tenths of its period. The kernel ends the lock with the
        process. A process that the run has forked shares the lock: it neither keeps it after
        the run nor ends it."""
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        s = os.lstat(self.directory)
        if not stat.S_ISDIR(s.st_mode) or s.st_uid != os.geteuid() or s.st_mode & 0o022:
            raise PermissionError(
                "resp_flask: %s is not a directory that only this user may write" % self.directory
            )
        path = os.path.join(self.directory, re.sub(r"[^A-Za-z0-9._-]", "_", name) + ".lock")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        pid = os.getpid()
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            try:
                last = float(os.pread(fd, 40, 0) or 0)
            except ValueError:
                last = 0.0
            if -60 <= time.time() - last < 0.9 * every:  # clocks are set back, too
                yield False
                return
            yield True
            os.ftruncate(fd, 0)
            os.pwrite(fd, b"%.3f" % time.time(), 0)
        finally:
            try:
                if os.getpid() == pid:
                    fcntl.flock(fd, fcntl.LOCK_UN)
            finally:
                os.close(fd)


class _RedisLocks:
    """Leases among hosts: keys of Redis that expire."""

    RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"

    def __init__(self, client, prefix):
        self.client, self.prefix = client, prefix

    @contextlib.contextmanager
    def lease(self, name, every, longest):
        """Yields whether the task is to run here and now, as a file's lease does. The key lives
        for the longest time that a run may take."""
        key, token = self.prefix + name, "%d-%016x" % (
            os.getpid(),
            random.SystemRandom().getrandbits(64),
        )
        if self.client.exists(key + ":done") or not self.client.set(
            key, token, nx=True, px=int(longest * 1000)
        ):
            yield False
            return
        try:
            yield True
            self.client.set(key + ":done", "1", px=max(int(every * 900), 1))
        finally:
            self.client.eval(self.RELEASE, 1, key, token)


class Middleware:
    """Any WSGI app, reported. Flask apps are given more by [init_app]: their routes."""

    health = frozenset(
        (
            "/health",
            "/healthz",
            "/healthcheck",
            "/ready",
            "/readyz",
            "/live",
            "/livez",
            "/ping",
            "/metrics",
            "/-/healthy",
            "/-/ready",
        )
    )

    def __init__(self, app, resp, exempt=(), priorities=None):
        """Wraps app. exempt: paths that are never shed, beside those of health checks.
        priorities: "low", "normal" or "high" by the beginning of a path."""
        self.app, self.resp = app, resp
        self.exempt = self.health | frozenset(exempt)
        self.priorities = dict(priorities or {})
        unknown = set(self.priorities.values()) - set(_PRIORITIES)
        if unknown:
            raise ValueError(
                "resp_flask: priorities are low, normal and high, not %s"
                % ", ".join(map(repr, sorted(unknown)))
            )

    def priority_of(self, environ, throttle):
        """Returns the priority of a request; None if it is exempt."""
        path = environ.get("PATH_INFO", "")
        if path in self.exempt or path in throttle.exempt:
            return None
        longest = max((p for p in self.priorities if path.startswith(p)), key=len, default=None)
        return "normal" if longest is None else self.priorities[longest]

    def __call__(self, environ, start_response):
        r = self.resp
        memory = r.memory if r.serving == _getpid() else r.here()
        began = _now()
        waited = _waited(environ) if r.request_start is not False else None
        method = _METHODS.get(environ.get("REQUEST_METHOD"), b"other")
        if waited is not None and r.request_start:
            memory.queued(waited)
        control, key, throttle = r.control, r.key, None
        if control is not None:
            if began >= control.next:
                control.look()
            throttle = control.throttle  # once: another thread may end it
        if key is not None and (throttle is None or not throttle.lasts()):
            throttle = key.throttle
        if throttle is not None and self.sheds(environ, throttle, waited):
            return self.refuse(memory, method, waited, start_response)
        request = _Request(r, environ, start_response, memory, method, waited, began)
        try:
            body = self.app(environ, request)
        except Exception:
            request.code = b"500"
            request.done()
            raise
        except BaseException:  # nobody gets an answer
            request.cut()
            raise
        if isinstance(body, (list, tuple)):
            request.done()
            return body
        file_wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
            request.done()  # the server may send the file itself only if the body is its own
            return body
        request.body = body
        return request

    def sheds(self, environ, throttle, waited):
        """Reports whether a request is to be shed. A throttle that is over, or that cannot be
        followed, sheds nothing."""
        try:
            if not throttle.lasts():
                return False
            priority = self.priority_of(environ, throttle)
            if priority is None:
                return False
            if not self.resp.request_start:
                waited = None
            sheds = self.resp.shedder.sheds(throttle, priority, waited)
            self.resp.memory.judged(sheds, priority)
            return sheds
        except Exception:
            self.resp.memory.errors += 1
            return False

    def refuse(self, memory, method, waited, start_response):
        """Answers 503. The client may try again after a time that differs for each."""
        memory.end(-1)
        text = b"The service is busy. Try again in a few seconds.\n"
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            ("Retry-After", str(random.randint(1, 5))),
            ("Cache-Control", "no-store"),
        ]
        start_response("503 Service Unavailable", headers)
        try:
            self.resp.ended(method, "", b"503", _now(), waited)
        except Exception:  # reporting fails without harm to the request
            memory.errors += 1
        return [text]


def _waited(environ):
    """Returns the seconds that a request has waited since a proxy received it; None if no
    header says so, or what it says cannot be. X-Request-Start is a time in seconds, milli- or
    microseconds of Unix, with or without "t=" before it."""
    text = environ.get("HTTP_X_REQUEST_START") or environ.get("HTTP_X_QUEUE_START")
    if not text or len(text) > 40:
        return None
    try:
        began = float(text[2:] if text[:2] == "t=" else text)
    except ValueError:
        return None
    now = _time()
    if 0 <= now - began < 3600:  # most often
        return now - began
    for unit in (1e6, 1e3, 1.0) if began > 1e11 else (1.0,):
        waited = now - began / unit
        if -1 < waited < 3600:
            return max(waited, 0.0)
    return None


def _request_of_flask():
    """Returns a function that returns Flask's request: from the variable behind the proxy, in
    the versions of Flask that have it."""
    from flask import globals as of_flask

    variable = getattr(of_flask, "_cv_request", None)
    if variable is None:
        return of_flask.request._get_current_object
    get = variable.get
    return lambda: get().request


class _FlaskMiddleware(Middleware):
    """A Flask app, reported with its routes."""

    def __init__(self, flask, resp, exempt, priorities):
        super().__init__(flask.wsgi_app, resp, (), {})
        self.request = _request_of_flask()
        self.flask, self.endpoints, self.ranks = flask, frozenset(exempt), dict(priorities or {})
        unknown = set(self.ranks.values()) - set(_PRIORITIES)
        if unknown:
            raise ValueError(
                "resp_flask: priorities are low, normal and high, not %s"
                % ", ".join(map(repr, sorted(unknown)))
            )

    def priority_of(self, environ, throttle):
        if super().priority_of(environ, throttle) is None:
            return None
        try:
            endpoint = self.flask.url_map.bind_to_environ(environ).match()[0]
        except Exception:  # no such page: the app's own answer to it is shed like any other
            return "normal"
        if endpoint in self.endpoints or endpoint in throttle.exempt:
            return None
        return self.ranks.get(endpoint, "normal")

    def follow(self):
        """Writes the route of each request before Flask calls the app's hooks and its view.
        Flask opens the session and finds the route before that: meanwhile, the slot has none."""
        flask, routed = self.flask, self.routed
        own, cls = vars(flask).get("full_dispatch_request"), type(flask)

        def full_dispatch_request(*args):
            routed()
            return own(*args) if own is not None else cls.full_dispatch_request(flask, *args)

        flask.full_dispatch_request = full_dispatch_request

    def routed(self):
        """Writes the route of a request into its slot."""
        try:
            request = self.request()
            environ, rule = request.environ, request.url_rule
            slot = environ.get("resp.slot")
            if slot is None or rule is None:
                return
            rule = environ["resp.rule"] = rule.rule
            r = self.resp
            if slot >= 0:
                r.memory.route(slot, r.routes.get(rule) or r.route(rule))
        except Exception:
            self.resp.memory.errors += 1


def _session_config(app):
    """Returns the prefix and the lifetime in seconds of the sessions that Flask-Session keeps
    in Redis; None if the app has none."""
    try:
        if app.config.get("SESSION_TYPE") != "redis":
            return None
        prefix = app.config.get("SESSION_KEY_PREFIX", "session:")
        return prefix, app.permanent_session_lifetime.total_seconds()
    except Exception:
        return None


def init_app(app, name=None, exempt=(), priorities=None, **settings):
    """Reports a Flask app and returns its [Resp], which has the same settings. exempt: endpoints
    that are never shed. priorities: "low", "normal" or "high" by endpoint."""
    if getattr(app, "extensions", {}).get("resp") is not None:
        return app.extensions["resp"]
    r = Resp(name, **settings)
    m = _FlaskMiddleware(app, r, exempt, priorities)
    m.follow()
    app.wsgi_app = m
    r.session_config = lambda: _session_config(app)
    if not hasattr(app, "extensions"):
        app.extensions = {}
    app.extensions["resp"] = r
    return r
