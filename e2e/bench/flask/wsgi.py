"""What resp_flask.py adds to the CPU time of a request, without a server: a Flask app is called
as a server would call it. On a busy machine this says more than a server under load.

    python3 e2e/bench/flask/wsgi.py [--calls 10000] [FILE ...]

FILE is a version of resp_flask.py, by default that of this repository. One process has an app
with each of them, with everything on, and two apps without. They are called in an order that is
drawn, one request each, so that all of them meet the same machine. A process of its own reads
the datagrams. Printed are microseconds of CPU time of the calling thread, with the kernel's
part of sending: the median, and the mean without what took four times as long as the median.
"""

import argparse
import gc
import importlib.util
import os
import random
import socket
import statistics
import sys
import tempfile
import time

from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

HERE = os.path.dirname(os.path.abspath(__file__))
OWN = os.path.join(HERE, "../../../integrations/flask/resp_flask.py")


def load(path):
    """Returns the module in a file, which several files may have under one name."""
    spec = importlib.util.spec_from_file_location("resp_flask", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plain():
    app = Flask(__name__)

    @app.get("/items/<int:n>")
    def item(n):
        return "item %d" % n

    return app


def reported(module, address, control):
    app = plain()
    resp = module.init_app(
        app, name="measured", statsd=address, control_dir=control, request_start=True
    )
    engine = create_engine(
        "sqlite://", poolclass=QueuePool, connect_args={"check_same_thread": False}
    )
    resp.pool(engine)
    resp.task("tidy", every=60)(lambda: None)
    return app


def environ():
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/items/7",
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_X_REQUEST_START": "t=%.3f" % time.time(),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def start_response(status, headers, exc_info=None):
    pass


def call(app, environ):
    """Returns the nanoseconds of CPU time of one request."""
    began = time.thread_time_ns()
    body = app(environ, start_response)
    for _ in body:
        pass
    close = getattr(body, "close", None)
    if close is not None:
        close()
    return time.thread_time_ns() - began


def receiver():
    """Returns the address of a process that reads datagrams until this one ends."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))
    parent = os.getpid()
    if os.fork() == 0:
        s.settimeout(1)
        while os.getppid() == parent:
            try:
                s.recv(65536)
            except socket.timeout:
                pass
        os._exit(0)
    return "udp://127.0.0.1:%d" % s.getsockname()[1]


def measure(apps, calls):
    """Returns the nanoseconds of each call of each app."""
    cost, turn, draw = {name: [] for name in apps}, list(apps.items()), random.Random(1)
    for _ in range(calls):
        draw.shuffle(turn)  # what runs before an app fills the caches
        for name, app in turn:
            cost[name].append(call(app, environ()))
    return cost


def mean(values):
    most = 4 * statistics.median(values)
    return statistics.mean(v for v in values if v < most)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--calls", type=int, default=10000, help="of each app")
    p.add_argument("files", nargs="*", default=[OWN], help="versions of resp_flask.py")
    o = p.parse_args()
    address = receiver()
    with tempfile.TemporaryDirectory() as control:
        apps = {"without": plain(), "without, again": plain()}
        for path in o.files:
            apps[os.path.normpath(path)] = reported(load(path), address, control)
        measure(apps, 2000)
        gc.collect()
        gc.freeze()
        cost = measure(apps, o.calls)
    base = cost["without"]
    print("%8s %8s %8s %8s  app" % ("median", "mean", "added", "ratio"))
    for name, each in cost.items():
        m = mean(each)
        row = (statistics.median(each) / 1e3, m / 1e3, (m - mean(base)) / 1e3, m / mean(base))
        print("%8.1f %8.1f %8.1f %8.2f  %s" % (*row, name))


main()
