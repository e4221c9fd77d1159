"""A WSGI app whose workers end in all ways, for tests of how they ended.

GET /healthz     responds with the worker's pid
GET /sleep?s=60  sleeps for that long
GET /exit?code=7 ends the worker at once with that status; 3 ends gunicorn's master too
GET /eat?mb=500  takes that much memory
"""

import os
import time
from urllib.parse import parse_qs

kept = []


def app(environ, start_response):
    query = {k: v[0] for k, v in parse_qs(environ["QUERY_STRING"]).items()}
    path = environ["PATH_INFO"]
    if path == "/sleep":
        time.sleep(float(query["s"]))
    elif path == "/exit":
        os._exit(int(query["code"]))
    elif path == "/eat":
        for _ in range(int(query["mb"])):
            kept.append(b"x" * (1 << 20))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
