package request_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
	"github.com/resp-exporter/resp-exporter/internal/pystack/pystacktest"
	"github.com/resp-exporter/resp-exporter/internal/pystack/request"
)

// Memory that changes during a look, or that misleads, ends in no panic, no long
// text and no read without an end.
func TestNoise(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, kind := range []string{"sync", "waitress", "django"} {
		routes := draw(rng, []string{"class"})
		s := open(t, debian, kind, routes)
		found, free := s.send(drawAsk(rng, routes[0]))
		_, stack := s.look(found.PID, found.TID)
		stack.Frozen = false // else nothing is read
		views := map[string]bool{}
		for round := range 3000 {
			n := &pystacktest.Noisy{Memory: memory.NewProcess(found.PID), RNG: rng, Rate: 1 << (3 + round%9)}
			r := request.NewOver(s.worker(found.PID).process, n, &object.Room{})
			var thread request.Thread
			var got request.Request
			for range 2 {
				r.Read(&thread, &stack, time.Now(), &got)
			}
			if n.Reads > 20_000 || len(got.View) > 200 || len(got.Route) > 200 || len(got.Method) > 8 || len(got.Path) > 600 {
				t.Fatalf("%d reads, %+v", n.Reads, got)
			}
			views[got.View] = true
		}
		if len(views) < 3 {
			t.Errorf("the noise changed nothing: %v", views)
		}
		free()
	}
}

// A function has a role only in the file of its server.
func TestRoles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, function string
		want           bool
	}{
		{"/usr/lib/python3/dist-packages/gunicorn/workers/sync.py", "handle_request", true},
		{"/usr/lib/python3/dist-packages/gunicorn/workers/sync.py", "handle", true},
		{"gunicorn/workers/gthread.py", "handle_request", true},
		{"/v/gunicorn/workers/base_async.py", "handle_request", true},
		{"/v/gunicorn/workers/base_async.py", "handle", false},
		{"/v/mygunicorn/workers/sync.py", "handle_request", false},
		{"/app/workers/sync.py", "handle", false},
		{"sync.py", "handle", false},
		{"/v/gevent/pywsgi.py", "handle_one_response", true},
		{"/v/cheroot/wsgi.py", "respond", true},
		{"/v/wsgiref/handlers.py", "run", true},
		{"/v/asgiref/sync.py", "thread_handler", true},
		{"/v/anyio/_backends/_asyncio.py", "run", true},
		{"/app/run.py", "run", false},
		{"/v/flask/app.py", "wsgi_app", true},
		{"/app/own.py", "wsgi_app", true},
		{"/v/flask/app.py", "dispatch_request", true},
		{"/app/views.py", "dispatch_request", false},
		{"/v/django/core/handlers/base.py", "_get_response", true},
		{"/app/base.py", "_get_response", false},
		{"/v/fastapi/routing.py", "run_endpoint_function", true},
		{"/app/routing.py", "run_endpoint_function", false},
		{"/v/uvicorn/protocols/http/httptools_impl.py", "run_asgi", true},
		{"/app/x.py", "run_asgi", false},
		{"/usr/lib/python3.11/concurrent/futures/thread.py", "_worker", true},
		{"/app/celery.py", "_worker", false},
		{"/v/waitress/task.py", "handler_thread", true},
		{"/v/waitress/task.py", "execute", true},
		{"/app/task.py", "execute", false},
		{"/app/task.py", "handler_thread", false},
		{"/usr/lib/python3.11/queue.py", "get", true},
		{"/app/queue.py", "put", false},
		{"/app/dict.py", "get", false},
	} {
		if got := request.Known(c.file, c.function); got != c.want {
			t.Errorf("%s in %s: %v", c.function, c.file, got)
		}
	}
}
