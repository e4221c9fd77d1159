"""An app whose handlers write down where they are, and wait until they are let go."""
import functools
import threading
import time

import flask
import flask.views
from stop import routes, stop

app = flask.Flask(__name__)


def decorated(view):
    @functools.wraps(view)
    def wrapper(*args, **kwargs):
        return view(*args, **kwargs)

    return wrapper


def work(depth=3):
    if depth:
        return work(depth - 1)
    stop(flask.request.headers["X-Id"] if flask.has_request_context() else threading.current_thread().shop)
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


def quick(**values):
    time.sleep(0.002)
    return ""


def never(**values):
    return "too late"


@app.before_request
def check():
    if flask.request.headers.get("X-Early"):
        work()


@app.errorhandler(404)
def missing(error):
    return work(), 404


for route in routes():
    style = route["style"]
    if style == "class":
        view = Resource.as_view(route["endpoint"])
    elif style == "decorated":
        view = decorated(decorated(plain))
    else:
        view = {"plain": plain, "stream": stream, "early": never, "quick": quick}[style]
    app.add_url_rule(route["rule"], route["endpoint"], view, methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
