package collectors

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// The limits of what is stored about senders.
const (
	maxUnknownSenders   = 1024 // senders without a watched or trusted app
	maxKnownSenders     = 4096 // senders of a watched or trusted app
	maxPendingPerSender = 8    // pending accounts of one sender
	maxPendingAccounts  = 512  // pending accounts of all senders
	maxRefusedSenders   = 64   // pairs of user and app whose refused lines are counted
)

// refusedFor is how long refused or malformed lines are reported after the last one.
const refusedFor = 10 * time.Minute

// senders has the senders, and what was refused of them.
type senders struct {
	all             map[ingest.Source]*sender
	last            *sender // of the last event
	known           int     // senders with sender.known
	pendingAccounts int     // of all senders
	transient       sender  // reused for senders over maxUnknownSenders
	refused         map[refusedSender]*refusals
	usersReadAt     time.Time // when RequestsOptions.Users was last called

	provenAt time.Time // when RequestsOptions.Prove was last called with success
}

// sender is one source of events.
type sender struct {
	key    ingest.Source // as the listener reports it
	source ingest.Source // key, with what the kernel reports about it
	// unproven: the source is to be proven, for the first time or again. Until then its
	// events that name an app count in pending.
	unproven     bool
	known        bool          // it reports for a watched or trusted app
	transient    bool          // it is over maxUnknownSenders, and not stored
	unnamed      account       // events without an app that are not attributed yet
	pending      []*account    // events for apps that it is not known to report for yet
	cached       cachedAccount // of the last app that it named
	refusals     *refusals     // of the last app that was refused; may be nil
	faults       lineFaults    // malformed lines that are not attributed yet
	processApp   string        // the app whose process it is, if that was looked up because of faults or names
	unnamedApp   string        // the app to which its last unnamed events were attributed
	unnamedSince time.Time     // when unnamed events were first found
	lastActive   time.Time     // when active was last found set
	active       bool          // it has sent something since lastActive
}

// cachedAccount is the account of the last app that a sender named. It is valid while
// epoch is that of the account table.
type cachedAccount struct {
	app     string
	epoch   uint64
	account *account // nil: the sender is refused
	folded  bool     // account is shared because of a limit
}

// refusedSender is a user whose lines for a watched app are dropped.
type refusedSender struct {
	user    userKey
	foreign bool
	app     string
}

// refusals is the dropped lines of a refusedSender.
type refusals struct {
	app     string // "" once the entry is removed
	lines   uint64
	changed bool      // lines were dropped since the last scrape
	lastAt  time.Time // of the last scrape with changed set
}

// sender returns the sender of a source, which it makes if there is none; nil if there are
// 1,024 without a watched or trusted app.
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

// accountWithoutSender returns the account for an event of a source for which there is no
// room for a sender: "unknown" for one without an app, else that of
// [Requests.accountByName], but no pending one. nil: the event was refused, which is
// counted. folded: several apps share it.
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

// accountByName returns the account for an event of an app: a pending one if the sender
// is unproven, or if the app is not known yet and Users may tell; else that of the app.
// nil: the event is to be refused. folded: several apps share it.
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

// pendingAccount returns the pending account of a sender for an app, which it makes if
// the limits allow it; nil if they do not, or the sender is a transient one. It asks Run
// to resolve it soon.
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

// requestResolve queues a resolution of the senders, which Run does next. It never blocks.
func (r *Requests) requestResolve() {
	select {
	case r.resolveNow <- struct{}{}:
	default:
	}
}

// refuseEvent counts an event as refused: its sender may not report for the app.
func (r *Requests) refuseEvent(s *sender, e *ingest.Event) {
	if e.Again {
		return
	}
	if s.refusals == nil || s.refusals.app != string(e.App) {
		s.refusals = r.refusalsOf(s, string(e.App))
	}
	r.countRefused(s.refusals, 1)
}

// countRefused counts refused lines, in all and in counter, which may be nil.
func (r *Requests) countRefused(counter *refusals, lines uint64) {
	r.limits.untrusted += lines
	if counter != nil {
		counter.lines, counter.changed = counter.lines+lines, true
	}
}

// refusalsOf returns the counter of the lines that are refused to a sender's user for a
// watched app, which it makes if there is none; nil if the app is not watched, or 64
// other counters exist.
func (r *Requests) refusalsOf(s *sender, app string) *refusals {
	if a := r.accounts.apps[app]; a == nil || a.class != classWatched {
		return nil
	}
	key := refusedSender{s.user(), s.source.Foreign, app}
	counter := r.senders.refused[key]
	if counter == nil && len(r.senders.refused) < maxRefusedSenders {
		counter = &refusals{app: app}
		r.senders.refused[key] = counter
	}
	return counter
}

// refusedLack returns an [Unavailable] that says which users' lines for watched apps were
// refused in the last ten minutes, at most 20 of them by name; nil if none were.
func (r *Requests) refusedLack() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	var details []string
	remedies := map[string]bool{}
	for key, counter := range r.senders.refused {
		switch {
		case counter.changed:
			counter.changed, counter.lastAt = false, now
		case now.Sub(counter.lastAt) > refusedFor:
			counter.app = "" // so that its senders get a new counter
			delete(r.senders.refused, key)
			continue
		}
		user := fmt.Sprintf("user id %d", key.user.uid)
		switch {
		case key.foreign:
			user = "another host or container"
			remedies[`in the configuration, if its network is known: statsd: {trust: ["NETWORK/BITS"]}`] = true
		case !key.user.proven:
			user = "a UDP socket whose owner cannot be verified"
			remedies["send over a UNIX socket: in the configuration: statsd: {listen: [\"unixgram:///run/resp-exporter/statsd.sock\"]}"] = true
		default:
			remedies["run the sender as the app's user"] = true
			remedies[fmt.Sprintf(`in the configuration, if the user is known: statsd: {trust: ["uid:%d"]}`, key.user.uid)] = true
		}
		details = append(details, fmt.Sprintf("StatsD lines for %s from %s are dropped", key.app, user))
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

// joinSorted returns the keys of a set as text, sorted, one per line, the first 20.
func joinSorted(set map[string]bool) string {
	var out []string
	for k := range set {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Compare(a, b) })
	return strings.Join(out[:min(len(out), maxDetails)], "\n")
}
