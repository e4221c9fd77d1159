"""Visitors of the shop: a light mix of requests, one at a time.

It asks the shop at the address of its only argument, at most eight times a
second, until it is ended. A request that fails is part of the story: the
exporter shows it.
"""

import http.cookiejar
import random
import signal
import sys
import time
import urllib.error
import urllib.request

PAUSE = 0.12   # seconds between two visits
PATIENCE = 15  # seconds that an answer may take
STAYS = 60     # visits of a customer, on the mean, before another comes

# What is asked for, each by its weight. N is a product.
VISITS = [
    (48, ["GET /"]),
    (25, ["GET /products"]),
    (10, ["GET /products/N"]),
    (4, ["GET /cart"]),
    (4, ["POST /cart/N"]),
    (2, ["POST /cart/N", "POST /checkout"]),
    (3, ["GET /cpu?ms=40"]),
    (2, ["GET /slow?s=1"]),
    (1, ["GET /products/99"]),
    (1, ["GET /error"]),
]


def customer():
    """Somebody with cookies of their own."""
    jar = http.cookiejar.CookieJar()
    return urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))


def ask(who, base, step):
    method, path = step.split()
    url = base + path.replace("/N", f"/{random.randint(1, 5)}")
    try:
        with who.open(urllib.request.Request(url, method=method), timeout=PATIENCE) as answer:
            answer.read(1 << 20)
    except (urllib.error.URLError, OSError):
        time.sleep(PAUSE)


def main(base):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    weights = [weight for weight, _ in VISITS]
    who = customer()
    while True:
        if random.randrange(STAYS) == 0:
            who = customer()
        for step in random.choices(VISITS, weights)[0][1]:
            ask(who, base, step)
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
