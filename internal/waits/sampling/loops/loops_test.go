package loops

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/tasks"
)

// Of the tasks that share a request the innermost is listed, under the number of the
// first; a request of which one runs is in the thread's stack.
func TestTasksOfOneRequest(t *testing.T) {
	t.Parallel()
	frame := func(line int) model.Frame { return model.Frame{Function: "f", File: "/srv/shop.py", Line: line} }
	list := []tasks.Task{
		{Scope: 8, ID: 12, Own: frame(1)}, {Scope: 8, Own: frame(2), InView: true}, {Scope: 8, Own: frame(3)}, // named by a library
		{Scope: 16, ID: 20, Own: frame(4)}, {Scope: 16, ID: 21, Own: frame(5)},
		{Scope: 24, ID: 30, Own: frame(6)}, {Scope: 24, ID: 31, Running: true},
		{ID: 40, Own: frame(7)}, {ID: 41, Own: frame(8)}, // greenlets have no scope
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	got := map[int]uint64{}
	for _, x := range waiting(list) {
		got[x.Own.Line] = x.ID
	}
	if want := map[int]uint64{2: 12, 5: 20, 7: 40, 8: 41}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Which loop a stack runs below; an import of a package for one, and a loop within a
// request of a worker of another kind, are none.
func TestKind(t *testing.T) {
	t.Parallel()
	const lib = "/usr/lib/python3/dist-packages/"
	for name, c := range map[string]struct {
		want      kind
		truncated bool
		files     []string // the innermost first
	}{
		"uvicorn":                     {asyncio, false, []string{"/usr/lib/python3.11/selectors.py", "/usr/lib/python3.11/asyncio/base_events.py", "/usr/lib/python3.11/asyncio/runners.py", lib + "uvicorn/server.py", "/usr/bin/uvicorn"}},
		"uvicorn in gunicorn":         {asyncio, false, []string{lib + "uvloop/__init__.py", lib + "uvicorn/workers.py", lib + "gunicorn/workers/base.py", lib + "gunicorn/arbiter.py"}},
		"gevent":                      {gevent, false, []string{"/srv/shop.py", lib + "gunicorn/workers/ggevent.py", "src/gevent/greenlet.py"}},
		"imports redis":               {unknown, false, []string{lib + "redis/asyncio/client.py", "<frozen importlib._bootstrap>", lib + "redis/__init__.py", "<frozen importlib._bootstrap>", "/srv/shop.py", "<frozen importlib._bootstrap>", lib + "gunicorn/util.py", lib + "gunicorn/workers/base.py"}},
		"imports gevent":              {unknown, false, []string{lib + "gevent/monkey.py", "<frozen importlib._bootstrap_external>", "/srv/shop.py", lib + "gunicorn/workers/base.py"}},
		"a sync view runs a loop":     {unknown, false, []string{"/usr/lib/python3.11/asyncio/base_events.py", "/srv/shop.py", lib + "gunicorn/workers/sync.py", lib + "gunicorn/workers/base.py"}},
		"a threaded view runs a loop": {unknown, false, []string{"/usr/lib/python3.11/asyncio/base_events.py", "/srv/shop.py", lib + "gunicorn/workers/gthread.py"}},
		"the rest is not known":       {unknown, true, []string{"/usr/lib/python3.11/asyncio/base_events.py", "/srv/shop.py"}},
		"no loop":                     {unknown, false, []string{"/srv/shop.py"}},
	} {
		s := pystack.Stack{Truncated: c.truncated}
		for _, f := range c.files {
			s.Frames = append(s.Frames, pystack.Frame{Code: &pystack.Code{File: f}})
		}
		if got := kindOf(&s); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
