// Package importcheck tries whether the code of an app still imports, as the next
// worker of its server would do it.
package importcheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/program"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// A new worker reads the app's code from the disk, unless its master has loaded it
// already. If that code does not import, gunicorn's master exits with all workers. So
// such a worker is recycled only after a separate process has imported the code. A plan
// reads how to do that; only Apply, after guards and approval, does it.

// Checker imports an app as its next worker would.
type Checker struct {
	Root           string   // of /proc
	Argv           []string // of the configuration; none: from the command line of the master
	Server         cmdline.Server
	Master, Worker procid.Identity
}

// Needed reports whether [Checker.Prepare] has a program to run, and returns its refusal
// and error. It runs nothing.
func (i Checker) Needed() (bool, action.Refusal, error) {
	p, refused, err := i.Prepare()
	if err != nil {
		return false, action.Refusal{}, err
	}
	defer p.Close()
	return p != nil, refused, nil
}

// Prepare returns the program that imports the app, and runs nothing; the caller closes it.
// Neither a program nor a refusal: the master has loaded the app already. A refusal: the
// program must not be run. An error: the processes could not be read, or have changed.
func (i Checker) Prepare() (p *program.Program, refused action.Refusal, err error) {
	before, refused, err := readOwners(i.Root, i.Master, i.Worker)
	if err != nil || !refused.IsZero() {
		return nil, refused, err
	}
	master, err := procid.LaunchOf(i.Root, i.Master.PID)
	if err != nil {
		return nil, action.Refusal{}, fmt.Errorf("read the command line of the master: %w", process.WithoutPath(err))
	}
	cwd, err := os.OpenFile(fmt.Sprintf("%s/%d/cwd", i.Root, i.Master.PID), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, action.Refusal{}, fmt.Errorf("read the working directory of the master: %w", process.WithoutPath(err))
	}
	// If the owners are equal before and after, all that was read in between is of the same
	// two processes: neither has ended, nor changed its user.
	after, refused, err := readOwners(i.Root, i.Master, i.Worker)
	switch {
	case err == nil && refused.IsZero() && !after.equal(before):
		err = process.ErrChanged
	case err == nil && refused.IsZero() && !i.preloaded(master):
		p, refused = i.command(master, after)
	}
	if p == nil || err != nil || !refused.IsZero() {
		_ = cwd.Close()
		return nil, refused, err
	}
	if p.Dir == "" {
		p.Dir, p.Open = "/proc/self/fd/"+strconv.Itoa(int(cwd.Fd())), cwd
	} else {
		_ = cwd.Close()
	}
	return p, action.Refusal{}, nil
}

// Run runs a prepared program. The zero refusal: the app imports. A refusal: it does not,
// or that is not known, as the program did not end in time or cannot be run.
func Run(ctx context.Context, p *program.Program) (refused action.Refusal) {
	_, err := p.Run(ctx) // its output may have secrets of the app, and is not shown
	var exit *program.ExitError
	switch {
	case err == nil:
		return action.Refusal{}
	case errors.As(err, &exit):
		return action.Refuse(action.CodeImportFailed, "the import check of the app failed (%s): a new worker would not start, and gunicorn would stop the other workers too", exit)
	case ctx.Err() != nil:
		return action.Refuse(action.CodeImportTimeout, "the import check did not finish in time: set a longer timeout for the step")
	}
	return action.Refuse(action.CodeImportUnchecked, "the import check cannot run: %s", program.WithoutPath(err))
}

// preloaded reports whether the master is taken to have loaded the app before it forks, so
// that a new worker need not import it: uWSGI unless it may be lazy, any other server with
// the argument --preload on its command line or in GUNICORN_CMD_ARGS. Gunicorn's file of
// settings is not read.
func (i Checker) preloaded(l procid.Launch) bool {
	if i.Server == cmdline.UWSGI {
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
	// uwsgiMore matches a file of settings that includes others.
	uwsgiMore = regexp.MustCompile(`(?im)^\s*"?(ini|include|inherit|yaml|yml|json|xml|emperor|config|import-opt)\b|<(include|ini|xml)\b|@\(`)
	// uwsgiFile, with a value behind it, and uwsgiNamed, whose value comes next,
	// name such a file; uwsgiEnding are those that need no option.
	uwsgiFile   = regexp.MustCompile(`^--(?:ini|yaml|yml|json|xml|include|inherit)=(.*)$`)
	uwsgiNamed  = regexp.MustCompile(`^(?:--(?:ini|yaml|yml|json|xml|include|inherit)|-x|-y|-j)$`)
	uwsgiEnding = regexp.MustCompile(`\.(?:ini|yaml|yml|json|xml|js)(?::[^/]*)?$`)
	uwsgiLazy   = regexp.MustCompile(`^UWSGI_(?:.*LAZY.*|INI|YAML|YML|JSON|XML|INCLUDE|INHERIT|CONFIG|EMPEROR)$`)
)

// lazy reports whether uWSGI's workers may load the app themselves: lazy-apps or lazy are
// on the command line, in the environment or in a file. It is true too if not all
// settings can be read: the command line, a file, or what a file includes.
func lazy(l procid.Launch) bool {
	if len(l.Argv) < 2 { // a title: the arguments are not known
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

// uwsgiFiles returns the files of settings on a command line of uWSGI, without the sections
// behind their names; a relative one is in the app's directory. false: there may be
// settings elsewhere.
func uwsgiFiles(l procid.Launch) (files []string, all bool) {
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

// readSmall returns the text of a regular file of at most 64 KiB, whoever owns it: the
// text decides only whether the app is imported before. Any other file is an error.
func readSmall(name string) (string, error) {
	b, err := safefile.Read(name, safefile.Policy{MaxBytes: program.MaxOutput, AnyOwner: true})
	return string(b), err
}

// command returns the program that imports the app: that of the configuration, or
// gunicorn itself with --check-config behind its own command line, which loads settings
// and app, and ends. A refusal: the program must not be run.
func (i Checker) command(master procid.Launch, o owners) (p *program.Program, refused action.Refusal) {
	as, refused := o.runAs()
	if !refused.IsZero() {
		return nil, refused
	}
	if len(i.Argv) > 0 {
		p, refused = configuredCommand(i.Argv, master, o)
	} else {
		p, refused = i.gunicornCommand(master, o)
	}
	if !refused.IsZero() {
		return nil, refused
	}
	p.As, p.Nice, p.Confined = as, 10, true
	return p, action.Refusal{}
}

// gunicornCommand returns gunicorn as the master was started, with --check-config. A refusal: the server is not
// gunicorn, its command line is not known, its interpreter or directory is not there any more, it might not find the
// same files, the app sees another system or is confined, or it runs as root from what others can change.
func (i Checker) gunicornCommand(master procid.Launch, o owners) (p *program.Program, refused action.Refusal) {
	if master.Dir == "" {
		return nil, noDirectory()
	}
	if !master.SameFiles {
		return nil, action.Refuse(action.CodeImportOtherFiles, "the app sees other files than the exporter (a container or a private mount), so its import cannot be checked: set import_check")
	}
	if o.confined != nil {
		return nil, action.Refuse(action.CodeImportConfined, "%s, so its code is not run outside of that environment: set import_check to a command that imports the app", o.confined)
	}
	at := gunicornIndex(master.Argv)
	if i.Server != cmdline.Gunicorn || at < 0 || len(master.Env) == 0 {
		return nil, action.Refuse(action.CodeNotReadable, "the command line of the app cannot be read (a process title hides it, or the server is uWSGI): set import_check to a command that imports the app")
	}
	words := gunicornWords(master.Argv[at+1:], master.Env)
	if dir := cmdline.Option(words, "--chdir"); dir != "" && !filepath.IsAbs(dir) || cmdline.Option(words, "--chroot") != "" {
		return nil, action.Refuse(action.CodeImportDirectory, "gunicorn was started with a relative --chdir or a --chroot: set import_check to a command that imports the app")
	}
	p = &program.Program{Argv: append(slices.Clone(master.Argv), "--check-config"), Env: appEnv(master.Env)}
	if p.Path, refused = interpreter(master); !refused.IsZero() {
		return nil, refused
	}
	if o.worker.UID() == 0 {
		return asRoot(p, master, at)
	}
	return p, action.Refusal{}
}

// gunicornIndex returns the index of gunicorn's program or module on a command line of Python; -1 for
// another program, for which --check-config could mean anything, and for a relative path of gunicorn.
func gunicornIndex(argv []string) int {
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

// interpreter returns the Python that the master was started with, by the name that it
// was started by: Python finds its virtual environment by the name. A refusal: that name
// leads to another file by now, or to none.
func interpreter(master procid.Launch) (file string, refused action.Refusal) {
	name := master.Argv[0]
	if !filepath.IsAbs(name) {
		name = lookPath(name, master.Env)
	}
	at, err := filepath.EvalSymlinks(name)
	if name == "" || err != nil || at != master.Program {
		return "", action.Refuse(action.CodeImportInterpreter, "the Python interpreter of the app has been moved: set import_check to a command that imports the app")
	}
	return name, action.Refusal{}
}

// lookPath returns the path of a program by the PATH of an environment, of which relative
// directories do not count; "" if it is not found, or name is a path itself.
func lookPath(name string, env []string) string {
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
