package servers

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/resp-exporter/resp-exporter/e2e/trials/bench"
)

// Server is one way to start one app under one server.
type Server struct {
	Name    string // server and way, as "gunicorn gthread"
	Newest  bool   // not Debian's
	program string // whose version counts
	spec    bench.Spec

	app     string // name that the exporter should report; empty: {app}
	others  int    // apps beside the one that is judged
	workers int
	threads int  // of a worker, where more than one connection is accepted while the worker is blocked
	loop    bool // an event loop: a request that awaits looks like an idle connection
	green   bool // a thread that sleeps is one that awaits
	reports bool // requests by StatsD
	alone   bool // nothing replaces a process that ends
	renewed bool // at the end of one worker the server replaces all, or ends
}

// Place is where programs come from.
type Place struct {
	Dir string // of a virtual environment of Python; empty: Debian's
}

// program returns the path of a program.
func (p Place) program(name string) string {
	if p.Dir == "" {
		return "/usr/bin/" + name
	}
	return filepath.Join(p.Dir, "bin", name)
}

// python returns the path of the interpreter.
func (p Place) python() string { return p.program("python3") }

// newest reports whether the programs are not Debian's.
func (p Place) newest() bool { return p.Dir != "" }

// defaults is the exporter's configuration.
const defaults = `monitoring_interval: 1s
statsd: {listen: ["udp://{statsd}"]}
thresholds: {memory: {warning: 1, critical: 1}, cpu: {warning: 1, critical: 1}}
`

// List returns the servers of one place.
func List(ctx context.Context, p Place) []Server {
	list := gunicorn(p)
	list = append(list, uwsgi(p)...)
	list = append(list, asgiServers(p)...)
	list = append(list, others(ctx, p)...)
	for i := range list {
		list[i].Newest = p.newest()
		if list[i].spec.Config == "" {
			list[i].spec.Config = defaults
		}
	}
	return list
}

// gunicorn returns the kinds of gunicorn that are compared.
func gunicorn(p Place) []Server {
	hidden := map[string]string{"hidden/setproctitle.py": "raise ImportError\n"}
	start := func(name string, s Server, args ...string) Server {
		s.Name, s.program, s.reports = strings.TrimSpace("gunicorn "+name), "gunicorn", s.reports || !s.loop
		s.spec.Argv = append(append([]string{p.program("gunicorn"), "--bind={at}", "--timeout=60", "--statsd-host={statsd}"}, args...), "{app}:app")
		if s.spec.App == "" {
			s.spec.App = wsgi
		}
		if s.workers == 0 {
			s.workers = 2
		}
		return s
	}
	list := []Server{
		start("sync", Server{}, "-w2"),
		start("sync, Flask", Server{spec: bench.Spec{App: flask}}, "-w2"),
		start("sync without setproctitle", Server{spec: bench.Spec{Files: hidden, Env: []string{"PYTHONPATH={dir}/hidden:{dir}"}}}, "-w2"),
		start("sync, --name", Server{app: "shop-{app}"}, "-w2", "--name=shop-{app}"),
		start("sync, preload", Server{}, "-w3", "--preload").with(3),
		start("sync, two binds", Server{}, "-w2", "--bind={other}"),
		start("sync, UNIX socket", Server{spec: bench.Spec{Local: true}}, "-w2"),
		start("gthread", Server{}, "-w2", "--threads=3"),
	}
	if !p.newest() {
		return append(list,
			start("gevent", Server{green: true}, "-w2", "-kgevent"),
			start("UvicornWorker", Server{loop: true, spec: bench.Spec{App: asgi}}, "-w2", "-kuvicorn.workers.UvicornWorker"),
		)
	}
	return append(list,
		start("asgi", Server{loop: true, spec: bench.Spec{App: asgi}}, "-w2", "-kasgi"),
		start("asgi, access log", Server{loop: true, reports: true, spec: bench.Spec{App: asgi}}, "-w2", "-kasgi", "--access-logfile=/dev/null"),
		start("sync, dirty workers", Server{spec: bench.Spec{Files: map[string]string{"tasks{app}.py": tasks}}}, "-w2", "--dirty-app=tasks{app}:Tasks", "--dirty-workers=2"),
	)
}

// tasks is an app for the dirty workers of gunicorn.
const tasks = `from gunicorn.dirty import DirtyApp
class Tasks(DirtyApp):
    def init(self): pass
    def __call__(self, action, *args, **kwargs): return action
    def close(self): pass
`

// with sets the number of workers.
func (s Server) with(workers int) Server {
	s.workers = workers
	return s
}

// uwsgi returns the kinds of uWSGI that are compared.
func uwsgi(p Place) []Server {
	plugin, ini := []string{"--plugin=python3,http"}, "plugin = python3"
	if p.newest() {
		plugin, ini = []string{"--home=" + p.Dir}, "home = "+p.Dir
	}
	start := func(name string, s Server, args ...string) Server {
		s.Name, s.program, s.spec.App = "uWSGI "+name, "uwsgi", wsgi
		s.spec.Argv = append(append(append([]string{p.program("uwsgi")}, plugin...), "--die-on-term", "--need-app", "--module={app}:app", "--enable-threads"), args...)
		return s
	}
	ini = strings.ReplaceAll(vassal, "PLUGIN", ini)
	first := strings.NewReplacer("MODULE", "{app}", "AT", "{at}").Replace(ini)
	second := strings.NewReplacer("MODULE", "other{app}", "AT", "{other}").Replace(ini)
	emperor := Server{workers: 2, others: 1, Name: "uWSGI emperor, two vassals", program: "uwsgi", spec: bench.Spec{
		App: wsgi, Argv: []string{p.program("uwsgi"), "--emperor={dir}/vassals", "--die-on-term"},
		Files: map[string]string{"vassals/{app}.ini": first, "vassals/other{app}.ini": second, "other{app}.py": "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n"},
	}}
	if !p.newest() {
		emperor.spec.Argv = append(emperor.spec.Argv, "--plugin=python3")
	}
	return []Server{
		start("master, processes", Server{workers: 2}, "--master", "--processes=2", "--http-socket={at}"),
		start("threads", Server{workers: 2, threads: 3}, "--master", "--processes=2", "--threads=3", "--http-socket={at}"),
		start("lazy, thunder lock", Server{workers: 2, threads: 3}, "--master", "--processes=2", "--threads=3", "--thunder-lock", "--lazy-apps", "--http-socket={at}"),
		start("alone", Server{workers: 1, alone: true}, "--http-socket={at}"),
		emperor,
	}
}

// asgiServers returns the servers of event loops that are compared: uvicorn and hypercorn.
func asgiServers(p Place) []Server {
	start := func(program, name string, s Server, args ...string) Server {
		s.Name, s.program = program+name, program
		s.spec.Argv = append([]string{p.program(program)}, args...)
		if s.spec.App == "" {
			s.spec.App, s.loop = asgi, true
		}
		return s
	}
	wsgi, workers := bench.Spec{App: wsgi}, []string{"--port={port}", "--workers=2"}
	if p.newest() { // on a busy machine one that loads is ended after 5 s
		workers = append(workers, "--timeout-worker-healthcheck=60")
	}
	return []Server{
		start("uvicorn", "", Server{workers: 1, alone: true}, "--port={port}", "{app}:app"),
		start("uvicorn", " --workers 2", Server{workers: 2, renewed: !p.newest()}, append(workers, "{app}:app")...),
		start("uvicorn", " --interface wsgi", Server{workers: 1, alone: true, spec: wsgi}, "--interface=wsgi", "--port={port}", "{app}:app"),
		start("hypercorn", "", Server{workers: 1, reports: true, alone: true}, "--bind={at}", "--statsd-host={statsd}", "{app}:app"),
		start("hypercorn", " -w 2", Server{workers: 2, reports: true, renewed: true}, "--bind={at}", "--statsd-host={statsd}", "--workers=2", "{app}:app"),
	}
}

// others returns the other servers that are compared: waitress, flask run, a script, and
// mod_wsgi if it is installed.
func others(ctx context.Context, p Place) []Server {
	module, home := "/usr/lib/apache2/modules/mod_wsgi.so", "/usr"
	if p.newest() {
		module, home = p.module(), p.home(ctx)
	}
	httpd := strings.NewReplacer("MODULE", module, "HOME", home).Replace(apache)
	list := []Server{
		{
			Name: "waitress", program: "waitress-serve", workers: 1, alone: true,
			spec: bench.Spec{App: wsgi, Argv: []string{p.program("waitress-serve"), "--listen={at}", "{app}:app"}},
		},
		{
			Name: "flask run", program: "flask", workers: 1, alone: true,
			spec: bench.Spec{App: flask, Argv: []string{p.python(), "-m", "flask", "--app={app}", "run", "--port={port}"}},
		},
		{
			Name: "flask run --debug", program: "flask", workers: 1, alone: true,
			spec: bench.Spec{App: flask, Argv: []string{p.python(), "-m", "flask", "--app={app}", "--debug", "run", "--port={port}"}},
		},
		{
			Name: "python app.py", program: "flask", workers: 1, alone: true,
			spec: bench.Spec{App: script, Argv: []string{p.python(), "{app}.py", "{port}"}},
		},
	}
	if module == "" {
		return list
	}
	return append(list, Server{
		Name: "mod_wsgi daemons", program: "mod_wsgi", workers: 2, threads: 3,
		spec: bench.Spec{
			App: `MARKS = __file__.rsplit("/", 1)[0] + "/marks"` + "\n" + wsgi, Files: map[string]string{"httpd.conf": httpd},
			Argv:   []string{"/usr/sbin/apache2", "-f", "{dir}/httpd.conf", "-DFOREGROUND"},
			Config: defaults + `apps: [{name: "{app}", match: {cmdline: '^\(wsgi:.*{dir}/httpd\.conf'}}]` + "\n",
		},
	})
}
