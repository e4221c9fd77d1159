// Package cmdline reads command lines and the settings of servers: which server a
// process is, what its app is called, where it listens. It reads no file.
package cmdline

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

// Program is what a command line says of a process.
type Program struct {
	Server  Server // empty: nothing that could be an app
	Class   string // gunicorn's worker class, empty if the command line does not say
	Name    string // the app's name by the title or the command line; empty: it has none
	Script  string // the last resort for a name
	Threads int    // that a worker has for requests by the command line; 0: it does not say
	Title   bool   // the process set its own title
	Worker  bool   // the title is that of a worker
	Master  bool   // the title is that of a master
	Aux     bool   // a helper that serves no request itself: uWSGI's http router
}

// Known reports whether a program is one of the known servers, not just a script. It is
// false for no program.
func (id Program) Known() bool { return id.Server != "" && id.Server != Script && id.Server != Other }

// systemDaemon reports whether a Python script that listens is a part of the system, and no
// app: whether its name is one of a few that are known.
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

// Classify returns what server or script a command line starts; zero if it is none of
// Python. It reads only the positions of a program's name, so that it does not take "sh
// -c 'gunicorn …'" or "grep gunicorn" for servers.
func Classify(argv []string) Program {
	if len(argv) == 0 {
		return Program{}
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

// classifyTitle returns what the title of a server says; ok is false for anything else.
// alone: the command line is the title only. A title has at most 4,096 bytes. Regular
// expressions cost by the byte, so they are tried only if their fixed part is found.
func classifyTitle(title string, alone bool) (Program, bool) {
	if len(title) > MaxLine {
		return Program{}, false
	}
	if strings.HasPrefix(title, "gunicorn: ") {
		if m := unicornSet.FindStringSubmatch(title); m != nil {
			return Program{Server: Gunicorn, Name: titleName(m[2]), Title: true, Master: m[1] == "master", Worker: m[1] == "worker"}, true
		}
		if dirtySet.MatchString(title) {
			return Program{Server: Gunicorn, Title: true, Aux: true, Script: "gunicorn"}, true
		}
	}
	if strings.Contains(title, "uWSGI ") {
		if m := uwsgiTitle.FindStringSubmatch(title); m != nil && (m[1] == "" || alone) {
			return Program{Server: UWSGI, Name: m[1], Title: true, Master: m[2] == "master", Worker: m[2] == "worker", Aux: m[2] != "master" && m[2] != "worker", Script: "uwsgi"}, true
		}
	}
	return Program{}, false
}

// classifyPython returns what "python [options] script args" or "python -m module args"
// serves: a Script if it is no known server, also for code (-c); zero for an interactive
// interpreter and for a daemon of the system.
func classifyPython(args []string) Program {
	kind, target, rest := pythonTarget(args)
	switch kind {
	case 'c':
		return Program{Server: Script, Script: "python"}
	case 'm':
		if id := classifyProgram(target, rest); id.Server != "" {
			return id
		}
		return Program{Server: Script, Script: target}
	case 's':
		script := scriptName(target)
		if systemDaemon(script) {
			return Program{}
		}
		if id := classifyProgram(path.Base(target), rest); id.Server != "" {
			return id
		}
		return Program{Server: Script, Script: script}
	}
	return Program{}
}

// classifyProgram returns what server a program or a module is, by its name, with the app's
// name from its arguments; daphne, cheroot and sanic are a Script. Zero if it is none that is
// known, or flask without "run".
func classifyProgram(program string, args []string) Program {
	switch {
	case strings.HasPrefix(program, "gunicorn") && gunicorns.MatchString(program), program == "gunicorn.app.wsgiapp":
		id := Program{Server: Gunicorn, Script: "gunicorn", Class: Option(args, "-k", "--worker-class")}
		id.Name = Option(args, "-n", "--name")
		if id.Name == "" {
			id.Name = moduleArg(args)
		}
		id.Threads = threadsOf(args, 0)
		return id
	case strings.Contains(program, "uwsgi") && uwsgis.MatchString(program):
		id := Program{Server: UWSGI, Threads: threadsOf(args, 0)}
		id.Name, id.Script = uwsgiName(args)
		id.Aux = emperor(args)
		return id
	}
	switch program {
	case "uvicorn", "hypercorn", "granian":
		return Program{Server: Server(program), Script: program, Name: moduleArg(args)}
	case "waitress-serve", "waitress":
		name := ModuleName(lastOption(args, "--app"))
		if name == "" {
			name = moduleArg(args)
		}
		return Program{Server: Waitress, Script: "waitress", Name: name, Threads: threadsOf(args, waitressThreads)}
	case "daphne", "cheroot", "sanic":
		return Program{Server: Script, Script: program, Name: moduleArg(args)}
	case "flask":
		name := Option(args, "-A", "--app")
		if !slices.Contains(args, "run") {
			return Program{}
		}
		return Program{Server: Flask, Script: "flask", Name: FlaskName(name)}
	}
	return Program{}
}

// waitressThreads is the number of threads of waitress by default.
const waitressThreads = 4

// threadsOf returns the number of threads that a command line sets, 1 to 65,536, else preset.
func threadsOf(args []string, preset int) int {
	if n, err := strconv.Atoi(Option(args, "--threads")); err == nil && n > 0 && n <= 1<<16 {
		return n
	}
	return preset
}

// emperor reports whether a command line of uWSGI only starts others: it names a
// directory of vassals, and nothing to serve or to serve at.
func emperor(args []string) bool {
	serves := func(a string) bool {
		key, _, _ := strings.Cut(a, "=")
		return slices.Contains([]string{"-w", "-s", "--module", "--wsgi", "--mount", "--wsgi-file", "--socket", "--http", "--http-socket", "--uwsgi-socket"}, key)
	}
	return lastOption(args, "--emperor") != "" && !slices.ContainsFunc(args, serves)
}

// titleName returns the name in a title of gunicorn. Without --name that is the
// application, whose module is returned; "shop:blue" is a name, as its second
// half is not what applications are called. "" for "gunicorn", the title of an
// app whose name is elsewhere.
func titleName(s string) string {
	if m := appSpec.FindStringSubmatch(s); m != nil && usual.MatchString(m[2]) {
		return m[1]
	}
	if s == "gunicorn" {
		return ""
	}
	return s
}

// FlaskName returns the module of what FLASK_APP and --app take: "shop",
// "shop:create_app()", "src/shop.py".
func FlaskName(s string) string {
	if s == "" {
		return ""
	}
	return strings.TrimSuffix(ModuleName(path.Base(s)), ".py")
}

// KeepClass returns id with what the command line said before a title replaced it: the
// worker class, the threads, the whole of a name with a colon, and the name where the
// title has none. It returns id as it is if that is no title or of another server.
func KeepClass(id, before Program, argv []string) Program {
	if !id.Title || before.Server != id.Server {
		return id
	}
	if id.Class == "" {
		id.Class = before.Class
	}
	if id.Threads == 0 {
		id.Threads = before.Threads
	}
	if id.Name == "" || before.Name != "" && len(argv) > 0 && strings.HasSuffix(strings.TrimSpace(argv[0]), " ["+before.Name+"]") {
		id.Name = before.Name
	}
	return id
}
