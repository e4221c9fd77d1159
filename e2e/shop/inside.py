"""A Flask app that reports itself with resp_flask.py, for tests of what is seen from inside.

GET /healthz      responds with the worker's pid
GET /items/<n>    responds at once
GET /slow/<s>     makes the file in $STARTED, then sleeps for that long
GET /also/<s>     sleeps for that long
GET /pool?ms=5    reports a wait for the pool "main"

The task "count" runs every second; "fail" fails each time, and writes when into $LOCKS.failed.
"""

import os
import time

import flask
import resp_flask

app = flask.Flask(__name__)
resp = resp_flask.init_app(app, control_dir="", lock_dir=os.environ["LOCKS"])


@resp.task("count", every=1)
def count():
    pass


@resp.task("fail", every=1)
def fail():
    with open(os.environ["LOCKS"] + ".failed", "a") as f:
        f.write("%.3f\n" % time.monotonic())
    raise ValueError("as the test wants it")


@app.get("/healthz")
def healthz():
    return str(os.getpid())


@app.get("/items/<int:n>")
def items(n):
    return str(n)


@app.get("/slow/<int:s>")
def slow(s):
    with open(os.environ["STARTED"], "a") as f:
        f.write("x")
    time.sleep(s)
    return "slow"


@app.get("/also/<int:s>")
def also(s):
    with open(os.environ["STARTED"], "a") as f:
        f.write("x")
    time.sleep(s)
    return "also"


@app.get("/pool")
def pool():
    resp.here()
    resp.send(b"resp.pool_wait:%d|ms|#pool:main" % int(flask.request.args["ms"]))
    return "pool"
