package purgesessions_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/actiontest"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/purgesessions"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// fakeStore returns the counts that a test sets, and records the calls.
type fakeStore struct {
	count sessions.NoExpiryCount
	err   error
	asked sessions.NoExpiryQuery
	did   int    // calls that change something
	space string // its keyspace
	down  error  // why that is not known
}

func (f *fakeStore) Keyspace(context.Context) (string, error) { return f.space, f.down }

func (f *fakeStore) CountNoExpiry(_ context.Context, q sessions.NoExpiryQuery) (sessions.NoExpiryCount, error) {
	f.asked = q
	return f.count, f.err
}

func (f *fakeStore) CleanUpNoExpiry(_ context.Context, q sessions.NoExpiryQuery) (sessions.NoExpiryCount, error) {
	f.asked = q
	f.did++
	c := f.count
	c.Changed = min(q.MaxKeys, c.Matching)
	f.count.Matching -= c.Changed
	return c, f.err
}

func purgeCaps() config.Purge {
	return config.Purge{App: "shop", Redis: "cache", MaxKeys: 100, MaxFraction: 0.5}
}

func purge(f *fakeStore, c config.Purge) *purgesessions.Action {
	return purgesessions.New(purgesessions.Deps{Apps: actiontest.Apps, Store: func(name string) purgesessions.SessionStore {
		if name == "cache" {
			return f
		}
		return nil
	}}, c)
}

func TestPurgePlan(t *testing.T) {
	t.Parallel()
	seen := func(keys, eternal int, coverage float64) sessions.NoExpiryCount {
		return sessions.NoExpiryCount{Sessions: keys, Matching: eternal, Coverage: coverage}
	}
	for name, c := range map[string]struct {
		settings func(*config.Purge)
		alert    action.Alert
		count    sessions.NoExpiryCount
		err      error
		total    int
		measure  float64
		cleared  bool
		refused  action.Code
		summary  string
	}{
		"some":             {count: seen(1000, 90, 1), total: 90, measure: 90, summary: "set an expiry of 1h0m0s to 90 of 1000 sessions of app shop in redis cache: 90 have no expiry and have been idle for 2h0m0s or longer"},
		"more than a run":  {count: seen(1000, 400, 1), total: 100, measure: 400, summary: "to 100 of 1000"},
		"a part was seen":  {count: seen(1000, 90, 0.25), total: 90, measure: 360, summary: "; 25% of the keys were read"},
		"remove":           {settings: func(c *config.Purge) { c.Remove = true }, count: seen(1000, 90, 1), total: 90, measure: 90, summary: "remove 90 of"},
		"none":             {count: seen(1000, 0, 1), cleared: true},
		"empty":            {cleared: true},
		"most of them":     {count: seen(1000, 501, 1), total: 100, measure: 501, refused: action.CodeOverFraction},
		"half is allowed":  {count: seen(1000, 500, 1), total: 100, measure: 500},
		"LFU":              {err: &sessions.Refusal{Text: "does not know"}, refused: action.CodeRedisRefuses},
		"no cap":           {settings: func(c *config.Purge) { c.MaxKeys = 0 }, refused: action.CodeSettingMissing},
		"no fraction":      {settings: func(c *config.Purge) { c.MaxFraction = 0 }, refused: action.CodeSettingMissing},
		"no app":           {settings: func(c *config.Purge) { c.App = "" }, refused: action.CodeUnknownApp},
		"app of the alert": {settings: func(c *config.Purge) { c.App, c.Redis = "", "" }, alert: actiontest.Labels("app", "shop", "redis", "cache"), count: seen(10, 1, 1), total: 1, measure: 1},
		"the only redis":   {settings: func(c *config.Purge) { c.Redis = "" }, count: seen(10, 1, 1), total: 1, measure: 1},
		"another redis":    {alert: actiontest.Labels("redis", "*"), refused: action.CodeLabelDiffers},
		"no sessions":      {settings: func(c *config.Purge) { c.App = "blog" }, refused: action.CodeUnknownRedis},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := purgeCaps()
			if c.settings != nil {
				c.settings(&settings)
			}
			f := &fakeStore{count: c.count, err: c.err}
			p, err := purge(f, settings).Plan(t.Context(), action.PlanRequest{Alert: c.alert})
			if err != nil {
				t.Fatal(err)
			}
			if p.Total != c.total || p.Measure != c.measure || p.Cleared != c.cleared || p.Refused.Code != c.refused ||
				!strings.Contains(p.Summary, c.summary) || len(p.Victims) > 0 {
				t.Errorf("got %+v", p)
			}
			if b, _ := json.Marshal(p); strings.Contains(string(b), "session:") || f.did > 0 {
				t.Errorf("%s, did %d", b, f.did)
			}
		})
	}
	if _, err := purge(&fakeStore{err: &redis.Error{Reason: reason.Timeout, Detail: "x"}}, purgeCaps()).Plan(t.Context(), action.PlanRequest{}); err == nil {
		t.Error("a redis that does not answer makes a plan")
	}
}

func TestPurgeApplyAndVerify(t *testing.T) {
	t.Parallel()
	settings := purgeCaps()
	settings.Grace, settings.MinIdle, settings.Remove = time.Minute, time.Hour, true
	f := &fakeStore{count: sessions.NoExpiryCount{Sessions: 1000, Matching: 120, Coverage: 1}}
	k := purge(f, settings)
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil {
		t.Fatal(err)
	}
	journalled := p
	journalled.Private = nil
	if got, err := k.Verify(t.Context(), journalled); got != action.Unchanged || err != nil {
		t.Errorf("before anything was done: %s, %v", got, err)
	}
	if _, err := k.Apply(t.Context(), journalled); err == nil || f.did > 0 {
		t.Error("a plan from the journal was carried out")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done, err := k.Apply(ctx, p)
	want := sessions.NoExpiryQuery{Prefix: "session:", MinIdle: time.Hour, MaxKeys: 100, Grace: time.Minute, Remove: true, Budget: f.asked.Budget}
	if err != nil || done != 100 || f.asked != want || want.Budget <= 0 || want.Budget > 15*time.Second {
		t.Errorf("done %d, %v, asked %+v", done, err, f.asked)
	}
	if got, err := k.Verify(t.Context(), journalled); got != action.Verified || err != nil {
		t.Errorf("after it: %s, %v", got, err)
	}
	f.err = &redis.Error{Reason: reason.Timeout, Detail: "did not answer in time"}
	if _, err := k.Verify(t.Context(), journalled); !errors.Is(err, f.err) {
		t.Errorf("unreachable: %v", err)
	}
	f.count.Matching = 50
	if done, err := k.Apply(t.Context(), p); done != 50 || !errors.Is(err, f.err) {
		t.Errorf("cut off: %d, %v", done, err)
	}
}

// Sessions whose prefixes overlap in one database are refused: their app is not certain.
func TestPurgeSharedPrefix(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other   config.Sessions
		refused action.Code
	}{
		"the same":          {config.Sessions{Redis: "cache", Prefix: "session:"}, action.CodeSharedPrefix},
		"a longer one":      {config.Sessions{Redis: "cache", Prefix: "session:blog:"}, action.CodeSharedPrefix},
		"a shorter one":     {config.Sessions{Redis: "again", Prefix: "sess"}, action.CodeSharedPrefix},
		"another":           {config.Sessions{Redis: "cache", Prefix: "blog:"}, ""},
		"another database":  {config.Sessions{Redis: "second", Prefix: "session:"}, ""},
		"one that is down":  {config.Sessions{Redis: "down", Prefix: "session:"}, action.CodeShareUnknown},
		"another, and down": {config.Sessions{Redis: "down", Prefix: "blog:"}, ""},
	} {
		f := someEternal()
		stores := map[string]purgesessions.SessionStore{"cache": f, "again": &fakeStore{space: "a/0"}, "second": &fakeStore{space: "a/1"}, "down": &fakeStore{down: actiontest.ErrDown}}
		apps := actiontest.Apps()
		k := purgesessions.New(purgesessions.Deps{Apps: func() []config.App { return apps }, Store: func(name string) purgesessions.SessionStore { return stores[name] }}, purgeCaps())
		before, err := k.Plan(t.Context(), action.PlanRequest{})
		if err != nil || before.Total != 10 {
			t.Fatalf("%s: %+v, %v", name, before, err)
		}
		apps[1].Sessions = []config.Sessions{c.other}
		p, err := k.Plan(t.Context(), action.PlanRequest{})
		if err != nil || p.Refused.Code != c.refused {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		// A plan from before that is checked again.
		if done, err := k.Apply(t.Context(), before); (err != nil) != (c.refused != "") || (done > 0) != (c.refused == "") {
			t.Errorf("%s: done %d, %v", name, done, err)
		}
		if c.refused == "" && f.asked.Only != "c0ffee" {
			t.Errorf("%s: on any server: %+v", name, f.asked)
		}
	}
}

// someEternal returns a store with ten sessions without expiry.
func someEternal() *fakeStore {
	return &fakeStore{space: "a/0", count: sessions.NoExpiryCount{Sessions: 100, Matching: 10, Coverage: 1, Server: "c0ffee"}}
}
