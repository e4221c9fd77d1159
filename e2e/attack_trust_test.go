package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

// fake is an attacker's server beside an exporter that runs as root.
type fake struct {
	*exporter

	name, dir string
	workers   map[int]string // the start of each by its number
}

// fakery describes a fake server, and what the exporter may do about it.
type fakery struct {
	kinds string   // of its workers, see attack/master.py
	env   []string // of the server
	wrap  []string // a program that runs it, before it is an attacker's
	mode  string   // of healing
	with  string   // more settings of recycle_worker
}

// startFake starts both and waits until the exporter sees n workers.
func startFake(t *testing.T, f fakery) *fake {
	t.Helper()
	needRoot(t)
	need(t, "setpriv", "unshare", python)
	dir := attackerDir(t)
	text, err := os.ReadFile("attack/master.py")
	if err != nil {
		t.Fatal(err)
	}
	x := &fake{name: unique("shop"), dir: dir}
	script := write(t, filepath.Join(dir, "gunicorn"), string(text))
	for _, v := range f.env { // what the attacker's own files are, he writes himself
		if strings.HasPrefix(v, "PYTHONPATH=") {
			write(t, filepath.Join(dir, "sitecustomize.py"), "import os\nif os.geteuid() == 0: open("+fmt.Sprintf("%q", filepath.Join(dir, "ran"))+", 'a').write('root\\n')\n")
		}
	}
	who := []string{"setpriv", fmt.Sprintf("--reuid=%d", attacker), fmt.Sprintf("--regid=%d", attacker), "--clear-groups", "--inh-caps=-all"}
	// env comes last: what runs before it is root's, and not the attacker's.
	argv := append(append(append([]string{}, f.wrap...), who...), "env")
	argv = append(append(argv, expand(f.env, dir)...), python, script, x.name+":app")
	master := start(t, run.Spec{
		Name: "fake", Path: argv[0], Args: argv[1:], Dir: dir,
		Env: []string{"PORT=" + fmt.Sprint(freePort(t)), "KINDS=" + f.kinds},
	})
	config := []string{"healing:", "  mode: " + f.mode, "  warmup: 0s", "  rules:", "    - name: leak", "      match: {alertname: Leak}",
		"      steps: [{action: recycle_worker, verify_within: 5s, with: {pick: largest, min_age: 0s" + f.with + "}}]"}
	if f.mode == "enforce" {
		config = append(config, "  token_file: "+secret(t))
	}
	x.exporter = watch(t, export{args: []string{"--state.dir=" + filepath.Join(openDir(t), "state")}, config: joined(config...)})
	x.settle(t, master.PID(), strings.Count(f.kinds, ",")+1, strings.Count(f.kinds, "plain"))
	return x
}

// settle waits until the exporter has seen the fake. It may take all n children
// for workers, or only the plain ones: those with two users or groups are none.
func (x *fake) settle(t *testing.T, master, n, plain int) {
	t.Helper()
	eventually(t, 60*time.Second, func() error {
		x.workers = make(map[int]string)
		children, err := run.Children(master)
		if err != nil {
			return err
		}
		for _, pid := range children {
			start, err := startOf(pid)
			if err != nil {
				return err
			}
			x.workers[pid] = start
		}
		return all(wants("children", len(x.workers), n), x.scrape(t).want(1, "resp_up", "component=app:"+x.name))
	})
	enough := time.Now().Add(10 * time.Second) // for the others, if they are workers
	eventually(t, 70*time.Second, func() error {
		if seen := len(x.scrape(t).pids(x.name)); seen < plain || seen < n && time.Now().Before(enough) {
			return fmt.Errorf("%d workers of %d, of which %d are plain", seen, n, plain)
		}
		return nil
	})
}

func expand(list []string, dir string) []string {
	var out []string
	for _, s := range list {
		out = append(out, strings.ReplaceAll(s, "DIR", dir))
	}
	return out
}

// secret is a file with the token of the webhook.
func secret(t *testing.T) string {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// alarm sends an alert about an app and waits until its run has ended, or waits
// for a person. It returns the run.
func alarm(t *testing.T, x *exporter, app, token string) step {
	t.Helper()
	alert := strings.Replace(notification("Leak", unique("n")), `"n":`, fmt.Sprintf(`"app":%q,"n":`, app), 1)
	if status, body, err := x.post("/api/v1/alerts", alert, token); err != nil || status != http.StatusAccepted {
		t.Fatal(status, body, err)
	}
	return settledRun(t, x)
}

// settledRun waits until the newest run has ended, or waits for a person.
func settledRun(t *testing.T, x *exporter) (out step) {
	t.Helper()
	eventually(t, 90*time.Second, func() error {
		_, body, err := x.get("/api/v1/runs")
		var list struct{ Runs []step }
		if err == nil {
			err = json.Unmarshal([]byte(body), &list)
		}
		if err != nil || len(list.Runs) == 0 {
			return errors.Join(err, errors.New("no run"))
		}
		switch out = list.Runs[0]; out.State {
		case "queued", "running", "verifying", "step_failed":
			return errors.New("the run is " + out.State)
		}
		return nil
	})
	return out
}

// unharmed checks that no program of the attacker was run, and that all workers are the same
// as before.
func (x *fake) unharmed(t *testing.T, r step) {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join(x.dir, "ran")); err == nil {
		t.Errorf("the attacker's program ran; uids, gids and network namespace: %s", b)
	}
	for pid, start := range x.workers {
		if err := alive(pid, start); err != nil {
			t.Error(err)
		}
	}
	if r.Done != 0 || r.State == "verified" || r.State == "failed" {
		t.Errorf("the run is %s, done %d: %s", r.State, r.Done, r.Reason)
	}
}

// tokenOf returns the token that an alert needs in a mode.
func tokenOf(mode string) string {
	if mode == "enforce" {
		return healToken
	}
	return ""
}

// TestAttackCheckAsSetuid checks that a set-user-ID program that waits for a password is
// not treated as a worker with whose user the attacker's command line is run.
func TestAttackCheckAsSetuid(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"dry_run", "enforce"} {
		for name, f := range map[string]fakery{
			"all":  {kinds: "setuid,setuid,setuid"},
			"some": {kinds: "plain,setuid,setuid,setuid"},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				t.Parallel()
				f.mode = mode
				x := startFake(t, f)
				r := alarm(t, x.exporter, x.name, tokenOf(mode))
				x.unharmed(t, r)
				if name == "all" && r.State != "refused" {
					t.Errorf("the run is %s: %s", r.State, r.Reason)
				}
			})
		}
	}
}

// TestAttackCheckEnvironment checks that a check of the configuration that runs as another
// user gets neither the attacker's module path nor settings of the dynamic linker.
func TestAttackCheckEnvironment(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"module path": {"PYTHONPATH=DIR"},
		"linker":      {"LD_DEBUG=statistics", "LD_DEBUG_OUTPUT=DIR/linked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range []string{"dry_run", "enforce"} {
				x := startFake(t, fakery{kinds: "setuid,setuid,setuid", env: env, mode: mode, with: ", import_check: [" + python + ", -c, pass]"})
				x.unharmed(t, alarm(t, x.exporter, x.name, tokenOf(mode)))
				files, err := filepath.Glob(filepath.Join(x.dir, "linked*"))
				if err != nil || name == "linker" && len(files) == 0 {
					t.Errorf("the attacker's own programs left no file: %v", err)
				}
				for _, file := range files {
					info, err := os.Stat(file)
					if st := info.Sys().(*syscall.Stat_t); err != nil || st.Uid != attacker {
						t.Errorf("%s is of user %d: %v", file, st.Uid, err)
					}
				}
			}
		})
	}
}

// TestAttackCheckAsSetgid checks that a worker with another group than its master, as from
// a set-group-ID program, gives the attacker no rights.
func TestAttackCheckAsSetgid(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := openDir(t)
	program := filepath.Join(dir, "py")
	if out, err := exec.CommandContext(t.Context(), "cp", "-L", python, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const shadow = 42 // Debian's group of /etc/shadow
	if err := errors.Join(os.Chown(program, 0, shadow), os.Chmod(program, 0o755|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"dry_run", "enforce"} {
		x := startFake(t, fakery{kinds: "setgid,setgid,setgid", env: []string{"SETGID=" + program}, mode: mode})
		x.unharmed(t, alarm(t, x.exporter, x.name, tokenOf(mode)))
	}
}

// TestAttackCheckLeavesSandbox checks that an app in a sandbox without network is not run
// outside of it.
func TestAttackCheckLeavesSandbox(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"dry_run", "enforce"} {
		x := startFake(t, fakery{kinds: "plain,plain,plain", wrap: []string{"unshare", "--net"}, mode: mode})
		r := alarm(t, x.exporter, x.name, tokenOf(mode))
		x.unharmed(t, r)
		if r.State != "refused" {
			t.Errorf("the run is %s: %s", r.State, r.Reason)
		}
	}
}

// TestAttackPlanRunsNothing checks that a plan runs no program, although all processes
// belong to the attacker.
func TestAttackPlanRunsNothing(t *testing.T) {
	t.Parallel()
	x := startFake(t, fakery{kinds: "plain,plain,plain", mode: "dry_run"})
	r := alarm(t, x.exporter, x.name, "")
	x.unharmed(t, r)
	if r.State != "dry_run" {
		t.Errorf("the run is %s: %s", r.State, r.Reason)
	}
}

// TestAttackCheckStays checks that all processes that the check started end with it, also
// those in another session.
func TestAttackCheckStays(t *testing.T) {
	t.Parallel()
	title := unique("stays")
	x := startFake(t, fakery{kinds: "plain,plain,plain", mode: "enforce", env: []string{"STAYS=" + title}})
	r := alarm(t, x.exporter, x.name, healToken)
	if b, err := os.ReadFile(filepath.Join(x.dir, "ran")); err != nil || !strings.HasPrefix(string(b), "65534 65534 65534 65534 ") {
		t.Errorf("the check ran as %q, %v; the run is %s: %s", b, err, r.State, r.Reason)
	}
	t.Cleanup(func() {
		for _, pid := range titled(title) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	eventually(t, 5*time.Second, func() error { return wants("processes that are there still", len(titled(title)), 0) }) // one that was killed needs a moment
}

// titled returns the processes whose command line begins with a title.
func titled(title string) (pids []int) {
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
	for _, file := range list {
		if b, _ := os.ReadFile(file); strings.HasPrefix(string(b), title) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
