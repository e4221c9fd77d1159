"""An app whose handlers write down where they are, and wait until they are let go."""
import functools
import json
import os
import threading
import time

import flask
import flask.views

folder = os.environ["SHOP_FOLDER"]
app = flask.Flask(__name__)


def stop():
    """Writes down where it is, then waits for a file."""
    name = flask.request.headers.get("X-Id", "") if flask.has_request_context() else threading.current_thread().shop
    truth = dict(pid=os.getpid(), tid=threading.get_native_id(), time=time.time())
    path = os.path.join(folder, name + ".json")
    with open(path + "~", "w") as f:
        json.dump(truth, f)
    os.rename(path + "~", path)
    while not os.path.exists(os.path.join(folder, name + ".free")):
        time.sleep(0.02)


def decorated(view):
    @functools.wraps(view)
    def wrapper(*args, **kwargs):
        return view(*args, **kwargs)

    return wrapper


def work(depth=3):
    if depth:
        return work(depth - 1)
    stop()
    return "ok"


def plain(**values):
    return work()


class Resource(flask.views.MethodView):
    def dispatch_request(self, **values):
        return work()


def stream(**values):
    threading.current_thread().shop = flask.request.headers["X-Id"]

    def pieces():
        yield "begin\n"
        work()
        yield "end\n"

    return flask.Response(pieces())


def never(**values):
    return "too late"


@app.before_request
def check():
    if flask.request.headers.get("X-Early"):
        work()


@app.errorhandler(404)
def missing(error):
    return work(), 404


with open(os.path.join(folder, "routes.json")) as f:
    for route in json.load(f):
        style = route["style"]
        if style == "class":
            view = Resource.as_view(route["endpoint"])
        elif style == "decorated":
            view = decorated(decorated(plain))
        else:
            view = {"plain": plain, "stream": stream, "early": never}[style]
        app.add_url_rule(route["rule"], route["endpoint"], view, methods=["GET", "POST", "DELETE"])
