package relay

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// Outcome is what became of an alert at its receiver, or of an entry at the exporter that
// it is for.
type Outcome string

// The outcomes of an alert about another host at its receiver.
const (
	Accepted     Outcome = "accepted"     // it is in the file; later it is delivered, lost or dropped
	Away         Outcome = "away"         // as accepted, and no exporter of its host has registered within a minute
	Repeated     Outcome = "repeated"     // it waits already
	Unregistered Outcome = "unregistered" // no exporter has registered for its host within two hours
	Refused      Outcome = "refused"      // 503: Alertmanager sends it again
	Oversized    Outcome = "oversized"    // no entry can hold it
	Delivered    Outcome = "delivered"    // the exporter that it is about has acknowledged it
	Lost         Outcome = "lost"         // not acknowledged within an hour
)

// The outcomes of an entry at the exporter that it is for.
const (
	Taken        Outcome = "taken"     // the alert was decided on, and what it starts is in the journal
	Duplicate    Outcome = "duplicate" // it, or a later notification of its alert, was taken before, and is acknowledged again
	Resolved     Outcome = "resolved"  // the alert was resolved meanwhile
	Retried      Outcome = "retried"   // the queue is full or the journal cannot be written; it is read again
	Forged       Outcome = "forged"    // its HMAC is wrong
	Stale        Outcome = "stale"     // sent more than 5 minutes ago, or in the future
	Misaddressed Outcome = "misaddressed"
	TooLarge     Outcome = "too_large"
	Malformed    Outcome = "malformed"
)

// Bound is a limit that was reached.
type Bound string

// The bounds.
const (
	BoundEntry   Bound = "entry"   // an alert, or an entry that was read, of more than 64 KiB
	BoundReply   Bound = "reply"   // a stream that was none, or had an entry that is too large to be read, was removed
	BoundStream  Bound = "stream"  // an entry was trimmed from a stream
	BoundPending Bound = "pending" // an entry waits until fewer are pending for its exporter
	BoundWaiting Bound = "waiting" // an alert was refused: too many wait for an acknowledgement
	BoundTaken   Bound = "taken"   // an entry that was taken is not remembered: too many are
)

// AlertOutcomes returns the outcomes of alerts at their receiver.
func AlertOutcomes() []Outcome {
	return []Outcome{Accepted, Away, Repeated, Unregistered, Refused, Oversized, Delivered, Lost}
}

// EntryOutcomes returns the outcomes of entries at the exporter that they are for.
func EntryOutcomes() []Outcome {
	return []Outcome{Taken, Duplicate, Resolved, Retried, Forged, Stale, Misaddressed, TooLarge, Malformed}
}

// Bounds returns all bounds.
func Bounds() []Bound {
	return []Bound{BoundEntry, BoundReply, BoundStream, BoundPending, BoundWaiting, BoundTaken}
}

// maxMissing bounds the hosts without an exporter that are shown.
const maxMissing = 20

// Missing is a host about which an alert came and for which no exporter is registered.
type Missing struct {
	Host   string    `json:"host"`   // the value of the label
	Alert  string    `json:"alert"`  // the name of the last one
	Alerts int       `json:"alerts"` // each that waits counts once
	Last   time.Time `json:"last"`
	// Away reports that there was one within two hours: the alerts wait for it.
	Away bool `json:"away,omitempty"`
}

// Stats are the counters of a [Relay], since its start, and its state now.
type Stats struct {
	On      bool // it is configured
	Up      bool // the last call to its Redis succeeded
	Alerts  map[Outcome]uint64
	Entries map[Outcome]uint64
	Bounds  map[Bound]uint64
	Sends   uint64        // entries put on a stream
	Resends uint64        // of these, of alerts that were put before
	Waiting int           // alerts that are not acknowledged
	Oldest  time.Duration // for which the oldest waits; 0: none does
	Missing []Missing     // the last one first
}

// Summary is the state of a relay, for people.
type Summary struct {
	Up      bool      `json:"up"`                     // the last call to its Redis succeeded
	Waiting int       `json:"waiting"`                // alerts that are not acknowledged
	Missing []Missing `json:"unregistered,omitempty"` // hosts without an exporter, the last one first
}

// counters have the counters of [Stats].
type counters struct {
	mu sync.Mutex
	s  Stats
}

// newCounters returns counters that are all 0, with an entry for each outcome and bound.
func newCounters() *counters {
	c := &counters{s: Stats{Alerts: make(map[Outcome]uint64), Entries: make(map[Outcome]uint64), Bounds: make(map[Bound]uint64)}}
	for _, o := range AlertOutcomes() {
		c.s.Alerts[o] = 0
	}
	for _, o := range EntryOutcomes() {
		c.s.Entries[o] = 0
	}
	for _, b := range Bounds() {
		c.s.Bounds[b] = 0
	}
	return c
}

// alert adds n alerts with an outcome.
func (c *counters) alert(o Outcome, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Alerts[o] += uint64(n) //nolint:gosec // a count
}

// entry adds one entry with an outcome.
func (c *counters) entry(o Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Entries[o]++
}

// bound adds n to what a bound has cut off.
func (c *counters) bound(b Bound, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Bounds[b] += uint64(n) //nolint:gosec // a count
}

// sent adds one send; again: it repeats an earlier one.
func (c *counters) sent(again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.Sends++; again {
		c.s.Resends++
	}
}

// missing records a host for which no exporter is registered.
func (c *counters) missing(host, alert string, away bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := Missing{Host: host, Alert: text.Clip(alert, action.MaxValue), Alerts: 1, Last: now, Away: away}
	if i := slices.IndexFunc(c.s.Missing, func(m Missing) bool { return m.Host == host }); i >= 0 {
		m.Alerts += c.s.Missing[i].Alerts
		c.s.Missing = slices.Delete(c.s.Missing, i, i+1)
	}
	c.s.Missing = slices.Insert(c.s.Missing, 0, m)
	c.s.Missing = c.s.Missing[:min(len(c.s.Missing), maxMissing)]
}

// forget removes a host whose exporter is registered now, or has acknowledged an alert.
func (c *counters) forget(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Missing = slices.DeleteFunc(c.s.Missing, func(m Missing) bool { return m.Host == host })
}

// copy returns a copy of the counters, without hosts about which no alert came for two
// hours.
func (c *counters) copy(now time.Time) Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Missing = slices.DeleteFunc(c.s.Missing, func(m Missing) bool { return now.Sub(m.Last) > knownFor })
	s := c.s
	s.Alerts, s.Entries, s.Bounds, s.Missing = maps.Clone(s.Alerts), maps.Clone(s.Entries), maps.Clone(s.Bounds), slices.Clone(s.Missing)
	return s
}
