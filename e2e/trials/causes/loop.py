"""An app for an event loop whose requests do what the file MODE says."""

import asyncio
import json
import os
import time

import pymysql
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


def mode():
    with open(os.environ["MODE"]) as f:
        return json.load(f)


def statement(sql):
    c = pymysql.connect(host="127.0.0.1", port=int(os.environ["MYSQL"]), user="trial", password="trial", database="trial")
    try:
        c.cursor().execute(sql)
    finally:
        c.close()


def compute(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(500))


async def index(request):
    m = mode()
    compute(m.get("cpu", 0.004))
    await asyncio.sleep(m.get("wait", 0.01))
    m = mode()  # requests that waited for their turn meanwhile have no fault after its end
    if m.get("block"):
        time.sleep(m["block"])
    if m.get("sql"):
        statement(m["sql"])
    if m.get("threaded"):
        await asyncio.to_thread(statement, m["threaded"])
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/", index)])
