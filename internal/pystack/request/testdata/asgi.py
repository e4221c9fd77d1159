"""An app of Starlette whose handlers stop, and the shop below an ASGI server."""
from hypercorn.middleware import AsyncioWSGIMiddleware
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from stop import routes, stop

all_methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"]


def plain(request):
    stop(request.headers["X-Id"])
    return PlainTextResponse("ok")


async def blocking(request):
    """Blocks the loop."""
    stop(request.headers["X-Id"])
    return PlainTextResponse("ok")


found = routes()
if any(route["style"] == "blocking" for route in found):
    views = {"plain": plain, "blocking": blocking}
    app = Starlette(routes=[Route(r["rule"].replace("<value>", "{value}"), views[r["style"]], methods=all_methods) for r in found])
else:
    import shop as flask_shop

    shop = AsyncioWSGIMiddleware(flask_shop.app)
