package sessions_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

var shop = sessions.KeySet{Prefix: "session:", Lifetime: 2 * time.Hour}

// spaceOf returns a space of n keys: the first forever have no expiry, the next late have
// a long one. Keys with other prefixes are between them.
func spaceOf(n, forever, late int) *sessions.Space {
	s := &sessions.Space{TTL: make(map[string]int64), ID: "one", Bytes: 200, Took: 400 * time.Microsecond}
	for i := range n {
		key := fmt.Sprintf("session:%d", i)
		s.Keys = append(s.Keys, key, fmt.Sprintf("other:%d", i))
		switch {
		case i < forever:
		case i < forever+late:
			s.TTL[key] = 7201
		default:
			s.TTL[key] = 7200
		}
	}
	return s
}

// scans runs a scanner in a synctest bubble until check returns.
func scans(t *testing.T, w *sessions.Scanner, check func(t *testing.T)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx) }()
	check(t)
	cancel()
	<-done
}

// trips returns the number of the scanner's round trips with that name.
func trips(s *sessions.Space, name string) int {
	var n int
	s.Do(func() { n = s.Trips[name] })
	return n
}

func known(v float64) *float64 { return new(v) }

func same(t *testing.T, what string, got, want *float64) {
	t.Helper()
	if got == nil || want == nil {
		if got != want {
			t.Errorf("%s is known: %t, should be: %t", what, got != nil, want != nil)
		}
		return
	}
	if *got != *want {
		t.Errorf("%s: %v, want %v", what, *got, *want)
	}
}

func sameTally(t *testing.T, got *sessions.Counts, want sessions.Counts) {
	t.Helper()
	if got == nil {
		t.Fatal("no tally")
	}
	if got.Keys != want.Keys {
		t.Errorf("%v keys, want %v", got.Keys, want.Keys)
	}
	same(t, "without expiry", got.NoExpiry, want.NoExpiry)
	same(t, "over lifetime", got.OverLifetime, want.OverLifetime)
	same(t, "bytes", got.Bytes, want.Bytes)
}

// A scan counts all keys, and the next one starts an interval after its end.
func TestWalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spaceOf(5000, 1234, 100)
		began := time.Now()
		w := sessions.ScannerOf(s, time.Minute, shop)
		if l := w.Status(shop); l.Counts != nil || l.Coverage != 0 || !l.Since.Equal(began) || l.Err != nil {
			t.Errorf("before: %+v", l)
		}
		scans(t, w, func(t *testing.T) {
			time.Sleep(2 * time.Second)
			if l := w.Status(shop); l.Counts != nil || l.Coverage <= 0 || l.Coverage >= 1 || !l.Since.Equal(began) {
				t.Errorf("meanwhile: %+v", l)
			}
			time.Sleep(20 * time.Second)
			l := w.Status(shop)
			sameTally(t, l.Counts, sessions.Counts{Keys: 5000, NoExpiry: known(1234), OverLifetime: known(100), Bytes: known(1e6)})
			if l.Coverage != 1 || !l.Since.After(began) || l.Err != nil {
				t.Errorf("after: %+v", l)
			}
			if n := trips(s, "nodes"); n != 1 {
				t.Errorf("%d scans", n)
			}
			s.Do(func() { s.Keys = nil }) // FLUSHALL
			time.Sleep(time.Minute)
			l = w.Status(shop)
			sameTally(t, l.Counts, sessions.Counts{NoExpiry: known(0), OverLifetime: known(0), Bytes: known(0)})
			if n := trips(s, "nodes"); n != 2 {
				t.Errorf("%d scans", n)
			}
		})
	})
}

// A scan uses at most a hundredth of the server's time, and scans a million keys within
// 15 minutes.
func TestWalkBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sessions.Space{ID: "one", Took: 300 * time.Microsecond, Keys: make([]string, 1_000_000)}
		for i := range s.Keys {
			s.Keys[i] = "session:x"
		}
		began := time.Now()
		w := sessions.ScannerOf(s, time.Hour, shop)
		scans(t, w, func(t *testing.T) {
			for w.Status(shop).Counts == nil {
				time.Sleep(time.Second)
				if time.Since(began) > 15*time.Minute {
					t.Fatalf("covered %v", w.Status(shop).Coverage)
				}
			}
			// The network delay is not the server's time; by Space it is a quarter.
			var spent time.Duration
			s.Do(func() { spent = s.Spent })
			if share := (spent * 3 / 4).Seconds() / time.Since(began).Seconds(); share > 0.0125 {
				t.Errorf("a share of %.4f", share)
			}
			t.Logf("%s for a million keys", time.Since(began))
		})
	})
}

// After an error a scan continues; on another server process it starts again, and the
// counts of the previous process are dropped.
func TestWalkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spaceOf(2000, 500, 0)
		w := sessions.ScannerOf(s, time.Minute, shop)
		n := 0
		s.Fail = func(trip string) error {
			switch n++; {
			case n%29 == 0 && trip != "nodes":
				return sessions.ErrBroken
			case n%31 == 0 && trip != "nodes":
				return redis.ErrStale
			}
			return nil
		}
		scans(t, w, func(t *testing.T) {
			time.Sleep(30 * time.Second)
			l := w.Status(shop)
			sameTally(t, l.Counts, sessions.Counts{Keys: 2000, NoExpiry: known(500), OverLifetime: known(0), Bytes: known(4e5)})
			if l.Err != nil {
				t.Errorf("one connection that ended is a fault: %v", l.Err)
			}
			if n := trips(s, "scan"); n > 60 {
				t.Errorf("%d pages of 40", n)
			}
			time.Sleep(35 * time.Second) // into the second scan
			s.Do(func() { s.Fail = func(string) error { return sessions.ErrBroken } })
			time.Sleep(5 * time.Second)
			if l := w.Status(shop); l.Counts != nil || l.Err == nil {
				t.Errorf("gone: %+v", l)
			}
			s.Do(func() { s.Fail, s.ID, s.Keys = nil, "two", s.Keys[:2000] })
			time.Sleep(11 * time.Second)
			if l := w.Status(shop); l.Err != nil {
				t.Errorf("back: %+v", l)
			}
			time.Sleep(20 * time.Second)
			sameTally(t, w.Status(shop).Counts, sessions.Counts{Keys: 1000, NoExpiry: known(500), OverLifetime: known(0), Bytes: known(2e5)})
		})
	})
}

// A scan pauses while the server is slower than usual; if that lasts, it is reported.
func TestWalkWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spaceOf(5000, 0, 0)
		w := sessions.ScannerOf(s, time.Second, shop)
		scans(t, w, func(t *testing.T) {
			time.Sleep(20 * time.Second)
			s.Do(func() { s.Took = 40 * time.Millisecond }) // a ping of 10 ms
			time.Sleep(5 * time.Second)
			pages := trips(s, "scan")
			time.Sleep(20 * time.Second)
			if l := w.Status(shop); l.Err != nil || l.Counts == nil {
				t.Errorf("after a short while: %+v", l)
			}
			time.Sleep(30 * time.Second)
			l := w.Status(shop)
			if l.Err == nil || l.Err.Reason != reason.Busy || l.Counts == nil {
				t.Errorf("slow for long: %+v", l)
			}
			if n := trips(s, "scan") - pages; n > 1 {
				t.Errorf("%d pages of a slow server", n)
			}
			s.Do(func() { s.Took = 400 * time.Microsecond })
			time.Sleep(10 * time.Second)
			if l := w.Status(shop); l.Err != nil {
				t.Errorf("quiet again: %+v", l)
			}
		})
	})
}

// Values that the server refuses are absent, and requested once per scan.
func TestWalkRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spaceOf(1000, 10, 0)
		s.Refuse(&redis.Error{Reason: reason.Permission, Detail: "needs a right"})
		w := sessions.ScannerOf(s, time.Minute, shop)
		scans(t, w, func(t *testing.T) {
			time.Sleep(20 * time.Second)
			l := w.Status(shop)
			sameTally(t, l.Counts, sessions.Counts{Keys: 1000})
			asked := 0
			s.Do(func() { asked = s.Asked })
			if l.Err == nil || l.Err.Detail != "needs a right" || asked != 1 {
				t.Errorf("%v, asked after %d keys", l.Err, asked)
			}
			s.Refuse(nil)
			time.Sleep(time.Minute)
			if l := w.Status(shop); l.Err != nil || l.Counts.NoExpiry == nil {
				t.Errorf("allowed: %+v", l)
			}
			s.Do(func() {
				s.Fail = func(trip string) error {
					if trip == "scan" {
						return sessions.KeyRefusal()
					}
					return nil
				}
			})
			time.Sleep(10 * time.Minute)
			if l := w.Status(shop); l.Err == nil || l.Err.Detail != "refuses" || l.Counts != nil {
				t.Errorf("no SCAN: %+v", l)
			}
		})
	})
}

// Several sets of several apps are counted in as few scans as possible; also in a cluster.
func TestWalkSets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spaceOf(300, 0, 0)
		s.Nodes = 3
		for i := range 50 {
			s.Keys = append(s.Keys, fmt.Sprintf("session:admin:%d", i), fmt.Sprintf("s:%d", i), fmt.Sprintf("web[*]%d", i))
		}
		admin, short, odd := sessions.KeySet{Prefix: "session:admin:"}, sessions.KeySet{Prefix: "s:"}, sessions.KeySet{Prefix: "other:"}
		w := sessions.ScannerOf(s, time.Minute, shop, admin, short, odd, shop)
		scans(t, w, func(t *testing.T) {
			time.Sleep(30 * time.Second)
			for set, want := range map[sessions.KeySet]float64{shop: 1050, admin: 150, short: 150, odd: 900} {
				if l := w.Status(set); l.Counts == nil || l.Counts.Keys != want || *l.Counts.Bytes != 200*want {
					t.Errorf("%s: %+v, want %v", set.Prefix, l.Counts, want)
				}
			}
			if l := w.Status(sessions.KeySet{Prefix: "none:"}); l.Counts != nil {
				t.Errorf("a set that is not scanned: %+v", l)
			}
			if n := trips(s, "nodes"); n != 2 {
				t.Errorf("%d scans for four sets", n)
			}
		})
	})
}

// Keys that moved are not counted, and a scan in which all keys belong to another node is
// not published.
func TestWalkMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spaceOf(100, 0, 0)
		for i := range 10 {
			s.TTL[fmt.Sprintf("session:%d", i)] = -2
			s.TTL[fmt.Sprintf("session:%d", 10+i)] = -4
		}
		w := sessions.ScannerOf(s, time.Minute, shop)
		scans(t, w, func(t *testing.T) {
			time.Sleep(30 * time.Second)
			if l := w.Status(shop); l.Counts == nil || l.Counts.Keys != 80 {
				t.Errorf("%+v", l.Counts)
			}
			s.Do(func() {
				for key := range s.TTL {
					s.TTL[key] = -4
				}
			})
			time.Sleep(2 * time.Minute)
			if l := w.Status(shop); l.Counts == nil || l.Counts.Keys != 80 {
				t.Errorf("all moved: %+v", l.Counts)
			}
		})
	})
}

// A panic ends one scan, and is reported.
func TestWalkPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := spaceOf(100, 0, 0)
		s.Fail = func(string) error { panic("on purpose") }
		w := sessions.ScannerOf(s, time.Second, shop)
		scans(t, w, func(t *testing.T) {
			time.Sleep(5 * time.Second)
			if l := w.Status(shop); l.Err == nil || l.Err.Reason != reason.Failed {
				t.Errorf("%+v", l)
			}
			s.Do(func() { s.Fail = nil })
			time.Sleep(10 * time.Second)
			if l := w.Status(shop); l.Err != nil || l.Counts == nil {
				t.Errorf("after it: %+v", l)
			}
		})
	})
}
