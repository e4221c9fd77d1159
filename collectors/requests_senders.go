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
	maxUnknownSenders   = 1024 // senders that report for no app that is believed
	maxKnownSenders     = 4096 // and those that do
	maxPendingPerSender = 8    // apps that one sender may name before it is judged
	maxPendingAccounts  = 512  // and all of them together
	maxRefusedSenders   = 64   // pairs of sender and app that are remembered as refused
)

// refusedFor is how long a refusal is reported after the last line.
const refusedFor = 10 * time.Minute

// senders is what is kept of those who sent.
type senders struct {
	all             map[ingest.Source]*sender
	last            *sender // of the last event
	known           int     // how many report for apps that are believed
	pendingAccounts int     // accounts that wait for a judgement
	transient       sender  // stands for one for whom there is no place
	refused         map[refusedSender]*refusals
	usersReadAt     time.Time // of the last look at the apps' users

	provenAt time.Time // when the kernel was last asked about all UDP senders
}

// sender is one source of events.
type sender struct {
	key    ingest.Source // as the listener reports it
	source ingest.Source // with what was proven of it
	// pending: it is not proven yet, or not any more. What it sends for apps is
	// kept in owed until it is.
	unproven     bool
	known        bool
	transient    bool // nothing is kept of it
	unnamed      account
	pending      []*account
	cached       cachedAccount
	refusals     *refusals
	faults       lineFaults
	processApp   string    // the app whose process it is, where that was looked up because of faults or names
	unnamedApp   string    // the app of what it last sent without a name
	unnamedSince time.Time // when it was first found waiting for its app
	lastActive   time.Time // when it was last found to have sent something
	active       bool      // it has sent something since
}

// verdict is where the last app that a sender named is counted.
type cachedAccount struct {
	app     string
	epoch   uint64
	account *account // nil: nowhere
	folded  bool
}

// refusal is a user whose lines for a watched app are dropped.
type refusedSender struct {
	user    userKey
	foreign bool
	app     string
}

type refusals struct {
	app     string
	lines   uint64
	changed bool // since the last look
	lastAt  time.Time
}

func (s *sender) user() userKey {
	if !s.source.Proven {
		return userKey{}
	}
	return userKey{s.source.UID, true}
}

func (s *sender) udp() bool { return s.key.Addr.IsValid() }

// sender returns the sender of a source; nil: there is no place for it.
func (r *Requests) sender(from ingest.Source) *sender {
	if s := r.senders.all[from]; s != nil {
		return s
	}
	if len(r.senders.all)-r.senders.known >= maxUnknownSenders {
		r.requestResolve()
		return nil
	}
	s := &sender{key: from, source: from, lastActive: r.o.Now()}
	s.unproven = s.udp() && r.o.Prove != nil
	r.senders.all[from] = s
	return s
}

// homeless is for an event of a sender for whom there is no place.
func (r *Requests) accountWithoutSender(e *ingest.Event, from ingest.Source) (a *account, folded bool) {
	if len(e.App) == 0 {
		return r.accounts.sharedAccount(unknown), true
	}
	s := &r.senders.transient
	*s = sender{key: from, source: from, transient: true, unproven: from.Addr.IsValid() && r.o.Prove != nil}
	if a, folded = r.accountByName(s, e.App); a == nil {
		r.refuseEvent(s, e)
	}
	return a, folded
}

// judge finds where an event counts that names an app. What cannot be told yet
// is kept apart until the next look.
func (r *Requests) accountByName(s *sender, name []byte) (a *account, folded bool) {
	existing := r.accounts.apps[string(name)]
	switch {
	case s.unproven, existing == nil && r.o.Users != nil:
		if a = r.pendingAccount(s, name); a != nil {
			s.cached = cachedAccount{app: a.name, epoch: r.accounts.epoch, account: a}
		}
		return a, false
	case existing == nil || existing.class == classClaimed:
		a, folded = r.accountForSender(s, string(name))
	case r.mayReport(s, existing):
		a = existing
	}
	if a != nil && !folded {
		existing = a
	}
	if existing != nil && !folded {
		s.cached = cachedAccount{app: existing.name, epoch: r.accounts.epoch, account: a}
	}
	return a, folded
}

// owe returns what a sender that waits for its judgement sent for an app; nil:
// there is no place for that.
func (r *Requests) pendingAccount(s *sender, name []byte) *account {
	r.requestResolve()
	for _, a := range s.pending {
		if a.name == string(name) {
			return a
		}
	}
	if s.transient || len(s.pending) >= maxPendingPerSender || r.senders.pendingAccounts >= maxPendingAccounts {
		return nil
	}
	a := &account{name: string(name)}
	s.pending = append(s.pending, a)
	r.senders.pendingAccounts++
	return a
}

// knock asks for a look at those who wait.
func (r *Requests) requestResolve() {
	select {
	case r.resolveNow <- struct{}{}:
	default:
	}
}

// refuse counts an event of a sender who may not report for the app it named.
func (r *Requests) refuseEvent(s *sender, e *ingest.Event) {
	if e.Again {
		return
	}
	if s.refusals == nil || s.refusals.app != string(e.App) {
		s.refusals = r.refusalsOf(s, string(e.App))
	}
	r.countRefused(s.refusals, 1)
}

func (r *Requests) countRefused(b *refusals, lines uint64) {
	r.limits.untrusted += lines
	if b != nil {
		b.lines, b.changed = b.lines+lines, true
	}
}

// blame returns where the refusals of a sender for a watched app are counted;
// nil: nowhere, as for names that strangers made up.
func (r *Requests) refusalsOf(s *sender, app string) *refusals {
	if a := r.accounts.apps[app]; a == nil || a.class != classWatched {
		return nil
	}
	key := refusedSender{s.user(), s.source.Foreign, app}
	b := r.senders.refused[key]
	if b == nil && len(r.senders.refused) < maxRefusedSenders {
		b = &refusals{app: app}
		r.senders.refused[key] = b
	}
	return b
}

// ignored reports whose lines for watched apps are dropped, as an [Unavailable].
func (r *Requests) refusedLack() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	var details []string
	remedies := map[string]bool{}
	for key, b := range r.senders.refused {
		switch {
		case b.changed:
			b.changed, b.lastAt = false, now
		case now.Sub(b.lastAt) > refusedFor:
			b.app = "" // its senders look for another one
			delete(r.senders.refused, key)
			continue
		}
		who := fmt.Sprintf("user id %d", key.user.uid)
		switch {
		case key.foreign:
			who = "another host or container"
			remedies[`in the configuration, if its network is known: statsd: {trust: ["NETWORK/BITS"]}`] = true
		case !key.user.proven:
			who = "a UDP socket whose user cannot be proven"
			remedies["send over a UNIX socket: in the configuration: statsd: {listen: [\"unixgram:///run/resp-exporter/statsd.sock\"]}"] = true
		default:
			remedies["run the sender as the app's user"] = true
			remedies[fmt.Sprintf(`in the configuration, if the user is known: statsd: {trust: ["uid:%d"]}`, key.user.uid)] = true
		}
		details = append(details, fmt.Sprintf("StatsD lines for %s from %s are ignored", key.app, who))
	}
	if len(details) == 0 {
		return nil
	}
	slices.Sort(details)
	if n := len(details); n > maxDetails {
		details = append(details[:maxDetails], fmt.Sprintf("and %d more", n-maxDetails))
	}
	return &Unavailable{Reason: Untrusted, Detail: strings.Join(details, "; "), Remedy: joinSorted(remedies)}
}

// sorted joins the keys, one a line.
func joinSorted(set map[string]bool) string {
	var out []string
	for k := range set {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(a, b) })
	return strings.Join(out[:min(len(out), maxDetails)], "\n")
}
