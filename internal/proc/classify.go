package proc

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Server is the kind of program that serves an app.
type Server string

// The servers that are known by their command line. Script is any other Python
// program that listens, Other a program that only the configuration names.
const (
	Gunicorn  Server = "gunicorn"
	UWSGI     Server = "uwsgi"
	Uvicorn   Server = "uvicorn"
	Hypercorn Server = "hypercorn"
	Waitress  Server = "waitress"
	Granian   Server = "granian"
	Flask     Server = "flask"
	Script    Server = "python"
	Other     Server = "other"
)

// identity is what a command line tells of a process.
type identity struct {
	server  Server // empty: nothing that could be an app
	class   string // gunicorn's worker class, empty if the command line does not say
	name    string // the app's name by the title or the command line; empty: it has none
	script  string // the last resort for a name
	threads int    // that a worker has for requests by the command line; 0: it does not say
	title   bool   // the process set its own title
	worker  bool   // the title says that it is a worker
	master  bool   // the title says that it is a master
	aux     bool   // a helper that serves no request itself: uWSGI's http router
}

func (id identity) known() bool { return id.server != "" && id.server != Script && id.server != Other }

// Not apps, though they are Python and listen: parts of the system.
func systemDaemon(script string) bool {
	return slices.Contains([]string{"fail2ban-server", "supervisord", "firewalld", "networkd-dispatcher", "unattended-upgrade-shutdown", "pymp-forkserver", "denyhosts", "salt-minion"}, script)
}

var (
	appSpec    = regexp.MustCompile(`^([A-Za-z_][\w.]*):([A-Za-z_][\w.]*(\(.*\)|\[.*\])?)$`)
	dotted     = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$`)
	unicornSet = regexp.MustCompile(`^gunicorn: (master|worker) \[(.*)\]$`)
	dirtySet   = regexp.MustCompile(`^gunicorn: dirty-(arbiter|worker)\b`)
	uwsgiTitle = regexp.MustCompile(`^(.*?) ?uWSGI (master|worker|http|mule|spooler|fastrouter|rawrouter|sslrouter|router|[Ee]mperor)\b`)
	gunicorns  = regexp.MustCompile(`^gunicorn([-_]?[0-9][0-9.]*|_paster|_django)?$`)
	uwsgis     = regexp.MustCompile(`^(uwsgi([-_][a-z0-9_.-]+)?|pyuwsgi)$`)
	usual      = regexp.MustCompile(`(?i)^(\w*app\w*|api|wsgi|asgi|server|handler|main|factory|(create|make|get|build)_?\w+)(\.\w+)*$|[)\]]$`)
)

// classify tells what a command line serves. It looks only at the places where
// a program's name stands, so that "sh -c 'gunicorn …'" and "grep gunicorn"
// are not taken for servers.
func classify(argv []string) identity {
	if len(argv) == 0 {
		return identity{}
	}
	title := strings.TrimSpace(argv[0])
	if id, ok := classifyTitle(title, len(argv) == 1); ok {
		return id
	}
	program := path.Base(argv[0])
	args := argv[1:]
	if isPython(program) {
		return classifyPython(args)
	}
	return classifyProgram(program, args)
}

// classifyTitle returns what the title of a server tells; false: it is none.
// alone: there is nothing else on the command line. What is longer than 4,096
// bytes is no title. The expressions cost by the byte, and are tried only on what
// has their fixed part, which most command lines have not.
func classifyTitle(title string, alone bool) (identity, bool) {
	if len(title) > maxLine {
		return identity{}, false
	}
	if strings.HasPrefix(title, "gunicorn: ") {
		if m := unicornSet.FindStringSubmatch(title); m != nil {
			return identity{server: Gunicorn, name: titleName(m[2]), title: true, master: m[1] == "master", worker: m[1] == "worker"}, true
		}
		if dirtySet.MatchString(title) {
			return identity{server: Gunicorn, title: true, aux: true, script: "gunicorn"}, true
		}
	}
	if strings.Contains(title, "uWSGI ") {
		if m := uwsgiTitle.FindStringSubmatch(title); m != nil && (m[1] == "" || alone) {
			return identity{server: UWSGI, name: m[1], title: true, master: m[2] == "master", worker: m[2] == "worker", aux: m[2] != "master" && m[2] != "worker", script: "uwsgi"}, true
		}
	}
	return identity{}, false
}

// classifyPython sees through "python [options] script args" and
// "python -m module args".
func classifyPython(args []string) identity {
	kind, target, rest := pythonTarget(args)
	switch kind {
	case 'c':
		return identity{server: Script, script: "python"}
	case 'm':
		if id := classifyProgram(target, rest); id.server != "" {
			return id
		}
		return identity{server: Script, script: target}
	case 's':
		script := scriptName(target)
		if systemDaemon(script) {
			return identity{}
		}
		if id := classifyProgram(path.Base(target), rest); id.server != "" {
			return id
		}
		return identity{server: Script, script: script}
	}
	return identity{}
}

// classifyProgram knows servers by the name of their program or module.
func classifyProgram(program string, args []string) identity {
	switch {
	case strings.HasPrefix(program, "gunicorn") && gunicorns.MatchString(program), program == "gunicorn.app.wsgiapp":
		id := identity{server: Gunicorn, script: "gunicorn", class: option(args, "-k", "--worker-class")}
		id.name = option(args, "-n", "--name")
		if id.name == "" {
			id.name = moduleArg(args)
		}
		id.threads = threadsOf(args, 0)
		return id
	case strings.Contains(program, "uwsgi") && uwsgis.MatchString(program):
		id := identity{server: UWSGI, threads: threadsOf(args, 0)}
		id.name, id.script = uwsgiName(args)
		id.aux = emperor(args)
		return id
	}
	switch program {
	case "uvicorn", "hypercorn", "granian":
		return identity{server: Server(program), script: program, name: moduleArg(args)}
	case "waitress-serve", "waitress":
		name := moduleName(lastOption(args, "--app"))
		if name == "" {
			name = moduleArg(args)
		}
		return identity{server: Waitress, script: "waitress", name: name, threads: threadsOf(args, waitressThreads)}
	case "daphne", "cheroot", "sanic":
		return identity{server: Script, script: program, name: moduleArg(args)}
	case "flask":
		name := option(args, "-A", "--app")
		if !slices.Contains(args, "run") {
			return identity{}
		}
		return identity{server: Flask, script: "flask", name: flaskName(name)}
	}
	return identity{}
}

// waitressThreads is the number of threads of waitress by default.
const waitressThreads = 4

// threadsOf returns the number of threads that a command line sets, else preset.
func threadsOf(args []string, preset int) int {
	if n, err := strconv.Atoi(option(args, "--threads")); err == nil && n > 0 && n <= 1<<16 {
		return n
	}
	return preset
}

// emperor reports whether a command line of uWSGI only starts others: it names
// a directory of vassals, and nothing to serve or to serve at.
func emperor(args []string) bool {
	serves := func(a string) bool {
		key, _, _ := strings.Cut(a, "=")
		return slices.Contains([]string{"-w", "-s", "--module", "--wsgi", "--mount", "--wsgi-file", "--socket", "--http", "--http-socket", "--uwsgi-socket"}, key)
	}
	return lastOption(args, "--emperor") != "" && !slices.ContainsFunc(args, serves)
}

// titleName returns the name in a title of gunicorn. Without --name that is the
// application, whose module is meant; "shop:blue" is a name, as its second half
// is not what applications are called. "gunicorn" is the title of an app whose
// name stands elsewhere.
func titleName(s string) string {
	if m := appSpec.FindStringSubmatch(s); m != nil && usual.MatchString(m[2]) {
		return m[1]
	}
	if s == "gunicorn" {
		return ""
	}
	return s
}

// flaskName returns the module of what FLASK_APP and --app take: "shop",
// "shop:create_app()", "src/shop.py".
func flaskName(s string) string {
	if s == "" {
		return ""
	}
	return strings.TrimSuffix(moduleName(path.Base(s)), ".py")
}

// keepClass remembers what the command line told before a title replaced it: the
// worker class, the whole of a name with a colon, and the name where the title
// has none.
func keepClass(id, before identity, argv []string) identity {
	if !id.title || before.server != id.server {
		return id
	}
	if id.class == "" {
		id.class = before.class
	}
	if id.threads == 0 {
		id.threads = before.threads
	}
	if id.name == "" || before.name != "" && len(argv) > 0 && strings.HasSuffix(strings.TrimSpace(argv[0]), " ["+before.name+"]") {
		id.name = before.name
	}
	return id
}
