"""A WSGI app whose workers wait in a Redis, for tests.

POP_REDIS    address of the Redis: "127.0.0.1:6379" or "unix:/run/x.sock"

GET /pop    waits for an item of a list that nobody fills
GET /get    reads a key
"""

import os

import redis


def connect():
    where = os.environ["POP_REDIS"]
    if where.startswith("unix:"):
        return redis.Redis(unix_socket_path=where[5:])
    host, port = where.rsplit(":", 1)
    return redis.Redis(host=host, port=int(port))


store = connect()


def app(environ, start_response):
    if environ["PATH_INFO"] == "/pop":
        store.blpop("empty")
    elif environ["PATH_INFO"] == "/get":
        store.get("key")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
