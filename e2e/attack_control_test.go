package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAttackControl checks that another user who can write where the directory of control
// files is expected changes nothing: the app sheds no request and stays in time, and the
// exporter writes nothing there and through no link of his. The step is unavailable.
func TestAttackControl(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for name, given := range map[string]bool{"a directory of the attacker": false, "a directory of root in which all may write": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := openDir(t)
			if err := os.Chmod(place, 0o777); err != nil { //nolint:gosec // it is the fault
				t.Fatal(err)
			}
			if !given {
				place = filepath.Join(place, "control")
			}
			victim := openDir(t)
			own := write(t, filepath.Join(victim, "shop.json"), "root's own\n")
			a := startAskedBy(t, place, "shop/asked.py", fmt.Sprintf(throttleStep, "30s"), "        - {action: escalate}")
			a.reports(t)
			source, err := filepath.Abs("attack/control.py")
			if err != nil {
				t.Fatal(err)
			}
			evil := attack(t, "control", python, "-B", source, place, victim)
			shed, n, next := 0.0, 0, time.Now()
			for end := time.Now().Add(scaled(3 * time.Minute)); strings.Count(evil.Output(1000), "round") < 2; n++ {
				if time.Now().After(end) {
					t.Fatalf("the attacker has not ended his rounds:\n%s", evil.Output(2000))
				}
				began := time.Now()
				shed += 20 * a.shed("/", 20)
				if took := time.Since(began); took > scaled(10*time.Second) {
					t.Errorf("20 requests took %s", took)
				}
				if time.Now().After(next) {
					a.report(t, "Sick", "app=shop", fmt.Sprint("n=", n))
					next = time.Now().Add(time.Second)
				}
			}
			if shed > 0 {
				t.Errorf("%.0f requests were shed", shed)
			}
			a.unharmed(t, own)
		})
	}
}

// unharmed waits until each run has ended, and checks that no run was verified, and that a directory with one file is as it was.
func (a *asked) unharmed(t *testing.T, file string) {
	t.Helper()
	a.idle(t)
	runs := a.list(t, "sick")
	for i := range runs {
		r := &runs[i]
		if len(r.Before) == 0 || r.Before[0].Action != "throttle" || r.Before[0].Result != "unavailable" {
			t.Errorf("run %+v", r)
		}
	}
	t.Logf("%d runs", len(runs))
	if len(runs) == 0 {
		t.Error("no run")
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "root's own\n" {
		t.Errorf("the file of root: %q, %v", text, err)
	}
	if names, err := os.ReadDir(filepath.Dir(file)); err != nil || len(names) != 1 {
		t.Errorf("files beside it: %v, %v", names, err)
	}
	if err := a.answersWithin(5 * time.Second); err != nil {
		t.Error(err)
	}
}
