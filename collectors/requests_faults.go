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

// The bounds of what is kept of lines that cannot be read.
const (
	maxTraced  = 64  // senders that are looked up in one look
	maxMisread = 256 // apps
)

// faults counts the lines of a sender that cannot be read.
type faults [ingest.Faults]uint64

func (f *faults) any() bool { return *f != faults{} }

// String returns the codes with their counts, such as "shape 3, value 1".
func (f *faults) String() string {
	var out []string
	for i, n := range f {
		if n > 0 {
			out = append(out, fmt.Sprintf("%s %d", ingest.Fault(i), n)) //nolint:gosec // an index below Faults
		}
	}
	return strings.Join(out, ", ")
}

// misread is what of a watched app could not be read lately.
type misread struct {
	faults faults
	last   time.Time
}

// Refused notes a line or datagram that cannot be read. It allocates nothing for
// a sender that is known.
func (r *Requests) Refused(why ingest.Fault, from ingest.Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.senders.last
	if s == nil || s.key != from {
		s = r.sender(from)
	}
	if s == nil || why >= ingest.Faults {
		return
	}
	s.heard = true
	s.faults[why]++
	if s.pending { // it is to be proven while its socket is open
		r.knock()
	}
}

// trace sets the apps of proven senders whose lines cannot be read or name an
// app that nobody watches. It looks up only those that have the user id of a
// watched app's processes.
func (r *Requests) trace(ctx context.Context, now time.Time) {
	asked := r.traced()
	var found map[ingest.Source]string
	if len(asked) > 0 && r.o.Attribute != nil {
		sources := make([]ingest.Source, 0, len(asked))
		for _, source := range asked {
			sources = append(sources, source)
		}
		found = r.o.Attribute(ctx, sources)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, source := range asked {
		s := r.senders.all[key]
		if s == nil || s.source != source || found[source] == "" {
			continue
		}
		s.of = found[source]
		r.blot(s, now)
	}
	for app, m := range r.misread {
		if now.Sub(m.last) > refusedFor {
			delete(r.misread, app)
		}
	}
}

// traced returns the senders to look up, by what the listener reports of them.
func (r *Requests) traced() map[ingest.Source]ingest.Source {
	r.mu.Lock()
	defer r.mu.Unlock()
	users := make(map[uint32]bool)
	for _, a := range r.places.apps {
		if a.standing == watched {
			for _, uid := range a.users {
				users[uid] = true
			}
		}
	}
	out := make(map[ingest.Source]ingest.Source)
	for key, s := range r.senders.all {
		due := s.faults.any() || s.of == "" && r.misnames(s) != ""
		if due && len(out) < maxTraced && !s.pending && s.source.Proven && users[s.source.UID] {
			out[key] = s.source
		}
	}
	return out
}

// blot adds what of a sender could not be read to its app.
func (r *Requests) blot(s *sender, now time.Time) {
	if !s.faults.any() {
		return
	}
	m := r.misread[s.of]
	if m == nil {
		if len(r.misread) >= maxMisread {
			return
		}
		m = &misread{}
		r.misread[s.of] = m
	}
	for i, n := range s.faults {
		m.faults[i] += n
	}
	m.last, s.faults = now, faults{}
}

// misnames returns the name that a sender last used, if no watched app has it;
// "" otherwise.
func (r *Requests) misnames(s *sender) string {
	a := r.places.apps[s.verdict.app]
	if a == nil || s.verdict.folded || a.common() || a.standing == watched && !a.gone {
		return ""
	}
	return a.name
}

// notes reports which apps send lines that cannot be read, and which name an app
// that is not watched, as optional [Unavailable]s.
func (r *Requests) notes() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*Unavailable
	for app, m := range r.misread {
		out = append(out, &Unavailable{
			Of: "app:" + app, Reason: Malformed, Optional: true,
			Detail: fmt.Sprintf("%s sent malformed StatsD lines (%s), the last one within 10 min", app, &m.faults),
		})
	}
	for _, s := range r.senders.all {
		name := r.misnames(s)
		if s.of == "" || name == "" || s.of == name {
			continue
		}
		out = append(out, &Unavailable{
			Of: "app:" + s.of, Reason: Misnamed, Optional: true,
			Detail: fmt.Sprintf("the StatsD lines of %s name %s, which is not a watched app; they are counted under that name", s.of, name),
			Remedy: CureMisnamed(s.of),
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

// CureMisnamed returns what makes the lines of an app count for it, one way a line.
func CureMisnamed(app string) string {
	return "start gunicorn without --statsd-prefix and without app: in --dogstatsd-tags, so that the app is taken from the sender's process\n" +
		"start gunicorn with --dogstatsd-tags app:" + app
}
