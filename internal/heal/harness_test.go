package heal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/escalate"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// fakeAction is an action with the results that a test sets.
type fakeAction struct {
	mu       sync.Mutex
	plan     action.Plan
	planErr  error
	applyErr error
	done     int
	outcome  []action.Outcome // of each look in turn; the last one stays
	plans    int
	applied  int
	looked   int
	apply    func(context.Context)
	hold     chan struct{} // Plan waits until it is closed; nil: it does not
	workers  bool          // it is about an app's workers, not its pool
	acts     []time.Time   // that the last plan knew of
}

// refused is why a plan of a test must not be carried out.
var refused = action.Refuse(action.CodeOverFraction, "all of them match")

// unavailable is why a plan of a test cannot be carried out.
var unavailable = action.Refuse(action.CodeNoIntegration, "the app does not use it")

func newFakeAction() *fakeAction {
	return &fakeAction{
		plan: action.Plan{Target: "app:shop/pool:main", Summary: "end 3 of 15 connections", Total: 3, Measure: 3, Victims: []action.Victim{{Kind: "connection", ID: "7"}}},
		done: 3, outcome: []action.Outcome{action.Verified},
	}
}

func (f *fakeAction) Target(a action.Alert) string {
	app := "app:" + action.TargetName(a, "app", "")
	if f.workers {
		return app + "/workers"
	}
	return app + "/pool:" + action.TargetName(a, "pool", "")
}

func (f *fakeAction) Plan(_ context.Context, req action.PlanRequest) (action.Plan, error) {
	if f.hold != nil {
		<-f.hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acts = req.Acts[f.plan.Target]
	f.plans++
	return f.plan, f.planErr
}

func (f *fakeAction) Apply(ctx context.Context, _ action.Plan) (int, error) {
	f.mu.Lock()
	f.applied++
	apply := f.apply
	f.mu.Unlock()
	if apply != nil {
		apply(ctx)
	}
	return f.done, f.applyErr
}

func (f *fakeAction) Verify(context.Context, action.Plan) (action.Outcome, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := f.outcome[min(f.looked, len(f.outcome)-1)]
	f.looked++
	return o, nil
}

func (f *fakeAction) count() (plans, applied int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plans, f.applied
}

// fleet returns the fleet, the error and the lease that a test sets.
type fleet struct {
	mu       sync.Mutex
	f        heal.Fleet
	err      error
	held     bool // by another run
	released int
	holds    []time.Duration
	failures int // in a row, of any action for any cause
	learned  []string
	noHold   error  // of Hold
	forgot   error  // of Failures
	request  func() // called by Request, if it is not nil
}

func (*fleet) Heartbeat(context.Context) error { return nil }

func (l *fleet) Request(context.Context, string) (heal.Fleet, error) {
	if l.request != nil {
		l.request()
	}
	return l.f, l.err
}

func (l *fleet) Acquire(context.Context, heal.Lease) (bool, heal.Fleet, error) {
	return !l.held, l.f, l.err
}

func (l *fleet) Hold(_ context.Context, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds = append(l.holds, d)
	return l.noHold
}

func (l *fleet) Failures(context.Context, string, string) (int, error) { return l.failures, l.forgot }

func (l *fleet) Learn(_ context.Context, action, cause string, helped bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.learned = append(l.learned, fmt.Sprintf("%s %s %t", action, cause, helped))
	return l.err
}

func (l *fleet) Release(context.Context, heal.Lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released++
	return nil
}

// harness is one runner under test.
type harness struct {
	*heal.Runner

	t     *testing.T
	dir   string
	first *fakeAction
	next  *fakeAction
	fleet *fleet

	temporary action.Action // scale_workers; nil: next
	stop      func()

	section     config.Healing
	journalSize int64
	logger      *slog.Logger // nil: none
}

// build returns the actions of the harness. It implements [heal.Builder].
func (b *harness) build(s config.HealingStep) (action.Action, error) {
	switch s.Action {
	case config.ActionKillLeaked:
		return b.first, nil
	case config.ActionEscalate:
		return escalate.New(b.NeedPerson), nil
	case config.ActionScale:
		if b.temporary != nil {
			return b.temporary, nil
		}
	}
	return b.next, nil
}

// use applies a section, as a reload does.
func (b *harness) use(h config.Healing) {
	b.t.Helper()
	apply, err := b.Prepare(h, b.build)
	if err != nil {
		b.t.Fatal(err)
	}
	apply()
	b.section = h
}

// setBudget sets how many acts the budget allows.
func (b *harness) setBudget(n int) {
	b.t.Helper()
	h := b.section
	h.Budgets.MaxRuns = n
	b.use(h)
}

// lockJournal makes each write of the journal fail, by letting others write to its
// directory, until free is called.
func (b *harness) lockJournal() (free func()) {
	b.t.Helper()
	chmod := func(mode os.FileMode) {
		if err := os.Chmod(b.dir, mode); err != nil {
			b.t.Fatal(err)
		}
	}
	chmod(0o777)
	return func() { chmod(0o700) }
}

// section is the configuration that tests start from: two acting steps and a call.
func section(change func(*config.Healing)) config.Healing {
	h := config.Default().Healing
	h.Mode, h.TokenFile, h.Warmup = config.HealEnforce, "/run/token", 0
	first, next := config.NewHealingStep(config.ActionKillLeaked), config.NewHealingStep(config.ActionRecycle)
	h.Rules = []config.HealingRule{{
		Name: "leaked", Match: map[string]string{"alertname": "RespPoolLeak"}, Cooldown: 5 * time.Minute,
		Steps: []config.HealingStep{first, next, config.NewHealingStep(config.ActionEscalate)},
	}}
	if change != nil {
		change(&h)
	}
	return h
}

// start starts a runner with its own directory, inside a synctest bubble.
func start(t *testing.T, dir string, h config.Healing, change func(*harness)) *harness {
	t.Helper()
	b := &harness{t: t, dir: dir, first: newFakeAction(), next: newFakeAction()}
	b.next.plan.Target, b.next.workers = "app:shop/workers", true
	if change != nil {
		change(b)
	}
	b.Runner = heal.New(heal.Options{
		StateDir: dir, JournalSize: b.journalSize, Logger: b.logger,
		Leases:   func(string) heal.Leases { return b.fleet },
		Evidence: func(context.Context, string) json.RawMessage { return json.RawMessage(`{"seen":1}`) },
		Settle:   2 * time.Second,
	})
	b.use(h)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	synctest.Wait() // it has its directory
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	return b
}

func firing(labels ...string) action.Alert {
	a := action.Alert{
		Labels:   map[string]string{"alertname": "RespPoolLeak", "app": "shop", "pool": "main"},
		StartsAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Fingerprint: "f1",
	}
	for i := 0; i+1 < len(labels); i += 2 {
		a.Labels[labels[i]] = labels[i+1]
		a.Fingerprint += labels[i+1]
	}
	return a
}

// take sends alerts to the runner and returns the decisions, with the name of the error.
func (b *harness) take(alerts ...action.Alert) string {
	b.t.Helper()
	ds, err := b.Take(context.Background(), alerts)
	text := strings.Trim(fmt.Sprint(ds), "[]")
	for name, e := range map[string]error{"ErrFull": heal.ErrFull, "ErrUnwritten": heal.ErrUnwritten} {
		if errors.Is(err, e) {
			return text + " " + name
		}
	}
	if err != nil {
		b.t.Errorf("take: %v", err)
	}
	return text
}

// last returns the newest run.
func (b *harness) last() journal.Run {
	b.t.Helper()
	s := b.Snapshot()
	if len(s.Runs) == 0 {
		b.t.Fatal("there is no run")
	}
	r, err := b.RunByID(s.Runs[0].ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *harness) wait(d time.Duration) { time.Sleep(d); synctest.Wait() }

func journalOf(t *testing.T, dir string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// states returns the transitions of the journal.
func states(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := journal.ReadLines(strings.NewReader(journalOf(t, dir)), time.Now(), func(l journal.Line) {
		if !l.OK {
			t.Errorf("a bad line: %s", l.Text)
		}
		out = append(out, string(l.Entry.Decision))
	})
	if err != nil {
		t.Error(err)
	}
	return strings.Join(out, " ")
}
