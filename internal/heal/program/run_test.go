package program_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/program"
)

// shell returns a program that runs a script of sh.
func shell(script string) program.Program {
	return program.Program{Path: "/bin/sh", Argv: []string{"sh", "-c", script}, Env: []string{program.BasePath}, Dir: "/"}
}

// A program has the given input, directory, environment and priority, and a session of its
// own. A confined one cannot gain rights, ends first where memory is short, and is, as
// root, the first process of its namespace.
func TestRun(t *testing.T) {
	t.Parallel()
	root := os.Geteuid() == 0
	for name, c := range map[string]struct {
		script string
		change func(*program.Program)
		want   string
	}{
		"output":         {"echo out; echo err >&2", nil, "out\nerr\n"},
		"input":          {"cat", func(p *program.Program) { p.Stdin = "text" }, "text"},
		"directory":      {"pwd", func(p *program.Program) { p.Dir = "/usr" }, "/usr\n"},
		"environment":    {"echo $A-$HOME", func(p *program.Program) { p.Env = append(p.Env, "A=b") }, "b-\n"},
		"name":           {"echo $0", func(p *program.Program) { p.Argv = append(p.Argv, "shop") }, "shop\n"},
		"no priority":    {"nice", nil, priority(t, 0)},
		"priority":       {"nice", func(p *program.Program) { p.Nice = 3 }, priority(t, 3)},
		"session":        {`read -r _ _ _ _ _ sid _ </proc/self/stat; test "$sid" = $$ && echo own`, nil, "own\n"},
		"not confined":   {"grep NoNewPrivs /proc/self/status", nil, "NoNewPrivs:\t0\n"},
		"confined":       {"grep NoNewPrivs /proc/self/status", confine, "NoNewPrivs:\t1\n"},
		"memory":         {"until grep -qx 1000 /proc/self/oom_score_adj; do sleep 0.05; done; echo 1000", confine, "1000\n"},
		"a namespace":    {"test $$ = 1 && echo first || echo later", confine, map[bool]string{true: "first\n", false: "later\n"}[root]},
		"no namespace":   {"test $$ = 1 && echo first || echo later", nil, "later\n"},
		"the end of all": {"seq 1 100000", nil, ""},
	} {
		p := shell(c.script)
		if c.change != nil {
			c.change(&p)
		}
		out, err := p.Run(t.Context())
		if name == "the end of all" {
			if err != nil || len(out) != program.MaxOutput || !strings.HasSuffix(out, "\n99999\n100000\n") {
				t.Errorf("%s: %d bytes, %v", name, len(out), err)
			}
			continue
		}
		if err != nil || out != c.want {
			t.Errorf("%s: %q, %v; want %q", name, out, err, c.want)
		}
	}
}

func confine(p *program.Program) { p.Confined = true }

// priority returns what nice prints for a program that is that much nicer than the test.
func priority(t *testing.T, more int) string {
	t.Helper()
	if more == 0 {
		out, err := exec.Command("nice").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	return "3\n" // it is set, not added
}

// A program that fails returns its status and its output; one that cannot be started returns
// why, without its path; one that is cut off returns that.
func TestRunFails(t *testing.T) {
	t.Parallel()
	out, err := shell("echo no; exit 3").Run(t.Context())
	if status, ok := errors.AsType[*program.ExitError](err); !ok || status.ExitCode() != 3 || out != "no\n" {
		t.Errorf("exit 3: %q, %v", out, err)
	}
	gone := shell("")
	gone.Path = filepath.Join(t.TempDir(), "gone")
	if out, err := gone.Run(t.Context()); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), gone.Path) || out != "" {
		t.Errorf("not there: %q, %v", out, err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if out, err := shell("echo out").Run(over); !errors.Is(err, context.Canceled) || out != "" {
		t.Errorf("cancelled before: %q, %v", out, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := shell("trap 'echo ended; exit 0' TERM; while :; do sleep 0.05; done").Run(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cut off: %v", err)
	}
}

// A program to be run has an absolute path that nobody else can change.
func TestResolve(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("this test changes owners: run it as root")
	}
	for name, c := range map[string]struct {
		arrange func(dir string) string
		want    action.Code
	}{
		"ours":           {func(dir string) string { return file(t, dir+"/run", 0o755) }, ""},
		"relative":       {func(string) string { return "bin/sh" }, action.CodeProgramPath},
		"not clean":      {func(dir string) string { return file(t, dir+"/run", 0o755) + "/" }, action.CodeProgramPath},
		"not there":      {func(dir string) string { return dir + "/run" }, action.CodeProgramNotFound},
		"a directory":    {func(dir string) string { return dir }, action.CodeProgramNoFile},
		"not executable": {func(dir string) string { return file(t, dir+"/run", 0o644) }, action.CodeProgramNotExec},
		"for a group":    {func(dir string) string { return file(t, dir+"/run", 0o775) }, action.CodeProgramUntrusted},
		"for others":     {func(dir string) string { return file(t, dir+"/run", 0o757) }, action.CodeProgramUntrusted},
		"another's":      {func(dir string) string { return owned(t, file(t, dir+"/run", 0o755)) }, action.CodeProgramUntrusted},
		"a directory of another": {func(dir string) string {
			try(t, os.Mkdir(dir+"/d", 0o755))
			owned(t, dir+"/d")
			return file(t, dir+"/d/run", 0o755)
		}, action.CodeDirectoryUntrusted},
		"an open directory": {func(dir string) string {
			try(t, os.Mkdir(dir+"/d", 0o755), os.Chmod(dir+"/d", 0o777))
			return file(t, dir+"/d/run", 0o755)
		}, action.CodeDirectoryUntrusted},
		"a sticky directory": {func(dir string) string {
			try(t, os.Mkdir(dir+"/d", 0o755), os.Chmod(dir+"/d", 0o777|os.ModeSticky))
			return file(t, dir+"/d/run", 0o755)
		}, ""},
		"a link": {func(dir string) string {
			file(t, dir+"/run", 0o755)
			try(t, os.Symlink("run", dir+"/link"))
			return dir + "/link"
		}, ""},
		"a link through an open directory": {func(dir string) string {
			file(t, dir+"/run", 0o755)
			try(t, os.Mkdir(dir+"/d", 0o755), os.Symlink(dir+"/run", dir+"/d/link"), os.Chmod(dir+"/d", 0o777), os.Symlink("d/link", dir+"/link"))
			return dir + "/link"
		}, action.CodeDirectoryUntrusted},
		"too many links": {func(dir string) string {
			at := file(t, dir+"/run", 0o755)
			for i := range 11 {
				next := dir + "/l" + strings.Repeat("x", i)
				try(t, os.Symlink(at, next))
				at = next
			}
			return at
		}, action.CodeDirectoryUntrusted},
	} {
		dir, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		at := c.arrange(dir)
		got, refused := program.Resolve(at)
		if refused.Code != c.want || (got == "") != (c.want != "") || c.want == "" && got != dir+"/run" && got != dir+"/d/run" {
			t.Errorf("%s: %q, %+v; want %q", name, got, refused, c.want)
		}
	}
}

func try(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, name string, mode os.FileMode) string {
	t.Helper()
	try(t, os.WriteFile(name, []byte("#!/bin/sh\n"), 0o600), os.Chmod(name, mode))
	return name
}

func owned(t *testing.T, name string) string {
	t.Helper()
	try(t, os.Chown(name, 65534, -1))
	return name
}

// Errors of files and programs lose their paths.
func TestWithoutPath(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	for _, c := range []struct{ in, want error }{
		{&exec.Error{Name: "/secret", Err: exec.ErrNotFound}, exec.ErrNotFound}, {&fs.PathError{Op: "open", Path: "/secret", Err: fs.ErrNotExist}, fs.ErrNotExist}, {plain, plain},
	} {
		if got := program.WithoutPath(c.in); !errors.Is(got, c.want) || strings.Contains(got.Error(), "/secret") {
			t.Errorf("%v: %v", c.in, got)
		}
	}
}

// The last line of an output is bounded before it is searched for secrets, and after.
func TestLastLineIsBounded(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\xffb":              "a�b",
		"x Bearer abcdef.ghi": "x Bearer <removed>",
		"BASIC QWxhZGRpbg==":  "BASIC <removed>",
		"bearer abc":          "bearer abc",
		"last \t\r\n":         "last",
	} {
		if got := strings.TrimSpace(program.LastLine(in)); got != want {
			t.Errorf("%.20q: %q, want %q", in, got, want)
		}
	}
	if got := program.LastLine(strings.Repeat("x", 5000)); len(got) > 200+len("…") || len(got) < 200 {
		t.Errorf("a long line: %d bytes", len(got))
	}
	var open program.Program
	open.Close()
	f, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	open.Open = f
	open.Close()
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the directory is open after Close: %v", err)
	}
	(*program.Program)(nil).Close()
}

// A program has the usual slack of timers, also if all threads of the process that starts
// it have more: that process is one of its own, whose threads inherit the slack.
func TestTimerSlack(t *testing.T) {
	t.Parallel()
	const said, starts = "TEST_OF_SLACK", "TEST_OF_SLACK_FROM"
	if name := os.Getenv(said); name != "" {
		sayTimerSlack(name)
		return
	}
	self := []string{os.Args[0], "-test.run=^TestTimerSlack$"}
	if dir := os.Getenv(starts); dir != "" {
		sayTimerSlack(dir + "/exporter")
		for name, change := range map[string]func(*program.Program){"plain": func(*program.Program) {}, "confined": confine} {
			p := program.Program{Path: self[0], Argv: self, Env: []string{said + "=" + dir + "/" + name}, Dir: "/"}
			change(&p)
			_, err := p.Run(t.Context())
			try(t, err)
		}
		return
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), self[0], self[1:]...)
	cmd.Env = append(os.Environ(), starts+"="+dir)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: it has the slack
		err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1_000_000, 0, 0, 0)
		if err == nil {
			err = cmd.Run()
		}
		done <- err
	}()
	try(t, <-done)
	for name, want := range map[string]string{"exporter": "1000000", "plain": "50000", "confined": "50000"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %s ns, %v; want %s", name, got, err, want)
		}
	}
}

// sayTimerSlack writes the slack of the main thread's timers to a file, in nanoseconds.
func sayTimerSlack(name string) {
	b, err := os.ReadFile("/proc/self/timerslack_ns")
	if err == nil {
		err = os.WriteFile(name, bytes.TrimSpace(b), 0o600)
	}
	if err != nil {
		panic(err)
	}
}
