package importcheck

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/process"
	"github.com/resp-exporter/resp-exporter/internal/heal/program"
	"github.com/resp-exporter/resp-exporter/internal/procid"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// The import check runs code of the app. It runs only as the worker's user, and only code
// that no other user can change: an ordinary user's code runs as that user, who cannot gain
// rights by it; root's runs only from files that nobody else can change.

// owners are a master and its worker at one moment.
type owners struct {
	master, worker procid.Process
	confined       error // of the master or the worker, unlike the exporter
}

// equal reports whether both are the same processes, with the same programs and
// credentials.
func (o owners) equal(b owners) bool {
	return o.master.Same(b.master) && o.worker.Same(b.worker) && o.master.Exe == b.master.Exe && o.worker.Exe == b.worker.Exe &&
		o.master.Equal(b.master.Credentials) && o.worker.Equal(b.worker.Credentials)
}

// readOwners returns the users and groups of master and worker, and what confines them.
// An error: they cannot be read, or are not the planned master and a worker of it
// ([process.ErrChanged]). A refusal: their users or groups differ.
func readOwners(root string, master, worker procid.Identity) (o owners, refused action.Refusal, err error) {
	if o.master, err = procid.Read(root, master.PID); err != nil {
		return o, action.Refusal{}, err
	}
	if o.worker, err = procid.Read(root, worker.PID); err != nil {
		return o, action.Refusal{}, err
	}
	if o.master.Start != master.Start || o.worker.Start != worker.Start || o.worker.Parent != o.master.PID {
		return o, action.Refusal{}, process.ErrChanged
	}
	if err := procid.Agree(o.worker.Credentials, o.master.Credentials); err != nil {
		return o, action.Refuse(action.CodeOtherUser, "worker %d does not have the same users and groups as its master: %s", o.worker.PID, err), nil
	}
	if o.confined = procid.Unconfined(root, o.master.PID); o.confined == nil {
		o.confined = procid.Unconfined(root, o.worker.PID)
	}
	return o, action.Refusal{}, nil
}

// runAs returns the worker's user and groups, as which the app is imported; nil if the
// exporter is not root and is that user itself. A refusal: it is neither.
func (o owners) runAs() (as *syscall.Credential, refused action.Refusal) {
	me := os.Geteuid()
	switch {
	case me == 0:
		return &syscall.Credential{Uid: o.worker.UID(), Gid: o.worker.GID(), Groups: o.worker.Groups}, action.Refusal{}
	case int64(o.worker.UID()) == int64(me):
		return nil, action.Refusal{}
	}
	return nil, action.Refuse(action.CodeImportUser, "the app is imported only as its own user: run the exporter as that user or as root, or start gunicorn with --preload")
}

// configuredCommand returns the program of the configuration, or why it must not be run.
// If the app sees another system, or is confined, the program gets nothing of its
// environment or directory, since it runs on the exporter's system.
func configuredCommand(argv []string, master procid.Launch, o owners) (p *program.Program, refused action.Refusal) {
	if !filepath.IsAbs(argv[0]) {
		return nil, action.Refuse(action.CodeProgramPath, "import_check does not begin with an absolute path")
	}
	uid := o.worker.UID()
	if refused := checkProgram(argv[0], uid); !refused.IsZero() {
		return nil, refused.Within("import_check")
	}
	p = &program.Program{Path: argv[0], Argv: argv}
	switch {
	case o.confined != nil:
		p.Dir, p.Env = "/", []string{noBytecode, program.BasePath}
	case master.Dir == "":
		return nil, noDirectory()
	case uid == 0:
		if !ownedByRoot(master.Dir) {
			return nil, action.Refuse(action.CodeImportRoot, "the app runs as root from a directory that others can change: the import check is refused")
		}
		p.Env = rootEnv(master.Env)
	default:
		p.Env = appEnv(master.Env)
	}
	return p, action.Refusal{}
}

// noDirectory returns the refusal for an app whose working directory is gone.
func noDirectory() action.Refusal {
	return action.Refuse(action.CodeImportNoDirectory, "the working directory of the app no longer exists: a new worker would not find its code")
}

// checkProgram returns why a program must not be run as a user; zero: it may. It cannot
// be opened, is no file of at most 1 GiB, is not executable, or somebody else than root,
// the exporter or that user can change it or a directory above it.
func checkProgram(name string, uid uint32) (refused action.Refusal) {
	f, err := safefile.Open(name, safefile.Policy{MaxBytes: 1 << 30, Owners: []uint32{uid}})
	if err != nil {
		return action.Refuse(action.CodeProgramUntrusted, "the program is not trusted: %s", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Mode()&0o111 == 0 {
		return action.Refuse(action.CodeProgramNotExec, "the program is not executable")
	}
	return action.Refusal{}
}

// asRoot returns the program of a check that runs as root, restricted to what nobody but
// root can change: interpreter, script, directory, module path and settings. A refusal:
// others can change one of these, or that cannot be read.
func asRoot(p *program.Program, master procid.Launch, at int) (*program.Program, action.Refusal) {
	refuse := func(what string) action.Refusal {
		return action.Refuse(action.CodeImportRoot, "the app runs as root, and others can change what the import check would run (%s): set import_check", what)
	}
	p.Env = rootEnv(master.Env)
	if _, why := program.Resolve(p.Path); !why.IsZero() {
		return nil, refuse("its interpreter")
	}
	args := gunicornWords(master.Argv[at+1:], p.Env)
	if abbreviates(args) {
		return nil, refuse("an abbreviated option")
	}
	paths := []string{master.Dir}
	if filepath.IsAbs(master.Argv[at]) {
		paths = append(paths, master.Argv[at])
	}
	for _, conf := range cmdline.Options(args, "-c", "--config") {
		if conf != "" && !strings.HasPrefix(conf, "python:") {
			paths = append(paths, strings.TrimPrefix(conf, "file:"))
		}
	}
	for _, list := range cmdline.Options(args, "--chdir", "--pythonpath", "--paste", "--paster") {
		paths = append(paths, strings.FieldsFunc(list, func(r rune) bool { return r == ',' })...)
	}
	for _, name := range paths {
		if !filepath.IsAbs(name) {
			name = filepath.Join(master.Dir, name)
		}
		if !ownedByRoot(name) {
			return nil, refuse("a path on its command line, or its directory")
		}
	}
	return p, action.Refusal{}
}

// gunicornWords returns the words of GUNICORN_CMD_ARGS and of the command line, of which the
// later ones count.
func gunicornWords(args, env []string) (words []string) {
	for _, v := range env {
		if more, ok := strings.CutPrefix(v, "GUNICORN_CMD_ARGS="); ok {
			words = append(words, strings.Fields(more)...)
		}
	}
	return append(words, args...)
}

// abbreviates reports whether one of the words may be the beginning of an option that names
// a file, which Python's argparse takes for the option.
func abbreviates(words []string) bool {
	for _, w := range words {
		name, _, _ := strings.Cut(w, "=")
		for _, full := range []string{"--config", "--chdir", "--pythonpath", "--paster"} {
			if len(name) > 2 && name != full && name != "--paste" && strings.HasPrefix(full, name) {
				return true
			}
		}
	}
	return false
}

// ownedByRoot reports whether a file or directory is root's, and nobody else but the
// exporter's user can change or replace it; false if that cannot be read.
func ownedByRoot(name string) bool {
	info, err := os.Stat(name)
	if err != nil {
		return false
	}
	at := name
	if info.IsDir() { // a file in it must be as safe
		at = filepath.Join(name, "x")
	}
	if safefile.Closed(at) != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0 && info.Mode()&0o022 == 0
}

// rootEnv returns the part of an environment that a check gets that runs as root:
// [program.BasePath], known variables only, and of the directories in HOME and PYTHONPATH
// only those that are root's ([ownedByRoot]).
func rootEnv(env []string) []string {
	out := []string{noBytecode, noUserSite, program.BasePath}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case name == "HOME":
			if filepath.IsAbs(value) && ownedByRoot(value) {
				out = append(out, v)
			}
		case name == "PYTHONPATH":
			var own []string
			for _, dir := range filepath.SplitList(value) {
				if filepath.IsAbs(dir) && ownedByRoot(dir) {
					own = append(own, dir)
				}
			}
			out = append(out, name+"="+strings.Join(own, string(os.PathListSeparator)))
		case slices.Contains([]string{"LANG", "LC_ALL", "LC_CTYPE", "TZ", "FLASK_ENV", "FLASK_DEBUG", "DJANGO_SETTINGS_MODULE", "GUNICORN_CMD_ARGS"}, name):
			out = append(out, v)
		}
	}
	return out
}

// noUserSite keeps Python from the modules in a home directory (usercustomize).
const noUserSite = "PYTHONNOUSERSITE=1"

// noBytecode keeps Python from writing files beside the app's code.
const noBytecode = "PYTHONDONTWRITEBYTECODE=1"

// appEnv returns the app's own environment, without the variables that would connect the
// check to the sockets, notifications and files of the running server, and with
// [program.BasePath] if it has no PATH.
func appEnv(env []string) []string {
	out := []string{noBytecode}
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
		out = append(out, program.BasePath)
	}
	return out
}
