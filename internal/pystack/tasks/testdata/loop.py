"""ASGI apps whose handlers write down where they wait, until they are let go."""
import asyncio
import json
import os
import sys
import time

folder = os.environ["LOOP_FOLDER"]
events = {}
lock = watcher = None


def path_of(name, end):
    return os.path.join(folder, name + end)


def note(name):
    """Writes down the line behind the call."""
    caller = sys._getframe(1)
    code = caller.f_code
    fact = dict(pid=os.getpid(), line=caller.f_lineno + 1, function=getattr(code, "co_qualname", code.co_name))
    with open(path_of(name, "~"), "w") as f:
        json.dump(fact, f)
    os.rename(path_of(name, "~"), path_of(name, ".json"))


async def watch():
    """Lets handlers go whose file is there. It is in no request."""
    while True:
        for name, event in list(events.items()):
            if os.path.exists(path_of(name, ".free")):
                event.set()
        await asyncio.sleep(0.05)


def event_of(name):
    global lock, watcher
    if lock is None:
        lock = asyncio.Lock()
        watcher = asyncio.ensure_future(watch())
    return events.setdefault(name, asyncio.Event())


class Store:
    async def read(self, name, depth):
        if depth:
            return await self.read(name, depth - 1)
        note(name)
        await event_of(name).wait()


async def helper(name):
    await Store().read(name, 4)


async def locked(name):
    note(name)
    async with lock:
        await event_of(name).wait()


async def holder(name):
    async with lock:
        note(name)
        await event_of(name).wait()


async def rows(name):
    for i in range(2):
        yield i
    note(name)
    await event_of(name).wait()
    yield 3


async def streamed(name):
    async for _ in rows(name):
        pass


async def child(name):
    await event_of(name).wait()


async def gathered(name):
    children = [child(name), child(name)]
    note(name)
    await asyncio.gather(*children)


async def timed(name):
    note(name)
    await asyncio.wait_for(event_of(name).wait(), 600)


async def hog(name):
    """Blocks the loop."""
    blocked(name)


def blocked(name):
    """In a thread where the framework has one."""
    note(name)
    while not os.path.exists(path_of(name, ".free")):
        time.sleep(0.05)


handlers = dict(helper=helper, holder=holder, locked=locked, streamed=streamed, gathered=gathered, timed=timed, hog=hog)


async def app(scope, receive, send):
    """A plain ASGI app."""
    if scope["type"] != "http":
        message = await receive()
        while message["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
            message = await receive()
        return
    headers = {k.decode(): v.decode() for k, v in scope["headers"]}
    event_of(headers["x-id"])
    await handlers[headers["x-kind"]](headers["x-id"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def starlette():
    """The same with views of Starlette."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    def view(kind):
        async def handle(request):
            event_of(request.headers["x-id"])
            await handlers[kind](request.headers["x-id"])
            return PlainTextResponse("ok")

        handle.__qualname__ = "view_" + kind
        return handle

    def in_thread(request):
        blocked(request.headers["x-id"])
        return PlainTextResponse("ok")

    in_thread.__qualname__ = "view_blocked"
    methods = ["GET", "POST", "PUT"]
    routes = [Route("/" + kind + "/{value}", view(kind), methods=methods) for kind in handlers]
    return Starlette(routes=routes + [Route("/blocked/{value}", in_thread, methods=methods)])
