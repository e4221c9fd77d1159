"""The shop's database, with a connection pool, and its Redis.

Both are opened at their first use, not at import. A server that forks after
loading the app therefore shares no connection between its workers: each worker
process has its own pool.
"""

import functools
import json
import os

import redis
import sqlalchemy
from sqlalchemy import text

LOCK_WAIT = int(os.environ.get("SHOP_LOCK_WAIT", "25"))  # seconds that a statement waits for a row before it fails


@functools.cache
def engine():
    """Return the engine of this process; the default pool size is SQLAlchemy's."""
    return sqlalchemy.create_engine(
        os.environ["SHOP_DB"], future=True, pool_timeout=10,
        pool_size=int(os.environ.get("SHOP_POOL_SIZE", "5")),
        max_overflow=int(os.environ.get("SHOP_POOL_OVERFLOW", "10")),
        connect_args={
            "connect_timeout": 5, "read_timeout": max(90, LOCK_WAIT + 30), "write_timeout": 90,
            "init_command": f"SET innodb_lock_wait_timeout={LOCK_WAIT}",
        })


@functools.cache
def cache():
    return redis.Redis.from_url(os.environ["SHOP_REDIS"], socket_timeout=5, socket_connect_timeout=5)


def products():
    with engine().connect() as c:
        rows = c.execute(text("SELECT id, name, price FROM products ORDER BY id")).all()
    return [{"id": r.id, "name": r.name, "price": float(r.price)} for r in rows]


def most_sold():
    """Return the name of the best-selling product, cached in Redis for 10 s."""
    kept = cache().get("shop:most-sold")
    if kept:
        return json.loads(kept)
    with engine().connect() as c:
        name = c.execute(text("SELECT name FROM products ORDER BY sold DESC, id LIMIT 1")).scalar()
    cache().set("shop:most-sold", json.dumps(name), ex=10)
    return name
