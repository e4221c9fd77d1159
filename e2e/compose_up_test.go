package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
)

// upScript is `make up` in a directory of its own, with engines that are scripts.
type upScript struct {
	t    *testing.T
	dir  string
	path string // what is on the PATH, and nothing else
	env  []string
}

func newUp(t *testing.T) *upScript {
	t.Helper()
	u := &upScript{t: t, dir: t.TempDir(), path: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(u.dir, "deploy/compose"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile("../deploy/compose/up.sh", filepath.Join(u.dir, "deploy/compose/up.sh")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bash", "cat", "chmod", "dirname", "git", "grep", "head", "mkdir", "mv", "od", "sleep", "timeout", "tr"} {
		need(t, name)
		at, _ := exec.LookPath(name) // it was there
		if err := os.Symlink(at, filepath.Join(u.path, name)); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// engine writes a program of that name whose text is that of a shell.
func (u *upScript) engine(name, script string) {
	u.t.Helper()
	if err := actiontest.WriteProgram(filepath.Join(u.path, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		u.t.Fatal(err)
	}
}

func (u *upScript) run(word string) (code int, said string) {
	u.t.Helper()
	cmd := exec.CommandContext(u.t.Context(), filepath.Join(u.path, "bash"), "deploy/compose/up.sh", word)
	cmd.Dir, cmd.Env = u.dir, append([]string{"PATH=" + u.path}, u.env...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		u.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// TestUpWithoutEngine checks that make up names what it needs if no engine can run it, and
// leaves nothing behind.
func TestUpWithoutEngine(t *testing.T) {
	t.Parallel()
	const needs = "make up needs a container engine: Docker with the compose plugin, or Podman with docker-compose behind `podman compose`"
	for name, c := range map[string]struct{ engine, script, want string }{
		"none":             {"nothing", "", needs + ".\n"},
		"no plugin":        {"docker", "exit 1", needs + "; docker is here, but `docker compose` does not work.\n"},
		"no daemon":        {"docker", `test "$1" = compose`, needs + "; docker is here, but its engine does not answer.\n"},
		"a podman-compose": {"podman", "echo podman-compose version 1.5.0", needs + "; podman is here, but its compose is podman-compose, which cannot share the PID namespace of a service.\n"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			u := newUp(t)
			u.engine(c.engine, c.script)
			for _, word := range []string{"up", "down"} {
				if code, said := u.run(word); code != 1 || said != c.want {
					t.Errorf("%s: exit code %d, it says %q, want %q", word, code, said, c.want)
				}
			}
			if _, err := os.Stat(filepath.Join(u.dir, "deploy/compose/secrets")); !os.IsNotExist(err) {
				t.Errorf("passwords are left: %v", err)
			}
		})
	}
}

// TestUp checks that make up creates the passwords, starts all parts, waits for them and
// prints their addresses.
func TestUp(t *testing.T) {
	t.Parallel()
	u := newUp(t)
	log := filepath.Join(u.dir, "log")
	u.engine("docker", `echo "$@" >>`+log)
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	for _, name := range []string{"SHOP", "EXPORTER", "PROMETHEUS", "ALERTMANAGER", "GRAFANA"} {
		u.env = append(u.env, name+"_PORT="+port)
	}
	code, said := u.run("up")
	if code != 0 || strings.Count(said, s.URL+"/ ") != 5 {
		t.Fatalf("exit code %d, it says %s", code, said)
	}
	if calls, err := os.ReadFile(log); err != nil || string(calls) != "compose version\ninfo\ncompose up --build -d\n" {
		t.Errorf("it called %q: %v", calls, err)
	}
	before := u.passwords()
	if len(before) != 8 {
		t.Errorf("passwords are %d, want 8", len(before))
	}
	if code, said := u.run("down"); code != 0 {
		t.Errorf("down: exit code %d, it says %s", code, said)
	}
	if code, _ := u.run("up"); code != 0 || fmt.Sprint(before) != fmt.Sprint(u.passwords()) {
		t.Errorf("exit code %d; the passwords are others than before, which the volumes do not know", code)
	}

	u.env = append(u.env, "UP_SECONDS=0", fmt.Sprintf("GRAFANA_PORT=%d", freePort(t)))
	if code, said := u.run("up"); code != 1 || !strings.Contains(said, "Grafana does not answer") {
		t.Errorf("exit code %d, it says %s", code, said)
	}
	if code, said := u.run("sideways"); code != 2 || !strings.Contains(said, "expected up, down or secrets") {
		t.Errorf("exit code %d, it says %s", code, said)
	}
}

// passwords returns the passwords by name. It checks that all are different and their
// directory is closed to others.
func (u *upScript) passwords() map[string]string {
	u.t.Helper()
	dir := filepath.Join(u.dir, "deploy/compose/secrets")
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		u.t.Errorf("the directory is open: %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		u.t.Fatal(err)
	}
	out, seen := map[string]string{}, map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || !secretWord.Match(b) || seen[string(b)] {
			u.t.Errorf("%s is no word, or that of another: %q, %v", f.Name(), b, err)
		}
		out[f.Name()], seen[string(b)] = string(b), true
	}
	return out
}
