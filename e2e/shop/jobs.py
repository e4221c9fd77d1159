"""What the RQ workers do for the shop.

The workers are told that this module has their settings (rq worker -c jobs).
It has none; but so they import it once, and not in the process of each job.
"""

import os
import time

import sqlalchemy
from sqlalchemy import text
from sqlalchemy.pool import NullPool

import stores

ORDERS_KEPT = 10_000


def database():
    """A connection for one job, since each job has a process of its own."""
    return sqlalchemy.create_engine(
        os.environ["SHOP_DB"], future=True, poolclass=NullPool,
        connect_args={"connect_timeout": 5, "init_command": f"SET innodb_lock_wait_timeout={stores.LOCK_WAIT}"})


def write_order(cart):
    """One order with its lines; cart is {product: count}, as the session had it."""
    with database().begin() as c:
        order = c.execute(text("INSERT INTO orders () VALUES ()")).lastrowid
        # In one order of the rows, or two orders could wait for each other.
        for product, count in sorted((int(p), n) for p, n in cart.items()):
            values = {"o": order, "p": product, "n": count}
            c.execute(text("INSERT INTO order_lines (order_id, product_id, pieces) VALUES (:o, :p, :n)"), values)
            c.execute(text("UPDATE products SET sold = sold + :n WHERE id = :p"), values)
        c.execute(text("DELETE FROM orders WHERE id <= :last"), {"last": order - ORDERS_KEPT})
    return order


def stuck(seconds, round_of_faults):
    """Hold a worker for that long, or until somebody asks for /fault/clear."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and int(stores.cache().get("shop:faults") or 0) == round_of_faults:
        time.sleep(1)
