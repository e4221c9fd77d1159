package heal_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// setting is an action whose effect is temporary: a number that it raises by one.
type setting struct {
	*fakeAction

	mu      sync.Mutex
	number  int
	lookErr error // of PlanReturn
	backErr error // of setting back
	tried   int
}

func (s *setting) fail(look, back error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookErr, s.backErr, s.tried = look, back, 0
}

func (s *setting) tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried
}

func (s *setting) Apply(ctx context.Context, p action.Plan) (int, error) {
	s.mu.Lock()
	s.number += s.done
	s.mu.Unlock()
	return s.fakeAction.Apply(ctx, p)
}

func (s *setting) Hold(_ action.Plan, before *action.Hold) (action.Hold, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := action.Hold{For: 10 * time.Minute, From: s.number, To: s.number + 1, Info: map[string]string{"app": "shop"}}
	if before != nil {
		h.From, h.Since = before.From, before.Since
	}
	return h, true
}

func (s *setting) PlanReturn(_ context.Context, h action.Hold, over bool) (action.Return, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lookErr != nil:
		return action.Return{}, s.lookErr
	case s.number == h.From:
		return action.Return{Ended: "it is as before"}, nil
	case !over:
		return action.Return{Next: h}, nil
	}
	h.To--
	return action.Return{Next: h, Do: func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.tried++; s.backErr != nil {
			return s.backErr
		}
		s.number--
		return nil
	}}, nil
}

func (s *setting) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// holding is a section whose only step is temporary.
func holding(h *config.Healing) {
	h.Rules[0].Steps = []config.HealingStep{config.NewHealingStep(config.ActionScale)}
}

// startHolding starts a runner with a temporary action.
func startHolding(t *testing.T, dir string, s *setting) *harness {
	t.Helper()
	return start(t, dir, section(holding), func(b *harness) { b.temporary = s })
}

func newSetting() *setting {
	s := &setting{fakeAction: newFakeAction(), number: 2}
	s.done, s.plan.Target = 1, "app:shop/workers"
	return s
}

// A temporary setting stays while its alert fires and for its time after that, a restart
// and a crash of the exporter included, and is set back then.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		b := startHolding(t, dir, s)
		b.take(firing())
		b.wait(time.Minute)
		if got := b.last().State; got != journal.DecisionVerified || s.now() != 3 {
			t.Fatalf("%s, %d", got, s.now())
		}
		b.wait(time.Hour)
		if n := len(b.Snapshot().Holds); n != 1 || s.now() != 3 {
			t.Errorf("%d holds while the alert fires, number %d", n, s.now())
		}
		b.stop()
		b = startHolding(t, dir, s)
		b.wait(9 * time.Minute)
		if h := b.Snapshot().Holds; len(h) != 1 || s.now() != 3 || h[0].From != 2 || h[0].To != 3 || h[0].Rule != "leaked" || h[0].Fingerprint != "f1" {
			t.Errorf("after a restart: %+v, number %d", h, s.now())
		}
		b.wait(2 * time.Minute)
		if n := len(b.Snapshot().Holds); n != 0 || s.now() != 2 {
			t.Errorf("at the end: %d holds, number %d", n, s.now())
		}
		b.stop()
		if got := states(t, dir); !strings.HasSuffix(got, "running held verifying verified held released") {
			t.Errorf("journal: %s", got)
		}
	})
}

// A resolved alert ends a temporary setting after its time; nothing is set back in a pause
// or in dry-run.
func TestHoldResolved(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		b := startHolding(t, dir, s)
		defer func() { b.stop() }()
		b.take(firing())
		b.wait(time.Minute)
		ended := firing()
		ended.Resolved = true
		b.take(ended)
		if err := b.Pause(journal.Pause{Reason: "deploy", Until: time.Now().Add(30 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		b.wait(29 * time.Minute)
		if s.now() != 3 {
			t.Error("it was set back in a pause")
		}
		dry := section(holding)
		dry.Mode = config.HealDryRun
		b.use(dry)
		b.wait(30 * time.Minute)
		if s.now() != 3 || len(b.Snapshot().Holds) != 1 {
			t.Error("it was set back in dry-run")
		}
		none := section(holding)
		none.Rules = nil // the hold outlives its rule
		b.use(none)
		b.wait(time.Minute)
		if s.now() != 2 || len(b.Snapshot().Holds) != 0 {
			t.Errorf("number %d", s.now())
		}
	})
}

// The alert of a temporary setting counts as firing also beyond the number of alerts that are
// listed.
func TestHoldManyAlerts(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		b := startHolding(t, dir, s)
		defer func() { b.stop() }()
		var others []action.Alert
		for i := range 500 {
			others = append(others, action.Alert{Fingerprint: "o" + strconv.Itoa(i), Labels: map[string]string{"alertname": "Other"}})
		}
		b.take(others...)
		b.take(firing())
		b.wait(time.Hour)
		if n := len(b.Snapshot().Firing); n != 500 {
			t.Errorf("%d alerts are listed", n)
		}
		if s.now() != 3 || len(b.Snapshot().Holds) != 1 {
			t.Errorf("number %d while the alert fires", s.now())
		}
		b.stop()
		b = startHolding(t, dir, s)
		b.take(others...)
		b.take(firing())
		b.wait(time.Hour)
		if s.now() != 4 || len(b.Snapshot().Holds) != 1 { // it has begun a second run
			t.Errorf("number %d while the alert fires after a restart", s.now())
		}
		ended := firing()
		ended.Resolved = true
		b.take(ended)
		b.wait(11 * time.Minute)
		if s.now() != 2 || len(b.Snapshot().Holds) != 0 {
			t.Errorf("number %d after the alert", s.now())
		}
	})
}

// A step of setting back that failed is recorded as not done, and tried again; after a day
// it is given up.
func TestHoldNotSetBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		b := startHolding(t, dir, s)
		defer func() { b.stop() }()
		b.take(firing())
		b.wait(time.Minute)
		ended := firing()
		ended.Resolved = true
		b.take(ended)
		s.fail(nil, errors.New("a worker was just replaced"))
		b.wait(20 * time.Minute)
		if h := b.Snapshot().Holds; len(h) != 1 || h[0].From != 2 || h[0].To != 3 || s.tries() < 5 || s.tries() > 20 {
			t.Errorf("%d tries: %+v", s.tries(), h)
		}
		b.stop()
		b = startHolding(t, dir, s)
		b.wait(time.Minute)
		if h := b.Snapshot().Holds; len(h) != 1 || h[0].To != 3 {
			t.Errorf("after a restart: %+v", h)
		}
		s.fail(nil, nil)
		b.wait(15 * time.Minute)
		if n := len(b.Snapshot().Holds); n != 0 || s.now() != 2 {
			t.Errorf("%d holds, number %d", n, s.now())
		}
		b.take(firing("n", "2"))
		b.wait(time.Minute)
		if s.fail(nil, errors.New("denied")); s.now() != 3 {
			t.Fatalf("number %d", s.now())
		}
		b.wait(action.MaxHold)
		if n := len(b.Snapshot().Holds); n != 1 {
			t.Errorf("%d holds after a day", n)
		}
		b.wait(12 * time.Minute)
		if n := len(b.Snapshot().Holds); n != 0 || s.now() != 3 {
			t.Errorf("%d holds after more than a day, number %d", n, s.now())
		}
	})
}

// A setting that cannot be read any more ends after a day, but not right after a start.
func TestHoldNotReadable(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		b := startHolding(t, dir, s)
		b.take(firing())
		b.wait(time.Minute)
		s.fail(errors.New("no such app"), nil)
		b.wait(23 * time.Hour)
		if n := len(b.Snapshot().Holds); n != 1 {
			t.Errorf("%d holds before a day", n)
		}
		b.stop()
		time.Sleep(2 * time.Hour)
		b = startHolding(t, dir, s)
		defer b.stop()
		b.wait(9 * time.Minute)
		if n := len(b.Snapshot().Holds); n != 1 {
			t.Errorf("%d holds after a start", n)
		}
		b.wait(2 * time.Minute)
		if n := len(b.Snapshot().Holds); n != 0 || s.now() != 3 {
			t.Errorf("%d holds at the end", n)
		}
	})
}

// A second run on the target keeps the number before the first one, and an act that did
// nothing leaves no hold.
func TestHoldTwice(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		b := startHolding(t, dir, s)
		defer func() { b.stop() }()
		b.take(firing())
		b.wait(10 * time.Minute)
		b.take(firing("n", "2"))
		b.wait(10 * time.Minute)
		if h := b.Snapshot().Holds; len(h) != 1 || h[0].From != 2 || h[0].To != 4 {
			t.Fatalf("%+v", h)
		}
		s.done = 0
		s.applyErr = refused
		b.take(firing("n", "3"))
		b.wait(10 * time.Minute)
		if h := b.Snapshot().Holds; len(h) != 1 || h[0].From != 2 || h[0].To != 4 || s.now() != 4 {
			t.Errorf("after an act that did nothing: %+v", h)
		}
	})
}

// Temporary settings are carried over to the next files of the journal.
func TestHoldRotated(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newSetting()
		b := start(t, dir, section(holding), func(b *harness) { b.temporary, b.journalSize = s, 4000 })
		b.take(firing())
		b.wait(time.Minute)
		b.setBudget(1000)
		for i := range 30 {
			b.take(firing("n", strconv.Itoa(i)))
			b.wait(6 * time.Minute)
		}
		if !strings.Contains(journalOf(t, dir), `"holds":{`) {
			t.Error("the file was not rotated")
		}
		b.stop()
		b = startHolding(t, dir, s)
		defer b.stop()
		if h := b.Snapshot().Holds; len(h) != 1 || h[0].From != 2 || h[0].To != s.now() {
			t.Errorf("%+v, number %d", h, s.now())
		}
	})
}
