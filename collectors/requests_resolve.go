package collectors

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

const (
	// patience is how long a sender may wait for its app to be found, and how long
	// a silent one is remembered.
	attributionTimeout = time.Minute
	// proofFor is how long a proof of a UDP source holds: after that the port may
	// be another's.
	proofLifetime = 500 * time.Millisecond
	// proofIdle is how long proofs are renewed after the last datagram.
	proofRenewalLimit = 5 * time.Second
	// usersFor is the least time between two looks at the users of apps that are
	// made because of a name that nobody knows.
	usersInterval = time.Second
	// Looks at who sent take at most one part in looksShare of the time.
	resolveShare       = 20
	minResolveInterval = 10 * time.Millisecond
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
		case <-r.resolveNow:
		case <-t.C:
		}
		began := time.Now()
		resolveCtx, cancel := context.WithTimeout(ctx, attributionTimeout/10)
		r.resolve(resolveCtx, false)
		cancel()
		gap := min(max(minResolveInterval, resolveShare*time.Since(began)), proofLifetime)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(gap):
		}
		if r.hasActiveUDP() {
			t.Reset(proofLifetime - gap)
		}
	}
}

// sending reports whether UDP senders are to be proven again. Where all have
// long been silent, no proof of before holds any more.
func (r *Requests) hasActiveUDP() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	for _, s := range r.senders.all {
		if s.udp() && (s.active || now.Sub(s.lastActive) < proofRenewalLimit) {
			return true
		}
	}
	for _, s := range r.senders.all {
		if s.udp() && r.o.Prove != nil {
			s.unproven, s.cached = true, cachedAccount{}
		}
	}
	return false
}

// settle judges the senders that wait and moves what they sent to the accounts
// of their apps: each event once. A full look also finds the apps of those who
// named none. The functions of the options may take their time; events may come
// in and others may settle meanwhile.
func (r *Requests) resolve(ctx context.Context, full bool) {
	r.proveSenders(ctx, !full)
	var users map[string][]uint32
	if r.o.Users != nil && (full || r.hasUnknownApps()) {
		users = r.o.Users(ctx)
	}
	r.mu.Lock()
	now := r.o.Now()
	if users != nil {
		r.setWatchedApps(users)
		r.senders.usersReadAt = now
	}
	r.resolvePending(full || users != nil)
	r.expireAccounts(now)
	unnamed := r.expireSenders(now, full)
	r.mu.Unlock()
	if len(unnamed) > 0 {
		r.attributeUnnamed(ctx, unnamed, now)
	}
	if full {
		r.attributeFaults(ctx, now)
	}
}

// prove reads from the kernel who the UDP senders are. Unless renew is true, it does so
// only if a proof is older than proofFor, or one is missing of a sender that has
// sent something.
func (r *Requests) proveSenders(ctx context.Context, renew bool) {
	if r.o.Prove == nil {
		return
	}
	r.mu.Lock()
	began := r.o.Now()
	renew = renew || began.Sub(r.senders.provenAt) >= proofLifetime
	var sources []ingest.Source
	for key, s := range r.senders.all {
		if s.udp() {
			sources = append(sources, key)
			renew = renew || s.unproven && (s.active || s.unnamed.dirty || len(s.pending) > 0)
		}
	}
	r.mu.Unlock()
	if len(sources) == 0 || !renew {
		return
	}
	found := r.o.Prove(ctx, sources)
	r.mu.Lock()
	defer r.mu.Unlock()
	if found != nil {
		r.senders.provenAt = began
	}
	for _, key := range sources {
		if s := r.senders.all[key]; s != nil {
			now, proven := found[key]
			r.setProof(s, now, proven)
		}
	}
}

// believe takes over what the kernel reported about a UDP sender; told is false
// if it could not be asked.
func (r *Requests) setProof(s *sender, proof ingest.Source, answered bool) {
	switch {
	case s.unproven && !answered:
		if len(s.pending) > 0 && r.o.Now().Sub(s.lastActive) >= attributionTimeout {
			s.unproven = false
		}
	case s.unproven:
		s.source, s.unproven = proof, false
		if !proof.Proven && s.unnamed.dirty { // whose it was will never be known
			r.moveUnnamed(s, unknown)
		}
	case s.source != proof: // the socket was closed, and its port may be another's
		r.releaseUnnamed(s)
		s.faults, s.processApp = lineFaults{}, ""
		s.source, s.unproven, s.cached, s.refusals = s.key, true, cachedAccount{}, nil
	}
}

// leave moves what a sender sent without a name to the app that it last was.
func (r *Requests) releaseUnnamed(s *sender) {
	if s.unnamed.dirty {
		name := s.unnamedApp
		if name == "" {
			name = unknown
		}
		r.moveUnnamed(s, name)
	}
	s.unnamedApp = ""
}

// strange reports whether somebody named an app that is not known, and the apps
// were not looked at just now.
func (r *Requests) hasUnknownApps() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.senders.pendingAccounts > 0 && r.o.Now().Sub(r.senders.usersReadAt) >= usersInterval
}

// commit judges what was kept apart. Unless all is true, names that are not
// known yet wait on.
func (r *Requests) resolvePending(all bool) {
	for _, s := range r.senders.all {
		if s.unproven || len(s.pending) == 0 {
			continue
		}
		kept := s.pending[:0]
		for _, o := range s.pending {
			if !all && r.accounts.apps[o.name] == nil {
				kept = append(kept, o)
				continue
			}
			r.senders.pendingAccounts--
			r.applyPending(s, o)
		}
		clear(s.pending[len(kept):])
		s.pending, s.cached = kept, cachedAccount{}
	}
}

// book moves what a sender sent for one app to that app, or drops it.
func (r *Requests) applyPending(s *sender, o *account) {
	lines := o.lines
	a, folded := r.accountForSender(s, o.name)
	if a == nil {
		r.limits.pairs[o.class] -= o.pairs
		r.countRefused(r.refusalsOf(s, o.name), lines)
		return
	}
	if folded {
		o.countFolded(&r.limits)
		r.limits.lines += lines
	}
	a.merge(o, &r.limits)
	r.markKnown(s, a)
}

// know notes that a sender reports for an app that is believed.
func (r *Requests) markKnown(s *sender, a *account) {
	if !s.known && !a.isShared() && a.class >= classTrusted && r.senders.known < maxKnownSenders {
		s.known, s.unnamed.class = true, classAttributed
		r.senders.known++
		r.limits.pairs[classPending] -= s.unnamed.pairs
		r.limits.pairs[classAttributed] += s.unnamed.pairs
	}
}

// tidy lists those who sent without naming an app, and forgets those who have
// long been silent. Where strangers take the places of senders, they lose them.
func (r *Requests) expireSenders(now time.Time, full bool) (unnamed []*sender) {
	overfull := len(r.senders.all)-r.senders.known > maxUnknownSenders*3/4
	for _, s := range r.senders.all {
		if s.active || s.unnamed.dirty {
			s.active, s.lastActive = false, now
		}
		if s.unnamed.dirty && s.unnamedSince.IsZero() {
			s.unnamedSince = now
		}
		switch {
		case s.unnamed.dirty && full:
			unnamed = append(unnamed, s)
		case s.unnamed.dirty, len(s.pending) > 0:
		case now.Sub(s.lastActive) > attributionTimeout, overfull && !s.known:
			r.removeSender(s)
		}
		if s.udp() && !s.source.Proven && !s.source.Foreign && r.o.Prove != nil {
			s.unproven, s.cached = true, cachedAccount{} // another socket may have its port next
		}
	}
	return unnamed
}

func (r *Requests) removeSender(s *sender) {
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
func (r *Requests) attributeUnnamed(ctx context.Context, unnamed []*sender, now time.Time) {
	sources := make([]ingest.Source, len(unnamed))
	r.mu.Lock()
	for i, s := range unnamed {
		sources[i] = s.source
	}
	r.mu.Unlock()
	var found map[ingest.Source]string
	if r.o.Attribute != nil {
		found = r.o.Attribute(ctx, sources)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	overfull := len(r.senders.all)-r.senders.known > maxUnknownSenders*3/4
	for i, s := range unnamed {
		if !s.unnamed.dirty || s.source.Inode != sources[i].Inode {
			continue
		}
		switch name := found[sources[i]]; {
		case name != "":
			r.moveUnnamed(s, name)
			s.unnamedApp = name
			if a := r.accounts.apps[name]; a != nil {
				r.markKnown(s, a)
			}
		case now.Sub(s.unnamedSince) >= attributionTimeout, overfull && !s.known:
			r.moveUnnamed(s, unknown)
		}
	}
}

// move returns all that a sender sent without a name to an app that is its own by
// the kernel's word, or to the one that stands for many.
func (r *Requests) moveUnnamed(s *sender, name string) {
	a := r.accounts.apps[name]
	if a != nil && a.class == classClaimed && !a.isShared() { // it was a stranger's claim
		r.accounts.remove(a, &r.limits)
		a = nil
	}
	switch {
	case a != nil:
	case name == unknown:
		a = r.accounts.sharedAccount(unknown)
	case r.makeRoom(classTrusted):
		a = r.accounts.open(&account{name: name, class: classTrusted, lastEvent: r.o.Now()})
	default:
		a = r.accounts.sharedAccount(other)
		s.unnamed.countFolded(&r.limits)
	}
	a.merge(&s.unnamed, &r.limits)
	s.unnamedSince = time.Time{}
}
