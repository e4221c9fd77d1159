"""Tests of resp_flask. `python3 -m unittest` beside the file runs all; those of the WSGI part
alone, which need no Flask, are WSGITests, ControlTests, SenderTests and TaskTests."""

import contextlib
import ctypes
import faulthandler
import gc
import heapq
import json
import os
import random
import signal
import socket
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
from collections import deque
from unittest import mock

import resp_flask as rf

FIELDS = rf._REQUEST


def environ(path="/", method="GET", **more):
    """Returns what a server hands to an app."""
    e = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    e.update(more)
    return e


class Receiver:
    """A socket that an exporter would listen on."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(30)
        self.address = "udp://127.0.0.1:%d" % self.socket.getsockname()[1]

    def line(self):
        """Returns the name, value and tags of the first line of the next datagram."""
        return parsed(self.socket.recv(65536).split(b"\n")[0])

    def close(self):
        self.socket.close()


class Queue:
    """An app at a target of 1 s, on a clock of its own. The load is a multiple of what it can
    serve; requests come at random times, each to one of the workers, and take 0.1 to 0.3 s."""

    def __init__(self, load, workers=2, threads=4, high=0.1, low=0.3, slow=0.0, **more):
        self.load, self.workers, self.threads = load, workers, threads
        self.high, self.low, self.slow = high, low, slow
        self.bursts, self.shared = more.get("bursts"), more.get("shared", False)
        self.delay = more.get("delay", 5)  # until the throttle begins
        self.capacity = workers * threads / (0.2 + 1.8 * slow)
        self.shedders = [rf._Shedder() for _ in range(workers)]
        self.throttle = rf._Throttle({"until": time.time() + 600, "target_seconds": 1})
        self.queues = [deque() for _ in range(1 if self.shared else workers)]
        self.busy, self.done = [0] * workers, []

    def run(self, seconds):
        """Sends requests for so many seconds."""
        self.random, self.seconds = random.Random(7), seconds
        random.seed(7)  # of the shedders
        clock, real = [0.0], rf._now
        rf._now = lambda: clock[0]
        events = [(1.0, 0, -1)]  # the time, a number, the worker that is free; -1: an arrival
        try:
            while events:
                clock[0], n, free = heapq.heappop(events)
                if free >= 0:
                    self.busy[free] -= 1
                elif clock[0] < seconds:
                    rate = self.load * self.capacity
                    if self.bursts:
                        rate *= self.bursts[int(clock[0] / 10) % 2]
                    x = self.random.random()
                    priority = "normal" if x > self.high + self.low else "low"
                    queue = self.queues[self.random.randrange(len(self.queues))]
                    queue.append((clock[0], "high" if x < self.high else priority))
                    heapq.heappush(events, (clock[0] + self.random.expovariate(rate), n + 1, -1))
                for worker in range(self.workers):
                    for took in self.serves(worker, clock[0]):
                        heapq.heappush(events, (clock[0] + took, n + 1, worker))
        finally:
            rf._now = real

    def serves(self, worker, now):
        """Begins with requests that wait; yields how long each takes."""
        queue = self.queues[0 if self.shared else worker]
        while queue and self.busy[worker] < self.threads:
            began, priority = queue.popleft()
            self.busy[worker] += 1
            shed = now > self.delay and self.shedders[worker].sheds(
                self.throttle, priority, now - began
            )
            took = self.random.uniform(0.1, 0.3)
            if self.random.random() < self.slow:
                took = 2.0
            took = 0.001 if shed else took
            self.done.append((began, priority, shed, now - began + took))
            yield took

    def since(self, at):
        """Returns the times that accepted requests took, sorted, the rate that was served as a
        share of what can be, and the share of important requests that was."""
        sent = [d for d in self.done if d[0] >= at]
        served = sum(not shed and at <= began + t < self.seconds for began, _, shed, t in self.done)
        high = [not shed for _, priority, shed, _ in sent if priority == "high"]
        rate = served / (self.seconds - at) / self.capacity
        return sorted(t for _, _, shed, t in sent if not shed), rate, sum(high) / len(high)


def parsed(line):
    name, rest = line.decode().split(":", 1)
    value, kind, tags = rest.split("|", 2)
    assert kind == "ms" and tags[0] == "#", line
    return name, float(value), dict(t.split(":", 1) for t in tags[1:].split(","))


def answer(status="200 OK", body=(b"ok",), headers=()):
    def app(environ, start_response):
        start_response(status, list(headers))
        return body

    return app


def states(resp):
    """Returns the states of the slots of requests."""
    at = range(rf.REQUESTS_AT, rf.POOLS_AT, rf.REQUEST_SIZE)
    return [FIELDS.unpack_from(resp.memory.map, a)[1] for a in at]


class Base(unittest.TestCase):
    def setUp(self):
        faulthandler.dump_traceback_later(300, exit=True)  # a test that hangs says where
        self.addCleanup(faulthandler.cancel_dump_traceback_later)
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        self.home = tempfile.mkdtemp()
        os.chmod(self.home, 0o755)

    def enter(self, patch):
        """Applies a patch until the end of the test."""
        patch.start()
        self.addCleanup(patch.stop)

    def resp(self, **settings):
        settings.setdefault("statsd", self.receiver.address)
        settings.setdefault("control_dir", "")
        settings.setdefault("lock_dir", os.path.join(self.home, "locks"))
        return rf.Resp("shop", **settings)

    def wsgi(self, app, **settings):
        return rf.Middleware(app, self.resp(), **settings)

    def call(self, app, *args, **more):
        """Returns the status and the body of one request."""
        out = []
        body = app(environ(*args, **more), lambda status, headers, *e: out.append(status))
        try:
            data = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()
        return out[-1], data

    def in_child(self, check, fork=os.fork, again=0):
        """Forks; the child passes if check() is true within 10 s. One that takes longer is
        repeated up to again times: a fork without handlers may find a lock of the interpreter
        itself held by a thread that the child does not have."""
        pid = fork()
        if pid == 0:
            code = 1
            try:
                signal.alarm(10)
                code = 0 if check() else 2
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        done, end = 0, time.monotonic() + 30
        while not done:
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done and time.monotonic() > end:  # it hangs before it has set the alarm
                os.kill(pid, signal.SIGALRM)
                done, status = os.waitpid(pid, 0)
            time.sleep(0.002)
        if again and status == signal.SIGALRM:
            return self.in_child(check, fork, again - 1)
        self.assertEqual(status, 0)

    def control(self, **asked):
        """Writes the control file as the exporter does."""
        directory = os.path.join(self.home, "control")
        os.makedirs(directory, mode=0o755, exist_ok=True)
        asked.setdefault("version", 1)
        new = os.path.join(directory, "new")
        with open(new, "w") as f:
            json.dump(asked, f)
        os.chmod(new, 0o644)
        os.rename(new, os.path.join(directory, "shop.json"))
        return directory


class WSGITests(Base):
    def test_one_request(self):
        m = self.wsgi(answer("404 Not Found"))
        self.assertEqual(self.call(m, "/x", "POST"), ("404 Not Found", b"ok"))
        name, ms, tags = self.receiver.line()
        self.assertEqual(name, "resp.request")
        self.assertEqual(tags, {"app": "shop", "method": "POST", "code": "404"})
        self.assertLess(ms, 5000)
        self.assertEqual(sum(states(m.resp)), 0)

    def test_unknown_methods_are_one(self):
        m = self.wsgi(answer())
        for method in ("BREW", "A,b|c", ""):
            self.call(m, "/", method)
            self.assertEqual(self.receiver.line()[2]["method"], "other")

    def test_stream_ends_when_it_is_closed(self):
        steps = []

        def body():
            try:
                for i in range(3):
                    time.sleep(0.02)
                    yield b"x"
            finally:
                steps.append("closed")

        m = self.wsgi(answer(body=body()))
        out = m(environ(), lambda *a: None)
        self.assertEqual(states(m.resp).count(rf.IN_PROGRESS), 1)
        self.assertEqual(list(out), [b"x"] * 3)
        out.close()
        self.assertEqual(steps, ["closed"])
        self.assertGreaterEqual(self.receiver.line()[1], 60)
        out.close()  # a second time counts nothing
        self.assertEqual(m.resp.memory.requests, 1)

    def test_file_of_the_server_stays_its_own(self):
        class File:
            def __iter__(self):
                return iter([b"data"])

        file = File()
        m = self.wsgi(answer(body=file))
        self.assertIs(m(environ(**{"wsgi.file_wrapper": File}), lambda *a: None), file)
        self.assertEqual(m.resp.memory.requests, 1)

    def test_error_of_the_app(self):
        def broken(environ, start_response):
            raise ZeroDivisionError

        m = self.wsgi(broken)
        with self.assertRaises(ZeroDivisionError):
            self.call(m)
        self.assertEqual(self.receiver.line()[2]["code"], "500")
        self.assertEqual(sum(states(m.resp)), 0)

    def test_cut_off_by_the_end_of_the_process(self):
        def ends(environ, start_response):
            raise SystemExit(1)

        m = self.wsgi(ends)
        with self.assertRaises(SystemExit):
            self.call(m)
        self.assertEqual(states(m.resp).count(rf.CUT), 1)
        self.assertEqual(m.resp.memory.requests, 0)

    def test_stream_cut_off(self):
        def ends(in_body):
            yield b"1"
            if in_body:
                raise SystemExit(1)
            yield b"2"

        for in_body in (True, False):
            m = self.wsgi(answer(body=ends(in_body)))
            with self.assertRaises(SystemExit):
                out = m(environ(), lambda *a: None)
                try:  # as a server does
                    for chunk in out:
                        if chunk == b"2":
                            raise SystemExit(1)  # in the middle of a send
                finally:
                    out.close()
            self.assertEqual(states(m.resp).count(rf.CUT), 1)
            self.assertEqual(m.resp.memory.requests, 0)

    def test_stream_whose_client_is_gone(self):
        m = self.wsgi(answer(body=iter([b"1", b"2"])))
        with self.assertRaises(BrokenPipeError):
            out = m(environ(), lambda *a: None)
            try:
                raise BrokenPipeError
            finally:
                out.close()
        self.assertEqual((states(m.resp).count(rf.CUT), m.resp.memory.requests), (0, 1))

    def test_more_requests_than_slots(self):
        m = self.wsgi(answer(body=iter([b"x"])))
        out = [m(environ(), lambda *a: None) for _ in range(rf.REQUESTS + 3)]
        self.assertEqual(m.resp.memory.unslotted, 3)
        for o in out:
            o.close()
        self.assertEqual(m.resp.memory.requests, rf.REQUESTS + 3)
        self.assertEqual((sum(states(m.resp)), len(m.resp.memory.free)), (0, rf.REQUESTS))

    def test_time_in_the_queue(self):
        m = self.wsgi(answer())
        now = time.time()
        for text in (
            "t=%.6f" % (now - 2),
            "%.3f" % (now - 2),
            "%d" % ((now - 2) * 1e3),
            "t=%d" % ((now - 2) * 1e6),
        ):
            self.call(m, HTTP_X_REQUEST_START=text)
            name, ms, tags = parsed(self.receiver.socket.recv(65536).split(b"\n")[1])
            self.assertEqual((name, tags), ("resp.queue_time", {"app": "shop", "source": "header"}))
            self.assertAlmostEqual(ms, 2000, delta=1500)
        for text in (
            "",
            "t=",
            "nan",
            "inf",
            "-1",
            "1e400",
            "t=1",
            "tomorrow",
            "9" * 50,
            "%.3f" % (now + 60),
        ):
            self.call(m, HTTP_X_REQUEST_START=text)
            self.assertEqual(self.receiver.socket.recv(65536).count(b"\n"), 1, text)

    def test_status_that_is_none(self):
        m = self.wsgi(answer("OK"))
        self.call(m)
        self.assertEqual(self.receiver.line()[2]["code"], "500")

    def test_forked_process_has_a_memory_of_its_own(self):
        m = self.wsgi(answer(body=iter([b"x"])))
        kept = m(environ(), lambda *a: None)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                self.call(m)
                head = rf._HEADER.unpack_from(m.resp.memory.map, 0)
                if (
                    head[2] == os.getpid()
                    and sum(states(m.resp)) == 0
                    and m.resp.memory.requests == 1
                ):
                    code = 0
            finally:
                os._exit(code)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.assertEqual(states(m.resp).count(rf.IN_PROGRESS), 1)
        kept.close()
        self.assertEqual(sum(states(m.resp)), 0)

    def test_process_that_gives_up_its_user(self):
        def given_up(r):  # without root, it is as if there had been another user
            if os.geteuid() == 0:
                os.setuid(65534)
            else:
                r.memory.user = -1

        def is_own(r, before):
            gc.collect()
            links = ["/proc/self/fd/" + f for f in os.listdir("/proc/self/fd")]
            files = {
                (os.stat(f).st_ino, os.stat(f).st_uid)
                for f in links
                if os.path.exists(f) and "/memfd:resp-flask" in os.readlink(f)
            }
            now = os.fstat(r.memory.fd).st_ino
            return (now, os.geteuid()) in files and before not in dict(files)

        r = self.resp()
        r.session_config = lambda: ("shop:", 60)
        r.send(b"resp.pool_wait:2|ms|#pool:main")  # of a query at import, in the master
        self.assertEqual(self.receiver.line()[0], "resp.pool_wait")

        def forked():
            before = os.fstat(r.memory.fd).st_ino  # made at the fork
            given_up(r)
            memory = r.here()
            same = r.here() is memory and memory.user == os.geteuid()
            return same and is_own(r, before)

        def after_first_use():  # in a hook, before the worker has set its user
            slot = r.here().begin(b"GET")
            before, inode = r.memory, os.fstat(r.memory.fd).st_ino
            given_up(r)
            time.sleep(1.5)
            kept = r.memory is before  # while a request is in progress
            before.end(slot)
            before.lines[:2], before.unsent = b"x\n", 2
            while r.memory is before:
                time.sleep(0.05)
            pause, before = before.pause, None
            while rf._SESSIONS.unpack_from(r.memory.map, rf._SESSIONS_AT)[2][:5] != b"shop:":
                time.sleep(0.05)  # it is written next
            same = r.memory.pause == pause
            return kept and same and is_own(r, inode) and r.memory.errors == 0

        self.in_child(forked)
        self.in_child(after_first_use)
        self.assertEqual(self.receiver.socket.recv(100), b"x\n")

    def test_fork_in_the_middle_of_a_request(self):
        """The child finishes its copy of the request, though a thread of the parent holds the
        lock of the memory file at the fork."""
        m = self.wsgi(answer(body=iter([b"x"])))
        out = m(environ(), lambda *a: None)
        self.holds(m.resp.memory.lock)

        def finishes():
            inherited = out.memory
            out.close()
            self.call(m)
            return inherited.requests == 1 and m.resp.memory.requests == 1

        self.in_child(finishes)

    def holds(self, *locks):
        """Takes locks in a thread of their own until the event is set that it returns, or the
        test is over."""
        held, over = threading.Event(), threading.Event()

        def holds():
            with contextlib.ExitStack() as stack:
                for lock in locks:
                    stack.enter_context(lock)
                held.set()
                over.wait(20)

        thread = threading.Thread(target=holds)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(over.set)
        self.assertTrue(held.wait(20))
        return over

    def test_fork_without_handlers(self):
        """As uWSGI forks. The child has what is its own, although threads of the parent hold all
        locks; the file of the parent stays as it is."""
        m = self.wsgi(answer(body=iter([b"x"])))
        r = m.resp
        r.task("t", every=1000)(print)
        r.control = rf._Control(self.control(), "shop", {os.geteuid()})
        kept = m(environ(), lambda *a: None)
        self.call(m)
        self.receiver.line()
        before, fd = os.fstat(r.memory.fd).st_ino, r.memory.fd
        held = list(r.starting.values()) + [r.memory.lock, r.shedder.lock, r.sender.lock]
        over = self.holds(*held, r.control.lock, r.tasks[0].lock)
        sender, watch, inherited = r.sender.socket, r.serving, r.memory

        def checks():
            assert r.serving == watch != os.getpid()
            m.app = answer()
            threads = [threading.Thread(target=self.call, args=(m,)) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            with r.control.lock, r.tasks[0].lock, r.shedder.lock:
                pass
            own = r.memory
            return (
                (own.pid, own.requests, own.errors, len(own.free)) == (os.getpid(), 4, 0, 128)
                and rf._HEADER.unpack_from(own.map, 0)[2] == os.getpid()
                and os.fstat(own.fd).st_ino != before
                and (own.fd == fd or inherited.fd == -1)
                and sum(states(r)) == 0
                and r.sender.socket is not sender
                and r.serving == os.getpid()
                and r.tasks[0].thread.is_alive()
                and list(r.starting) == [os.getpid()]
            )

        self.in_child(checks, ctypes.PyDLL(None).fork, again=2)
        over.set()
        self.assertEqual((r.memory.requests, states(r).count(rf.IN_PROGRESS)), (1, 1))
        self.assertEqual(rf._HEADER.unpack_from(r.memory.map, 0)[2], os.getpid())
        kept.close()

    def test_collections_of_the_parent_are_not_counted(self):
        r = self.resp()
        r.remember()
        gc.disable()
        self.addCleanup(gc.enable)

        def counted():
            r.memory.cycles()
            return rf._CYCLES.unpack_from(r.memory.map, rf._CYCLES_AT)

        before = counted()
        for _ in range(5):
            gc.collect()
        self.assertEqual(counted(), before[:2] + (before[2] + 5,))
        self.in_child(lambda: counted() == (0, 0, 0))

    def test_memory_file_is_found_and_valid(self):
        m = self.wsgi(answer())
        self.call(m)
        fd = m.resp.memory.fd
        self.assertEqual(os.readlink("/proc/self/fd/%d" % fd), "/memfd:resp-flask (deleted)")
        data = os.pread(fd, 1 << 20, 0)
        self.assertEqual(len(data), rf.MEMORY_SIZE)
        magic, size, pid, requests, pools, tasks, _, _ = rf._HEADER.unpack_from(data)
        self.assertEqual((magic, size, pid), (rf.MAGIC, rf.MEMORY_SIZE, os.getpid()))
        self.assertEqual((requests, pools, tasks), (rf.REQUESTS, rf.POOLS, rf.TASKS))

    def test_random_texts_stay_within_their_bounds(self):
        r = random.Random(7)
        for _ in range(2000):
            text = "".join(
                chr(r.choice((r.randrange(128), r.randrange(0xD800), 10, 44, 124)))
                for _ in range(r.randrange(300))
            )
            data = rf._clean(text, 200)
            self.assertLessEqual(len(data), 200)
            data.decode()
            self.assertFalse(set(data) & set(b"\n\r\0,|"), text)


class ControlTests(Base):
    def follows(self, m):
        """Waits until the control file has been looked at."""
        m.resp.here()
        while m.resp.control.seen is None or m.resp.control.lock.locked():
            m.resp.control.look()

    def throttled(self, requests=3000, app=None, path="/", **throttle):
        throttle.setdefault("until", time.time() + 60)
        directory = self.control(throttle=throttle)
        m = rf.Middleware(
            app or answer(),
            self.resp(control_dir=directory, statsd=""),
            priorities={"/low": "low", "/high": "high"},
        )
        self.follows(m)
        paths = path if isinstance(path, list) else [path]
        shed = dict.fromkeys(paths, 0)
        for i in range(requests):
            p = paths[i % len(paths)]
            shed[p] += self.call(m, p)[0].startswith("503")
        return m, shed

    def test_share(self):
        for percent in (0, 10, 30, 60, 95):
            m, shed = self.throttled(percent=percent)
            self.assertAlmostEqual(shed["/"] / 30, percent, delta=3)
            self.assertEqual(m.resp.memory.shed, shed["/"])
            counters = m.resp.memory.counters
            self.assertEqual((counters[2], counters[5]), (shed["/"], 3000))

    def test_acknowledged(self):
        """What is followed of the control file is in the memory file, without a request too."""

        def acknowledged(m, flags, percent):
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                now = rf._CONTROL.unpack_from(m.resp.memory.map, rf._CONTROL_AT)
                if now[:2] == (flags, percent):
                    return now
                time.sleep(0.05)
            self.fail("%s, want %s" % (now, (flags, percent)))

        directory = self.control(throttle={"percent": 12.5, "until": time.time() + 600})
        m = rf.Middleware(answer(), self.resp(control_dir=directory, statsd=""))
        m.resp.here()
        at = rf._NAME_AT
        self.assertEqual(bytes(m.resp.memory.map[at : at + rf._NAME_MAX]).rstrip(b"\0"), b"shop")
        self.assertEqual(acknowledged(m, rf.FOLLOWS | rf.THROTTLED, 1250)[2], 1250)
        m.resp.control.throttle.over = 0  # it has ended
        acknowledged(m, rf.FOLLOWS, 0)
        with open(os.path.join(directory, "shop.json"), "w") as f:
            f.write("{")
        acknowledged(m, rf.FOLLOWS | rf.REFUSED, 0)
        os.unlink(os.path.join(directory, "shop.json"))
        acknowledged(m, rf.FOLLOWS, 0)
        m.resp.request_start = True
        acknowledged(m, rf.FOLLOWS | rf.QUEUE_TIME, 0)

    def test_refused_directory(self):
        """A directory that is not believed is refused without a file in it, too."""
        home = os.path.join(self.home, "run")
        directory = os.path.join(home, "control")
        os.mkdir(home, 0o755)
        c = self.resp(control_dir=directory, statsd="").control

        def refused():
            c.next = 0.0
            c.look()
            return c.refused

        self.assertFalse(refused(), "no directory yet")
        os.mkdir(directory, 0o755)
        self.assertFalse(refused(), "no file")
        for mode in (0o775, 0o757):
            os.chmod(directory, mode)
            self.assertTrue(refused(), oct(mode))
        os.chmod(directory, 0o755)
        self.assertFalse(refused(), "as before")
        if os.geteuid() == 0:
            os.chown(directory, 65534, 65534)
            self.assertTrue(refused(), "a stranger's")
            os.rmdir(directory)
            os.chown(home, 65534, 65534)
            self.assertTrue(refused(), "a stranger's, when it is made")
            c.owners = set(c.owners) | {65534}
            self.assertFalse(refused(), "control_user's")

    def test_no_file_is_never_refused(self):
        """Not for a moment, either: a thread may acknowledge while another one looks."""
        c = self.resp(control_dir=self.control(), statsd="").control
        told, check, read = [], c.check_directory, c.read

        def checked():
            told.append(c.refused)
            check()

        c.check_directory = checked
        c.read = lambda: os.unlink(c.path) or read()
        with self.assertLogs("resp_flask"):
            c.look()  # the file is removed between two calls of the system
        told.append(c.refused)
        for _ in range(3):
            c.next = 0.0
            c.look()
        self.assertEqual((told, c.refused), ([False] * 4, False))
        directory = c.path
        c.path = os.path.join(os.path.dirname(directory), "x" * 300)  # ENAMETOOLONG
        c.next = 0.0
        with self.assertLogs("resp_flask"):
            c.look()
        self.assertTrue(c.refused)

    def test_throttle_that_ends_meanwhile(self):
        """Another thread may end the throttle between two steps of a request."""

        class Control:
            reads, next = 0, 0.0

            def look(self):
                pass

            @property
            def throttle(self):
                self.reads += 1
                until = {"percent": 95, "until": time.time() + 60}
                return rf._Throttle(until) if self.reads % 2 else None

        m = self.wsgi(answer())
        m.resp.here()
        m.resp.control = control = Control()
        self.call(m)
        self.assertEqual((control.reads, m.resp.memory.errors), (1, 0))

    def test_too_far_ahead(self):
        """What is too far ahead is followed when time has passed; the file is the same."""
        now = time.time()
        until = now + 1800.5
        directory = self.control(throttle={"percent": 95, "until": until})
        c = self.resp(control_dir=directory, statsd="").control
        with mock.patch.object(rf.time, "time", lambda: now):
            with self.assertLogs("resp_flask") as logs:
                c.look()
                c.next = 0.0
                c.look()
        self.assertEqual((c.refused, c.throttle, len(logs.output)), (True, None, 1))
        with mock.patch.object(rf.time, "time", lambda: now + 0.6):
            c.next = 0.0
            c.look()
        self.assertEqual((c.refused, c.throttle and c.throttle.until), (False, until))

    def test_ends_although_the_clock_is_set_back(self):
        throttle = rf._Throttle({"percent": 90, "until": time.time() + 60})
        self.assertTrue(throttle.lasts())
        real, rf._now = rf._now, lambda: time.monotonic() + 61
        try:
            self.assertFalse(throttle.lasts())
        finally:
            rf._now = real

    def test_low_priorities_first(self):
        _, shed = self.throttled(percent=50, path=["/low", "/other", "/high"])
        self.assertGreater(shed["/low"], 900)
        self.assertAlmostEqual(sum(shed.values()) / 30, 50, delta=4)
        self.assertLess(shed["/high"], 60)

    def test_exempt(self):
        _, shed = self.throttled(percent=95, path=["/healthz", "/livez", "/mine"], exempt=["/mine"])
        self.assertEqual(sum(shed.values()), 0)

    def test_refusal(self):
        directory = self.control(throttle={"percent": 95, "until": time.time() + 60})
        m = rf.Middleware(answer(), self.resp(control_dir=directory))
        self.follows(m)
        self.follows(m)
        seen = []
        for _ in range(100):
            list(m(environ(), lambda status, headers: seen.append((status, dict(headers)))))
        refused = [h for s, h in seen if s.startswith("503")]
        self.assertGreater(len({h["Retry-After"] for h in refused}), 1)
        self.assertTrue(all(1 <= int(h["Retry-After"]) <= 5 for h in refused))

    def test_refusal_that_cannot_be_reported(self):
        m = self.wsgi(answer())
        m.resp.here()

        def fails(*a):
            raise ZeroDivisionError

        m.resp.ended, seen = fails, []
        body = m.refuse(m.resp.memory, b"GET", None, lambda status, headers: seen.append(status))
        self.assertEqual((seen, len(body)), (["503 Service Unavailable"], 1))
        self.assertEqual((m.resp.memory.requests, m.resp.memory.errors), (1, 1))

    def test_what_fails_open(self):
        good = {"percent": 90, "until": time.time() + 60}
        for what, throttle in {
            "over": dict(good, until=time.time() - 1),
            "for too long": dict(good, until=time.time() + 7200),
            "no end": {"percent": 90},
            "not a number": dict(good, percent="90"),
            "NaN": dict(good, percent=float("nan")),
            "too much": dict(good, percent=100),
            "negative": dict(good, percent=-1),
            "a list": [1],
        }.items():
            directory = self.control(throttle=throttle)
            m = rf.Middleware(answer(), self.resp(control_dir=directory, statsd=""))
            shed = sum(self.call(m)[0].startswith("503") for _ in range(100))
            self.assertEqual(shed, 0, what)

    def test_who_is_believed(self):
        throttle = {"percent": 95, "until": time.time() + 60}
        directory = self.control(throttle=throttle)
        file = os.path.join(directory, "shop.json")

        def shed():
            m = rf.Middleware(answer(), self.resp(control_dir=directory, statsd=""))
            self.follows(m)
            return sum(self.call(m)[0].startswith("503") for _ in range(50)) > 10

        self.assertTrue(shed())
        for path, mode, back in (
            (file, 0o664, 0o644),
            (file, 0o646, 0o644),
            (directory, 0o775, 0o755),
            (directory, 0o1777, 0o755),
        ):
            os.chmod(path, mode)
            self.assertFalse(shed(), (path, oct(mode)))
            os.chmod(path, back)
            self.assertTrue(shed())
        os.link(file, file + ".second")
        self.assertFalse(shed(), "two links")
        os.unlink(file + ".second")
        os.rename(file, file + ".real")
        os.symlink(file + ".real", file)
        self.assertFalse(shed(), "a symbolic link")
        os.unlink(file)
        os.mkfifo(file)
        self.assertFalse(shed(), "a pipe")
        os.unlink(file)
        with open(file, "wb") as f:
            f.write(b" " * (rf._MAX_CONTROL + 1))
        os.chmod(file, 0o644)
        self.assertFalse(shed(), "too long")
        with open(file, "wb") as f:
            f.write(b'{"version":1,"throttle":{"per')
        self.assertFalse(shed(), "torn")
        if os.geteuid() == 0:
            os.unlink(file)
            self.control(throttle=throttle)
            os.chown(file, 65534, 65534)
            self.assertFalse(shed(), "a stranger's file")
            os.chown(directory, 65534, 65534)
            self.assertFalse(shed(), "a stranger's file and directory")
            os.environ["RESP_CONTROL_USER"] = "65534"
            self.addCleanup(os.environ.pop, "RESP_CONTROL_USER", None)
            self.assertTrue(shed(), "the exporter's user")
            os.environ["RESP_CONTROL_USER"] = "65533"
            self.assertFalse(shed(), "another user than the exporter's")

    def test_user_by_id_or_name(self):
        with self.assertLogs(rf._log, "WARNING"):
            self.assertEqual(rf._user("nobody-has-this-name"), set())
        for value, want in (("", set()), (998, {998}), ("998", {998}), ("root", {0}), (0, {0})):
            self.assertEqual(rf._user(value), want, value)

    def test_gone_file_ends_the_throttle(self):
        directory = self.control(throttle={"percent": 95, "until": time.time() + 60})
        m = rf.Middleware(answer(), self.resp(control_dir=directory, statsd=""))
        self.follows(m)
        self.assertGreater(sum(self.call(m)[0].startswith("503") for _ in range(50)), 10)
        os.unlink(os.path.join(directory, "shop.json"))
        m.resp.control.next = 0
        self.assertEqual(sum(self.call(m)[0].startswith("503") for _ in range(50)), 0)

    def test_target(self):
        """With a target of 1 s, more requests than can be served are shed so that the rest
        waits no longer, at any load; where others suffice, no important one is shed."""
        for name, load in {
            "x1.2": {"load": 1.2},
            "x2": {"load": 2},
            "x3": {"load": 3},
            "x5": {"load": 5},
            "bursts": {"load": 1, "bursts": (0.3, 4)},
            "a slow route": {"load": 3, "slow": 0.03},
            "one queue": {"load": 3, "workers": 8, "threads": 1, "shared": True},
            "many threads": {"load": 3, "threads": 16},
            "begun late": {"load": 3, "delay": 20},
        }.items():
            with self.subTest(name):
                q = Queue(**load)
                q.run(80)
                accepted, served, high = q.since(q.delay + 10)
                self.assertLess(accepted[int(len(accepted) * 0.95)], 1.5)
                if name != "bursts":  # it is idle between them
                    self.assertGreater(served, 0.95)
                self.assertGreater(high, 0.99)
                self.assertGreater(q.since(0)[2], 0.97)  # also while the first queue drains

    def test_target_is_not_exceeded(self):
        """Nothing is shed that need not be."""
        q = Queue(load=0.8)
        q.run(60)
        self.assertEqual(sum(shed for _, _, shed, _ in q.done), 0)

    def test_target_with_important_requests_alone(self):
        """Where the others do not suffice, the important ones are shed too."""
        q = Queue(load=3, high=0.8, low=0.1)
        q.run(80)
        accepted, served, high = q.since(q.delay + 10)
        self.assertLess(accepted[int(len(accepted) * 0.95)], 3)
        self.assertGreater(served, 0.95)
        self.assertGreater(high, 0.3)

    def test_queue_of_late(self):
        """The mean time in the queue is of the last seconds, and so is the share of a target."""
        m = rf._Memory()
        for waited in [1.0] * 4 + [0.0] * 8:
            for _ in range(2):
                m.queued(waited)
                m.judged(waited > 0, "normal")
            share = m.look_back()
            if waited:
                self.assertEqual(share, 1)
                self.assertEqual(rf._QUEUE.unpack_from(m.map, rf._QUEUE_AT)[1], 1000000)
        self.assertEqual((share, rf._QUEUE.unpack_from(m.map, rf._QUEUE_AT)), (0, (10, 0)))

    def test_garbage(self):
        m = rf.Middleware(answer(), self.resp(control_dir=self.control()))
        self.call(m)

        class Node:
            pass

        for _ in range(1000):
            a, b = Node(), Node()
            a.b, b.a = b, a
        del a, b
        self.control(collect_garbage={"run": "r1", "until": time.time() + 60})
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            sequence, run, objects, took, before, after = rf._GARBAGE.unpack_from(
                m.resp.memory.map, rf._GARBAGE_AT
            )
            if run.rstrip(b"\0") == b"r1":
                break
            time.sleep(0.05)
        self.assertEqual((sequence & 1, run.rstrip(b"\0")), (0, b"r1"))
        self.assertTrue(took > 0 and before > 0 and after > 0)

    def test_trace_memory(self):
        import tracemalloc

        kept, counts = [], []  # how many there were when the trace began, and when it ended
        for name in ("start", "take_snapshot"):
            real = getattr(tracemalloc, name)
            counted = mock.Mock(side_effect=lambda f=real: (counts.append(len(kept)), f())[1])
            self.enter(mock.patch.object(tracemalloc, name, counted))
        asked = {"run": "t-1", "pid": os.getpid(), "until": time.time() + 60, "seconds": 1}
        directory = self.control(trace_memory=asked)
        r = self.resp(control_dir=directory)
        r.here()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            kept.append(bytearray(100000))
            line = sys._getframe().f_lineno - 1
            n = rf._GROWTH.unpack_from(r.memory.map, rf.GROWTHS_AT)
            if n[1]:
                break
            time.sleep(0.02)
        self.assertEqual((n[2], n[5].rstrip(b"\0")), (line, b"t-1"))
        traced = counts[1] - counts[0]
        self.assertGreater(traced, 1)
        self.assertGreaterEqual(n[4], 100000 * (traced - 1))  # one may have begun before
        self.assertTrue(n[7][: n[6]].decode().endswith("test_resp_flask.py"), n)
        self.assertFalse(tracemalloc.is_tracing())
        r.trace()  # the same run once only
        self.assertFalse(tracemalloc.is_tracing())
        self.assertEqual(r.memory.errors, 0)

    def test_trace_is_bounded(self):
        """A trace ends before its time when it keeps 16 MiB, and tells what it has found."""
        import tracemalloc

        asked = {"run": "t-3", "pid": os.getpid(), "until": time.time() + 60, "seconds": 60}
        r = self.resp(control_dir=self.control(trace_memory=asked))
        r.memory = rf._Memory()  # without the thread, which looks at the file too
        r.control.look()
        r.trace()
        self.addCleanup(tracemalloc.stop)
        r.trace()
        self.assertTrue(tracemalloc.is_tracing())
        kept = []
        while tracemalloc.get_tracemalloc_memory() < 16 << 20:
            self.assertLess(len(kept), 5000000)
            kept.extend(object() for _ in range(10000))
            line = sys._getframe().f_lineno - 1
        r.trace()
        self.assertEqual((tracemalloc.is_tracing(), r.trace_ends), (False, 0.0))
        n = rf._GROWTH.unpack_from(r.memory.map, rf.GROWTHS_AT)
        self.assertEqual((n[1], n[2], n[5].rstrip(b"\0")), (1, line, b"t-3"))
        r.trace()
        self.assertFalse(tracemalloc.is_tracing())

    def test_trace_of_another_process(self):
        asked = {"run": "t-2", "pid": 1, "until": time.time() + 60}
        r = self.resp(control_dir=self.control(trace_memory=asked))
        r.memory = rf._Memory()  # without the thread, which looks at the file too
        r.control.look()
        r.trace()
        self.assertEqual((r.control.trace.run, r.trace_ends), ("t-2", 0.0))


class KeyTests(Base):
    """The control key, with a Redis of its own."""

    SECRET = b"0123456789abcdef"

    def setUp(self):
        super().setUp()
        self.socket = os.path.join(self.home, "redis.sock")
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.home]
            + ["--save", "", "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(shutil.rmtree, self.home, True)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        import redis

        self.redis = redis.Redis(unix_socket_path=self.socket)
        self.wait(self.up)

    def up(self):
        try:
            return self.redis.ping()
        except Exception:
            return False

    def wait(self, ok, seconds=20):
        deadline = time.monotonic() + seconds
        while not ok():
            self.assertLess(time.monotonic(), deadline, "not in time")
            time.sleep(0.02)

    def asked(self, **settings):
        settings.setdefault("control_redis", self.redis)
        settings.setdefault("control_key", self.SECRET)
        return self.resp(statsd="", **settings)

    def value(self, app="shop", by="web-1", ago=0.0, secret=None, document=None, **asked):
        """Returns a value as an exporter signs it."""
        if document is None:
            document = json.dumps(dict({"version": 1}, **asked))
        sent = int((time.time() - ago) * 1000)
        fields = (app.encode(), by.encode(), b"%d" % sent, document.encode())
        mac = rf._signature(secret or self.SECRET, b"resp-exporter control 1", *fields)
        return json.dumps(
            {"version": 1, "by": by, "sent": sent, "document": document, "mac": mac}
        )

    def throttle(self, percent=95, ends=60):
        return {"percent": percent, "until": time.time() + ends}

    def put(self, *args, **more):
        self.redis.set("resp:control:shop", self.value(*args, **more))

    def test_signature(self):
        """The same as in the tests of the exporter."""
        document = b'{"version":1,"throttle":{"percent":30,"until":1767323045.5}}'
        fields = (b"shop", b"web-1:9868", b"1767323045500", document)
        self.assertEqual(
            rf._signature(self.SECRET, b"resp-exporter control 1", *fields),
            "77fd14e5daa554909d8af8d1ac2b10c5c6bfcad094630c84b458bac842b928c3",
        )

    def test_share(self):
        m = rf.Middleware(answer(), self.asked())
        self.put(throttle=self.throttle(40))
        m.resp.here()
        self.wait(lambda: m.resp.key.throttle)
        shed = 0
        for n in range(3000):
            if n % 100 == 0:
                self.put(throttle=self.throttle(40))  # renewed
            shed += self.call(m)[0].startswith("503")
        self.assertAlmostEqual(shed / 30, 40, delta=3)
        self.put(throttle=self.throttle(40))
        self.wait(lambda: rf._CONTROL.unpack_from(m.resp.memory.map, rf._CONTROL_AT)[0])
        flags, percent, _ = rf._CONTROL.unpack_from(m.resp.memory.map, rf._CONTROL_AT)
        self.assertEqual((flags, percent), (rf.THROTTLED, 4000), "it follows no file")
        self.redis.delete("resp:control:shop")
        self.wait(lambda: m.resp.key.throttle is None)
        self.assertEqual(self.call(m)[0], "200 OK")

    def test_not_renewed(self):
        """What an exporter no longer renews ends after five seconds, also if it stays."""
        r = self.asked()
        self.put(throttle=self.throttle(ends=600))
        own = r.key.connect()
        self.assertTrue(r.key.read(own))
        t = r.throttle()
        self.assertLessEqual(t.over - time.monotonic(), 5)
        r.key.signed["web-1"] = (r.key.signed["web-1"][0], time.monotonic() - 5)
        r.key.read(own)
        self.assertIsNone(r.throttle())

        def renewed():
            self.put(throttle=self.throttle())
            return r.key.read(own) and r.throttle()

        self.wait(renewed)  # a machine that is busy may be late with a reply

    def test_file_first(self):
        directory = self.control(throttle=self.throttle(10))
        r = self.asked(control_dir=directory)
        self.put(throttle=self.throttle(90))
        r.here()  # it reads both
        self.wait(lambda: r.key.throttle and r.control.throttle)
        self.assertEqual(r.throttle().percent, 10)
        r.control.throttle.over = 0  # it has ended
        self.assertEqual(r.throttle().percent, 90)
        m = rf.Middleware(answer(), r)
        m.sheds = lambda environ, throttle, waited: seen.append(throttle.percent)
        seen, r.control.next = [], float("inf")
        self.call(m)
        r.control.throttle.over = float("inf")
        self.call(m)
        self.assertEqual(seen, [90, 10])

    def test_garbage_once(self):
        """A worker does each run once, from wherever it hears of it, and however often."""
        end = time.time() + 60
        r = self.asked(control_dir=self.control(collect_garbage={"run": "a", "until": end}))
        r.remember()
        own = r.key.connect()
        done = []
        for run in ("a", "b", "a", "b", "c"):
            self.put(collect_garbage={"run": run, "until": end})
            r.key.read(own)
            r.control.next = 0.0
            r.control.look()
            for _ in range(3):
                before = r.memory.collections
                r.collect()
                if r.memory.collections != before:
                    done.append(list(r.garbage_done)[-1])
        self.assertEqual(done, ["a", "b", "c"])

    def test_not_believed(self):
        """Whatever somebody has put at the key: nothing of it is followed, and nothing grows."""
        good = self.throttle()
        other = {"version": 1, "throttle": good}
        signed = json.loads(self.value(throttle=good))
        attacks = {
            "unsigned": json.dumps(dict(signed, mac="")),
            "no mac": json.dumps({k: v for k, v in signed.items() if k != "mac"}),
            "another key": self.value(secret=b"another secret..", throttle=good),
            "another app": self.value(app="blog", throttle=good),
            "more asked": json.dumps(dict(signed, document=json.dumps(other))),
            "another signer": json.dumps(dict(signed, by="web-2")),
            "a later time": json.dumps(dict(signed, sent=signed["sent"] + 1)),
            "old": self.value(ago=61, throttle=good),
            "of later": self.value(ago=-61, throttle=good),
            "over": self.value(throttle=self.throttle(ends=-1)),
            "too far ahead": self.value(throttle=self.throttle(ends=1900)),
            "too much": self.value(throttle=self.throttle(96)),
            "no document": self.value(document="[]"),
            "another version": self.value(version=2, throttle=good),
            "text": "{",
            "a number": "1",
            "deep": "[" * 60000,
            "a float": json.dumps(dict(signed, sent=1e300)),
            "a mac of no ASCII": json.dumps(dict(signed, mac="\u00e9")),
            "a surrogate": json.dumps(dict(signed, by="\ud800")),
            "a megabyte": json.dumps(dict(signed, more="x" * (1 << 20))),
            "no UTF-8": b"\xff\xfe{",
        }
        r = self.asked()
        own = r.key.connect()
        for name, value in attacks.items():
            self.put(throttle=good)
            r.key.read(own)
            self.assertIsNotNone(r.throttle(), "before " + name)
            self.redis.set("resp:control:shop", value)
            self.assertTrue(r.key.read(own), name)
            self.assertIsNone(r.throttle(), name)
        for kind in ("hset", "rpush"):
            self.redis.delete("resp:control:shop")
            getattr(self.redis, kind)("resp:control:shop", "a", *("b",) * (kind == "hset"))
            self.assertTrue(r.key.read(own), kind)
            self.assertIsNone(r.throttle(), kind)
        self.redis.delete("resp:control:shop")
        self.assertEqual(list(r.key.signed), ["web-1"])
        for i in range(200):  # whoever has the secret
            r.key.take(self.value(by="web-%d" % i, throttle=good).encode())
        self.assertLessEqual(len(r.key.signed), rf._KEY_SIGNERS)

    def test_not_replayed(self):
        r = self.asked()
        before = self.value(ago=2, throttle=self.throttle())
        r.key.take(before.encode())
        self.assertIsNotNone(r.throttle())
        r.key.take(self.value().encode())  # nothing is asked any more
        self.assertIsNone(r.throttle())
        r.key.take(before.encode())
        self.assertIsNone(r.throttle())

    def test_only_what_concerns_all_workers(self):
        end = time.time() + 60
        directory = self.control()
        r = self.asked(control_dir=directory)
        trace = {"run": "t", "pid": os.getpid(), "until": end, "seconds": 5}
        self.put(trace_memory=trace, restart_task={"run": "r", "task": "x", "until": end})
        r.key.read(r.key.connect())
        self.assertEqual((r.control.trace, r.control.restart, r.throttle()), (None, None, None))

    def test_redis_ends(self):
        """All requests are served soon after Redis has ended, and none waits for it."""
        m = rf.Middleware(answer(), self.asked())
        self.put(throttle=self.throttle())
        m.resp.here()
        self.wait(lambda: m.resp.throttle() is not None)
        readers, read, count = set(), m.resp.key.read, {"begun": 0, "ended": 0, "served": 0}

        def reads(own):
            readers.add(threading.current_thread().name)
            count["begun"] += 1
            try:
                return read(own)
            finally:
                count["ended"] += 1

        m.resp.key.read = reads
        self.put(throttle=self.throttle())
        self.process.send_signal(signal.SIGSTOP)  # it answers no more

        def over():
            ended, reading = count["ended"], count["begun"] > count["ended"]
            self.call(m)
            count["served"] += reading and count["ended"] == ended  # within one read
            t = m.resp.throttle()
            self.assertTrue(t is None or t.over - time.monotonic() <= 5)
            return t is None and readers

        self.wait(over)
        self.process.send_signal(signal.SIGCONT)
        self.assertEqual(readers, {"resp-flask-key"})  # no request does
        self.assertGreater(count["served"], 0)
        self.assertEqual(self.call(m)[0], "200 OK")

    def test_forked(self):
        """Each process reads for itself, with a connection of its own."""
        m = rf.Middleware(answer(), self.asked())
        self.put(throttle=self.throttle())
        m.resp.here()
        self.wait(lambda: m.resp.throttle() is not None)
        pid = os.fork()
        if pid == 0:
            try:
                before = m.resp.throttle()
                m.resp.here()
                deadline = time.monotonic() + 10
                while m.resp.throttle() is None and time.monotonic() < deadline:
                    self.put(throttle=self.throttle())
                    time.sleep(0.1)
                os._exit(0 if before is None and m.resp.throttle() is not None else 1)
            finally:
                os._exit(2)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def test_connection_of_its_own(self):
        """The connection has the address of the app's, and not what its pool keeps for itself."""
        self.redis.connection_pool.connection_kwargs["orig_socket_timeout"] = None
        self.redis.connection_pool.connection_kwargs["cache"] = object()
        r = self.asked()
        own = r.key.connect()
        self.assertTrue(r.key.read(own))
        kwargs = own.connection_pool.connection_kwargs
        self.assertEqual((kwargs["path"], kwargs["socket_timeout"]), (self.socket, 0.5))
        self.assertNotEqual(kwargs.get("orig_socket_timeout", 0.5), None)

    def test_settings(self):
        for more in (
            {"control_key": self.SECRET},
            {"control_redis": self.redis},
            {"control_redis": self.redis, "control_key": "short"},
            {"control_redis": object(), "control_key": self.SECRET},
        ):
            with self.assertRaises(ValueError, msg=str(more)):
                self.resp(**more)
        with self.assertRaises(ValueError):
            rf.Resp(None, statsd="", control_redis=self.redis, control_key=self.SECRET)
        path = os.path.join(self.home, "key")
        os.environ["RESP_CONTROL_KEY_FILE"] = path
        self.addCleanup(os.environ.pop, "RESP_CONTROL_KEY_FILE")
        for text, ok in ((b"\xef\xbb\xbf" + self.SECRET + b"\r\n", True), (b"a" * 20 + b"\nb", False)):
            with open(path, "wb") as f:
                f.write(text)
            if ok:
                self.assertEqual(self.resp(control_redis=self.redis).key.secret, self.SECRET)
            else:
                self.assertRaises(ValueError, self.resp, control_redis=self.redis)
        os.unlink(path)
        self.assertRaises(ValueError, self.resp, control_redis=self.redis)


class SenderTests(Base):
    def test_nobody_listens(self):
        port = self.receiver.socket.getsockname()[1]
        self.receiver.close()
        m = rf.Middleware(answer(), self.resp(statsd="udp://127.0.0.1:%d" % port))
        for _ in range(20):
            self.assertEqual(self.call(m)[0], "200 OK")
        m.resp.flush()
        m.resp.flush()
        self.assertGreater(m.resp.memory.lost, 0)

    def test_refused_datagram_is_the_one_before(self):
        """Each line that nobody received is counted, and none that somebody did."""
        at = self.receiver.socket.getsockname()
        r = self.resp()
        r.send(b"a:1|ms\nb:1|ms")  # two lines
        self.assertEqual(self.receiver.socket.recv(65536), b"a:1|ms\nb:1|ms\n")
        self.receiver.close()
        for n in range(3):
            r.send(b"c:1|ms\nd:1|ms\ne:1|ms")
            self.assertEqual(r.memory.lost, 3 * n)
        self.receiver.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.receiver.socket.bind(at)
        self.receiver.socket.settimeout(30)
        for n in range(3):
            r.send(b"f:%d|ms" % n)
            self.assertEqual(self.receiver.socket.recv(65536), b"f:%d|ms\n" % n)
            self.assertEqual(r.memory.lost, 9)

    def test_unix_socket_that_is_bound_again(self):
        """The first datagram arrives, by a new connection."""
        path = os.path.join(self.home, "s")
        r = self.resp(statsd="unixgram://" + path)
        for n in range(3):
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            s.bind(path)
            s.settimeout(30)
            r.sender.retry = 0  # a second later
            r.send(b"a:%d|ms" % n)
            self.assertEqual(s.recv(65536), b"a:%d|ms\n" % n)
            s.close()
            os.unlink(path)
        self.assertEqual(r.memory.lost, 0)
        r.send(b"a:3|ms\nb:3|ms")
        self.assertEqual(r.memory.lost, 2)

    def test_handler_of_a_signal_sends(self):
        """It does so while its thread connects, and does not wait for itself."""
        r = self.resp()
        connected, r.sender._connected = r.sender._connected, lambda: handled()

        def handled():
            r.sender._connected = connected
            signal.raise_signal(signal.SIGUSR1)
            r.sender.retry = 0
            signal.raise_signal(signal.SIGUSR1)
            return connected()

        before = signal.signal(signal.SIGUSR1, lambda *a: r.sender.send(b"handler:1|ms\n"))
        self.addCleanup(signal.signal, signal.SIGUSR1, before)

        def sends():
            lost = r.sender.send(b"own:1|ms\n")
            got = [self.receiver.socket.recv(65536) for _ in range(2)]
            return (lost, got) == (0, [b"handler:1|ms\n", b"own:1|ms\n"])

        self.in_child(sends)

    def test_socket_that_comes_back(self):
        path = os.path.join(self.home, "s")
        m = rf.Middleware(answer(), self.resp(statsd="unixgram://" + path))
        self.call(m)
        self.assertEqual(m.resp.memory.lost, 1)
        for _ in range(2):
            m.resp.sender.retry = 0
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            s.bind(path)
            s.settimeout(30)
            self.call(m)
            self.assertIn(b"resp.request", s.recv(65536))
            s.close()
            os.unlink(path)
            self.call(m)

    def test_full_socket_does_not_wait(self):
        path = os.path.join(self.home, "s")
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(s.close)
        s.bind(path)
        m = rf.Middleware(answer(), self.resp(statsd="unixgram://" + path))
        for _ in range(3000):
            self.call(m)
        self.assertGreater(m.resp.memory.lost, 0)

    def busy(self, **settings):
        """Returns an app that has sent a datagram just now."""
        m = rf.Middleware(answer(), self.resp(**settings))
        m.resp.here()
        while not m.resp.memory.pause:  # its thread runs
            time.sleep(0.001)
        m.resp.memory.sent, m.resp.memory.pause = rf._now(), 3600
        return m

    def unsent(self, resp):
        """Returns the lines in the memory file that are not sent yet."""
        m = resp.memory.map
        n = rf._SEQUENCE.unpack_from(m, rf.UNSENT_AT)[0]
        return bytes(m[rf.UNSENT_AT + 8 :][:n]).splitlines()

    def test_line_before_the_slot_is_free(self):
        # A process that is killed between the two would lose the request.
        m = self.busy()
        memory, seen = m.resp.memory, []
        end = memory.end

        def ends(slot):
            seen.append((slot >= 0, len(self.unsent(m.resp))))
            end(slot)

        memory.end = ends
        self.call(m)
        self.call(m)
        self.assertEqual(seen, [(True, 1), (True, 2)])

    def test_lines_leave_together(self):
        for address in (self.receiver.address, self.receiver.address.replace("127.", "0127.")):
            m = self.busy()
            m.resp.sender.most = rf._Sender(address).most
            self.assertEqual(m.resp.sender.most, 3576 if address[6] == "1" else 1400)
            threads = [
                threading.Thread(target=lambda: [self.call(m, "/", "POST") for _ in range(50)])
                for _ in range(4)
            ]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            m.resp.flush()
            lines, datagrams = 0, 0
            while lines < 200:
                data = self.receiver.socket.recv(65536)
                self.assertLessEqual(len(data), m.resp.sender.most)
                for line in data.splitlines():
                    self.assertEqual(parsed(line)[2]["method"], "POST")
                    lines += 1
                datagrams += 1
            self.assertEqual((lines, self.unsent(m.resp), m.resp.memory.lost), (200, [], 0))
            self.assertLess(datagrams, 40)

    def test_line_of_the_app(self):
        m = self.busy()
        early = self.resp()  # before the first request
        early.send(b"resp.task:1|ms|#task:t,outcome:ok")
        self.assertEqual(self.receiver.line()[0], "resp.task")
        for ms, name in ((5, b"main"), (7, b"x" * 4000)):
            m.resp.send(b"resp.pool_wait:%d|ms|#pool:%s" % (ms, name))
        m.resp.flush()
        lines = self.receiver.socket.recv(65536).splitlines()
        self.assertEqual(parsed(lines[0]), ("resp.pool_wait", 5.0, {"pool": "main"}))
        self.assertEqual((len(lines), len(lines[1])), (2, 1399))

    def test_called_in_the_middle_of_itself(self):
        for pause, most, enters in (
            (3600, 3576, "add"),
            (0, 3576, "add"),
            (3600, 60, "add"),
            (0, 3576, "flush"),
        ):
            at = 0
            while self.interrupted_at(at, pause, most, enters):
                at += 1
            self.assertGreater(at, 40)

    def interrupted_at(self, at, pause, most, enters):
        """Adds lines, and others where the interpreter has come to a step, and again in each of
        these. Reports whether there is such a step."""
        r = self.resp()
        memory = r.here()
        r.serving = 0  # its thread ends
        memory.pause, memory.sent, r.sender.most = pause, time.monotonic(), most
        memory.add(b"resp.task:0|ms|#task:t,outcome:ok\n")
        left, done = [at], [0]
        inside = {rf.Resp.add, rf.Resp.flush, rf.Resp.leaves, rf._Memory.add, rf._Memory.take}
        codes = {f.__code__ for f in inside}

        def step(frame, event, arg):
            frame.f_trace_opcodes = True
            if event == "opcode":
                left[0] -= 1
                if left[0] == -1:
                    done[0] += 1
                    r.flush()
                    r.add(b"resp.task:2|ms|#task:t,outcome:ok\n", time.monotonic())
            return step

        before = sys.gettrace()
        sys._getframe().f_trace_opcodes = True  # else Python 3.12 reports no steps
        sys.settrace(lambda frame, event, arg: step if frame.f_code in codes else None)
        try:
            if enters == "add":
                r.add(b"resp.task:1|ms|#task:t,outcome:ok\n", time.monotonic())
            else:
                r.flush()
        finally:
            sys.settrace(before)
        self.assertFalse(memory.busy)
        lines = self.unsent(r)
        r.forked()  # closes its socket
        self.receiver.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                lines += self.receiver.socket.recv(65536).splitlines()
        want = [b"0", b"1"][: 2 if enters == "add" else 1] + [b"2"] * done[0]
        got = sorted(line.split(b":")[1].split(b"|")[0] for line in lines)
        self.assertEqual((got, memory.lost), (want, 0), (at, pause, most, enters))
        return done[0] > 0

    def test_rest_leaves_within_a_second(self):
        m = self.busy()
        for i in range(3):
            self.call(m)
            self.assertEqual(len(self.unsent(m.resp)), i + 1)
        self.assertEqual(self.receiver.socket.recv(65536).count(b"resp.request:"), 3)
        self.assertEqual(self.unsent(m.resp), [])
        m.resp.memory.pause = 0.0
        self.call(m)  # one that is alone leaves at once
        self.assertEqual(self.unsent(m.resp), [])

    def test_forked_process_does_not_send_those_of_its_parent(self):
        m = self.busy()
        m.resp.serving = 0  # its thread ends
        m.resp.memory.add(b"resp.request:1|ms|#code:200,app:parent\n")
        pid = os.fork()
        if pid == 0:
            try:
                m.resp.flush()
                self.call(m)
                rf._at_exit()
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        self.assertEqual(self.receiver.line()[2]["app"], "shop")
        self.assertIn(b"app:parent", self.unsent(m.resp)[0])

    def test_forked_process_connects_at_once(self):
        """Also if its parent has just connected, as one that uses its pool while it is imported."""
        r = self.resp()
        for fork in (os.fork, ctypes.PyDLL(None).fork):
            with self.subTest(fork=fork):
                r.sender.forked()
                r.send(b"resp.pool_wait:1|ms|#pool:parent")
                self.assertEqual(self.receiver.line()[2]["pool"], "parent")

                def sends():
                    r.send(b"resp.pool_wait:1|ms|#pool:child")
                    return r.here().lost == 0

                self.in_child(sends, fork, again=2)
                self.assertEqual(self.receiver.line()[2]["pool"], "child")

    def test_end_of_the_process_sends_the_rest(self):
        code = (
            "import sys, time, resp_flask as rf\n"
            "r = rf.Resp('shop', statsd=sys.argv[1], control_dir='')\n"
            "m = rf.Middleware(lambda e, s: s('200 OK', []) or [], r)\n"
            "for _ in range(30): m({'REQUEST_METHOD': 'GET'}, lambda *a: None)\n"
        )
        subprocess.run([sys.executable, "-B", "-c", code, self.receiver.address], check=True)
        lines = 0
        while lines < 30:
            lines += self.receiver.socket.recv(65536).count(b"\n")
        self.assertEqual(lines, 30)

    def test_uwsgi_without_threads(self):
        class Server:
            opt = {}

        sys.modules["uwsgi"] = Server
        self.addCleanup(sys.modules.pop, "uwsgi")
        for options, want in (({}, False), ({"threads": b"2"}, True), ({b"enable-threads": True}, True)):
            Server.opt = options
            self.assertEqual(rf._threads_run(), want, options)
        Server.opt = {}
        m = rf.Middleware(answer(), self.resp())
        for _ in range(20):
            self.call(m)
            self.assertEqual(self.unsent(m.resp), [])

    def test_bad_settings(self):
        for settings in (
            {"statsd": "tcp://127.0.0.1:1"},
            {"statsd": "udp://statsd.example:1"},
            {"statsd": "udp://127.0.0.1:0"},
            {"statsd": "udp://127.0.0.1:65536"},
            {"statsd": "udp://[::1]:74661"},
            {"statsd": "unixgram://relative"},
        ):
            with self.assertRaises(ValueError):
                self.resp(**settings)
        for port in (1, 65535):
            self.assertTrue(self.resp(statsd="udp://127.0.0.1:%d" % port).sender)
        for name in ("../x", "a/b", ".x", "a b", "x" * 65):
            with self.assertRaises(ValueError):
                rf.Resp(name)
        with self.assertRaises(ValueError):
            rf.Middleware(answer(), self.resp(), priorities={"/": "urgent"})


class TaskTests(Base):
    def wait(self, condition):
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_runs_and_progress(self):
        r = self.resp()

        @r.task("cleanup", every=0.05)
        def cleanup(task):
            task.progress(3)

        r.here()
        self.wait(lambda: r.tasks[0].runs >= 3)
        r.stop()
        t = r.tasks[0]
        state, name = rf._TASK.unpack_from(r.memory.map, rf.TASKS_AT)[1:3]
        self.assertEqual((state, name.rstrip(b"\0")), (rf.STOPPED, b"cleanup"))
        self.assertEqual((t.failures, t.done), (0, 3 * t.runs))
        self.assertEqual(
            self.receiver.line()[2], {"app": "shop", "task": "cleanup", "outcome": "ok"}
        )

    def test_failures_are_apart_and_pauses_grow(self):
        r = self.resp()
        at, pauses = [], []

        @r.task("broken", every=1000)
        def broken():
            at.append(time.monotonic())
            raise ValueError("broken on purpose")

        @r.task("fine", every=0.05)
        def fine():
            pass

        rf._log.disabled = True
        self.addCleanup(setattr, rf._log, "disabled", False)
        real, random.random = random.random, lambda: 0.0
        self.addCleanup(setattr, random, "random", real)
        waking = r.tasks[0].waking
        waits, waking.wait = waking.wait, lambda pause: (pauses.append(pause), waits(pause))[1]
        r.here()
        self.wait(lambda: len(at) >= 3)
        self.wait(lambda: r.tasks[1].runs >= 3)
        r.stop(1)
        self.assertGreater(pauses[2], 1.5 * pauses[1])
        self.assertTrue(all(at[i] - at[i - 1] >= pauses[i] for i in (1, 2)), (at, pauses))
        self.assertEqual((r.tasks[0].restarts, r.tasks[1].failures), (r.tasks[0].failures, 0))

    def test_one_process_at_a_time(self):
        locks = rf._FileLocks(os.path.join(self.home, "locks"))
        with locks.lease("x", 100, 10) as mine:
            self.assertTrue(mine)
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    with rf._FileLocks(os.path.join(self.home, "locks")).lease(
                        "x", 100, 10
                    ) as other:
                        code = 0 if not other else 2
                finally:
                    os._exit(code)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
        with locks.lease("x", 100, 10) as mine:
            self.assertFalse(mine, "it was done a moment ago")
        with open(os.path.join(self.home, "locks", "x.lock"), "w") as f:
            f.write("%.3f" % (time.time() - 95))
        with locks.lease("x", 100, 10) as mine:
            self.assertTrue(mine, "nine tenths of the period have passed")

    def test_killed_holder_leaves_no_lock(self):
        pid = os.fork()
        if pid == 0:
            with rf._FileLocks(os.path.join(self.home, "locks")).lease("x", 100, 10):
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        with rf._FileLocks(os.path.join(self.home, "locks")).lease("x", 100, 10) as mine:
            self.assertTrue(mine)

    def test_lease_ends_with_the_run_though_it_has_forked(self):
        locks = rf._FileLocks(os.path.join(self.home, "locks"))
        asks, tells = os.pipe()
        with locks.lease("x", 100, 10) as mine:
            self.assertTrue(mine)
            pid = os.fork()
            if pid == 0:  # it lives on, with the descriptor of the lock
                os.close(tells)
                os.read(asks, 1)
                os._exit(0)
        try:
            open(os.path.join(self.home, "locks", "x.lock"), "w").close()  # it is due again
            with locks.lease("x", 100, 10) as mine:
                self.assertTrue(mine)
        finally:
            os.close(tells)
            os.close(asks)
            os.waitpid(pid, 0)

    def test_forked_process_does_not_end_the_lease(self):
        locks = rf._FileLocks(os.path.join(self.home, "locks"))
        own = os.getpid()
        try:
            with locks.lease("x", 100, 10):
                pid = os.fork()
                if pid == 0:
                    raise SystemExit
                self.assertEqual(os.waitpid(pid, 0)[1], 0)
                with locks.lease("x", 100, 10) as mine:
                    self.assertFalse(mine)
        finally:
            if os.getpid() != own:
                os._exit(0)

    def test_failed_run_is_not_done(self):
        locks = rf._FileLocks(os.path.join(self.home, "locks"))
        with self.assertRaises(ValueError):
            with locks.lease("x", 100, 10):
                raise ValueError
        with locks.lease("x", 100, 10) as mine:
            self.assertTrue(mine)

    def test_directory_of_a_stranger(self):
        directory = os.path.join(self.home, "locks")
        os.mkdir(directory)
        os.chmod(directory, 0o777)
        with self.assertRaises(PermissionError):
            with rf._FileLocks(directory).lease("x", 100, 10):
                pass

    def test_restart(self):
        r = self.resp(control_dir=self.control())
        began, over = threading.Event(), []
        self.addCleanup(over.append, True)

        @r.task("hangs", every=0.05)
        def hangs():
            began.set()
            while not over:
                time.sleep(0.01)

        r.here()
        self.assertTrue(began.wait(20))
        self.control(restart_task={"task": "hangs", "run": "r2", "until": time.time() + 60})
        with self.assertLogs("resp_flask", "WARNING") as logs:
            self.wait(lambda: r.tasks[0].runs == 2)
        self.assertEqual([(o.levelname, o.exc_info) for o in logs.records], [("WARNING", None)])
        self.assertEqual((r.tasks[0].restarts, r.tasks[0].failures), (1, 0))
        self.receiver.socket.settimeout(0.2)
        with self.assertRaises(socket.timeout):  # a run that is interrupted has no outcome
            self.receiver.line()
        self.wait(lambda: self.acknowledged(r) == b"r2")
        start, beat = self.told(r)[10], self.told(r)[8]
        self.assertTrue(0 < start <= beat <= time.monotonic_ns(), (start, beat))
        time.sleep(1.5)  # the same request once only
        self.assertEqual((r.tasks[0].restarts, self.told(r)[8]), (1, beat))

    def told(self, r):
        return rf._TASK.unpack_from(r.memory.map, rf.TASKS_AT)

    def acknowledged(self, r):
        return self.told(r)[11].rstrip(b"\0")

    def test_restart_ends_a_pause(self):
        r = self.resp(control_dir=self.control())
        fails = [True]

        @r.task("odd,name", every=0.05)
        def odd():
            if fails:
                raise ValueError

        rf._log.disabled = True
        self.addCleanup(setattr, rf._log, "disabled", False)
        real, random.random = random.random, lambda: 0.5
        self.addCleanup(setattr, random, "random", real)
        r.here()
        self.wait(lambda: r.tasks[0].failures >= 3)  # the next pause is of four seconds
        fails.clear()
        runs, at = r.tasks[0].runs, time.monotonic()
        self.control(restart_task={"task": "odd_name", "run": "r3", "until": time.time() + 60})
        self.wait(lambda: r.tasks[0].runs > runs)
        self.assertLess(time.monotonic() - at, 3)
        self.wait(lambda: self.acknowledged(r) == b"r3")

    def test_restart_of_a_thread_that_has_ended(self):
        r = self.resp(control_dir=self.control())

        @r.task("ends", every=0.05)
        def ends():
            pass

        t = r.tasks[0]
        real, t.start = t.start, lambda: None
        r.here()
        t.start, t.thread = real, threading.Thread(target=int)
        t.thread.start()
        t.thread.join()
        self.control(restart_task={"task": "ends", "run": "r4", "until": time.time() + 60})
        self.wait(lambda: t.runs > 0)
        self.wait(lambda: self.acknowledged(r) == b"r4")

    def test_restart_of_another_process(self):
        r = self.resp()
        r.memory = rf._Memory()  # without the threads

        @r.task("mine", every=1000)
        def mine():
            pass

        asked = {"task": "mine", "run": "r5", "until": time.time() + 60}
        for pid, want in ((os.getpid(), True), (1, False)):
            self.assertIs(rf._RestartTask(dict(asked, pid=pid)).concerns(r.tasks[0]), want)
        self.assertTrue(rf._RestartTask(asked).concerns(r.tasks[0]))
        self.assertFalse(rf._RestartTask(dict(asked, task="other")).concerns(r.tasks[0]))
        self.assertFalse(rf._RestartTask(dict(asked, until=time.time())).concerns(r.tasks[0]))
        r.tasks[0].stop()
        r.tasks[0].restart("r6")  # the app has stopped it
        self.assertEqual((r.tasks[0].thread, r.tasks[0].restarted), (None, ""))


class FlaskTests(Base):
    def app(self, **settings):
        import flask

        app = flask.Flask("shop")
        settings.setdefault("control_dir", "")
        rf.init_app(app, name="shop", statsd=self.receiver.address, **settings)

        @app.get("/items/<int:n>")
        def item(n):
            return "ok"

        @app.get("/fails")
        def fails():
            raise ZeroDivisionError

        @app.get("/stream")
        def stream():
            return flask.Response(iter([b"a", b"b"]))

        part = flask.Blueprint("admin", __name__, url_prefix="/admin")

        @part.post("/users/<name>")
        def users(name):
            return "ok", 201

        app.register_blueprint(part)
        return app

    def test_routes(self):
        app = self.app()
        for path, method, route, code in (
            ("/items/7", "GET", "/items/<int:n>", "200"),
            ("/admin/users/x", "POST", "/admin/users/<name>", "201"),
            ("/items/seven", "GET", None, "404"),
            ("/items/7", "POST", None, "405"),
            ("/fails", "GET", "/fails", "500"),
            ("/stream", "GET", "/stream", "200"),
        ):
            self.call(app, path, method)
            tags = self.receiver.line()[2]
            self.assertEqual(
                (tags.get("route"), tags["code"], tags["method"]), (route, code, method)
            )

    def test_route_is_in_the_slot(self):
        app = self.app()
        seen = []

        @app.get("/look/<a>")
        def look(a):
            m = app.extensions["resp"].memory
            at = next(
                x
                for x in range(rf.REQUESTS_AT, rf.POOLS_AT, rf.REQUEST_SIZE)
                if FIELDS.unpack_from(m.map, x)[1]
            )
            n = rf._ROUTE.unpack_from(m.map, at + rf._ROUTE_AT)
            seen.append((FIELDS.unpack_from(m.map, at)[0] & 1, n[1][: n[0]]))
            return "ok"

        self.call(app, "/look/1")
        self.assertEqual(seen, [(0, b"/look/<a>")])

    def test_twice_is_once(self):
        app = self.app()
        self.assertIs(rf.init_app(app), app.extensions["resp"])
        self.call(app, "/items/1")
        self.assertEqual(app.extensions["resp"].memory.requests, 1)

    def test_priorities_by_endpoint(self):
        directory = self.control(throttle={"percent": 50, "until": time.time() + 60})
        app = self.app(
            control_dir=directory,
            priorities={"item": "low", "stream": "high"},
            exempt=["admin.users"],
        )
        shed = {"/items/1": 0, "/stream": 0, "/admin/users/x": 0}
        for i in range(900):
            path = list(shed)[i % 3]
            shed[path] += self.call(app, path, "POST" if "admin" in path else "GET")[0].startswith(
                "503"
            )
        self.assertEqual(shed["/admin/users/x"], 0)
        self.assertGreater(shed["/items/1"], 230)
        told = list(app.extensions["resp"].memory.shed_by)
        self.assertEqual(told, [shed["/items/1"], 0, shed["/stream"]])
        self.assertLess(shed["/stream"], 30)

    def test_sessions_and_cycles(self):
        app = self.app()
        r = app.extensions["resp"]
        app.config.update(SESSION_TYPE="redis", SESSION_KEY_PREFIX="shop:")
        app.config["PERMANENT_SESSION_LIFETIME"] = 7200
        self.call(app, "/items/1")
        lifetime, length, prefix = rf._SESSIONS.unpack_from(r.memory.map, rf._SESSIONS_AT)
        self.assertEqual((lifetime, prefix[:length]), (7200, b"shop:"))
        r.memory.cycles()
        counts = [n - b for n, b in zip(rf._collections(), r.memory.inherited)]
        self.assertEqual(list(rf._CYCLES.unpack_from(r.memory.map, rf._CYCLES_AT)), counts)
        app.config["SESSION_TYPE"] = "filesystem"
        self.assertIsNone(r.session_config())


class PoolTests(Base):
    def test_life_of_connections(self):
        from sqlalchemy import create_engine
        from sqlalchemy.pool import QueuePool

        engine = create_engine(
            "sqlite://",
            poolclass=QueuePool,
            pool_size=2,
            max_overflow=1,
            pool_timeout=0.2,
            connect_args={"check_same_thread": False},
        )
        r = self.resp()
        r.pool(engine, "main", leak_after=0.3)

        def numbers():
            r.pools[0].write()
            n = rf._POOL.unpack_from(r.memory.map, rf.POOLS_AT)
            here, line, length, site = rf._SITE.unpack_from(r.memory.map, rf.POOLS_AT + rf._SITE_AT)
            return n, (here, line, site[:length].decode().split("\0"))

        line = sys._getframe().f_lineno + 1
        a = engine.connect()
        b = engine.connect()
        n, site = numbers()
        self.assertEqual((n[2].rstrip(b"\0"), n[3], n[4], n[5], n[6]), (b"main", 2, 2, 1, 0))
        self.assertEqual(site, (0, line, ["test_resp_flask.py", "test_life_of_connections", ""]))
        time.sleep(0.4)
        c = engine.connect()
        self.assertEqual(numbers()[0][4:7], (3, 1, 2))
        self.assertEqual(numbers()[1][0], 1)  # the other leak is of another line
        with self.assertRaises(Exception):
            engine.connect()
        name, ms, tags = self.receiver.line()
        while ms < 150:
            name, ms, tags = self.receiver.line()
        self.assertEqual((name, tags), ("resp.pool_wait", {"app": "shop", "pool": "main"}))
        for x in (a, b, c):
            x.close()
        n, site = numbers()
        self.assertEqual((n[4], n[6], n[8], n[11], site), (0, 0, 2, 0, (0, 0, [""])))
        engine.dispose()
        with engine.connect():
            self.assertEqual(numbers()[0][4], 1)

    def engine(self):
        from sqlalchemy import create_engine
        from sqlalchemy.pool import QueuePool

        more = {"check_same_thread": False}
        return create_engine("sqlite://", poolclass=QueuePool, pool_size=3, connect_args=more)

    def told(self, r):
        return rf._POOL.unpack_from(r.memory.map, rf.POOLS_AT)

    def test_import_starts_nothing(self):
        """A process that loads the app and forks, as gunicorn's with --preload: its pool is used,
        it sends and has memory, but no thread runs; those of the child begin with a request."""
        runs = os.path.join(self.home, "runs")
        for fork in (os.fork, ctypes.PyDLL(None).fork):
            r, engine = self.resp(), self.engine()
            r.pool(engine)

            @r.task("t", every=0.01)
            def task():
                with open(runs, "a") as f:
                    f.write("%d\n" % os.getpid())

            before = set(threading.enumerate())
            left = engine.connect()
            with engine.connect():
                r.pools[0].waiting += 1
                r.pools[0].waited_for(2000000)
            r.send(b"resp.task:0|ms|#task:t,outcome:ok")
            r.tasks[0].progress()
            names = [self.receiver.line()[0]]
            while names[-1] != "resp.task":
                names.append(self.receiver.line()[0])
            self.assertIn("resp.pool_wait", names)
            self.assertEqual((set(threading.enumerate()), r.serving), (before, 0))
            n = self.told(r)  # also of what came last: no thread writes it later
            self.assertEqual((n[4], n[7], n[9], r.memory.pid), (1, 0, 3, os.getpid()))

            def checks():
                with engine.connect():
                    ours = (self.told(r)[4], r.pools[0].waiting, r.pools[0].waits, r.serving)
                if ours != (1, 0, 1, 0) or r.memory.pid != os.getpid() or r.tasks[0].thread:
                    return False
                m = rf.Middleware(answer(), r)
                self.call(m)
                while r.tasks[0].runs < 1:
                    time.sleep(0.01)
                r.stop(5)
                return (r.memory.requests, r.memory.errors) == (1, 0)

            self.in_child(checks, fork, again=2)
            left.close()
            self.assertEqual((self.told(r)[4], r.serving, r.memory.errors), (0, 0, 0))
            with open(runs) as f:
                self.assertNotIn(str(os.getpid()), f.read().split())

    def test_other_kinds_of_pools(self):
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool, SingletonThreadPool, StaticPool

        r = self.resp()
        for i, kind in enumerate((NullPool, SingletonThreadPool, StaticPool)):
            engine = create_engine("sqlite://", poolclass=kind)
            r.pool(engine, kind.__name__)
            with engine.connect():
                r.pools[i].write()
                n = rf._POOL.unpack_from(r.memory.map, rf.POOLS_AT + i * rf.POOL_SIZE)
                self.assertEqual((n[2].rstrip(b"\0").decode(), n[4]), (kind.__name__, 1))
        self.assertEqual(r.memory.errors, 0)


if __name__ == "__main__":
    unittest.main()
