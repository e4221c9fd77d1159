"""A site of Django whose views stop."""
import functools

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from django.views import View
from stop import routes, stop

settings.configure(DEBUG=False, SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[__name__ + ".Early"])
django.setup()


def plain(request, **values):
    stop(request.headers["X-Id"])
    return HttpResponse("ok")


def decorated(view):
    @functools.wraps(view)
    def wrapper(*args, **kwargs):
        return view(*args, **kwargs)

    return wrapper


class Resource(View):
    http_method_names = ["get", "post", "put", "delete", "patch", "options", "brew"]

    def dispatch(self, request, *args, **kwargs):
        return plain(request, **kwargs)


class Early:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        if request.headers.get("X-Early"):
            return plain(request)
        return self.get_response(request)


urlpatterns = []
for route in routes():
    view = {"plain": plain, "decorated": decorated(plain), "class": Resource.as_view(), "early": plain}[route["style"]]
    urlpatterns.append(path(route["rule"].lstrip("/").replace("<value>", "<str:value>"), view, name=route["endpoint"]))
app = get_wsgi_application()
