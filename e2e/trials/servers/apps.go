package servers

// marking is the part of an app that marks the request it works on, by a file
// of the request's and the worker's number, and what it can do for so long.
// Held is a call of C that keeps the interpreter's lock, so that no thread of
// the worker runs.
const marking = `import asyncio, contextlib, ctypes, os, time
@contextlib.contextmanager
def mark(number):
    path = os.path.join(os.environ.get("MARKS") or MARKS, "%s.%d" % (number, os.getpid()))
    open(path, "w").close()
    try: yield
    finally: os.unlink(path)
def spin(s):
    end = time.monotonic() + s
    while time.monotonic() < end: pass
def hold(s): ctypes.PyDLL(None).usleep(int(s * 1e6))
does = {"sleep": time.sleep, "spin": spin, "hold": hold}
def work(path):
    what = path.split("/")
    if what[1] in does:
        with mark(what[3]): does[what[1]](float(what[2]))
    return path != "/missing"
`

// wsgi is the app as a function.
const wsgi = marking + `def app(environ, start_response):
    found = work(environ["PATH_INFO"])
    start_response("200 OK" if found else "404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
application = app
`

// asgi is the app for event loops. It sleeps in a thread, as frameworks do in
// functions that are not async; it waits, spins and holds in the loop.
const asgi = marking + `async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown": return
    if scope["type"] != "http": return
    what = scope["path"].split("/")
    if what[1] == "await":
        with mark(what[3]): await asyncio.sleep(float(what[2]))
        found = True
    elif what[1] == "sleep": found = await asyncio.get_running_loop().run_in_executor(None, work, scope["path"])
    else: found = work(scope["path"])
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
`

// flask is the app as an application of Flask.
const flask = marking + `from flask import Flask, abort
app = Flask(__name__)
@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def index(path): return "ok" if work("/" + path) else abort(404)
`

// script is the app as a program.
const script = flask + `if __name__ == "__main__":
    import sys
    app.run(host="127.0.0.1", port=int(sys.argv[1]))
`

// apache is a configuration of Apache with one group of daemons.
const apache = `ServerRoot {dir}
ServerName localhost
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule wsgi_module MODULE
PidFile {dir}/httpd.pid
User www-data
Group www-data
Listen {at}
ErrorLog {dir}/error.log
WSGISocketPrefix {dir}/wsgi
WSGIPythonHome HOME
WSGIDaemonProcess {app} processes=2 threads=3 display-name=%{GROUP} python-path={dir}
WSGIScriptAlias / {dir}/{app}.py process-group={app} application-group=%{GLOBAL}
<Directory {dir}>
Require all granted
</Directory>
`

// vassal is the configuration of an app of uWSGI's emperor.
const vassal = `[uwsgi]
PLUGIN
module = MODULE:app
http-socket = AT
master = true
processes = 2
need-app = true
die-on-term = true
`
