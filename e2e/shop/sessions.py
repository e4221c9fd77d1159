"""Sessions in Redis: a cookie contains a random id, the content is one key with an expiry."""

import json
import re
import secrets

from flask import after_this_request, request

from stores import cache

COOKIE = "shop_session"
PREFIX = "session:"
LIFETIME = 2 * 3600  # seconds after the last change
SHAPE = re.compile(r"[A-Za-z0-9_-]{22}")


def load():
    """Return the id and the content of the visitor's session, or None and an empty dict.

    An id that is not in Redis is not accepted from the visitor.
    """
    sid = request.cookies.get(COOKIE, "")
    content = cache().get(PREFIX + sid) if SHAPE.fullmatch(sid) else None
    return (sid, json.loads(content)) if content else (None, {})


def save(sid, content):
    """Store the content with a new expiry, under a new id if sid is None."""
    sid = sid or secrets.token_urlsafe(16)
    cache().set(PREFIX + sid, json.dumps(content), ex=LIFETIME)

    @after_this_request
    def set_cookie(response):
        response.set_cookie(COOKIE, sid, max_age=LIFETIME, httponly=True, samesite="Lax")
        return response


def cart():
    """Return the visitor's cart as {product: count}, such as {"3": 1}."""
    return load()[1].get("cart", {})
