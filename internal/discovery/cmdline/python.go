package cmdline

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// pythonName matches the interpreters: "python3.13t" (free-threaded),
// "python3.6m", "python3-dbg", "pypy3-c" and the like.
var pythonName = regexp.MustCompile(`^(python|pypy|graalpy|pyston)w?[0-9]*(\.[0-9]+)*[a-z]{0,3}(-[a-z0-9_]+)?$`)

// isPython reports whether a program is a Python interpreter, by its name.
func isPython(program string) bool {
	return program != "" && (program[0] == 'p' || program[0] == 'g') && pythonName.MatchString(program)
}

// pythonTarget returns what a Python interpreter runs: a module (m), a script (s) or code (c,
// target "" for standard input), and the arguments behind it; 0 for none of them. Options
// that are written together ("-um", "-mgunicorn", "-Wd") are split as Python does.
func pythonTarget(args []string) (kind byte, target string, rest []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "-":
			return 'c', "", args[i+1:]
		case a == "--check-hash-based-pycs":
			i++
			continue
		case strings.HasPrefix(a, "--"):
			continue
		case !strings.HasPrefix(a, "-"):
			return 's', a, args[i+1:]
		}
		at := strings.IndexAny(a[1:], "cmWX") + 1
		if at == 0 {
			continue
		}
		value := a[at+1:]
		if value == "" {
			if i++; i == len(args) {
				return 0, "", nil
			}
			value = args[i]
		}
		if a[at] == 'c' || a[at] == 'm' {
			return a[at], value, args[i+1:]
		}
	}
	return 0, "", nil
}

// scriptName returns the name of a script: that of its file, or for a __main__.py
// that of its directory.
func scriptName(p string) string {
	if path.Base(p) == "__main__.py" && path.Base(path.Dir(p)) != "." && path.Base(path.Dir(p)) != "/" {
		p = path.Dir(p)
	}
	return strings.TrimSuffix(path.Base(p), ".py")
}

// Spawned reports whether a command line is that of a process that Python's multiprocessing
// spawned (its method "spawn"), as servers start workers: a word is --multiprocessing-fork or
// has "multiprocessing.spawn import" in it.
func Spawned(argv []string) bool {
	return slices.Contains(argv, "--multiprocessing-fork") || slices.ContainsFunc(argv, func(a string) bool { return strings.Contains(a, "multiprocessing.spawn import") })
}

// switches returns the options of the servers without a value; each other long
// option without "=" has its value in the next word.
func switches() []string {
	return []string{
		"--access-log", "--call", "--capture-output", "--casefold-http-method", "--check-config", "--daemon", "--date-header", "--debug",
		"--disable-redirect-access-to-syslog", "--do-handshake-on-connect", "--enable-stdio-inheritance", "--expose-tracebacks", "--factory",
		"--help", "--initgroups", "--ipv4", "--ipv6", "--log", "--log-syslog", "--log-socket-errors", "--log-untrusted-proxy-headers",
		"--clear-untrusted-proxy-headers", "--opt", "--permit-obsolete-folding", "--permit-unconventional-http-method",
		"--permit-unconventional-http-version", "--preload", "--preload-app", "--print-config", "--proxy-headers", "--proxy-protocol", "--reload",
		"--respawn-failed-workers", "--reuse-port", "--server-header", "--spew", "--strip-header-spaces", "--suppress-ragged-eofs",
		"--use-colors", "--version", "--ws",
	}
}

// valued returns the options with a value that may look like an application and
// is none.
func valued() []string {
	return []string{"--bind", "--config", "--env", "--env-file", "--host", "--http", "--log-config", "--logger-class", "--loop", "--name", "--paste",
		"--statsd-host", "--worker-class", "--worker-connections", "--app-dir", "--interface", "--user", "--group"}
}

const shortSwitches = "DRhvq" // of gunicorn and the others; each other short option has a value

// takesNext reports whether next, the word behind an option, is the value of that option:
// not if it begins with a dash, nor if the option has its value in it or is a switch.
func takesNext(option, next string) bool {
	switch {
	case len(next) > 1 && next[0] == '-':
		return false
	case strings.HasPrefix(option, "--"):
		return !strings.Contains(option, "=") && !strings.HasPrefix(option, "--no-") && !slices.Contains(switches(), option)
	}
	letters := option[1:]
	for i, c := range letters {
		if !strings.ContainsRune(shortSwitches, c) {
			return i == len(letters)-1
		}
	}
	return false
}

// moduleArg returns the module of the application among a server's arguments: of the
// first word that is no option's value and has the form module:callable, else the first
// such word that is a dotted name, else of the value of an option that is not known here
// and has the form of an application; "" for none.
func moduleArg(args []string) string {
	var dottedName, loose string
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--" || a == "-", len(a) > MaxLine:
		case strings.HasPrefix(a, "-"):
			if i+1 == len(args) || !takesNext(a, args[i+1]) {
				continue
			}
			i++
			if v := args[i]; loose == "" && strings.HasPrefix(a, "--") && appSpec.MatchString(v) && !slices.Contains(valued(), a) && !scheme(v) {
				loose = ModuleName(v)
			}
		case appSpec.MatchString(a):
			return ModuleName(a)
		case dottedName == "" && dotted.MatchString(a):
			dottedName = a
		}
	}
	if dottedName != "" {
		return dottedName
	}
	return loose
}

// scheme reports whether what stands before the colon is localhost or one of the known schemes
// of addresses ("unix:s.sock"), so that it is no module.
func scheme(v string) bool {
	before, _, _ := strings.Cut(v, ":")
	return slices.Contains([]string{"unix", "fd", "file", "python", "egg", "http", "https", "tcp", "udp", "localhost"}, before)
}

// GenericStem reports whether the name of a file, without its extension, is a usual one
// for such a file, or "", so that it names no app.
func GenericStem(s string) bool {
	return slices.Contains([]string{
		"uwsgi", "wsgi", "asgi", "default", "app", "apps", "application", "conf", "config", "configuration", "site", "server", "service", "web", "www", "main",
		"prod", "production", "dev", "devel", "development", "stage", "staging", "test", "testing", "local", "docker", "settings", "base",
		"common", "vassal", "emperor", "deploy", "run", "index", "http", "",
	}, strings.ToLower(s))
}

// UWSGIFiles returns the configuration files on a command line of uWSGI, in their order, as
// they are written: also "file.ini:section". Any value of --ini and the like counts, and any
// other word that ends like one, except the value of --logto, --daemonize, --pidfile and
// --touch-reload.
func UWSGIFiles(args []string) []string {
	endings := []string{".ini", ".yaml", ".yml", ".xml", ".json"}
	var out []string
	for i := 0; i < len(args); i++ {
		key, v, ok := strings.Cut(args[i], "=")
		switch {
		case slices.Contains([]string{"--ini", "--yaml", "--yml", "--xml", "--json"}, key):
			if !ok && i+1 < len(args) {
				i++
				v = args[i]
			}
			if v != "" {
				out = append(out, v)
			}
		case slices.Contains([]string{"--logto", "--daemonize", "--pidfile", "--touch-reload"}, key):
			if !ok {
				i++
			}
		case slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(WithoutSection(args[i]), e) }) && !strings.HasPrefix(args[i], "-"):
			out = append(out, args[i])
		}
	}
	return out
}

// WithoutSection returns "file.ini:section" without the section.
func WithoutSection(file string) string {
	if i := strings.LastIndexByte(file, ':'); i > 0 && !strings.Contains(file[i:], "/") {
		return file[:i]
	}
	return file
}

// UWSGIModule returns the name that options of uWSGI give the app, "" for none: the prefix of
// the titles (they are set only when the app is loaded) unless it begins with a dash, else its
// module, that of its mount or the file of its code. get returns the value of an option, or "".
func UWSGIModule(get func(name string) string) string {
	for _, key := range []string{"procname-prefix-spaced", "procname-prefix"} {
		if v := strings.TrimSpace(get(key)); v != "" && !strings.HasPrefix(v, "-") {
			return v
		}
	}
	for _, key := range []string{"module", "wsgi", "w"} {
		if v := get(key); v != "" {
			return ModuleName(v)
		}
	}
	if _, v, ok := strings.Cut(get("mount"), "="); ok && v != "" {
		return moduleOrFile(v)
	}
	for _, key := range []string{"wsgi-file", "file"} {
		if v := get(key); v != "" {
			return Stem(v)
		}
	}
	return ""
}

// moduleOrFile returns the module of "module:callable", or the name of the file of
// "dir/file.py" without directory and extension.
func moduleOrFile(v string) string {
	if strings.Contains(v, "/") || strings.HasSuffix(v, ".py") || strings.HasSuffix(v, ".wsgi") {
		return Stem(v)
	}
	return ModuleName(v)
}

// uwsgiName returns the app's name by a command line of uWSGI: its module, else the last
// configuration file that is not named generically, else the first .py; "" for none. script
// is a second choice for the name: the last generic file name if name is "" and there is one,
// else "uwsgi".
func uwsgiName(args []string) (name, script string) {
	name = UWSGIModule(func(key string) string {
		if len(key) == 1 {
			return lastOption(args, "-"+key)
		}
		return lastOption(args, "--"+key)
	})
	if name != "" {
		return name, "uwsgi"
	}
	files := UWSGIFiles(args)
	script = "uwsgi"
	for _, f := range slices.Backward(files) {
		if s := Stem(WithoutSection(f)); !GenericStem(s) {
			return s, "uwsgi"
		} else if script == "uwsgi" && s != "" {
			script = s
		}
	}
	if i := slices.IndexFunc(args, func(a string) bool { return strings.HasSuffix(a, ".py") }); i >= 0 {
		return Stem(args[i]), "uwsgi"
	}
	return "", script
}
