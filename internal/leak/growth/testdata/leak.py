"""Leaks in the way that the argument names, a hundred every 250 ms."""

import collections
import ctypes
import functools
import gc
import sys
import time


class Order:
    def __init__(self, n):
        self.text = "x" * 200 + str(n)


class Node:
    def __init__(self):
        self.me = self
        self.text = "y" * 2000 + str(id(self))


class Store:
    rows = []

    def __init__(self):
        self.held = []


def closure():
    kept = []

    def add(x):
        kept.append(x)

    return add


@functools.lru_cache(maxsize=None)
def cached(n):
    return "z" * 1000 + str(n)


libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]


def malloc(n):
    libc.memset(libc.malloc(5000), 1, 5000)


def array(n):
    global buffer
    buffer += b"b" * 5000


orders, table, names, queue, groups = [], {}, set(), collections.deque(), {k: [] for k in range(10)}
store, add, buffer = Store(), closure(), bytearray()
leaks = {
    "list": lambda n: orders.append(Order(n)),
    "dict": lambda n: table.__setitem__(n, "v" * 1000 + str(n)),
    "set": lambda n: names.add("s" * 1000 + str(n)),
    "lru_cache": lambda n: cached(n),
    "class": lambda n: Store.rows.append(Order(n)),
    "closure": lambda n: add(Order(n)),
    "deque": lambda n: queue.append(Order(n)),
    "instance": lambda n: store.held.append(Order(n)),
    "lists": lambda n: groups[n % 10].append(Order(n)),
    "cycle": lambda n: Node(),
    "malloc": malloc,
    "array": array,
}
leak, n = leaks[sys.argv[1]], 0
if sys.argv[1] == "cycle":
    gc.disable()
print("ready", flush=True)
while True:
    for n in range(n, n + 100):
        leak(n)
    n += 1
    time.sleep(0.25)
