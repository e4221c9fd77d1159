"""Sessions in Redis: a cookie holds a random id, the rest is one key that expires."""

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
    """The id and the content of the visitor's session; no id where there is none.

    An id that Redis does not know is not taken over from the visitor.
    """
    sid = request.cookies.get(COOKIE, "")
    content = cache().get(PREFIX + sid) if SHAPE.fullmatch(sid) else None
    return (sid, json.loads(content)) if content else (None, {})


def save(sid, content):
    """Keep the content for a lifetime from now on, under a new id if there is none."""
    sid = sid or secrets.token_urlsafe(16)
    cache().set(PREFIX + sid, json.dumps(content), ex=LIFETIME)

    @after_this_request
    def set_cookie(response):
        response.set_cookie(COOKIE, sid, max_age=LIFETIME, httponly=True, samesite="Lax")
        return response


def cart():
    """How many of which product the visitor wants: {"3": 1}."""
    return load()[1].get("cart", {})
