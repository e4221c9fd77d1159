"""The jobs of the shop's RQ workers.

The workers are started with this module as their settings (rq worker -c jobs).
It has no settings. This way it is imported once, and not in the process of each job.
"""

import os
import time

import sqlalchemy
from sqlalchemy import text
from sqlalchemy.pool import NullPool

import stores

ORDERS_KEPT = 10_000


def database():
    """Return an engine without a pool, because each job runs in its own process."""
    return sqlalchemy.create_engine(
        os.environ["SHOP_DB"], future=True, poolclass=NullPool,
        connect_args={"connect_timeout": 5, "init_command": f"SET innodb_lock_wait_timeout={stores.LOCK_WAIT}"})


def write_order(cart):
    """Write one order with its lines; cart is {product: count}, as in the session."""
    with database().begin() as c:
        order = c.execute(text("INSERT INTO orders () VALUES ()")).lastrowid
        # Always lock the rows in the same order, otherwise two orders could deadlock.
        for product, count in sorted((int(p), n) for p, n in cart.items()):
            values = {"o": order, "p": product, "n": count}
            c.execute(text("INSERT INTO order_lines (order_id, product_id, pieces) VALUES (:o, :p, :n)"), values)
            c.execute(text("UPDATE products SET sold = sold + :n WHERE id = :p"), values)
        c.execute(text("DELETE FROM orders WHERE id <= :last"), {"last": order - ORDERS_KEPT})
    return order


def stuck(seconds, round_of_faults):
    """Occupy a worker for that long, or until /fault/clear is called."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and int(stores.cache().get("shop:faults") or 0) == round_of_faults:
        time.sleep(1)
