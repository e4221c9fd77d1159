"""A Flask app with SQLAlchemy that reports itself and its pool, for tests of pools that are
seen from inside.

POOL_URL  of the database, as SQLAlchemy has it
SLOW      seconds after which a connection counts as leaked

GET /good      takes a connection and returns it, after ?s= seconds
GET /lost/<n>  takes a connection and never returns it
"""

import os
import time

import flask
import resp_flask
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool

app = flask.Flask(__name__)
engine = create_engine(
    os.environ["POOL_URL"],
    poolclass=QueuePool,
    pool_size=3,
    max_overflow=2,
    pool_timeout=1,
    pool_reset_on_return=None,
)
resp = resp_flask.init_app(app, control_dir="")
resp.pool(engine, name="main", leak_after=float(os.environ["SLOW"]))
lost = []


@app.get("/healthz")
def healthz():
    return "ok"


@app.get("/good")
def good():
    with engine.begin() as c:
        time.sleep(flask.request.args.get("s", 0.0, float))
        return str(c.execute(text("SELECT 1")).scalar())


@app.get("/lost/<int:n>")
def forgets(n):
    c = engine.connect()  # the line that loses a connection
    lost.append(c)
    return str(c.execute(text("SELECT 1")).scalar())
