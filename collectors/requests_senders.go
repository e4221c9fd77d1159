package collectors

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// The bounds of what is kept of senders.
const (
	maxSources = 1024 // senders that report for no app that is believed
	maxKnown   = 4096 // and those that do
	maxOwed    = 8    // apps that one sender may name before it is judged
	maxAllOwed = 512  // and all of them together
	maxRefused = 64   // pairs of sender and app that are remembered as refused
)

// refusedFor is how long a refusal is reported after the last line.
const refusedFor = 10 * time.Minute

// senders is what is kept of those who sent.
type senders struct {
	all     map[ingest.Source]*sender
	last    *sender // of the last event
	known   int     // how many report for apps that are believed
	owed    int     // accounts that wait for a judgement
	spare   sender  // stands for one for whom there is no place
	refused map[refusal]*blame
	usersAt time.Time // of the last look at the apps' users

	provenAt time.Time // when the kernel was last asked about all UDP senders
}

// sender is one source of events.
type sender struct {
	key    ingest.Source // as the listener reports it
	source ingest.Source // with what was proven of it
	// pending: it is not proven yet, or not any more. What it sends for apps is
	// kept in owed until it is.
	pending bool
	known   bool
	passing bool // nothing is kept of it
	own     account
	owed    []*account
	verdict verdict
	blame   *blame
	faults  faults
	of      string    // the app whose process it is, where that was looked up because of faults or names
	home    string    // the app of what it last sent without a name
	since   time.Time // when it was first found waiting for its app
	seen    time.Time // when it was last found to have sent something
	heard   bool      // it has sent something since
}

// verdict is where the last app that a sender named is counted.
type verdict struct {
	app     string
	epoch   uint64
	account *account // nil: nowhere
	folded  bool
}

// refusal is a user whose lines for a watched app are dropped.
type refusal struct {
	who     claimant
	foreign bool
	app     string
}

type blame struct {
	app   string
	lines uint64
	fresh bool // since the last look
	last  time.Time
}

// sender returns the sender of a source; nil: there is no place for it.
func (r *Requests) sender(from ingest.Source) *sender {
	if s := r.senders.all[from]; s != nil {
		return s
	}
	if len(r.senders.all)-r.senders.known >= maxSources {
		r.knock()
		return nil
	}
	s := &sender{key: from, source: from, seen: r.o.Now()}
	s.pending = s.udp() && r.o.Prove != nil
	r.senders.all[from] = s
	return s
}

// homeless is for an event of a sender for whom there is no place.
func (r *Requests) homeless(e *ingest.Event, from ingest.Source) (a *account, folded bool) {
	if len(e.App) == 0 {
		return r.places.shared(unknown), true
	}
	s := &r.senders.spare
	*s = sender{key: from, source: from, passing: true, pending: from.Addr.IsValid() && r.o.Prove != nil}
	if a, folded = r.judge(s, e.App); a == nil {
		r.refuse(s, e)
	}
	return a, folded
}

// judge finds where an event counts that names an app. What cannot be told yet
// is kept apart until the next look.
func (r *Requests) judge(s *sender, name []byte) (a *account, folded bool) {
	have := r.places.apps[string(name)]
	switch {
	case s.pending, have == nil && r.o.Users != nil:
		if a = r.owe(s, name); a != nil {
			s.verdict = verdict{app: a.name, epoch: r.places.epoch, account: a}
		}
		return a, false
	case have == nil || have.standing == claimed:
		a, folded = r.admit(s, string(name))
	case r.may(s, have):
		a = have
	}
	if a != nil && !folded {
		have = a
	}
	if have != nil && !folded {
		s.verdict = verdict{app: have.name, epoch: r.places.epoch, account: a}
	}
	return a, folded
}

// owe returns what a sender that waits for its judgement sent for an app; nil:
// there is no place for that.
func (r *Requests) owe(s *sender, name []byte) *account {
	r.knock()
	for _, a := range s.owed {
		if a.name == string(name) {
			return a
		}
	}
	if s.passing || len(s.owed) >= maxOwed || r.senders.owed >= maxAllOwed {
		return nil
	}
	a := &account{name: string(name)}
	s.owed = append(s.owed, a)
	r.senders.owed++
	return a
}

// knock asks for a look at those who wait.
func (r *Requests) knock() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// refuse counts an event of a sender who may not report for the app it named.
func (r *Requests) refuse(s *sender, e *ingest.Event) {
	if e.Again {
		return
	}
	if s.blame == nil || s.blame.app != string(e.App) {
		s.blame = r.blame(s, string(e.App))
	}
	r.convict(s.blame, 1)
}

func (r *Requests) convict(b *blame, lines uint64) {
	r.limits.untrusted += lines
	if b != nil {
		b.lines, b.fresh = b.lines+lines, true
	}
}

// blame returns where the refusals of a sender for a watched app are counted;
// nil: nowhere, as for names that strangers made up.
func (r *Requests) blame(s *sender, app string) *blame {
	if a := r.places.apps[app]; a == nil || a.standing != watched {
		return nil
	}
	key := refusal{s.claimant(), s.source.Foreign, app}
	b := r.senders.refused[key]
	if b == nil && len(r.senders.refused) < maxRefused {
		b = &blame{app: app}
		r.senders.refused[key] = b
	}
	return b
}

// ignored reports whose lines for watched apps are dropped, as an [Unavailable].
func (r *Requests) ignored() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	var list []string
	cures := map[string]bool{}
	for key, b := range r.senders.refused {
		switch {
		case b.fresh:
			b.fresh, b.last = false, now
		case now.Sub(b.last) > refusedFor:
			b.app = "" // its senders look for another one
			delete(r.senders.refused, key)
			continue
		}
		who := fmt.Sprintf("user id %d", key.who.uid)
		switch {
		case key.foreign:
			who = "another host or container"
			cures[`in the configuration, if its network is known: statsd: {trust: ["NETWORK/BITS"]}`] = true
		case !key.who.proven:
			who = "a UDP socket whose owner cannot be verified"
			cures["send over a UNIX socket: in the configuration: statsd: {listen: [\"unixgram:///run/resp-exporter/statsd.sock\"]}"] = true
		default:
			cures["run the sender as the app's user"] = true
			cures[fmt.Sprintf(`in the configuration, if the user is known: statsd: {trust: ["uid:%d"]}`, key.who.uid)] = true
		}
		list = append(list, fmt.Sprintf("StatsD lines for %s from %s are dropped", key.app, who))
	}
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	if n := len(list); n > maxDetails {
		list = append(list[:maxDetails], fmt.Sprintf("and %d more", n-maxDetails))
	}
	return &Unavailable{Reason: Untrusted, Detail: strings.Join(list, "; "), Remedy: sorted(cures)}
}

// sorted joins the keys, one a line.
func sorted(set map[string]bool) string {
	var out []string
	for k := range set {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(a, b) })
	return strings.Join(out[:min(len(out), maxDetails)], "\n")
}
