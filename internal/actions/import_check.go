package actions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/resp-exporter/resp-exporter/internal/proc"
)

// A worker that is started anew reads the app's code from the disk, unless its
// master has loaded it already. When that code no longer imports, gunicorn's
// master gives up and takes all workers with it. So such a worker is recycled
// only after the code was imported once, elsewhere and in vain.

// importer imports an app as its next worker would.
type importer struct {
	root   string   // of /proc
	argv   []string // of the configuration; none: as the command line of the master tells
	app    *proc.App
	worker int // whose user it runs as
}

// refused says why the next worker might not start; "": it will, as far as one
// can tell. An error means that it could not be looked at.
func (i importer) refused(ctx context.Context) (string, error) {
	master, err := proc.LaunchOf(i.root, i.app.PID)
	if err != nil {
		return "", fmt.Errorf("look at the master: %w", bare(err))
	}
	if i.preloaded(master) {
		return "", nil
	}
	p, refused := i.check(master)
	if refused != "" {
		return refused, nil
	}
	worker, err := proc.LaunchOf(i.root, i.worker)
	if err != nil {
		return "", fmt.Errorf("look at the worker: %w", bare(err))
	}
	if p.as, refused = credential(worker); refused != "" {
		return refused, nil
	}
	_, err = p.run(ctx) // what it writes may hold anything of the app, and is not shown
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &exit):
		return fmt.Sprintf("the app does not import (%s): a new worker would not start, and gunicorn would stop the others too", exit), nil
	case ctx.Err() != nil:
		return "whether the app imports was not known in time: give the step a longer timeout", nil
	}
	return "whether the app imports cannot be tried: " + bare(err).Error(), nil
}

// preloaded tells whether new workers come from a master that has the app in it.
func (i importer) preloaded(l proc.Launch) bool {
	if i.app.Server == proc.UWSGI {
		return !lazy(l)
	}
	args := l.Argv
	for _, v := range l.Env {
		if more, ok := strings.CutPrefix(v, "GUNICORN_CMD_ARGS="); ok {
			args = append(slices.Clone(args), strings.Fields(more)...)
		}
	}
	return slices.Contains(args, "--preload")
}

var (
	lazyWord   = regexp.MustCompile(`(?i)lazy`)
	lazyOption = regexp.MustCompile(`(?i)(?:^-*|=)lazy`) // also behind --set
	// uwsgiMore finds in a file of settings that it takes more from elsewhere.
	uwsgiMore = regexp.MustCompile(`(?im)^\s*"?(ini|include|inherit|yaml|yml|json|xml|emperor|config|import-opt)\b|<(include|ini|xml)\b|@\(`)
	// uwsgiFile, with a value behind it, and uwsgiNamed, whose value comes next,
	// name such a file; uwsgiEnding are those that need no option.
	uwsgiFile   = regexp.MustCompile(`^--(?:ini|yaml|yml|json|xml|include|inherit)=(.*)$`)
	uwsgiNamed  = regexp.MustCompile(`^(?:--(?:ini|yaml|yml|json|xml|include|inherit)|-x|-y|-j)$`)
	uwsgiEnding = regexp.MustCompile(`\.(?:ini|yaml|yml|json|xml|js)(?::[^/]*)?$`)
	uwsgiLazy   = regexp.MustCompile(`^UWSGI_(?:.*LAZY.*|INI|YAML|YML|JSON|XML|INCLUDE|INHERIT|CONFIG|EMPEROR)$`)
)

// lazy tells whether uWSGI's workers may load the app themselves: lazy-apps or
// lazy stand on the command line, in the environment or in a file. What cannot
// be read may say so.
func lazy(l proc.Launch) bool {
	if len(l.Argv) < 2 { // a title: what it was started with is not known
		return true
	}
	for _, v := range l.Env {
		if name, _, _ := strings.Cut(v, "="); uwsgiLazy.MatchString(strings.ToUpper(name)) {
			return true
		}
	}
	if slices.ContainsFunc(l.Argv[1:], lazyOption.MatchString) {
		return true
	}
	files, known := uwsgiFiles(l)
	for _, file := range files {
		text, err := readSmall(file)
		known = known && l.SameFiles && err == nil && !uwsgiMore.MatchString(text) && !lazyWord.MatchString(text)
	}
	return !known
}

// uwsgiFiles gives the files of settings on a command line, in the app's
// directory where they are relative; false: there are others.
func uwsgiFiles(l proc.Launch) (files []string, all bool) {
	for i, a := range l.Argv[1:] {
		before := l.Argv[i] // the argument before a
		m := uwsgiFile.FindStringSubmatch(a)
		switch {
		case strings.HasPrefix(a, "--emperor"), strings.HasPrefix(a, "--config"), a == "-":
			return nil, false
		case m != nil:
			files = append(files, m[1])
		case i > 0 && uwsgiNamed.MatchString(before), !strings.HasPrefix(a, "-") && uwsgiEnding.MatchString(a):
			files = append(files, a)
		}
	}
	for i, f := range files {
		f, _, _ = strings.Cut(f, ":") // a section of the file
		if f != "" && !filepath.IsAbs(f) {
			f = filepath.Join(l.Dir, f)
		}
		files[i] = f
	}
	return files, true
}

// readSmall reads a regular file of at most 64 KiB.
func readSmall(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxOutput {
		return "", errors.New("no small file")
	}
	b, err := os.ReadFile(name)
	return string(b), err
}

// check gives the program that imports the app: that of the configuration, or
// gunicorn itself with --check-config behind its own command line, which loads
// settings and app, and ends.
func (i importer) check(master proc.Launch) (p program, refused string) {
	if master.Dir == "" {
		return p, "the directory that the app was started in is gone: a new worker would not find its code"
	}
	p = program{dir: master.Dir, env: checkEnv(master.Env), nice: 10}
	if len(i.argv) > 0 {
		// It runs as the app's user, to whom it may belong.
		if p.path, p.argv = i.argv[0], i.argv; !filepath.IsAbs(p.path) {
			refused = "import_check does not begin with an absolute path"
		}
		return p, refused
	}
	if !master.SameFiles {
		return p, "the app sees other files than the exporter (a container or a private mount), so that whether it still imports cannot be tried: set import_check"
	}
	at := gunicornAt(master.Argv)
	if i.app.Server != proc.Gunicorn || at < 0 || len(master.Env) == 0 {
		return p, "how the app was started cannot be seen (a process title hides it, or uWSGI loads it late): set import_check, which imports the app"
	}
	if dir := proc.Option(master.Argv[at+1:], "--chdir"); dir != "" && !filepath.IsAbs(dir) || proc.Option(master.Argv[at+1:], "--chroot") != "" {
		return p, "gunicorn was started with a relative --chdir or a --chroot: set import_check, which imports the app"
	}
	p.argv = append(slices.Clone(master.Argv), "--check-config")
	p.path, refused = interpreter(master)
	return p, refused
}

// gunicornAt finds gunicorn's program or module on a command line of Python; -1:
// it is something else, to which another argument could mean anything.
func gunicornAt(argv []string) int {
	for i := 1; i < len(argv); i++ {
		switch a := argv[i]; {
		case a == "-m":
			if i+1 < len(argv) && (argv[i+1] == "gunicorn" || argv[i+1] == "gunicorn.app.wsgiapp") {
				return i + 1
			}
			return -1
		case a == "-W" || a == "-X":
			i++
		case a == "-c" || a == "-":
			return -1
		case strings.HasPrefix(a, "-"):
		case filepath.IsAbs(a) && slices.Contains([]string{"gunicorn", "gunicorn3"}, filepath.Base(a)):
			return i
		default:
			return -1
		}
	}
	return -1
}

// interpreter gives the Python that the master was started with, by the name
// that it was started by: the name tells Python its virtual environment.
func interpreter(master proc.Launch) (file, refused string) {
	name := master.Argv[0]
	if !filepath.IsAbs(name) {
		name = inPath(name, master.Env)
	}
	at, err := filepath.EvalSymlinks(name)
	if name == "" || err != nil || at != master.Program {
		return "", "the Python that the app runs on is no longer where it was: set import_check, which imports the app"
	}
	return name, ""
}

// inPath looks a program up in the PATH of an environment.
func inPath(name string, env []string) string {
	if strings.Contains(name, "/") {
		return ""
	}
	for _, v := range env {
		list, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			file := filepath.Join(dir, name)
			if info, err := os.Stat(file); err == nil && filepath.IsAbs(file) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return file
			}
		}
	}
	return ""
}

// checkEnv is the app's own environment, which it may need to be imported, but
// for what would tie the check to the sockets, notices and files of the running
// server. Where there is none, a title has overwritten it.
func checkEnv(env []string) []string {
	out := []string{"PYTHONDONTWRITEBYTECODE=1"}
	path := false
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains([]string{"GUNICORN_FD", "GUNICORN_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "PYTHONDONTWRITEBYTECODE"}, name) {
			continue
		}
		path = path || name == "PATH"
		out = append(out, v)
	}
	if !path {
		out = append(out, basePath)
	}
	return out
}

// credential makes the check run as the worker does. Code of the app never runs
// as anybody else.
func credential(worker proc.Launch) (as *syscall.Credential, refused string) {
	me := os.Geteuid()
	switch {
	case me == 0:
		return &syscall.Credential{Uid: worker.UID, Gid: worker.GID, Groups: worker.Groups}, ""
	case int(worker.UID) == me:
		return nil, ""
	}
	return nil, "the app is imported as its own user only, which takes an exporter that runs as that user or as root: start gunicorn with --preload, or run the exporter so"
}
