"""Pages that inject faults, each within limits. /fault/clear ends them.

A query, a lock, a call to the upstream and a computation end by themselves;
/fault/clear does not end them.
"""

import os
import socket
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

LEAK_CEILING = 40        # connections of one worker, whatever its pool size
HOLD_CEILING = int(os.environ.get("SHOP_HOLD_CEILING", "60"))  # seconds of a query, a lock, a call to the upstream or a computation
STUCK_CEILING = 600      # seconds of a job
SESSION_CEILING = 5_000  # sessions without expiry
KEPT_CEILING = 256       # MiB that one worker leaks
KEPT_A_SECOND = 2        # MiB leaked per second
KEPT_AT_ONCE = 400       # MiB that one worker keeps, and takes within a few seconds
FREE_AT_LEAST = 3 * KEPT_AT_ONCE  # MiB that must be free on the host and in the container, or nothing is kept
CONTAINER = [  # the limit of a container's memory, and what is used of it
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes")]
ROUND = "shop:faults"    # Redis key that counts the calls of /fault/clear
LEAKER = "shop:leaker"   # Redis key that exists while a worker leaks memory

LEAKED = []         # connections that this worker process does not return to its pool
LEAKED_IN = [None]  # value of ROUND when they were taken


def seconds(default, ceiling):
    try:
        return min(max(float(request.args.get("s", default)), 0.0), ceiling)
    except ValueError:
        abort(400)


def this_round():
    # incrby creates the key: reading a missing key would count as a cache miss.
    return cache().incrby(ROUND, 0)


@pages.before_app_request
def give_back():
    """Return leaked connections if /fault/clear was called since the last request."""
    if LEAKED and this_round() != LEAKED_IN[0]:
        while LEAKED:
            c = LEAKED.pop()
            try:
                c.close()  # rolls back
            except DBAPIError:  # the connection was killed: only the pool must notice
                c.invalidate()


@pages.get("/leak-connection")
def leak_connection():
    """Take a connection, change one unlocked row, and leave the transaction open."""
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
    """Start a memory leak in this worker, unless another worker leaks already."""
    now = this_round()
    if not cache().set(LEAKER, os.getpid(), nx=True, ex=5):
        abort(409, "a worker leaks already")
    # A daemon thread, so that it does not prevent the worker from exiting.
    threading.Thread(target=keep_more, args=(now, KEPT_A_SECOND, KEPT_CEILING), daemon=True).start()
    return f"{os.getpid()} leaks {KEPT_A_SECOND} MiB a second\n"


@pages.get("/keep-memory")
def keep_memory():
    """Keep KEPT_AT_ONCE MiB in this worker, unless another worker leaks or keeps memory already."""
    if free() < FREE_AT_LEAST << 20:
        abort(503, f"less than {FREE_AT_LEAST} MiB of memory are free")
    now = this_round()
    if not cache().set(LEAKER, os.getpid(), nx=True, ex=5):
        abort(409, "a worker leaks already")
    threading.Thread(target=keep_more, args=(now, KEPT_AT_ONCE // 5, KEPT_AT_ONCE), daemon=True).start()
    return f"{os.getpid()} keeps {KEPT_AT_ONCE} MiB\n"


def free():
    """Return the bytes that can still be taken, of the host's memory and of the limit of this container."""
    with open("/proc/meminfo") as f:
        left = next(int(line.split()[1]) << 10 for line in f if line.startswith("MemAvailable:"))
    for limit, used in CONTAINER:
        try:
            with open(limit) as most, open(used) as now:
                left = min(left, int(most.read()) - int(now.read()))
        except (OSError, ValueError):  # another version of control groups, or no limit
            continue
    return left


def keep_more(in_round, step, ceiling):
    """Keep step MiB more each second, up to ceiling, until /fault/clear is called."""
    kept = []
    while True:
        if len(kept) * step < ceiling:
            kept.append(b"x" * (step << 20))
        time.sleep(1)
        try:
            if this_round() != in_round:
                cache().unlink(LEAKER)
                return
            cache().set(LEAKER, os.getpid(), ex=5)
        except redis.RedisError:
            pass  # the leak continues


@pages.get("/slow-query")
def slow_query():
    s = seconds(5, HOLD_CEILING)
    with engine().connect() as c:
        c.execute(text("SELECT SLEEP(:s)"), {"s": s})
    return f"the database slept {s:g} s\n"


@pages.get("/lock")
def lock():
    """Lock the row of one product; other requests and orders for it wait."""
    s = seconds(20, HOLD_CEILING)
    product = request.args.get("product", 1, type=int)
    with engine().connect() as c:
        c.execute(text("SELECT id FROM products WHERE id = :id FOR UPDATE"), {"id": product})
        time.sleep(s)
    return f"{os.getpid()} held product {product} for {s:g} s\n"


@pages.get("/upstream")
def upstream():
    """Call the payment service, which accepts the connection and never answers."""
    s = seconds(20, HOLD_CEILING)
    host, _, port = os.environ.get("SHOP_UPSTREAM", "").rpartition(":")
    if not port:
        abort(503, "SHOP_UPSTREAM is not set")
    with socket.create_connection((host, int(port)), timeout=s) as c:
        c.sendall(b"POST /payments HTTP/1.1\r\nHost: payments\r\nContent-Length: 0\r\n\r\n")
        try:
            c.recv(1)
        except TimeoutError:
            pass
    return f"the payment service did not answer within {s:g} s\n"


@pages.get("/gil")
def gil():
    """Compute in a thread that holds the interpreter's lock for long; this request waits for the lock."""
    end = time.monotonic() + seconds(10, HOLD_CEILING)
    thread = threading.Thread(target=render, args=(end,))
    thread.start()
    while thread.is_alive():
        time.sleep(0.001)
    return f"{os.getpid()} has rendered\n"


def render(end):
    while time.monotonic() < end:
        sum(range(20_000_000))  # one call in C, which releases the lock only at its end


@pages.get("/sessions")
def many_sessions():
    """Create n sessions without an expiry; a second call creates the same ones."""
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
    """Enqueue a job that occupies an RQ worker for s seconds."""
    s = seconds(120, STUCK_CEILING)
    orders.enqueue("jobs.stuck", s, this_round(), timeout=int(s) + 30)
    return f"a job that sleeps {s:g} s\n", 202


@pages.get("/crash-task")
def crash_task():
    """Break what the background task reads: each of its runs fails from now on."""
    cache().set(orders.LONGEST, "many")
    return "the task longest-queue fails\n"


@pages.get("/clear")
def clear():
    """End all faults that do not end by themselves: here at once, in other workers at their next request."""
    cache().incr(ROUND)
    cache().unlink(orders.LONGEST)
    cache().unlink(*endless(SESSION_CEILING))
    give_back()
    return "cleared\n"
