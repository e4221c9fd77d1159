"""A Flask app that follows a control file, for tests of what an exporter asks of it.

GET /             responds with the worker's pid
GET /healthz      the same, and is never shed
GET /cycles/<mb>  leaves so many MiB of reference cycles behind; this app never collects them itself
GET /keeps/<kb>   keeps so many KiB for ever
GET /keep/<mb>    keeps so many MiB

Without $CONTROL it follows no control file. With $CONTROL_REDIS, a URL, it follows a control
key, whose secret is in the file $RESP_CONTROL_KEY_FILE.
"""

import gc
import os

import flask
import resp_flask

gc.disable()
app = flask.Flask(__name__)
settings = {}
if "CONTROL_REDIS" in os.environ:
    import redis

    settings["control_redis"] = redis.Redis.from_url(os.environ["CONTROL_REDIS"])
resp_flask.init_app(app, name="shop", control_dir=os.environ.get("CONTROL", ""), **settings)
kept = []


class Node:
    def __init__(self):
        self.me, self.data = self, bytearray(1 << 16)


@app.get("/")
@app.get("/healthz")
def pid():
    return str(os.getpid())


@app.get("/cycles/<int:mb>")
def cycles(mb):
    for _ in range(mb * 16):
        Node()
    return "left behind"


@app.get("/keeps/<int:kb>")
def keeps(kb):
    kept.append(bytearray(kb << 10))
    return "kept"


@app.get("/keep/<int:mb>")
def keep(mb):
    kept.append(bytearray(os.urandom(1 << 20)) * mb)
    return "kept"
