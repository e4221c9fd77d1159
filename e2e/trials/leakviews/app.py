"""A web app of five views, of which the one that LEAK names keeps memory for good.

The others take memory and give it back, or fill a cache that is bounded.
"""

import functools
import json
import os
import random
import time

from flask import Flask

app = Flask(__name__)
VIEWS = json.loads(os.environ["VIEWS"])  # name: seconds that a request takes
LEAK, BYTES = os.environ.get("LEAK", ""), int(os.environ["BYTES"])
KEPT = []


@functools.lru_cache(maxsize=300)
def cached(n):
    return bytearray(4000)


def search():
    cached(random.randrange(1000))


def report():
    rows = [b"x" * 2000 for _ in range(200)]
    return json.dumps([len(r) for r in rows])


def upload():
    return len(bytearray(random.randrange(1 << 16)))


def compute():
    return sum(range(20000))


def nothing():
    return None


def view(work, name):
    def handle():
        if name == LEAK:
            KEPT.append(bytearray(BYTES))
        work()
        time.sleep(VIEWS[name] * random.uniform(0.5, 1.5))
        return name

    return handle


for work, name in zip((search, report, upload, compute, nothing), VIEWS):
    app.add_url_rule("/" + name, name, view(work, name))
