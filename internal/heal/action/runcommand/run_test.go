package runcommand_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/runcommand"
	"github.com/resp-exporter/resp-exporter/internal/heal/program"
)

func runCommand(argv ...string) *runcommand.Action {
	return runcommand.New(runcommand.Deps{}, config.RunCommand{Argv: argv})
}

// Values of the alert are on standard input only.
func TestRunCommandHandsOverJSONOnly(t *testing.T) {
	t.Setenv("SECRET_OF_THE_EXPORTER", "hunter2")
	out := filepath.Join(t.TempDir(), "out")
	file := actiontest.Script(t, `exec > `+out, `printf '%s\n' "$#" "$0" "$@"`, `echo ---`, `/usr/bin/env`, `echo ---`, `cat`)
	p, n, err := actiontest.Command(t, t.Context(), runCommand(file, "fixed", "$HOME"), actiontest.Payloads())
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(string(b), "---\n", 3)
	if want := "2\n" + file + "\nfixed\n$HOME\n"; parts[0] != want {
		t.Errorf("arguments %q, want %q", parts[0], want)
	}
	for v := range strings.Lines(parts[1]) {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains([]string{"PATH", "PWD", "SHLVL", "OLDPWD", "_"}, name) { // the others are the shell's own
			t.Errorf("in the environment: %q", v)
		}
	}
	var got struct {
		RunID  string `json:"run_id"`
		Action string
		Target string
		Alert  struct {
			Name   string
			Labels map[string]string
		}
	}
	dec := json.NewDecoder(strings.NewReader(parts[2]))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatalf("%v in %q", err, parts[2])
	}
	if got.RunID != "r-1" || got.Action != "run_command" || got.Target != "command" || got.Alert.Labels["c"] != actiontest.Payloads()["c"] {
		t.Errorf("%+v", got)
	}
	for name, v := range got.Alert.Labels {
		if strings.ContainsAny(name, "- ") || strings.ContainsAny(v, "\n\r\x00\x1b") || len(v) > 300 {
			t.Errorf("label %q: %q", name, v)
		}
	}
	if o, err := runCommand(file).Verify(t.Context(), p); o != action.Verified || err != nil {
		t.Errorf("%s, %v", o, err)
	}
}

func TestRunCommandFails(t *testing.T) {
	t.Parallel()
	a := runCommand(actiontest.Script(t, `echo "line one"`, `echo "DB_PASSWORD=hunter2 at redis://u:hunter2@h/0, Authorization: Bearer hunter2abc" >&2`, `exit 3`))
	p, n, err := actiontest.Command(t, t.Context(), a, nil)
	if exit, ok := errors.AsType[*program.ExitError](err); n != 1 || !ok || exit.ExitCode() != 3 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%d, %v", n, err)
	}
	if o, err := a.Verify(t.Context(), p); o != action.Unchanged || err != nil {
		t.Errorf("%s, %v", o, err)
	}
	p.Private = nil // as after a crash
	if o, err := a.Verify(t.Context(), p); o != action.Unchanged || err != nil {
		t.Errorf("after a crash: %s, %v", o, err)
	}
	if _, err := a.Apply(t.Context(), p); err == nil {
		t.Error("a plan of another process was carried out")
	}
}

// A grandchild, in the group or not, keeps the output open and ignores TERM: nothing hangs,
// and all processes of the group have ended.
func TestRunCommandGrandchild(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		line  string
		stays bool
	}{
		"in the group": {`(trap '' TERM; echo $$ >/dev/null; exec /bin/sleep 120) &`, false},
		// It continues once the child is the leader of its own group.
		"out of the group": {`/usr/bin/setsid /bin/sleep 120 &` + "\n" + `while read -r pid name state parent group rest </proc/$!/stat; [ "$group" != $! ]; do /bin/sleep 0.02; done`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pid := filepath.Join(t.TempDir(), "pid")
			a := runCommand(actiontest.Script(t, c.line, `echo $! > `+pid, `exit 0`))
			_, n, err := actiontest.Command(t, t.Context(), a, nil)
			if n != 1 || err != nil {
				t.Fatal(n, err)
			}
			b, err := os.ReadFile(pid)
			if err != nil {
				t.Fatal(err)
			}
			for range 1000 {
				if actiontest.Alive(string(b)) == c.stays {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if actiontest.Alive(string(b)) != c.stays {
				t.Errorf("the grandchild lives: %t", !c.stays)
			}
			if c.stays {
				var n int
				if _, err := fmt.Sscan(string(b), &n); err == nil {
					_ = syscall.Kill(n, syscall.SIGKILL)
				}
			}
		})
	}
}

// A program that runs too long is ended with all that it started: by TERM or by KILL.
func TestRunCommandTimeout(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"at a TERM": "", "by KILL": "trap '' TERM"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pid := filepath.Join(t.TempDir(), "pid")
			a := runCommand(actiontest.Script(t, line, `/bin/sleep 120 &`, `echo $! > `+pid, `/bin/sleep 120; /bin/sleep 120`))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { // the end of its time, once all is started
				defer cancel()
				for range 1000 {
					if b, _ := os.ReadFile(pid); len(b) > 0 {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}()
			_, n, err := actiontest.Command(t, ctx, a, nil)
			if n != 1 || !errors.Is(err, context.Canceled) {
				t.Errorf("%d, %v", n, err)
			}
			b, err := os.ReadFile(pid)
			for range 1000 { // a signal that was sent has not arrived yet, perhaps
				if err != nil || !actiontest.Alive(string(b)) {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if err != nil || actiontest.Alive(string(b)) {
				t.Errorf("%v, or what it started lives", err)
			}
		})
	}
}

// Output above the limit neither blocks the program nor uses more memory.
func TestRunCommandMuchOutput(t *testing.T) {
	t.Parallel()
	_, n, err := actiontest.Command(t, t.Context(), runCommand(actiontest.Script(t, `/usr/bin/head -c 20000000 /dev/zero`, `echo; echo the end`, `exit 1`)), nil)
	if n != 1 || err == nil || !strings.HasSuffix(err.Error(), ": the end") {
		t.Errorf("%d, %v", n, err)
	}
}

func TestRunCommandRefusesProgram(t *testing.T) {
	t.Parallel()
	good := actiontest.Script(t, "exit 0")
	open := func(mode os.FileMode) string {
		file := actiontest.Script(t, "exit 0")
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file
	}
	dir := filepath.Dir(actiontest.Script(t, ""))
	wide := filepath.Join(dir, "wide")
	if err := os.Mkdir(wide, 0o777); err != nil { //nolint:gosec // that is what must be seen
		t.Fatal(err)
	}
	if err := os.Chmod(wide, 0o777); err != nil { //nolint:gosec // whatever the umask
		t.Fatal(err)
	}
	inWide := filepath.Join(wide, "program")
	if err := actiontest.WriteProgram(inWide, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	hop, link := filepath.Join(wide, "hop"), filepath.Join(dir, "link")
	fine := filepath.Join(dir, "fine")
	for from, to := range map[string]string{hop: good, link: hop, fine: good} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]struct {
		file string
		want action.Code
	}{
		"good":             {good, ""},
		"link":             {fine, ""},
		"relative":         {"program", action.CodeProgramPath},
		"dots":             {dir + "/../" + filepath.Base(dir) + "/program", action.CodeProgramPath},
		"missing":          {dir + "/none", action.CodeProgramNotFound},
		"directory":        {wide, action.CodeProgramNoFile},
		"device":           {"/dev/null", action.CodeProgramNoFile},
		"not executable":   {open(0o600), action.CodeProgramNotExec},
		"others may write": {open(0o702), action.CodeProgramUntrusted},
		"group may write":  {open(0o720), action.CodeProgramUntrusted},
		"open directory":   {inWide, action.CodeDirectoryUntrusted},
		"link through it":  {link, action.CodeDirectoryUntrusted},
		"no program":       {"", action.CodeProgramPath},
	}
	if foreign := actiontest.Script(t, "exit 0"); os.Chown(foreign, 65534, 65534) == nil { // as root
		other := cases["others may write"]
		other.file = foreign
		cases["somebody else's"] = other
	}
	for name, c := range cases {
		p, err := runCommand(c.file).Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.Code != c.want {
			t.Errorf("%s: %+v, %v", name, p.Refused, err)
		}
		if c.want == "" {
			continue
		}
		if n, err := runCommand(c.file).Apply(t.Context(), p); n != 0 || err == nil {
			t.Errorf("%s was run", name)
		}
	}
	if p, _ := runCommand().Plan(t.Context(), action.PlanRequest{}); p.Refused.Code != action.CodeNoProgram {
		t.Error("no program at all is planned")
	}
}

// The measured condition, if there is one, decides the outcome.
func TestCondition(t *testing.T) {
	t.Parallel()
	holds, unseen := true, error(nil)
	a := runcommand.New(runcommand.Deps{Condition: func(context.Context, action.Alert) (bool, error) { return holds, unseen }}, config.RunCommand{Argv: []string{actiontest.Script(t, "exit 0")}})
	p, _, err := actiontest.Command(t, t.Context(), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		holds  bool
		unseen error
		want   action.Outcome
	}{{true, nil, action.Unchanged}, {false, nil, action.Verified}, {false, errors.New("no look yet"), action.Unchanged}} {
		holds, unseen = c.holds, c.unseen
		if o, err := a.Verify(t.Context(), p); o != c.want || !errors.Is(err, c.unseen) {
			t.Errorf("%+v: %s, %v", c, o, err)
		}
	}
	if p, err := a.Plan(t.Context(), action.PlanRequest{}); p.Cleared || err == nil {
		t.Errorf("not to be seen: %+v, %v", p, err)
	}
	holds, unseen = false, nil
	if p, err := a.Plan(t.Context(), action.PlanRequest{}); !p.Cleared || err != nil {
		t.Errorf("%+v, %v", p, err)
	}
}
