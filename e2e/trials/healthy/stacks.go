package healthy

import "time"

// threads is an app with a thread of each kind that blocks, or wakes up periodically.
const threads = Background + plain

// Background is Python that starts a thread of each kind that blocks, or wakes up
// periodically. The environment variable REDIS is the port of a Redis.
const Background = `import os, queue, select, subprocess, threading, time
def pubsub():
    import redis
    p = redis.Redis(port=int(os.environ["REDIS"])).pubsub()
    p.subscribe("invalidate")
    for _ in p.listen(): pass
def pipe():
    r, w = os.pipe()
    p = select.poll(); p.register(r, select.POLLIN)
    p.poll()
def child(): subprocess.Popen(["sleep", "3600"]).wait()
def scheduler():
    while True: time.sleep(0.2)
def jobs(): queue.Queue().get()
for f in (pubsub, pipe, child, scheduler, jobs):
    threading.Thread(target=f, daemon=True).start()
`

// flask is an app for its development server.
const flask = Background + `from flask import Flask
app = Flask(__name__)
@app.get("/")
def index(): return "ok"
@app.get("/sleep/<float:s>")
def sleep(s): time.sleep(s); return "ok"
`

// plain is an app of short requests.
const plain = `import time
def app(environ, start_response):
    what = environ["PATH_INFO"].split("/")
    if what[1] == "sleep": time.sleep(float(what[2]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
`

// slowly is an app that takes its time to load.
const slowly = "import time\ntime.sleep(4)\n" + plain

// asgi is an app for an event loop.
const asgi = `import asyncio
async def app(scope, receive, send):
    if scope["type"] != "http": return
    what = scope["path"].split("/")
    if what[1] == "sleep": await asyncio.sleep(float(what[2]))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
`

// Stack is one healthy app under one server.
type Stack struct {
	Name   string
	app    string
	argv   []string // as in bench.Spec
	rate   int      // requests a second; 0: none
	rest   int      // clients that keep an idle connection open
	reload time.Duration
	local  bool // a UNIX socket
}

// Stacks returns all stacks.
func Stacks() []Stack {
	gunicorn := func(args ...string) []string {
		return append(append([]string{"gunicorn", "--bind={at}", "--timeout=300"}, args...), "{app}:app")
	}
	uwsgi := func(args ...string) []string {
		return append([]string{"uwsgi", "--plugin=python3", "--die-on-term", "--need-app", "--master", "--enable-threads", "--lazy-apps", "--http-socket={at}", "--module={app}:app"}, args...)
	}
	return []Stack{
		{Name: "gunicorn sync idle", app: plain, argv: gunicorn("-w2")},
		{Name: "gunicorn sync busy", app: plain, argv: gunicorn("-w2"), rate: 40},
		{Name: "gunicorn sync with threads", app: threads, argv: gunicorn("-w2"), rate: 5},
		{Name: "gunicorn sync two binds", app: threads, argv: gunicorn("-w2", "--bind={other}"), rate: 2},
		{Name: "gunicorn sync recycled", app: plain, argv: gunicorn("-w3", "--max-requests=60", "--max-requests-jitter=30"), rate: 20},
		{Name: "gunicorn sync reloaded", app: plain, argv: gunicorn("-w2"), rate: 10, reload: 8 * time.Second},
		{Name: "gunicorn slow to load", app: slowly, argv: gunicorn("-w2"), rate: 2},
		{Name: "gunicorn gthread idle", app: threads, argv: gunicorn("--threads=4")},
		{Name: "gunicorn gthread busy", app: threads, argv: gunicorn("-w2", "--threads=4"), rate: 40},
		{Name: "gunicorn gthread at rest", app: plain, argv: gunicorn("--threads=4", "--keep-alive=75"), rest: 6},
		{Name: "gunicorn gthread UNIX", app: plain, argv: gunicorn("--threads=4"), rate: 20, local: true},
		{Name: "gunicorn gevent", app: plain, argv: gunicorn("-kgevent"), rate: 20, rest: 4},
		{Name: "gunicorn UvicornWorker", app: asgi, argv: gunicorn("-kuvicorn.workers.UvicornWorker"), rate: 20, rest: 4},
		{Name: "uWSGI idle", app: threads, argv: uwsgi("--processes=2")},
		{Name: "uWSGI busy", app: threads, argv: uwsgi("--processes=2"), rate: 40},
		{Name: "uWSGI threads", app: threads, argv: uwsgi("--processes=2", "--threads=3"), rate: 20},
		{Name: "uWSGI thunder lock", app: plain, argv: uwsgi("--processes=2", "--threads=3", "--thunder-lock"), rate: 1},
		{Name: "uWSGI cheaper", app: plain, argv: uwsgi("--processes=4", "--cheaper=1", "--cheaper-initial=1"), rate: 30},
		{Name: "uvicorn", app: asgi, argv: []string{"uvicorn", "--port={port}", "{app}:app"}, rate: 20, rest: 4},
		{Name: "uvicorn WSGI with threads", app: threads, argv: []string{"uvicorn", "--interface=wsgi", "--port={port}", "{app}:app"}, rate: 5, rest: 2},
		{Name: "waitress", app: threads, argv: []string{"waitress-serve", "--listen={at}", "{app}:app"}, rate: 20, rest: 4},
		{Name: "flask debug", app: flask, argv: []string{"/usr/bin/python3", "-m", "flask", "--app={app}", "--debug", "run", "--port={port}"}, rate: 5},
	}
}
