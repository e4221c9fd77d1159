"""A Flask app with a background task that hangs when a test wants it.

GET / and /healthz respond with the worker's pid

The task "mail" runs every half a second, in one of the workers. It writes the worker's pid
into the file "runs" beside the directory of control files. If there is a file "hang", it
removes it and hangs.
"""

import os
import time

import flask
import resp_flask

control = os.environ["CONTROL"]
home = os.path.dirname(os.path.dirname(control))
app = flask.Flask(__name__)
resp = resp_flask.init_app(app, name="shop", control_dir=control, lock_dir=os.path.join(home, "locks"))


@app.get("/")
@app.get("/healthz")
def pid():
    return str(os.getpid())


@resp.task("mail", every=0.5)
def mail():
    with open(os.path.join(home, "runs"), "a") as f:
        f.write("%d\n" % os.getpid())
    try:
        os.unlink(os.path.join(home, "hang"))
    except FileNotFoundError:
        return
    while True:
        time.sleep(0.05)
