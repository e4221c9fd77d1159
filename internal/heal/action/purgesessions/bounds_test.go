package purgesessions_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/purgesessions"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// The target is named by the settings, else by the alert.
func TestPurgeTarget(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		app, redis string
		alert      action.Alert
	}{
		"app:shop/redis:cache": {"shop", "cache", action.Alert{}},
		"app:blog/redis:other": {"", "", actiontest.Labels("app", "blog", "redis", "other")},
		"app:shop/redis:other": {"shop", "", actiontest.Labels("redis", "other")},
	} {
		settings := purgeCaps()
		settings.App, settings.Redis = c.app, c.redis
		if got := purge(&fakeStore{}, settings).Target(c.alert); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Of several stores of an app one must be named.
func TestPurgeOneOfSeveral(t *testing.T) {
	t.Parallel()
	apps := []config.App{{Name: "shop", Sessions: []config.Sessions{{Redis: "cache", Prefix: "a:", Lifetime: time.Hour}, {Redis: "second", Prefix: "b:", Lifetime: 2 * time.Hour}}}}
	stores := map[string]*fakeStore{"cache": someEternal(), "second": someEternal()}
	for redis, want := range map[string]struct {
		code   action.Code
		idle   time.Duration
		prefix string
	}{"": {action.CodeUnknownRedis, 0, ""}, "third": {action.CodeUnknownRedis, 0, ""}, "cache": {"", time.Hour, "a:"}, "second": {"", 2 * time.Hour, "b:"}} {
		settings := purgeCaps()
		settings.Redis = redis
		k := purgesessions.New(purgesessions.Deps{Apps: func() []config.App { return apps }, Store: func(name string) purgesessions.SessionStore { return stores[name] }}, settings)
		p, err := k.Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.Code != want.code {
			t.Errorf("%q: %+v, %v", redis, p, err)
			continue
		}
		if want.code != "" {
			continue
		}
		asked := stores[redis].asked
		if asked.MinIdle != want.idle || asked.Prefix != want.prefix || asked.Grace != time.Hour || asked.Only != "" || asked.Budget != 10*time.Second || asked.MaxKeys != 100 {
			t.Errorf("%q: asked %+v", redis, asked)
		}
		p.Private = nil
		for left, ends := range map[int]action.Outcome{0: action.Verified, 5: action.Verified, 6: action.Unchanged, 10: action.Unchanged} {
			stores[redis].count.Matching = left
			if got, err := k.Verify(t.Context(), p); got != ends || err != nil || stores[redis].asked.Only != "" || stores[redis].asked.Prefix != want.prefix {
				t.Errorf("%q, %d of 10 left: %s, %v", redis, left, got, err)
			}
		}
	}
	k := purgesessions.New(purgesessions.Deps{Apps: func() []config.App { return apps }, Store: func(string) purgesessions.SessionStore { return nil }}, purgeCaps())
	if _, err := k.Plan(t.Context(), action.PlanRequest{}); err == nil {
		t.Error("a plan without its Redis")
	}
	if got, err := k.Verify(t.Context(), action.Plan{Target: "app:shop/redis:gone"}); got != action.Unchanged || err == nil {
		t.Errorf("a target that is gone: %s, %v", got, err)
	}
}

// A scan ends before its context does, and after ten seconds.
func TestPurgeBudget(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]time.Duration{4 * time.Second: 3 * time.Second, 8 * time.Second: 6 * time.Second, time.Hour: 10 * time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		f := someEternal()
		if _, err := purge(f, purgeCaps()).Plan(ctx, action.PlanRequest{}); err != nil || f.asked.Budget > want || f.asked.Budget < want/2 {
			t.Errorf("%s: %s, %v", limit, f.asked.Budget, err)
		}
		cancel()
	}
	over, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	f := someEternal()
	if _, err := purge(f, purgeCaps()).Plan(over, action.PlanRequest{}); err != nil || f.asked.Budget != time.Millisecond {
		t.Errorf("without time: %s, %v", f.asked.Budget, err)
	}
}

// How many there are is estimated from the part that was read.
func TestPurgeEstimate(t *testing.T) {
	t.Parallel()
	for coverage, want := range map[float64]float64{0: 30, 0.25: 120, 0.7: 43, 1: 30, 1.5: 30} {
		f := &fakeStore{count: sessions.NoExpiryCount{Sessions: 1000, Matching: 30, Coverage: coverage}}
		p, err := purge(f, purgeCaps()).Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Measure != want || p.Total != 30 || p.Cleared || !p.Refused.IsZero() {
			t.Errorf("coverage %v: %+v, %v", coverage, p, err)
		}
	}
	for _, c := range []struct {
		matching, all int
		refused       bool
	}{{0, 0, false}, {1, 1, true}, {1, 2, false}, {2, 3, true}} {
		f := &fakeStore{count: sessions.NoExpiryCount{Sessions: c.all, Matching: c.matching, Coverage: 1}}
		p, err := purge(f, purgeCaps()).Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.IsZero() == c.refused || p.Cleared != (c.matching == 0) {
			t.Errorf("%d of %d: %+v, %v", c.matching, c.all, p, err)
		}
	}
}

// Only a plan with victims that was not refused is carried out, up to its number.
func TestPurgeAppliesPlans(t *testing.T) {
	t.Parallel()
	f := someEternal()
	k := purge(f, purgeCaps())
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	refused := p
	refused.Refused = action.Refuse(action.CodeOverFraction, "x")
	if done, err := k.Apply(t.Context(), refused); done != 0 || !errors.Is(err, action.ErrNotPlanned) || f.did != 0 {
		t.Errorf("refused: %d, %v", done, err)
	}
	for total, want := range map[int]int{0: 0, 1: 1, 3: 3} {
		f.count.Matching, f.did, f.asked = 10, 0, sessions.NoExpiryQuery{}
		some := p
		some.Total = total
		if done, err := k.Apply(t.Context(), some); done != want || err != nil || (f.did > 0) != (want > 0) || want > 0 && (f.asked.MaxKeys != want || f.asked.Budget != 0) {
			t.Errorf("of %d: %d, %v, asked %+v", total, done, err, f.asked)
		}
	}
}
