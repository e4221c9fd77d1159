package proc

import (
	"slices"
	"strings"
	"testing"
)

func TestClassify(t *testing.T) {
	for in, want := range map[string]identity{
		"gunicorn: master [shop:app]":                             {server: Gunicorn, name: "shop", title: true, master: true},
		"gunicorn: worker [shop front]":                           {server: Gunicorn, name: "shop front", title: true, worker: true},
		"/usr/bin/python3 /usr/bin/gunicorn -w 4 shop:app":        {server: Gunicorn, name: "shop", script: "gunicorn"},
		"python3 -m gunicorn -k gthread -w4 -b :80 shop.wsgi:app": {server: Gunicorn, class: "gthread", name: "shop.wsgi", script: "gunicorn"},
		"/venv/bin/gunicorn --worker-class=gevent --preload shop": {server: Gunicorn, class: "gevent", name: "shop", script: "gunicorn"},
		"gunicorn -n front -c python:conf.gunicorn shop:app":      {server: Gunicorn, name: "front", script: "gunicorn"},
		"gunicorn -c python:conf.gunicorn -b unix:/run/x.sock":    {server: Gunicorn, script: "gunicorn"},
		"gunicorn shop:create_app()":                              {server: Gunicorn, name: "shop", script: "gunicorn"},
		"uwsgi --master --http-socket :8000 --module shop:app":    {server: UWSGI, name: "shop", script: "uwsgi"},
		"uwsgi --ini /etc/uwsgi/apps-enabled/shop.ini":            {server: UWSGI, name: "shop", script: "uwsgi"},
		"/usr/bin/uwsgi-core shop.ini":                            {server: UWSGI, name: "shop", script: "uwsgi"},
		"gunicorn --threads 8 shop:app":                           {server: Gunicorn, name: "shop", script: "gunicorn", threads: 8},
		"waitress-serve --threads=2 shop:app":                     {server: Waitress, name: "shop", script: "waitress", threads: 2},
		"uwsgi -w shop.wsgi:app":                                  {server: UWSGI, name: "shop.wsgi", script: "uwsgi"},
		"uWSGI worker 2":                                          {server: UWSGI, title: true, worker: true, script: "uwsgi"},
		"uWSGI http 1":                                            {server: UWSGI, title: true, aux: true, script: "uwsgi"},
		"/usr/bin/python3 /usr/bin/uvicorn --port 8000 shop:app":  {server: Uvicorn, name: "shop", script: "uvicorn"},
		"python -m hypercorn shop:app":                            {server: Hypercorn, name: "shop", script: "hypercorn"},
		"/usr/bin/python3 /usr/bin/waitress-serve shop:app":       {server: Waitress, name: "shop", script: "waitress", threads: 4},
		"python3 -m flask --app shop run":                         {server: Flask, name: "shop", script: "flask"},
		"python3 -m flask --app src/shop.py run -p 5000":          {server: Flask, name: "shop", script: "flask"},
		"python3 -m flask shell":                                  {server: Script, script: "flask"},
		"python3 -u -X dev /srv/shop/server.py --port 8000":       {server: Script, script: "server"},
		"python3 -m http.server 8000":                             {server: Script, script: "http.server"},
		"python3.11 -c import time":                               {server: Script, script: "python"},
		"/usr/bin/python3 /usr/bin/supervisord -n":                {},
		"python3":                        {},
		"sh -c gunicorn shop:app":        {},
		"grep gunicorn":                  {},
		"vim gunicorn.conf.py":           {},
		"/usr/sbin/nginx -g daemon off;": {},
	} {
		argv := strings.Fields(in)
		if strings.HasPrefix(in, "gunicorn: ") || strings.HasPrefix(in, "uWSGI ") {
			argv = []string{in}
		}
		if got := classify(argv); got != want {
			t.Errorf("classify(%q)\n got %+v\nwant %+v", in, got, want)
		}
	}
	if got := classify(nil); got != (identity{}) {
		t.Errorf("no command line: %+v", got)
	}
}

// A name may be given after the name option only once the title is set, so the
// class of the command line before must not get lost.
func TestTitleKeepsClass(t *testing.T) {
	before := classify([]string{"gunicorn", "-k", "gthread", "shop:app"})
	if got := keepClass(classify([]string{"gunicorn: master [shop:app]"}), before, nil); got.class != "gthread" {
		t.Errorf("class %q", got.class)
	}
	if got := keepClass(classify([]string{"uwsgi"}), before, nil); got.class != "" {
		t.Errorf("another server's class %q", got.class)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add("python3\x00/usr/bin/gunicorn\x00-k\x00gthread\x00shop:app")
	f.Add("uwsgi\x00--ini\x00x.ini")
	f.Fuzz(func(t *testing.T, s string) {
		argv := parseCmdline([]byte(s))
		id := classify(argv)
		if id.name != "" && !strings.Contains(s, id.name) {
			t.Errorf("%q gave a name that is not in it: %+v", s, id)
		}
		if id.server == "" && id != (identity{}) {
			t.Errorf("%q: no server, and yet %+v", s, id)
		}
		for _, l := range bindLabels(argv) {
			listensOn(l, l)
		}
	})
}

// A title is not longer than 4,096 bytes.
func TestLongTitle(t *testing.T) {
	for _, title := range []string{"gunicorn: master [%s]", "%s uWSGI master"} {
		long := strings.ReplaceAll(title, "%s", strings.Repeat("a", maxLine))
		if got := classify([]string{long}); got.title {
			t.Errorf("%.20s…: %+v", long, got)
		}
		if got := classify([]string{strings.ReplaceAll(title, "%s", strings.Repeat("a", 4000))}); !got.title || !got.master {
			t.Errorf("%s of 4,000 bytes: %+v", title, got)
		}
	}
}

// Each process of a host is classified, most of which are no server, and any
// user can start one with a long command line.
func BenchmarkClassify(b *testing.B) {
	for name, argv := range map[string][]string{
		"other": {"sleep", "600"}, "long": {strings.Repeat("uWSGI ", 10000)}, "long name": {"gunicorn", strings.Repeat("a", 60000)}, "many names": append([]string{"gunicorn"}, slices.Repeat([]string{"a.b"}, 15000)...), "server": {"/usr/bin/python3", "/usr/bin/gunicorn", "-w", "4", "shop:app"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				classify(argv)
				celeryOf(argv)
			}
		})
	}
}
