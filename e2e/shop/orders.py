"""The cart, and the checkout that enqueues an order for the RQ workers."""

from flask import Blueprint, abort, jsonify
from rq import Queue

import sessions
import stores

pages = Blueprint("orders", __name__)

QUEUE = "default"
QUEUE_CEILING = 1000  # maximum number of waiting jobs
CART_CEILING = 99     # maximum number of one product
LONGEST = "shop:longest-queue"  # Redis key: the most jobs that have waited at once


def enqueue(job, *args, timeout):
    """Enqueue a job by its name; it may take timeout seconds."""
    queue = Queue(QUEUE, connection=stores.cache())
    if queue.count >= QUEUE_CEILING:
        abort(503, "too many jobs wait")
    return queue.enqueue(job, *args, job_timeout=timeout, result_ttl=60, failure_ttl=3600)


def note_longest_queue():
    """Note how many jobs have waited at most. It fails if what was noted is not a number."""
    # incrby creates the key: reading a missing key would count as a cache miss.
    more = Queue(QUEUE, connection=stores.cache()).count - stores.cache().incrby(LONGEST, 0)
    if more > 0:
        stores.cache().incrby(LONGEST, more)


@pages.get("/cart")
def cart():
    return jsonify(sessions.cart())


@pages.post("/cart/<int:product>")
def add(product):
    if product not in [p["id"] for p in stores.products()]:
        abort(404)
    sid, content = sessions.load()
    wanted = content.setdefault("cart", {})
    wanted[str(product)] = min(wanted.get(str(product), 0) + 1, CART_CEILING)
    sessions.save(sid, content)
    return jsonify(wanted)


@pages.post("/checkout")
def checkout():
    sid, content = sessions.load()
    wanted = content.pop("cart", {})
    if not wanted:
        abort(409, "the cart is empty")
    enqueue("jobs.write_order", wanted, timeout=60)
    sessions.save(sid, content)
    return "your order will be written\n", 202
