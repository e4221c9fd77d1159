package cmdline

import (
	"slices"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

func TestClassify(t *testing.T) {
	for in, want := range map[string]Program{
		"gunicorn: master [shop:app]":                              {Server: Gunicorn, Name: "shop", Title: true, Master: true},
		"gunicorn: worker [shop front]":                            {Server: Gunicorn, Name: "shop front", Title: true, Worker: true},
		"/usr/bin/python3 /usr/bin/gunicorn -w 4 shop:app":         {Server: Gunicorn, Name: "shop", Script: "gunicorn"},
		"python3 -m gunicorn -k gthread -w4 -b :80 shop.wsgi:app":  {Server: Gunicorn, Class: "gthread", Name: "shop.wsgi", Script: "gunicorn"},
		"/venv/bin/gunicorn --worker-class=gevent --preload shop":  {Server: Gunicorn, Class: "gevent", Name: "shop", Script: "gunicorn"},
		"gunicorn -n front -c python:conf.gunicorn shop:app":       {Server: Gunicorn, Name: "front", Script: "gunicorn"},
		"gunicorn -n=front -k=gthread shop:app":                    {Server: Gunicorn, Class: "gthread", Name: "front", Script: "gunicorn"},
		"gunicorn -n front --name=back -k sync -kgthread shop:app": {Server: Gunicorn, Class: "gthread", Name: "back", Script: "gunicorn"},
		"gunicorn -c python:conf.gunicorn -b unix:/run/x.sock":     {Server: Gunicorn, Script: "gunicorn"},
		"gunicorn shop:create_app()":                               {Server: Gunicorn, Name: "shop", Script: "gunicorn"},
		"uwsgi --master --http-socket :8000 --module shop:app":     {Server: UWSGI, Name: "shop", Script: "uwsgi"},
		"uwsgi --ini /etc/uwsgi/apps-enabled/shop.ini":             {Server: UWSGI, Name: "shop", Script: "uwsgi"},
		"/usr/bin/uwsgi-core shop.ini":                             {Server: UWSGI, Name: "shop", Script: "uwsgi"},
		"gunicorn --threads 8 shop:app":                            {Server: Gunicorn, Name: "shop", Script: "gunicorn", Threads: 8},
		"waitress-serve --threads=2 shop:app":                      {Server: Waitress, Name: "shop", Script: "waitress", Threads: 2},
		"uwsgi -w shop.wsgi:app":                                   {Server: UWSGI, Name: "shop.wsgi", Script: "uwsgi"},
		"uWSGI worker 2":                                           {Server: UWSGI, Title: true, Worker: true, Script: "uwsgi"},
		"uWSGI http 1":                                             {Server: UWSGI, Title: true, Aux: true, Script: "uwsgi"},
		"/usr/bin/python3 /usr/bin/uvicorn --port 8000 shop:app":   {Server: Uvicorn, Name: "shop", Script: "uvicorn"},
		"python -m hypercorn shop:app":                             {Server: Hypercorn, Name: "shop", Script: "hypercorn"},
		"/usr/bin/python3 /usr/bin/waitress-serve shop:app":        {Server: Waitress, Name: "shop", Script: "waitress", Threads: 4},
		"python3 -m flask --app shop run":                          {Server: Flask, Name: "shop", Script: "flask"},
		"python3 -m flask --app src/shop.py run -p 5000":           {Server: Flask, Name: "shop", Script: "flask"},
		"python3 -m flask shell":                                   {Server: Script, Script: "flask"},
		"python3 -u -X dev /srv/shop/server.py --port 8000":        {Server: Script, Script: "server"},
		"python3 -m http.server 8000":                              {Server: Script, Script: "http.server"},
		"python3.11 -c import time":                                {Server: Script, Script: "python"},
		"/usr/bin/python3 /usr/bin/supervisord -n":                 {},
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
		if got := Classify(argv); got != want {
			t.Errorf("classify(%q)\n got %+v\nwant %+v", in, got, want)
		}
	}
	if got := Classify(nil); got != (Program{}) {
		t.Errorf("no command line: %+v", got)
	}
}

// The name may be known only after the title is set, so the class that the command line
// had before must be kept.
func TestTitleKeepsClass(t *testing.T) {
	before := Classify([]string{"gunicorn", "-k", "gthread", "shop:app"})
	if got := KeepClass(Classify([]string{"gunicorn: master [shop:app]"}), before, nil); got.Class != "gthread" {
		t.Errorf("class %q", got.Class)
	}
	if got := KeepClass(Classify([]string{"uwsgi"}), before, nil); got.Class != "" {
		t.Errorf("another server's class %q", got.Class)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add("python3\x00/usr/bin/gunicorn\x00-k\x00gthread\x00shop:app")
	f.Add("uwsgi\x00--ini\x00x.ini")
	f.Fuzz(func(t *testing.T, s string) {
		argv := procfs.ParseCmdline([]byte(s))
		id := Classify(argv)
		if id.Name != "" && !strings.Contains(s, id.Name) {
			t.Errorf("%q gave a name that is not in it: %+v", s, id)
		}
		if id.Server == "" && id != (Program{}) {
			t.Errorf("%q: no server, and yet %+v", s, id)
		}
		for _, l := range BindLabels(argv) {
			ListensOn(l, l)
		}
	})
}

// A title is not longer than 4,096 bytes.
func TestLongTitle(t *testing.T) {
	for _, title := range []string{"gunicorn: master [%s]", "%s uWSGI master"} {
		long := strings.ReplaceAll(title, "%s", strings.Repeat("a", MaxLine))
		if got := Classify([]string{long}); got.Title {
			t.Errorf("%.20s…: %+v", long, got)
		}
		if got := Classify([]string{strings.ReplaceAll(title, "%s", strings.Repeat("a", 4000))}); !got.Title || !got.Master {
			t.Errorf("%s of 4,000 bytes: %+v", title, got)
		}
	}
}

// BenchmarkClassify classifies processes that are no servers, as most are, also with
// the long command lines that any user can start.
func BenchmarkClassify(b *testing.B) {
	for name, argv := range map[string][]string{
		"other": {"sleep", "600"}, "long": {strings.Repeat("uWSGI ", 10000)}, "long name": {"gunicorn", strings.Repeat("a", 60000)}, "many names": append([]string{"gunicorn"}, slices.Repeat([]string{"a.b"}, 15000)...), "server": {"/usr/bin/python3", "/usr/bin/gunicorn", "-w", "4", "shop:app"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Classify(argv)
				ParseCelery(argv)
			}
		})
	}
}
