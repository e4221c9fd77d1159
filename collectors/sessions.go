package collectors

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// SessionTarget is one Redis in which an app keeps its sessions.
type SessionTarget struct {
	App, Redis string
	Status     func() sessions.Status // returns the progress of the session scan; does no I/O
}

var (
	sessionsFamily        = gauge("sessions", "Sessions of the app found by the last full scan of the keys; an estimate if keys change during the scan.", "app", "redis")
	sessionsForeverFamily = gauge("sessions_without_expiry", "Sessions of the app without an expiry; their number is limited only by memory.", "app", "redis")
	sessionsLateFamily    = gauge("sessions_over_lifetime", "Sessions of the app whose time to live exceeded the configured lifetime when they were counted; absent if no lifetime is configured.", "app", "redis")
	sessionBytesFamily    = gauge("session_bytes", "Estimated memory of all sessions of the app: their number times the mean size of a sample.", "app", "redis")
	sessionCoverageFamily = gauge("session_scan_coverage_ratio", "Share (0 to 1) of the server's keys that the current scan has read; 1 if no scan is running.", "app", "redis")
	sessionScanAgeFamily  = gauge("session_scan_age_seconds", "Time since the last full scan of the keys ended; before the end of the first scan, time since it was started.", "app", "redis")
)

// Sessions is the collector "sessions": the sessions that apps keep in Redis, as the
// session scan counted them. It queries no server.
type Sessions struct {
	targets func() []SessionTarget
	now     func() time.Time
}

// NewSessions returns the collector "sessions". It calls targets for the session stores
// of each scrape.
func NewSessions(targets func() []SessionTarget) *Sessions {
	return &Sessions{targets: targets, now: time.Now}
}

// Name implements [Collector].
func (*Sessions) Name() string { return "sessions" }

// Descs implements [Collector].
func (*Sessions) Descs() []*prometheus.Desc {
	return descs(sessionsFamily, sessionsForeverFamily, sessionsLateFamily, sessionBytesFamily, sessionCoverageFamily, sessionScanAgeFamily)
}

// Collect implements [Collector]. The lacks are in the order of the configuration, so the
// reason of the collector is that of the first server with one.
func (c *Sessions) Collect(context.Context) (Sample, error) {
	var s Sample
	var lacks []error
	now := c.now()
	for _, t := range c.targets() {
		l := t.Status()
		s.sessions(t, l, now)
		if l.Err != nil {
			lacks = append(lacks, redisLack(t.Redis, l.Err))
		}
	}
	return s, errors.Join(lacks...)
}

// sessions adds the series and the state of the sessions of one target. Before its first
// scan has ended there are no counts.
func (s *Sample) sessions(t SessionTarget, l sessions.Status, now time.Time) {
	out := model.Sessions{App: t.App, Redis: t.Redis, Coverage: l.Coverage, Age: max(now.Sub(l.Since), 0).Seconds()}
	s.add(sessionCoverageFamily, out.Coverage, t.App, t.Redis)
	s.add(sessionScanAgeFamily, out.Age, t.App, t.Redis)
	if l.Counts != nil {
		s.set(&out.Count, sessionsFamily, l.Counts.Keys, t.App, t.Redis)
		if n := l.Counts.NoExpiry; n != nil {
			s.set(&out.WithoutExpiry, sessionsForeverFamily, *n, t.App, t.Redis)
		}
		if n := l.Counts.OverLifetime; n != nil {
			s.add(sessionsLateFamily, *n, t.App, t.Redis)
		}
		if n := l.Counts.Bytes; n != nil {
			s.set(&out.Bytes, sessionBytesFamily, *n, t.App, t.Redis)
		}
	}
	s.State.Sessions = append(s.State.Sessions, out)
}
