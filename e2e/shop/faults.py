"""Pages that make faults on purpose, each within bounds. /fault/clear ends them.

What ends by itself, a query or a lock that is held, is left to do so.
"""

import os
import threading
import time

import redis
from flask import Blueprint, abort, request
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import orders
import sessions
from stores import cache, engine

pages = Blueprint("faults", __name__, url_prefix="/fault")

LEAK_CEILING = 40        # connections of one worker, whatever its pool has
HOLD_CEILING = 60        # seconds of a query or a lock
STUCK_CEILING = 600      # seconds of a job
SESSION_CEILING = 5_000  # sessions without expiry
KEPT_CEILING = 256       # MiB that one worker leaks
KEPT_A_SECOND = 2        # MiB
ROUND = "shop:faults"    # counts the calls of /fault/clear
LEAKER = "shop:leaker"   # there while a worker leaks memory

LEAKED = []         # connections that this worker process does not give back
LEAKED_IN = [None]  # the round of faults in which it took them


def seconds(default, ceiling):
    try:
        return min(max(float(request.args.get("s", default)), 0.0), ceiling)
    except ValueError:
        abort(400)


def this_round():
    # Also makes the key: a look at none would count as a miss of the cache.
    return cache().incrby(ROUND, 0)


@pages.before_app_request
def give_back():
    """A worker that leaked notices by its next request that all was cleared."""
    if LEAKED and this_round() != LEAKED_IN[0]:
        while LEAKED:
            c = LEAKED.pop()
            try:
                c.close()  # rolls back
            except DBAPIError:  # somebody has ended it: only the pool has to know
                c.invalidate()


@pages.get("/leak-connection")
def leak_connection():
    """Take a connection, change one row that nobody else holds, and stop there."""
    if len(LEAKED) >= LEAK_CEILING:
        abort(503, f"{LEAK_CEILING} connections are leaked here already")
    now = this_round()
    c = engine().connect()
    try:
        row = c.execute(text("SELECT id FROM reservations ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED")).scalar()
        if row is None:
            abort(503, "all rows are held already")
        c.execute(text("UPDATE reservations SET held_since = NOW() WHERE id = :id"), {"id": row})
    except BaseException:
        c.close()
        raise
    LEAKED.append(c)
    LEAKED_IN[0] = now
    return f"{len(LEAKED)} connections leaked by {os.getpid()}\n"


@pages.get("/leak-memory")
def leak_memory():
    """Let this worker, if none does, keep more memory each second."""
    now = this_round()
    if not cache().set(LEAKER, os.getpid(), nx=True, ex=5):
        abort(409, "a worker leaks already")
    # No thread that would keep the worker from ending.
    threading.Thread(target=keep_more, args=(now,), daemon=True).start()
    return f"{os.getpid()} leaks {KEPT_A_SECOND} MiB a second\n"


def keep_more(in_round):
    kept = []
    while True:
        if len(kept) * KEPT_A_SECOND < KEPT_CEILING:
            kept.append(b"x" * (KEPT_A_SECOND << 20))
        time.sleep(1)
        try:
            if this_round() != in_round:
                cache().unlink(LEAKER)
                return
            cache().set(LEAKER, os.getpid(), ex=5)
        except redis.RedisError:
            pass  # it goes on leaking


@pages.get("/slow-query")
def slow_query():
    s = seconds(5, HOLD_CEILING)
    with engine().connect() as c:
        c.execute(text("SELECT SLEEP(:s)"), {"s": s})
    return f"the database slept {s:g} s\n"


@pages.get("/lock")
def lock():
    """Hold the row of one product; whoever else wants it waits, orders too."""
    s = seconds(20, HOLD_CEILING)
    product = request.args.get("product", 1, type=int)
    with engine().connect() as c:
        c.execute(text("SELECT id FROM products WHERE id = :id FOR UPDATE"), {"id": product})
        time.sleep(s)
    return f"{os.getpid()} held product {product} for {s:g} s\n"


@pages.get("/sessions")
def many_sessions():
    """Make n sessions that never expire; a second call does not add to the first."""
    n = min(max(request.args.get("n", 1000, type=int), 0), SESSION_CEILING)
    with cache().pipeline(transaction=False) as p:
        for key in endless(n):
            p.set(key, '{"cart": {}}')
        p.execute()
    return f"{n} sessions without expiry\n"


def endless(n):
    return [f"{sessions.PREFIX}endless-{i:04d}" for i in range(n)]


@pages.get("/stuck-job")
def stuck_job():
    """Leave a job that keeps an RQ worker for s seconds."""
    s = seconds(120, STUCK_CEILING)
    orders.enqueue("jobs.stuck", s, this_round(), timeout=int(s) + 30)
    return f"a job that sleeps {s:g} s\n", 202


@pages.get("/clear")
def clear():
    """End what does not end by itself: here at once, in the others by their next request."""
    cache().incr(ROUND)
    cache().unlink(*endless(SESSION_CEILING))
    give_back()
    return "cleared\n"
