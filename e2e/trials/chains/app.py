"""An app that waits where it is told to, and writes down where that is.

A request names its steps: /VIEW?tag=T&steps=row:1,sleep:20. Right before a step
waits, a line of JSON with the tag, the process, the thread, the connection, the
view, the function and the line goes to the file TRUTH. The names in capitals are
replaced, and empty lines are put in, by a seed.
"""

import json
import os
import socket
import sys
import threading
import time
import urllib.request

import pymysql
import redis
from flask import Flask, request

app = Flask(__name__)
LOCKS = [threading.Lock() for _ in range(4)]
KEPT = []  # connections that outlive their request
TRUTH = os.open(os.environ["TRUTH"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
# GAP


def note(step, connection=None):
    caller = sys._getframe(1)
    os.write(TRUTH, (json.dumps({
        "tag": request.args["tag"], "step": step, "pid": os.getpid(), "tid": threading.get_native_id(), "at": time.time(),
        "connection": connection.thread_id() if connection else 0, "view": request.endpoint,
        "function": caller.f_code.co_qualname if hasattr(caller.f_code, "co_qualname") else caller.f_code.co_name,
        "file": os.path.basename(caller.f_code.co_filename), "line": caller.f_lineno,
    }) + "\n").encode())


def connect():
    where = os.environ["MYSQL"]
    more = {"unix_socket": where} if where.startswith("/") else {"host": "127.0.0.1", "port": int(where)}
    if os.environ.get("READ_TIMEOUT"):
        more["read_timeout"] = int(os.environ["READ_TIMEOUT"])
    c = pymysql.connect(user="trial", password="trial", database="trial", **more)
    c.cursor().execute("SET innodb_lock_wait_timeout=120, lock_wait_timeout=120")
    c.begin()
    return c
# GAP


def do_ROW(c, n):
    note("row", c); c.cursor().execute("UPDATE things SET n = n + 1 WHERE id = %s", (n,))
# GAP


def do_READ(c, n):
    note("read", c); c.cursor().execute("SELECT * FROM things WHERE id = %s", (n,))
# GAP


def do_TABLES(c, n):
    note("tables", c); c.cursor().execute("LOCK TABLES things WRITE")
# GAP


def do_SLEEP(c, n):
    note("sleep", c); time.sleep(float(n))
# GAP


def do_UPSTREAM(c, n):
    with socket.create_connection(("127.0.0.1", int(n)), timeout=60) as s:
        s.settimeout(None if os.environ.get("BLOCKING") else 60)
        note("up", c); s.recv(1)
# GAP


def do_CALL(c, url):
    note("call", c); urllib.request.urlopen(url.replace("|", "&").replace(";", ","), timeout=60).read()
# GAP


def do_SCRIPT(c, n):
    r = redis.Redis(port=int(os.environ["REDIS"]))
    script = "local t = redis.call('TIME'); local e = t[1] + %d; while tonumber(redis.call('TIME')[1]) < e do end return 1" % int(n)
    note("lua", c); r.eval(script, 0)
# GAP


def do_GET(c, n):
    r = redis.Redis(port=int(os.environ["REDIS"]))
    r.connection_pool.get_connection("PING")
    note("get", c); r.get("key")
# GAP


def hold_GIL(tag, end):
    while time.monotonic() < end:
        sum(range(40_000_000))


def do_SLOW(c, n):
    r = redis.Redis(port=int(os.environ["REDIS"]))
    note("slow", c); r.execute_command("DEBUG", "SLEEP", n)
# GAP


def do_GIL(c, n):
    t = threading.Thread(target=hold_GIL, args=(request.args["tag"], time.monotonic() + float(n)))
    t.start()
    note("gil", c)
    while t.is_alive():
        pass
# GAP


def do_MUTEX(c, n):
    note("mutex", c); LOCKS[int(n)].acquire()
    return LOCKS[int(n)].release
# GAP


def run():
    undo, c = [], None
    steps = [s.split(":", 1) for s in request.args["steps"].split(",")]
    try:
        for kind, arg in steps:
            if kind in ("row", "read", "tables", "keep") and c is None:
                c = connect()
            if kind == "keep":  # the connection stays in its transaction after the request
                KEPT.append(c)
                note("keep", c)
                c = None
                continue
            more = {"row": do_ROW, "read": do_READ, "tables": do_TABLES, "sleep": do_SLEEP, "up": do_UPSTREAM, "call": do_CALL,
                    "lua": do_SCRIPT, "get": do_GET, "slow": do_SLOW, "gil": do_GIL, "mutex": do_MUTEX}[kind](c, arg)
            if more:
                undo.append(more)
    except pymysql.MySQLError as err:
        return f"{err}\n", 503
    finally:
        for f in undo:
            f()
        if c is not None:
            c.close()
    return "done\n"
# GAP


@app.route("/a")
def view_A():
    return run()
# GAP


@app.route("/b")
def view_B():
    return run()
# GAP


@app.route("/c")
def view_C():
    return run()
# GAP


@app.route("/d")
def view_D():
    return run()


@app.route("/drop")
def drop():
    while KEPT:
        KEPT.pop().close()
    return "dropped\n"


@app.route("/short")
def short():
    c = connect()
    try:
        cur = c.cursor()
        cur.execute("SELECT * FROM things WHERE id = 4")
        cur.execute("UPDATE things SET n = n + 1 WHERE id = 4")
        c.commit()
        redis.Redis(port=int(os.environ["REDIS"])).incr("short")
    finally:
        c.close()
    return "short\n"
