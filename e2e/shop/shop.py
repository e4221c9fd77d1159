"""A small shop with fast and slow pages, for the demo and the tests.

It needs only Flask, and has no state except the memory that /leak keeps.

With SHOP_DB (SQLAlchemy's URL of a database, see schema.sql) and SHOP_REDIS
(URL of a Redis), products come from the database, sessions are in Redis, orders
are written by RQ workers, and there are pages that inject faults. The other
modules of this directory are imported only then.

With RESP_APP, the app's name in the exporter's configuration, it also uses
integrations/flask/resp_flask.py, which must be beside it or on PYTHONPATH. The
other variables of resp_flask apply; SHOP_FRONT=1 says that a proxy in front of
the shop sets X-Request-Start.
"""

import os
import time

from flask import Flask, abort, jsonify, request

app = Flask(__name__)
stored = bool(os.environ.get("SHOP_DB"))
if stored != bool(os.environ.get("SHOP_REDIS")):
    raise RuntimeError("SHOP_DB and SHOP_REDIS go together: only one of them is set")
if stored:
    import faults
    import orders
    import sessions
    import stores

    app.register_blueprint(orders.pages)
    app.register_blueprint(faults.pages)
if os.environ.get("RESP_APP"):
    import resp_flask

    # When requests are shed, those of visitors with a cart are the last ones. Pages that inject
    # faults, or end them, are always served.
    resp = resp_flask.init_app(
        app, exempt=[e for e in app.view_functions if e.startswith("faults.")],
        request_start=True if os.environ.get("SHOP_FRONT") else None,
        priorities={"slow": "low", "orders.cart": "high", "orders.add": "high", "orders.checkout": "high"})
    if stored:
        resp.task("longest-queue", every=5)(orders.note_longest_queue)

PRODUCTS = [{"id": n, "name": name, "price": price} for n, (name, price) in enumerate(
    [("kettle", 39.0), ("lamp", 24.5), ("chair", 119.0), ("clock", 17.9), ("rug", 74.0)], 1)]
LEAKED = []
LEAK_CEILING = 512 << 20


def number(name, default, ceiling):
    """Return a number from the query string, limited to 0…ceiling."""
    try:
        return min(max(float(request.args.get(name, default)), 0.0), ceiling)
    except ValueError:
        abort(400)


@app.get("/")
def home():
    more = f"<p>Most sold: {stores.most_sold()}</p><p><a href=/cart>Cart</a>: {sum(sessions.cart().values())}</p>" if stored else ""
    return f"<h1>The shop</h1><p><a href=/products>Products</a></p>{more}\n"


@app.get("/products")
def products():
    return jsonify(stores.products() if stored else PRODUCTS)


@app.get("/products/<int:product>")
def one_product(product):
    found = [p for p in (stores.products() if stored else PRODUCTS) if p["id"] == product]
    return jsonify(found[0]) if found else abort(404)


@app.get("/slow")
@app.get("/search", endpoint="search")
def slow():
    """Sleep for s seconds, like a request that waits for something. /slow has a low priority."""
    seconds = number("s", 2, 600)
    time.sleep(seconds)
    return f"slept {seconds:g} s in {os.getpid()}\n"


@app.get("/cpu")
def cpu():
    """Use ms milliseconds of CPU time."""
    end = time.thread_time() + number("ms", 200, 10_000) / 1000
    rounds = 0
    while time.thread_time() < end:
        rounds += 1
    return f"{rounds} rounds\n"


@app.get("/leak")
def leak():
    """Leak kb kilobytes in this worker, up to LEAK_CEILING."""
    size = int(number("kb", 100, 102_400)) << 10
    if sum(map(len, LEAKED)) + size <= LEAK_CEILING:
        LEAKED.append(os.urandom(1) * size)
    return f"{sum(map(len, LEAKED)) >> 10} kB kept by {os.getpid()}\n"


@app.get("/error")
def error():
    raise RuntimeError("the shop was asked to fail")


@app.get("/healthz")
def healthz():
    return "ok\n"


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8000")))
