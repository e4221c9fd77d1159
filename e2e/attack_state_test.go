package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stateful is an exporter in enforce mode whose rules A and B each run a program
// that adds its input to a file: how often it acted can be counted from outside.
type stateful struct {
	*exporter

	config, state, marks string
}

// statefulIn starts one with a state directory.
func statefulIn(t *testing.T, state string) *stateful {
	t.Helper()
	marks := filepath.Join(openDir(t), "marks")
	token := write(t, filepath.Join(t.TempDir(), "token"), healToken+"\n")
	if err := os.Chmod(token, 0o600); err != nil {
		t.Fatal(err)
	}
	lines := []string{"healing:", "  mode: enforce", "  warmup: 0s", "  token_file: " + token, "  rules:"}
	for _, name := range []string{"A", "B"} {
		lines = append(lines, fmt.Sprintf("    - {name: %s, match: {alertname: %s}, cooldown: 1h, steps: [{action: run_command, with: {argv: [/usr/bin/tee, -a, %q]}}]}", name, name, marks))
	}
	s := &stateful{config: joined(lines...), state: state, marks: marks}
	s.exporter = s.another(t)
	return s
}

// another starts one more exporter with the same configuration and directory.
func (s *stateful) another(t *testing.T) *exporter {
	t.Helper()
	return watch(t, export{config: s.config, args: []string{"--state.dir=" + s.state}})
}

// acted returns how often a run acted on an alert of that name.
func (s *stateful) acted(name string) int {
	b, _ := os.ReadFile(s.marks)
	return strings.Count(string(b), `"alert":{"name":"`+name+`"`)
}

// acts waits until an alert was acted on once.
func (s *stateful) acts(t *testing.T, name string) {
	t.Helper()
	if status, body, err := s.post("/api/v1/alerts", notification(name, "1"), healToken); err != nil || status != http.StatusAccepted {
		t.Fatalf("%s: %d %s %v", name, status, body, err)
	}
	eventually(t, 20*time.Second, func() error { return wants("acts on "+name, s.acted(name), 1) })
	eventually(t, 20*time.Second, func() error {
		r := s.runs(t)
		return all(wants("runs", len(r.Runs), 1), wants("state", r.Runs[0].State, "verified"))
	})
}

// off returns an error unless an exporter refuses to heal.
func off(t *testing.T, x *exporter, name string) error {
	t.Helper()
	status, body, err := x.post("/api/v1/alerts", notification(name, "off"), healToken)
	return all(err, wants("status with "+body, status, http.StatusServiceUnavailable), wants("mode", x.runs(t).Mode, "off"), x.scrape(t).is(`resp_heal_mode{mode="off"}`, 1))
}

// TestAttackStateReplaced replaces the state directory, or a file of it, while the
// exporter runs. It checks that the exporter stops acting, and that with a second exporter
// at most one acts on an alert.
func TestAttackStateReplaced(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(dir string) error{
		"removed":          os.RemoveAll,
		"renamed":          func(dir string) error { return os.Rename(dir, dir+".old") },
		"replaced":         func(dir string) error { return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o700)) },
		"journal unlinked": func(dir string) error { return os.Remove(filepath.Join(dir, "journal.jsonl")) },
		"lock unlinked":    func(dir string) error { return os.Remove(filepath.Join(dir, "lock")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := statefulIn(t, filepath.Join(openDir(t), "state"))
			s.acts(t, "A")
			if err := replace(s.state); err != nil {
				t.Fatal(err)
			}
			if err := off(t, s.exporter, "B"); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(s.state); name == "removed" && err == nil {
				t.Error("the directory was made anew")
			}
			y := s.another(t)
			for n := range 3 {
				for _, x := range []*exporter{s.exporter, y} {
					if _, _, err := x.post("/api/v1/alerts", notification("B", fmt.Sprint(n)), healToken); err != nil {
						t.Error(err)
					}
				}
				quiet(t, time.Second, 100*time.Millisecond, "B is acted on once at most, and A not again", func() error {
					return all(wants("B was acted on twice", s.acted("B") > 1, false), wants("acts on A", s.acted("A"), 1))
				})
			}
		})
	}
}

// TestAttackStateBrokenLines checks that an exporter starts, heals and keeps its guards
// with journal lines that no exporter wrote.
func TestAttackStateBrokenLines(t *testing.T) {
	t.Parallel()
	state := openDir(t)
	at := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339Nano)
	line := func(id, state, more string) string {
		return fmt.Sprintf(`{"at":%q,"decision":%q,"rule":"A","run":{"id":%q,"rule":"A","alert":{"name":"A","fingerprint":%q,"starts_at":%q},"state":%q,"created":%q,"updated":%q,"action":"run_command","target":"command"%s}}`,
			at, state, id, id, at, state, at, at, more)
	}
	write(t, filepath.Join(state, "journal.jsonl"), joined(
		line("r-below", "queued", `,"step":-1`), line("r-above", "running", `,"step":9223372036854775807`),
		line("r-counts", "queued", `,"step":0,"asked":-5,"done":-1`), line("r-ended", "verified", fmt.Sprintf(`,"step":0,"applied":%q`, at)), line("r-ended", "queued", `,"step":0`),
		`{"at":"9999-12-31T23:59:59Z","decision":"verified","rule":"C","run":{"id":"r-future","rule":"C","alert":{},"state":"verified","updated":"9999-12-31T23:59:59Z","applied":"9999-12-31T23:59:59Z","step":0,"action":"x"}}`,
		strings.Repeat(`{"x":`, 9000)+"1"+strings.Repeat("}", 9000), strings.Repeat("\x00", 4096), "\xff\xfe", strings.Repeat("y", 1<<20), "[]", "null"))
	if err := os.Chmod(filepath.Join(state, "journal.jsonl"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := statefulIn(t, state)
	for range 2 {
		if r := s.runs(t); r.Mode != "enforce" {
			t.Fatalf("mode %q: %s", r.Mode, r.Why)
		}
		for _, name := range []string{"A", "B"} { // A was acted on a minute ago
			if status, body, err := s.post("/api/v1/alerts", notification(name, "new"), healToken); err != nil || status != http.StatusAccepted {
				t.Errorf("%s: %d %s %v", name, status, body, err)
			}
		}
		eventually(t, 20*time.Second, func() error { return wants("acts on B", s.acted("B"), 1) })
		if err := s.scrape(t).between(7, 100, "resp_heal_journal_bad_lines_total"); err != nil {
			t.Error(err)
		}
		if err := s.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		s.exporter = s.another(t)
	}
	if n := s.acted("A"); n != 0 {
		t.Errorf("A was acted on %d times within its cooldown", n)
	}
}

// TestAttackStateStorm checks that many alerts without a rule remove nothing from the
// journal: an action with a cooldown of an hour is not applied again after a restart.
func TestAttackStateStorm(t *testing.T) { // alone: it sends 40 MB
	s := statefulIn(t, filepath.Join(openDir(t), "state"))
	s.acts(t, "A")
	long := strings.Repeat("x", 190)
	for n := range 40 {
		alerts := make([]string, 120)
		for i := range alerts {
			var labels strings.Builder
			for l := range 28 {
				fmt.Fprintf(&labels, `,"l%d":%q`, l, long)
			}
			alerts[i] = fmt.Sprintf(`{"status":"firing","labels":{"alertname":"Noise","n":"%d-%d"%s},"startsAt":"2026-01-02T03:04:05Z","fingerprint":"%x-%x"}`, n, i, labels.String(), n, i)
		}
		body := `{"version":"4","status":"firing","alerts":[` + strings.Join(alerts, ",") + `]}`
		if status, answer, err := s.post("/api/v1/alerts", body, healToken); err != nil || status != http.StatusAccepted {
			t.Fatalf("%d %.200s %v", status, answer, err)
		}
	}
	if err := s.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.Done()
	s.exporter = s.another(t)
	eventually(t, 20*time.Second, func() error { // a long journal is read first
		status, body, err := s.post("/api/v1/alerts", notification("A", "2"), healToken)
		return all(err, wants("status with "+body, status, http.StatusAccepted))
	})
	if err := s.scrape(t).is(`resp_heal_blocked_total{guard="cooldown"}`, 1); err != nil {
		t.Error(err)
	}
	quiet(t, 2*time.Second, 100*time.Millisecond, "A is not acted on again within its cooldown", func() error { return wants("acts on A", s.acted("A"), 1) })
	smallJournal(t, s.state)
}

// TestAttackStateFIFO checks that the exporter does not wait if a file of the directory is
// a FIFO.
func TestAttackStateFIFO(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pause.json", "journal.jsonl", "journal.1.jsonl", "lock"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := openDir(t)
			if err := syscall.Mkfifo(filepath.Join(state, name), 0o600); err != nil {
				t.Fatal(err)
			}
			s := statefulIn(t, state)
			if err := s.scrape(t).has("resp_heal_paused"); err != nil {
				t.Error(err)
			}
			status, _, err := s.post("/api/v1/alerts", notification("A", "1"), healToken)
			want := http.StatusServiceUnavailable
			if name == "pause.json" { // one that cannot be read is one of an hour
				want = http.StatusAccepted
			}
			if err := all(err, wants("status", status, want)); err != nil {
				t.Error(err)
			}
			quiet(t, time.Second, 100*time.Millisecond, "no action is applied", func() error { return wants("acts on A", s.acted("A"), 0) })
		})
	}
}

// TestAttackStateOfStranger checks that a directory that another user created, can write
// to or can move is not used, and that nothing is written through a link.
func TestAttackStateOfStranger(t *testing.T) {
	t.Parallel()
	needRoot(t)
	secret := write(t, filepath.Join(openDir(t), "secret"), "root's own\n")
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, prepare := range map[string]func(t *testing.T) (state string){
		"his directory": attackerDir,
		"below his":     func(t *testing.T) string { return filepath.Join(attackerDir(t), "state") },
		"ours, in which all may write": func(t *testing.T) string {
			dir := openDir(t)
			return errorless(t, dir, os.Chmod(dir, 0o777))
		},
		"his link to one": func(t *testing.T) string {
			link := filepath.Join(attackerDir(t), "state")
			return errorless(t, link, os.Symlink(openDir(t), link), os.Lchown(link, attacker, attacker))
		},
		"his link in his": func(t *testing.T) string {
			dir := attackerDir(t)
			return errorless(t, dir, os.Symlink(secret, filepath.Join(dir, "journal.jsonl")))
		},
		"a link to root's file": func(t *testing.T) string {
			dir := openDir(t)
			return errorless(t, dir, os.Symlink(secret, filepath.Join(dir, "journal.jsonl")))
		},
		"another name of root's file": func(t *testing.T) string {
			dir := openDir(t)
			return errorless(t, dir, os.Link(secret, filepath.Join(dir, "journal.jsonl")))
		},
		"his journal": func(t *testing.T) string {
			dir := openDir(t)
			file := write(t, filepath.Join(dir, "journal.jsonl"), "")
			return errorless(t, dir, os.Chown(file, attacker, attacker))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := statefulIn(t, prepare(t))
			if err := off(t, s.exporter, "A"); err != nil {
				t.Error(err)
			}
			quiet(t, time.Second, 100*time.Millisecond, "no action is applied", func() error { return wants("acts on A", s.acted("A"), 0) })
			if b, err := os.ReadFile(secret); err != nil || string(b) != "root's own\n" {
				t.Errorf("root's file is now %.200q, %v", b, err)
			}
			if b, err := os.ReadFile(filepath.Join(s.state, "journal.jsonl")); err == nil && len(b) > 0 && string(b) != "root's own\n" {
				t.Errorf("a journal was written: %.200q", b)
			}
		})
	}
}

func errorless(t *testing.T, value string, errs ...error) string {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return value
}
