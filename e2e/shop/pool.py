"""A WSGI app that holds database connections, for tests of connection pools.

POOL_DB      address of the database: "127.0.0.1:3306" or "unix:/run/x.sock"
POOL_USER    database user; the password is the same
POOL_OPEN    number of connections that a worker opens when it starts
POOL_BEGIN   number of these that it leaves in a transaction

GET /open?n=5            opens 5 connections in this worker
GET /begin?n=2           begins a transaction on 2 connections without one, and leaves it open
GET /hold?row=1          changes that row in a transaction, and leaves it open
GET /wait?row=1&not=PID  changes that row, and waits for the transaction that has locked it
GET /pay?row=1           changes that row, waits if it is locked, and commits
GET /query?s=60          runs a statement for that long
GET /upstream?port=9     waits for a response from that port of this host
GET /spin?s=60           computes for that long

Each responds with {"pid": …, "connections": […]}. With once=NAME a worker does
it only once and then responds with 409, so that a caller can reach every worker.
"""

import itertools
import json
import os
import time
import urllib.request
from urllib.parse import parse_qs

import pymysql

held, in_transaction, done = [], [], set()
rows = itertools.count()


def connect():
    where = os.environ["POOL_DB"]
    user = os.environ.get("POOL_USER", "shop")
    if where.startswith("unix:"):
        return pymysql.connect(unix_socket=where[5:], user=user, password=user, database="shop")
    host, port = where.rsplit(":", 1)
    return pymysql.connect(host=host, port=int(port), user=user, password=user, database="shop")


def open_more(n):
    new = [connect() for _ in range(n)]
    held.extend(new)
    return new


def begin(n):
    free = [c for c in held if c not in in_transaction][:n]
    if len(free) < n:
        raise RuntimeError("too few connections")
    for c in free:
        in_transaction.append(c)
        with c.cursor() as cursor:
            cursor.execute("INSERT INTO items VALUES (%s)", (next(rows),))
    return free


def hold(row):
    c = open_more(1)[0]
    in_transaction.append(c)
    with c.cursor() as cursor:
        cursor.execute("UPDATE orders SET paid = paid + 1 WHERE id = %s", (row,))
    return [c]


def pay(row):
    c = open_more(1)[0]
    with c.cursor() as cursor:
        cursor.execute("UPDATE orders SET paid = paid + 1 WHERE id = %s", (row,))
    c.commit()
    return [c]


def query_for(seconds):
    c = open_more(1)[0]
    with c.cursor() as cursor:
        cursor.execute("SELECT SLEEP(%s)", (seconds,))
    return [c]


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def app(environ, start_response):
    query = {k: v[0] for k, v in parse_qs(environ["QUERY_STRING"]).items()}
    path = environ["PATH_INFO"]
    key = path, query.get("once")
    status, connections = "200 OK", []
    if str(os.getpid()) == query.get("not") or "once" in query and key in done:
        status = "409 Conflict"
    elif path == "/open":
        connections = open_more(int(query["n"]))
    elif path == "/begin":
        connections = begin(int(query["n"]))
    elif path in ("/hold", "/wait"):
        connections = hold(query["row"])
    elif path == "/pay":
        connections = pay(query["row"])
    elif path == "/query":
        connections = query_for(float(query["s"]))
    elif path == "/upstream":
        urllib.request.urlopen("http://127.0.0.1:" + query["port"])
    elif path == "/spin":
        spin(float(query["s"]))
    if status.startswith("200"):
        done.add(key)
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "connections": [c.thread_id() for c in connections]}).encode()]


open_more(int(os.environ.get("POOL_OPEN", "0")))
begin(int(os.environ.get("POOL_BEGIN", "0")))
