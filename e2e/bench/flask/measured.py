"""The app of make bench-flask. REPORT is who counts its requests: "" (nobody, or its server),
"resp_flask", or "prometheus" (client_python in its multiprocess mode).

GET /items/<n>   responds at once
GET /pool/<n>    takes a connection from a pool of SQLAlchemy, and returns it
"""

import os
import time

from flask import Flask, request
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

app = Flask(__name__)
engine = create_engine("sqlite://", poolclass=QueuePool, connect_args={"check_same_thread": False})


@app.get("/items/<int:n>")
def item(n):
    return "item %d" % n


@app.get("/pool/<int:n>")
def pooled(n):
    engine.raw_connection().close()
    return "item %d" % n


if os.environ.get("REPORT") == "resp_flask":
    import resp_flask

    resp = resp_flask.init_app(app, name="measured", request_start=True)
    resp.pool(engine)

    @resp.task("tidy", every=60)
    def tidy():
        pass


if os.environ.get("REPORT") == "prometheus":
    from prometheus_client import Counter, Histogram

    requests = Counter("http_requests", "Requests.", ["method", "route", "code"])
    seconds = Histogram("http_request_duration_seconds", "Duration.", ["method", "route"])

    @app.before_request
    def begins():
        request.began = time.perf_counter()

    @app.after_request
    def ends(response):
        route = request.url_rule.rule if request.url_rule else "none"
        requests.labels(request.method, route, response.status_code).inc()
        seconds.labels(request.method, route).observe(time.perf_counter() - request.began)
        return response
