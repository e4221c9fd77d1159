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
	title   bool   // the process set its own title
	threads int    // that a worker has for requests by the command line; 0: it does not say
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
	pythonName = regexp.MustCompile(`^(python|pypy)[0-9.]*(-dbg)?$`)
	appSpec    = regexp.MustCompile(`^([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(\(.*\))?$`)
	dotted     = regexp.MustCompile(`^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$`)
	unicornSet = regexp.MustCompile(`^gunicorn: (master|worker) \[(.*)\]$`)
	uwsgiTitle = regexp.MustCompile(`^uWSGI (master|worker|http|mule|spooler)\b`)
)

// classify tells what a command line serves. It looks only at the places where
// a program's name stands, so that "sh -c 'gunicorn …'" and "grep gunicorn"
// are not taken for servers.
func classify(argv []string) identity {
	if len(argv) == 0 {
		return identity{}
	}
	title := strings.TrimSpace(argv[0])
	if m := unicornSet.FindStringSubmatch(title); m != nil {
		return identity{server: Gunicorn, name: moduleName(m[2]), title: true, master: m[1] == "master", worker: m[1] == "worker"}
	}
	if m := uwsgiTitle.FindStringSubmatch(title); m != nil {
		return identity{server: UWSGI, title: true, master: m[1] == "master", worker: m[1] == "worker", aux: m[1] != "master" && m[1] != "worker", script: "uwsgi"}
	}
	program := path.Base(argv[0])
	args := argv[1:]
	if pythonName.MatchString(program) {
		return classifyPython(args)
	}
	return classifyProgram(program, args)
}

// classifyPython sees through "python [options] script args" and
// "python -m module args".
func classifyPython(args []string) identity {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-m" && i+1 < len(args):
			id := classifyProgram(args[i+1], args[i+2:])
			if id.server == "" {
				id = identity{server: Script, script: args[i+1]}
			}
			return id
		case a == "-c":
			return identity{server: Script, script: "python"}
		case a == "-W" || a == "-X":
			i++
		case strings.HasPrefix(a, "-"):
		default:
			script := strings.TrimSuffix(path.Base(a), ".py")
			if systemDaemon(script) {
				return identity{}
			}
			id := classifyProgram(path.Base(a), args[i+1:])
			if id.server == "" {
				id = identity{server: Script, script: script}
			}
			return id
		}
	}
	return identity{}
}

// classifyProgram knows servers by the name of their program or module.
func classifyProgram(program string, args []string) identity {
	switch program {
	case "gunicorn", "gunicorn3", "gunicorn.app.wsgiapp":
		id := identity{server: Gunicorn, script: "gunicorn", class: option(args, "-k", "--worker-class")}
		id.name = option(args, "-n", "--name")
		if id.name == "" {
			id.name = moduleArg(args)
		}
		id.threads = threadsOf(args, 0)
		return id
	case "uwsgi", "uwsgi-core", "uwsgi_python3", "uwsgi_python39", "uwsgi_python311", "pyuwsgi":
		return identity{server: UWSGI, script: "uwsgi", name: uwsgiName(args), threads: threadsOf(args, 0)}
	case "uvicorn", "hypercorn", "granian":
		return identity{server: Server(program), script: program, name: moduleArg(args)}
	case "waitress-serve", "waitress":
		return identity{server: Waitress, script: "waitress", name: moduleArg(args), threads: threadsOf(args, waitressThreads)}
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

// flaskName gives the module of what FLASK_APP and --app take: "shop",
// "shop:create_app()", "src/shop.py".
func flaskName(s string) string {
	if s == "" {
		return ""
	}
	return moduleName(strings.TrimSuffix(path.Base(s), ".py"))
}

// option returns the value of "-k v", "-kv", "--key v" or "--key=v".
func option(args []string, names ...string) string {
	for i, a := range args {
		for _, n := range names {
			if a == n && i+1 < len(args) {
				return args[i+1]
			}
			if v, ok := strings.CutPrefix(a, n+"="); ok && strings.HasPrefix(n, "--") {
				return v
			}
			if v, ok := strings.CutPrefix(a, n); ok && v != "" && !strings.HasPrefix(n, "--") && !strings.HasPrefix(a, "--") {
				return v
			}
		}
	}
	return ""
}

// Switches of gunicorn and the others that take no value, so that the word
// behind them may be the app.
func isSwitch(a string) bool {
	return slices.Contains([]string{"--preload", "--reload", "-D", "--daemon", "--reuse-port", "--capture-output", "-R", "--enable-stdio-inheritance",
		"--no-sendfile", "--proxy-protocol", "--spew", "--factory", "--no-access-log", "--proxy-headers", "--call", "--no-use-colors"}, a)
}

// moduleArg finds the application among a server's arguments: the last word
// of the form module:callable, else a last word that is a dotted name and not
// an option's value. It gives the module.
func moduleArg(args []string) string {
	name := ""
	for i, a := range args {
		valueOf := ""
		if i > 0 && strings.HasPrefix(args[i-1], "-") && !strings.Contains(args[i-1], "=") && !isSwitch(args[i-1]) {
			valueOf = args[i-1]
		}
		if valueOf != "" || strings.HasPrefix(a, "-") {
			continue
		}
		if appSpec.MatchString(a) || dotted.MatchString(a) {
			name = moduleName(a)
		}
	}
	return name
}

// moduleName cuts ":callable" off a module, and leaves any other name as it is.
func moduleName(s string) string {
	if m := appSpec.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return s
}

func uwsgiName(args []string) string {
	if v := option(args, "--module", "-w", "--wsgi"); v != "" {
		return moduleName(v)
	}
	for _, key := range []string{"--wsgi-file", "--file", "--ini", "--yaml", "--yml", "--xml", "--json"} {
		if v := option(args, key); v != "" {
			return stem(v)
		}
	}
	for _, a := range args {
		for _, ext := range []string{".ini", ".yaml", ".yml", ".xml", ".json", ".py"} {
			if strings.HasSuffix(a, ext) {
				return stem(a)
			}
		}
	}
	return ""
}

// stem is a file's name without folder and ending.
func stem(p string) string { return strings.TrimSuffix(path.Base(p), path.Ext(p)) }

// cleanName keeps a found name within the bounds of the contract: 1 to 64
// letters, digits and . _ : @ - /.
func cleanName(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("._:@-/", c):
			return c
		}
		return '_'
	}, s)
	return s[:min(len(s), 64)]
}
