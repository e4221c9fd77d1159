"""A web app whose requests do what the file MODE says, read for each request.

A request computes for some milliseconds, reads and writes a row, reads from Redis, and
calls another server. The keys of the mode add faults, as they occur in real apps.
"""

import gc
import json
import os
import random
import socket
import threading
import time
import urllib.request

import redis
from flask import Flask, request
from sqlalchemy import create_engine, text
from sqlalchemy.pool import QueuePool

app = Flask(__name__)
engine = create_engine(
    "mysql+pymysql://trial:trial@127.0.0.1:%s/trial" % os.environ["MYSQL"], poolclass=QueuePool, pool_size=int(os.environ.get("POOL", "5")),
    max_overflow=0, pool_timeout=int(os.environ.get("POOL_TIMEOUT", "30")), connect_args={"read_timeout": 60, "connect_timeout": 10},
)
cache = redis.Redis(port=int(os.environ["REDIS"]))
LEAKED, GARBAGE = [], []
FIRST, SECOND = threading.Lock(), threading.Lock()
STARTED = time.monotonic()


def mode():
    with open(os.environ["MODE"]) as f:
        return json.load(f)


def compute(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(500))


def database(m):
    c = engine.connect()
    try:
        transaction = c.begin()
        if m.get("hold"):
            c.execute(text("SELECT 1"))
            time.sleep(m["hold"])
        if m.get("hold_up"):
            c.execute(text("SELECT 1"))
            call(m["hold_up"])
        c.execute(text(m.get("sql", "SELECT n FROM things WHERE id = 7")))
        if m.get("write", True):
            c.execute(text("UPDATE things SET n = n + 1 WHERE id = %d" % (m.get("row") or random.randint(1, 50))))
            if m.get("inside"):
                c.execute(text(m["inside"]))
        if not m.get("leak"):
            transaction.commit()
    except Exception:
        c.close()
        raise
    if m.get("leak"):
        LEAKED.append(c)
    else:
        c.close()


def call(url):
    if url.startswith("silent:"):
        with socket.create_connection(("127.0.0.1", int(url[7:])), timeout=60) as s:
            s.recv(1)
    else:
        urllib.request.urlopen(url, timeout=60).read()


def lock(m):
    if m.get("lock"):
        with FIRST:
            call(m["lock_up"]) if m.get("lock_up") else time.sleep(m["lock"])
    if m.get("deadlock"):
        a, b = random.sample([FIRST, SECOND], 2)
        if a.acquire(timeout=25):
            try:
                time.sleep(0.2)
                if b.acquire(timeout=25):
                    b.release()
            finally:
                a.release()


def files(m):
    for _ in range(m.get("reads", 0)):
        fd = os.open(m["file"], os.O_RDONLY)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.lseek(fd, random.randrange(0, 60) * 1048576, os.SEEK_SET)
            os.read(fd, 262144)
        finally:
            os.close(fd)


@app.route("/", methods=["GET", "POST"])
def index():
    m = mode()
    compute(m.get("cpu", 0.004))
    if m.get("warm") and time.monotonic() - STARTED < m["warm"]:
        compute(0.02)
        time.sleep(0.3)
    if m.get("db", True):
        database(m)
    if m.get("redis", True):
        cache.get("key")
    if m.get("pop"):
        cache.blpop("nothing", m["pop"])
    if m.get("up"):
        call(m["up"])
    lock(m)
    files(m)
    if m.get("sleep"):
        time.sleep(m["sleep"])
    if m.get("garbage"):
        if not GARBAGE:
            GARBAGE.extend([[i] for i in range(m["garbage"])])
        gc.collect()
    if m.get("enqueue"):
        cache.rpush("jobs", "x")
    return "x" * m.get("body", 10)


@app.route("/upload", methods=["POST"])
def upload():
    request.get_data()
    return "ok"


@app.route("/drop")
def drop():
    while LEAKED:
        LEAKED.pop().close()
    return "dropped"
