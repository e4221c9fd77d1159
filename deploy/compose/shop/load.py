"""Simulated visitors of the shop: a light mix of requests, one at a time.

The only argument is the address of the shop. It sends at most eight requests
per second, until it is stopped. Failed requests are expected: the exporter
shows them.
"""

import http.cookiejar
import random
import signal
import sys
import time
import urllib.error
import urllib.request

PAUSE = 0.12   # seconds between two visits
PATIENCE = 15  # timeout of a request in seconds
STAYS = 60     # mean number of visits of one customer

# The requests with their weights. N is a product.
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
    """Return a client with its own cookies."""
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
