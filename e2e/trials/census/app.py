"""A web app that keeps some memory of each request, in the way that WAY names.

What keeps it has the name that NAME has. Each request keeps ITEMS objects of some kB.
"""

import collections
import ctypes
import functools
import gc
import os
import random
import time

from flask import Flask

app = Flask(__name__)
WAY, NAME, ITEMS = os.environ["WAY"], os.environ["NAME"], int(os.environ["ITEMS"])
BYTES = int(os.environ["BYTES"])  # of an object
number = 0


class Order:
    def __init__(self):
        self.text = text()


class Node:
    def __init__(self):
        self.me, self.text = self, text()


class Store:
    pass


class Shop:
    pass


def text():
    global number
    number += 1
    return "x" * BYTES + str(number)


def closure():
    kept = []
    return lambda: kept.append(Order())


@functools.lru_cache(maxsize=300)
def bounded(n):
    return bytearray(4000)


libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
store, buffer = Store(), bytearray()


def malloc():
    libc.memset(libc.malloc(BYTES), 1, BYTES)


def array():
    global buffer
    buffer += b"b" * BYTES


def keep(what):
    globals()[NAME] = what
    return what


def leak():
    if WAY == "list":
        kept = keep([])
        return lambda: kept.append(Order())
    if WAY == "dict":
        kept = keep({})
        return lambda: kept.__setitem__(number, text())
    if WAY == "set":
        kept = keep(set())
        return lambda: kept.add(text())
    if WAY == "deque":
        kept = keep(collections.deque())
        return lambda: kept.append(Order())
    if WAY == "lru_cache":
        cached = keep(functools.lru_cache(maxsize=None)(lambda n: text()))
        return lambda: cached(number)
    if WAY == "class":
        setattr(Shop, NAME, [])
        return lambda: getattr(Shop, NAME).append(Order())
    if WAY == "instance":
        setattr(store, NAME, [])
        return lambda: getattr(store, NAME).append(Order())
    if WAY == "closure":
        return keep(closure())
    if WAY == "lists":
        kept = keep({k: [] for k in range(5)})
        return lambda: kept[random.randrange(5)].append(Order())
    if WAY == "cycle":
        gc.disable()
        return Node
    return {"malloc": malloc, "array": array}[WAY]


lose = leak()


@app.route("/")
def index():
    for _ in range(ITEMS):
        lose()
    bounded(random.randrange(1000))
    rows = [{"n": n, "text": "r" * 100} for n in range(200)]
    time.sleep(random.uniform(0.005, 0.05))
    return str(len(rows))
