"""A Flask app for gunicorn's gevent worker, whose handlers wait or spin."""
import json
import os
import sys
import time

import flask

folder = os.environ["LOOP_FOLDER"]
app = flask.Flask(__name__)


def path_of(name, end):
    return os.path.join(folder, name + end)


def note(name):
    """Writes down the line behind the call."""
    caller = sys._getframe(1)
    fact = dict(pid=os.getpid(), line=caller.f_lineno + 1, function=caller.f_code.co_qualname)
    with open(path_of(name, "~"), "w") as f:
        json.dump(fact, f)
    os.rename(path_of(name, "~"), path_of(name, ".json"))


def freed(name):
    return os.path.exists(path_of(name, ".free"))


class Store:
    def read(self, name, depth):
        if depth:
            return list(map(lambda d: self.read(name, d), [depth - 1]))
        note(name)
        while not freed(name): time.sleep(0.2)  # noqa: E701


@app.route("/helper/<value>", endpoint="view_helper", methods=["GET", "POST", "PUT"])
def helper(value):
    Store().read(flask.request.headers["X-Id"], 3)
    return "ok"


@app.route("/spin/<value>", endpoint="view_spin", methods=["GET", "POST", "PUT"])
def spin(value):
    name = flask.request.headers["X-Id"]
    note(name)
    while not freed(name): sum(range(1000))  # noqa: E701
    return "ok"
