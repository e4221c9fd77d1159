"""Fills containers of each kind and says how many objects the collector knows.

With a number as argument, one list more has so many objects. Each line on the standard
input lets them grow; "free" moves all objects to the permanent generation.
"""

import collections
import functools
import gc
import json
import sys


class Order:
    pass


class Store:
    rows = []

    def __init__(self):
        self.held = []


class Rows(list):
    pass


def closure():
    kept = set()

    def add(n):
        kept.add(n)

    return add


@functools.lru_cache(maxsize=100000)
def cached(n):
    return bytes(100)


@functools.lru_cache(maxsize=None)
def cached_pair(n, m):
    return [n, m]


def default(n, kept=[]):
    kept.append(n)


orders, numbers, names, queue, ordered = [], {}, set(), collections.deque(), collections.OrderedDict()
store, add, groups, own = Store(), closure(), {"a": [], "b": []}, Rows()
add.kept = {}
count = 0


def grow(n):
    global count
    for count in range(count, count + n):
        orders.append(Order())
        numbers[count] = str(count)
        names.add(count)
        queue.append(count)
        ordered[count] = [count]
        Store.rows.append((count, count))
        store.held.append(bytearray(100))
        add(count)
        cached(count)
        cached_pair(count, count + 1)
        default(count)
        groups["a"].append(count)
        add.kept[count] = count
        own.append(1000.5 + count)
    count += 1


many = [Order() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 0)]
step = int(sys.argv[2]) if len(sys.argv) > 2 else 500
grow(1000)
gc.collect()
gc.disable()
while True:
    objects = gc.get_objects()
    types = collections.Counter(map(type, objects))
    told = {"objects": len(objects) + gc.get_freeze_count(), "orders": types[Order], "functions": types[type(grow)], "tuples": types[tuple] + gc.get_freeze_count(), "count": count}
    del objects, types
    print(json.dumps(told), flush=True)
    line = sys.stdin.readline()
    if not line:
        break
    if line == "free\n":
        gc.freeze()
        print("{}", flush=True)
        sys.stdin.readline()
        gc.unfreeze()
    if line == "spin\n":
        print("{}", flush=True)
        while True:
            pass
    grow(step)
