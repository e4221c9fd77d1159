package collectors

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

const (
	// patience is how long a sender may wait for its app to be found, and how long
	// a silent one is remembered.
	patience = time.Minute
	// proofFor is how long a proof of a UDP source holds: after that the port may
	// be another's.
	proofFor = 500 * time.Millisecond
	// proofIdle is how long proofs are renewed after the last datagram.
	proofIdle = 5 * time.Second
	// usersFor is the least time between two looks at the users of apps that are
	// made because of a name that nobody knows.
	usersFor = time.Second
	// Looks at who sent take at most one part in looksShare of the time.
	looksShare  = 20
	shortestGap = 10 * time.Millisecond
)

// Run judges senders soon after they first send, as long as their sockets are
// open, and renews the proofs while they go on. It returns nil when ctx ends.
func (r *Requests) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-t.C:
		}
		began := time.Now()
		look, cancel := context.WithTimeout(ctx, patience/10)
		r.settle(look, false)
		cancel()
		gap := min(max(shortestGap, looksShare*time.Since(began)), proofFor)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(gap):
		}
		if r.sending() {
			t.Reset(proofFor - gap)
		}
	}
}

// sending reports whether UDP senders are to be proven again. Where all have
// long been silent, no proof of before holds any more.
func (r *Requests) sending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	for _, s := range r.senders.all {
		if s.udp() && (s.heard || now.Sub(s.seen) < proofIdle) {
			return true
		}
	}
	for _, s := range r.senders.all {
		if s.udp() && r.o.Prove != nil {
			s.pending, s.verdict = true, verdict{}
		}
	}
	return false
}

// settle judges the senders that wait and moves what they sent to the accounts
// of their apps: each event once. A full look also finds the apps of those who
// named none. The functions of the options may take their time; events may come
// in and others may settle meanwhile.
func (r *Requests) settle(ctx context.Context, full bool) {
	r.prove(ctx, !full)
	var users map[string][]uint32
	if r.o.Users != nil && (full || r.strange()) {
		users = r.o.Users(ctx)
	}
	r.mu.Lock()
	now := r.o.Now()
	if users != nil {
		r.learn(users)
		r.senders.usersAt = now
	}
	r.commit(full || users != nil)
	r.age(now)
	nameless := r.tidy(now, full)
	r.mu.Unlock()
	if len(nameless) > 0 {
		r.attribute(ctx, nameless, now)
	}
	if full {
		r.trace(ctx, now)
	}
}

// prove reads from the kernel who the UDP senders are. Unless renew is true, it does so
// only if a proof is older than proofFor, or one is missing of a sender that has
// sent something.
func (r *Requests) prove(ctx context.Context, renew bool) {
	if r.o.Prove == nil {
		return
	}
	r.mu.Lock()
	began := r.o.Now()
	renew = renew || began.Sub(r.senders.provenAt) >= proofFor
	var asked []ingest.Source
	for key, s := range r.senders.all {
		if s.udp() {
			asked = append(asked, key)
			renew = renew || s.pending && (s.heard || s.own.dirty || len(s.owed) > 0)
		}
	}
	r.mu.Unlock()
	if len(asked) == 0 || !renew {
		return
	}
	found := r.o.Prove(ctx, asked)
	r.mu.Lock()
	defer r.mu.Unlock()
	if found != nil {
		r.senders.provenAt = began
	}
	for _, key := range asked {
		if s := r.senders.all[key]; s != nil {
			now, told := found[key]
			r.believe(s, now, told)
		}
	}
}

// believe takes over what the kernel reported about a UDP sender; told is false
// if it could not be asked.
func (r *Requests) believe(s *sender, now ingest.Source, told bool) {
	switch {
	case s.pending && !told:
		if len(s.owed) > 0 && r.o.Now().Sub(s.seen) >= patience {
			s.pending = false
		}
	case s.pending:
		s.source, s.pending = now, false
		if !now.Proven && s.own.dirty { // whose it was will never be known
			r.move(s, unknown)
		}
	case s.source != now: // the socket was closed, and its port may be another's
		r.leave(s)
		s.faults, s.of = faults{}, ""
		s.source, s.pending, s.verdict, s.blame = s.key, true, verdict{}, nil
	}
}

// leave moves what a sender sent without a name to the app that it last was.
func (r *Requests) leave(s *sender) {
	if s.own.dirty {
		name := s.home
		if name == "" {
			name = unknown
		}
		r.move(s, name)
	}
	s.home = ""
}

// strange reports whether somebody named an app that is not known, and the apps
// were not looked at just now.
func (r *Requests) strange() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.senders.owed > 0 && r.o.Now().Sub(r.senders.usersAt) >= usersFor
}

// commit judges what was kept apart. Unless all is true, names that are not
// known yet wait on.
func (r *Requests) commit(all bool) {
	for _, s := range r.senders.all {
		if s.pending || len(s.owed) == 0 {
			continue
		}
		kept := s.owed[:0]
		for _, o := range s.owed {
			if !all && r.places.apps[o.name] == nil {
				kept = append(kept, o)
				continue
			}
			r.senders.owed--
			r.book(s, o)
		}
		clear(s.owed[len(kept):])
		s.owed, s.verdict = kept, verdict{}
	}
}

// book moves what a sender sent for one app to that app, or drops it.
func (r *Requests) book(s *sender, o *account) {
	lines := o.lines
	a, folded := r.admit(s, o.name)
	if a == nil {
		r.limits.pairs[o.standing] -= o.pairs
		r.convict(r.blame(s, o.name), lines)
		return
	}
	if folded {
		o.refuse(&r.limits)
		r.limits.lines += lines
	}
	a.merge(o, &r.limits)
	r.know(s, a)
}

// know notes that a sender reports for an app that is believed.
func (r *Requests) know(s *sender, a *account) {
	if !s.known && !a.common() && a.standing >= trusted && r.senders.known < maxKnown {
		s.known, s.own.standing = true, homed
		r.senders.known++
		r.limits.pairs[waiting] -= s.own.pairs
		r.limits.pairs[homed] += s.own.pairs
	}
}

// tidy lists those who sent without naming an app, and forgets those who have
// long been silent. Where strangers take the places of senders, they lose them.
func (r *Requests) tidy(now time.Time, full bool) (nameless []*sender) {
	crowded := len(r.senders.all)-r.senders.known > maxSources*3/4
	for _, s := range r.senders.all {
		if s.heard || s.own.dirty {
			s.heard, s.seen = false, now
		}
		if s.own.dirty && s.since.IsZero() {
			s.since = now
		}
		switch {
		case s.own.dirty && full:
			nameless = append(nameless, s)
		case s.own.dirty, len(s.owed) > 0:
		case now.Sub(s.seen) > patience, crowded && !s.known:
			r.forget(s)
		}
		if s.udp() && !s.source.Proven && !s.source.Foreign && r.o.Prove != nil {
			s.pending, s.verdict = true, verdict{} // another socket may have its port next
		}
	}
	return nameless
}

func (r *Requests) forget(s *sender) {
	delete(r.senders.all, s.key)
	if s.known {
		r.senders.known--
	}
	if r.senders.last == s {
		r.senders.last = nil
	}
}

// attribute finds the apps of those who named none, and moves what they sent.
// Who cannot be told for long, or is one of very many, counts as unknown.
func (r *Requests) attribute(ctx context.Context, nameless []*sender, now time.Time) {
	asked := make([]ingest.Source, len(nameless))
	r.mu.Lock()
	for i, s := range nameless {
		asked[i] = s.source
	}
	r.mu.Unlock()
	var found map[ingest.Source]string
	if r.o.Attribute != nil {
		found = r.o.Attribute(ctx, asked)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	crowded := len(r.senders.all)-r.senders.known > maxSources*3/4
	for i, s := range nameless {
		if !s.own.dirty || s.source.Inode != asked[i].Inode {
			continue
		}
		switch name := found[asked[i]]; {
		case name != "":
			r.move(s, name)
			s.home = name
			if a := r.places.apps[name]; a != nil {
				r.know(s, a)
			}
		case now.Sub(s.since) >= patience, crowded && !s.known:
			r.move(s, unknown)
		}
	}
}

// move returns all that a sender sent without a name to an app that is its own by
// the kernel's word, or to the one that stands for many.
func (r *Requests) move(s *sender, name string) {
	a := r.places.apps[name]
	if a != nil && a.standing == claimed && !a.common() { // it was a stranger's claim
		r.places.drop(a, &r.limits)
		a = nil
	}
	switch {
	case a != nil:
	case name == unknown:
		a = r.places.shared(unknown)
	case r.makeRoom(trusted):
		a = r.places.open(&account{name: name, standing: trusted, seen: r.o.Now()})
	default:
		a = r.places.shared(other)
		s.own.refuse(&r.limits)
	}
	a.merge(&s.own, &r.limits)
	s.since = time.Time{}
}
