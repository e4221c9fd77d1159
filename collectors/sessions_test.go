package collectors_test

import (
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// sessionsOf returns a collector whose clock is at second 100.
func sessionsOf(targets ...collectors.SessionTarget) *collectors.Sessions {
	c := collectors.NewSessions(func() []collectors.SessionTarget { return targets })
	collectors.SetSessionsNow(c, at(100))
	return c
}

func sessionsIn(app, store string, l sessions.Status) collectors.SessionTarget {
	return collectors.SessionTarget{App: app, Redis: store, Status: func() sessions.Status { return l }}
}

func TestSessionsGolden(t *testing.T) {
	refused := &redis.Error{Reason: reason.Permission, Detail: "needs a right for its user: ACL SETUSER <user> +ttl"}
	golden(t, sessionsOf(
		sessionsIn("shop", "cache", sessions.Status{Coverage: 0.25, Since: at(40), Counts: &sessions.Counts{Keys: 23104, NoExpiry: known(3002), OverLifetime: known(12), Bytes: known(9.5e6)}}),
		sessionsIn("blog", "cache", sessions.Status{Coverage: 1, Since: at(99), Counts: &sessions.Counts{NoExpiry: known(0), Bytes: known(0)}}),
		sessionsIn("first walk", "queue", sessions.Status{Coverage: 0.5, Since: at(0)}),
		sessionsIn("refused", "queue", sessions.Status{Coverage: 1, Since: at(0), Counts: &sessions.Counts{Keys: 7}, Err: refused}),
	))
}

func TestSessionsReasons(t *testing.T) {
	for _, c := range []struct {
		kind reason.Reason
		want collectors.Reason
	}{
		{reason.Failed, collectors.Failed},
		{reason.Timeout, collectors.Timeout},
		{reason.Permission, collectors.Permission},
		{reason.NotFound, collectors.NotFound},
		{reason.Busy, collectors.Busy},
	} {
		l := sessions.Status{Since: at(40), Err: &redis.Error{Reason: c.kind, Detail: "does so"}}
		s, err := sessionsOf(sessionsIn("shop", "cache", l), sessionsIn("blog", "cache", l)).Collect(t.Context())
		if reason, detail := collectors.ReasonOf(err); reason != c.want || detail != "redis cache does so" {
			t.Errorf("%s: %s %q", c.kind, reason, detail)
		}
		if _, err := reading(s, "resp_sessions", "shop", "cache"); err == nil {
			t.Error("sessions of a server that was not walked")
		}
		if age, err := reading(s, "resp_session_scan_age_seconds", "shop", "cache"); err != nil || age != 60 {
			t.Errorf("age %v, %v", age, err)
		}
	}
	l := sessions.Status{Err: &redis.Error{Reason: reason.Busy, Detail: "waits"}}
	_, err := sessionsOf(sessionsIn("a", "one", sessions.Status{}), sessionsIn("b", "two", l), sessionsIn("c", "three", l)).Collect(t.Context())
	if _, detail := collectors.ReasonOf(err); detail != "redis two waits; redis three waits" {
		t.Errorf("%q", detail)
	}
	s, err := sessionsOf().Collect(t.Context())
	if err != nil || len(s.Metrics) != 0 {
		t.Errorf("with no sessions: %d metrics, %v", len(s.Metrics), err)
	}
}

// BenchmarkSessions: a scrape reads counts in memory, and costs the same with a million
// sessions.
func BenchmarkSessions(b *testing.B) {
	var targets []collectors.SessionTarget
	for app := range strings.FieldsSeq("a b c d e f g h i j") {
		targets = append(targets, sessionsIn(app, "cache", sessions.Status{Coverage: 1, Since: time.Unix(1, 0), Counts: &sessions.Counts{Keys: 1e6, NoExpiry: known(3e5), Bytes: known(2e8)}}))
	}
	c := sessionsOf(targets...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
