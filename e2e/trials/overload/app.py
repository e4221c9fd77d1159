"""A Flask app of known capacity, which follows the control file of an exporter.

GET /          takes $MEAN seconds on the mean, normal priority
GET /report    the same, low priority
GET /checkout  the same, high priority
GET /slow      takes two seconds, normal priority
GET /healthz   responds at once, and is never shed
"""

import os
import random
import time

import flask
import resp_flask

app = flask.Flask(__name__)
resp_flask.init_app(
    app, name="shop", control_dir=os.environ["CONTROL"], request_start=True, priorities={"report": "low", "checkout": "high"}
)
mean = float(os.environ["MEAN"])


@app.get("/", endpoint="page")
@app.get("/report", endpoint="report")
@app.get("/checkout", endpoint="checkout")
def page():
    time.sleep(mean * random.uniform(0.5, 1.5))
    return "ok"


@app.get("/slow")
def slow():
    time.sleep(2)
    return "slow"


@app.get("/healthz")
def healthz():
    return "ok"
