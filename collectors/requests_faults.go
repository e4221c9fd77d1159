package collectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// The limits of what is stored about malformed lines.
const (
	maxFaultySenders = 64  // senders whose app is looked up per scrape
	maxFaultyApps    = 256 // apps with malformed lines
)

// lineFaults is the number of malformed lines by fault.
type lineFaults [ingest.Faults]uint64

// any reports whether a malformed line was counted.
func (f *lineFaults) any() bool { return *f != lineFaults{} }

// String returns the faults that were counted, e.g. "shape 3, value 1"; "" if none was.
func (f *lineFaults) String() string {
	var out []string
	for i, n := range f {
		if n > 0 {
			out = append(out, fmt.Sprintf("%s %d", ingest.Fault(i), n)) //nolint:gosec // an index below Faults
		}
	}
	return strings.Join(out, ", ")
}

// appFaults is the recent malformed lines of a watched app.
type appFaults struct {
	faults lineFaults
	lastAt time.Time
}

// ObserveFault counts a malformed line or datagram of a sender. It does not allocate if
// the sender is known.
func (r *Requests) ObserveFault(why ingest.Fault, from ingest.Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.senders.last
	if s == nil || s.key != from {
		s = r.sender(from)
	}
	if s == nil || why >= ingest.Faults {
		return
	}
	s.active = true
	s.faults[why]++
	if s.unproven { // it can be proven only while its socket is open
		r.requestResolve()
	}
}

// attributeFaults counts, for the app of each proven sender, the malformed lines and those
// that name an app that is not watched. A sender without an app counts for none. It looks
// up only senders that have the user id of a watched app.
func (r *Requests) attributeFaults(ctx context.Context, now time.Time) {
	faulty := r.faultySenders()
	var found map[ingest.Source]string
	if len(faulty) > 0 && r.o.Attribute != nil {
		sources := make([]ingest.Source, 0, len(faulty))
		for _, source := range faulty {
			sources = append(sources, source)
		}
		found = r.o.Attribute(ctx, sources)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, source := range faulty {
		s := r.senders.all[key]
		if s == nil || s.source != source || found[source] == "" {
			continue
		}
		s.processApp = found[source]
		r.addAppFaults(s, now)
	}
	for app, m := range r.appFaults {
		if now.Sub(m.lastAt) > refusedFor {
			delete(r.appFaults, app)
		}
	}
}

// faultySenders returns the proven sources of the senders whose apps are to be found, by
// the source that the listener reports: of users of watched apps only, at most 64.
func (r *Requests) faultySenders() map[ingest.Source]ingest.Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	users := make(map[uint32]bool)
	for _, a := range r.accounts.apps {
		if a.class == classWatched {
			for _, uid := range a.users {
				users[uid] = true
			}
		}
	}
	out := make(map[ingest.Source]ingest.Source)
	for key, s := range r.senders.all {
		due := s.faults.any() || s.processApp == "" && r.unwatchedName(s) != ""
		if due && len(out) < maxFaultySenders && !s.unproven && s.source.Proven && users[s.source.UID] {
			out[key] = s.source
		}
	}
	return out
}

// addAppFaults moves the faults of a sender to those of its app. Beyond maxFaultyApps
// they stay with the sender.
func (r *Requests) addAppFaults(s *sender, now time.Time) {
	if !s.faults.any() {
		return
	}
	m := r.appFaults[s.processApp]
	if m == nil {
		if len(r.appFaults) >= maxFaultyApps {
			return
		}
		m = &appFaults{}
		r.appFaults[s.processApp] = m
	}
	for i, n := range s.faults {
		m.faults[i] += n
	}
	m.lastAt, s.faults = now, lineFaults{}
}

// unwatchedName returns the app that a sender named last, if it has an account and is not
// watched; "" otherwise, also if its events went to a shared account.
func (r *Requests) unwatchedName(s *sender) string {
	a := r.accounts.apps[s.cached.app]
	if a == nil || s.cached.folded || a.isShared() || a.class == classWatched && !a.unwatched {
		return ""
	}
	return a.name
}

// faultLacks returns, as joined optional [Unavailable]s, which apps sent malformed lines
// in the last ten minutes and which name an app that is not watched: sorted, each once, at
// most 20; nil if none do.
func (r *Requests) faultLacks() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*Unavailable
	for app, m := range r.appFaults {
		out = append(out, &Unavailable{
			Of: "app:" + app, Reason: Malformed, Optional: true,
			Detail: fmt.Sprintf("%s sent malformed StatsD lines (%s), the last one within 10 min", app, &m.faults),
		})
	}
	for _, s := range r.senders.all {
		name := r.unwatchedName(s)
		if s.processApp == "" || name == "" || s.processApp == name {
			continue
		}
		out = append(out, &Unavailable{
			Of: "app:" + s.processApp, Reason: Misnamed, Optional: true,
			Detail: fmt.Sprintf("the StatsD lines of %s name %s, which is not a watched app; they are counted under that name", s.processApp, name),
			Remedy: RemedyMisnamed(s.processApp),
		})
	}
	slices.SortFunc(out, func(a, b *Unavailable) int { return strings.Compare(a.Error(), b.Error()) })
	out = slices.CompactFunc(out, func(a, b *Unavailable) bool { return a.Error() == b.Error() })
	var errs []error
	for _, u := range out[:min(len(out), maxDetails)] {
		errs = append(errs, u)
	}
	return errors.Join(errs...)
}

// RemedyMisnamed returns how to make the lines of an app count for that app: one way on
// each line of the text.
func RemedyMisnamed(app string) string {
	return "start gunicorn without --statsd-prefix and without app: in --dogstatsd-tags, so that the app is taken from the sender's process\n" +
		"start gunicorn with --dogstatsd-tags app:" + app
}
