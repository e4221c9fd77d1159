package cmdline

import (
	"strings"
	"testing"
)

// Everyday command lines, words between bars, and the app's name.
func TestNamesOfCommandLines(t *testing.T) {
	for in, want := range map[string]string{
		// gunicorn
		"/usr/bin/python3|/usr/bin/gunicorn|--access-logfile|-|app:app":  "app",
		"/usr/bin/python3|/usr/bin/gunicorn|-w2|-b0.0.0.0:5000|web:app":  "web",
		"/usr/bin/python3|-mgunicorn|-w|1|wsgi:app":                      "wsgi",
		"python3|-um|gunicorn|-w|1|shop.wsgi":                            "shop.wsgi",
		"python3|-OO|-Wd|-X|dev|-m|gunicorn.app.wsgiapp|shop:app":        "shop",
		"python3|-I|-W|ignore|/venv/bin/gunicorn|-R|-D|shop:app":         "shop",
		"gunicorn|-DR|-w|4|shop:app":                                     "shop",
		"gunicorn|-Dw|4|shop:app":                                        "shop",
		"gunicorn|-b|unix:app.sock|--preload|shop:app":                   "shop",
		"gunicorn|shop:app|-w|4|--reload":                                "shop",
		"gunicorn|--no-control-socket|shop:app":                          "shop",
		"gunicorn|--some-switch-of-tomorrow|shop:app":                    "shop",
		"gunicorn|--logger-class|log:Mine|shop.wsgi":                     "shop.wsgi",
		"gunicorn|-k|uvicorn.workers.UvicornWorker|main:app":             "main",
		"gunicorn|--log-level|debug|--|shop:app":                         "shop",
		"gunicorn|shop:apps['front']":                                    "shop",
		"gunicorn|shop:create_app(config=\"a:b\")":                       "shop",
		"gunicorn|-n|a:b|shop:app":                                       "a:b",
		"gunicorn|--name=shop:app|store:app":                             "shop:app",
		"gunicorn|-b|unix:app.sock|-c|conf.py":                           "",
		"gunicorn|--some-option|unix:app.sock":                           "",
		"gunicorn|--some-option|tcp:app":                                 "",
		"gunicorn|--some-option|shop:app":                                "shop",
		"gunicorn-3.11|shop:app":                                         "shop",
		"/opt/pypy/bin/pypy3-c|/usr/bin/gunicorn|app:app":                "app",
		"/usr/bin/python3.13t|/venv/bin/gunicorn|app:app":                "app",
		"/usr/bin/python3.6m|/usr/bin/gunicorn|app:app":                  "app",
		"/usr/bin/python3.11-intel64|/usr/bin/gunicorn|app:app":          "app",
		"/usr/bin/python3-dbg|/usr/bin/gunicorn|app:app":                 "app",
		"gunicorn: master [shop:app]":                                    "shop",
		"gunicorn: master [shop:create_app('dev')]":                      "shop",
		"gunicorn: master [shop:flask_app]":                              "shop",
		"gunicorn: master [shop.wsgi:application]":                       "shop.wsgi",
		"gunicorn: master [shop:blue]":                                   "shop:blue",
		"gunicorn: worker [a:b]":                                         "a:b",
		"gunicorn: master [gunicorn]":                                    "",
		"/usr/bin/python3|/venv/bin/uvicorn|--no-server-header|main:app": "main",
		"uvicorn|--factory|--port|8000|shop:create_app":                  "shop",
		"uvicorn|shop.main:app|--log-config|a:b|--reload":                "shop.main",
		"python3|-m|uvicorn|--host|localhost|shop:app":                   "shop",
		"hypercorn|-b|0.0.0.0:80|--reload|shop:app":                      "shop",
		"hypercorn|-w|2|shop.asgi:app":                                   "shop.asgi",
		"granian|--interface|wsgi|--no-ws|shop:app":                      "shop",
		"waitress-serve|--listen=*:80|--call|shop:create_app":            "shop",
		"waitress-serve|--port|8080|--threads=8|shop:app":                "shop",
		"waitress-serve|--app=shop:app":                                  "shop",
		"python3|-m|waitress|--listen=127.0.0.1:8971|helper:app":         "helper",
		"python3|/usr/bin/daphne|-p|8000|shop.asgi:application":          "shop.asgi",
		"python3|-m|flask|--app|src/shop.py:web|run":                     "shop",
		"flask|-A|shop:create_app('dev')|--debug|run|-p|80":              "shop",
		"/usr/bin/uwsgi|--ini|/usr/share/uwsgi/conf/default.ini|--ini|/etc/uwsgi/apps-enabled/shop.ini|--daemonize|/var/log/uwsgi/app/shop.log": "shop",
		"uwsgi|--ini|uwsgi.ini":                                                 "",
		"uwsgi|/etc/uwsgi/vassals/blue.ini:live":                                "blue",
		"uwsgi|--yaml=/srv/till.yaml":                                           "till",
		"uwsgi|--http|:80|--mount|/=shop:app":                                   "shop",
		"uwsgi|--mount=/api=/srv/shop/front.py":                                 "front",
		"uwsgi|--wsgi-file=/srv/shop/till.wsgi":                                 "till",
		"uwsgi|--socket|/run/a.sock|-w|shop.wsgi":                               "shop.wsgi",
		"uwsgi_python312|--ini|a.ini":                                           "a",
		"uwsgi|--module|shop:app|--auto-procname|--procname-prefix-spaced|desk": "desk",
		"uwsgi|--procname-prefix=desk |-w|shop:app":                             "desk",
		"uwsgi|-w|shop:app|--procname-prefix|--master":                          "shop",
		"uwsgi_python310|--module=till:app|--ini|shop.ini":                      "till",
		"uWSGI master":                  "",
		"myapp uWSGI master":            "myapp",
		"myappuWSGI worker 3":           "myapp",
		"python3|/srv/till/__main__.py": "",
		"python3|-":                     "",
	} {
		if got := Classify(strings.Split(in, "|")).Name; got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// Which server a command line starts; "-" for none, "aux" for one that serves nothing itself.
func TestServersOfCommandLines(t *testing.T) {
	for in, want := range map[string]Server{
		"uwsgi_python313|--ini|a.ini": UWSGI, "pyuwsgi|shop.ini": UWSGI, "uwsgi|--emperor|/etc/uwsgi": "aux", "uwsgi|--emperor|/etc/uwsgi|--http|:80": UWSGI,
		"myapp uWSGI http 1": "aux", "gunicorn: dirty-arbiter": "aux", "gunicorn: dirty-worker [shop:app]": "aux", "vim|uWSGI master": "-", "uwsgitop|/run/s.sock": "-",
		"python3|-c|from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=6, pipe_handle=8)|--multiprocessing-fork": Script,
		"python3|-m": "-", "python3|-W": "-", "python3|--version": "-", "pythonista|shop.py": "-", "python3-config|--libs": "-", "gunicornc|reload": "-",
		"/bin/sh|-c|gunicorn shop:app": "-", "less|gunicorn|app:app": "-",
	} {
		id := Classify(strings.Split(in, "|"))
		got := id.Server
		switch {
		case id.Aux:
			got = "aux"
		case got == "":
			got = "-"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestSpawned(t *testing.T) {
	for in, want := range map[string]bool{
		"python3|-c|from multiprocessing.spawn import spawn_main; spawn_main()|--multiprocessing-fork": true,
		"python3|-c|from multiprocessing.resource_tracker import main;main(5)":                         false,
		"python3|app.py": false,
	} {
		if got := Spawned(strings.Split(in, "|")); got != want {
			t.Errorf("%s: %v", in, got)
		}
	}
}
