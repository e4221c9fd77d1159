package collectors

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

const (
	// attributionTimeout is how long unnamed events of a sender wait for its app to be
	// found, and how long an inactive sender is kept.
	attributionTimeout = time.Minute
	// proofLifetime is how long a proof of a UDP source holds: after that another socket
	// may have its port.
	proofLifetime = 500 * time.Millisecond
	// proofRenewalLimit is how long proofs are renewed after the last datagram.
	proofRenewalLimit = 5 * time.Second
	// usersInterval is the least time between two calls of RequestsOptions.Users that are
	// made because of an unknown app.
	usersInterval = time.Second
	// resolveShare and minResolveInterval limit resolving: Run spends at most one part in
	// resolveShare of the time with it.
	resolveShare       = 20
	minResolveInterval = 10 * time.Millisecond
)

// Run proves senders soon after they first send, as long as their sockets are open, and
// renews the proofs of active ones, until ctx ends. It returns nil.
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

// hasActiveUDP reports whether a UDP sender has sent something in the last five seconds,
// so that it is to be proven again. If none has, it marks all as unproven.
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

// resolve determines for which apps the senders may report, and moves their pending
// events to the accounts of these, each event once. full: it also attributes unnamed
// events and malformed lines. It calls the functions of the options, which may be slow,
// without the lock.
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

// proveSenders reads from the kernel the users and sockets of the UDP senders. It does so
// only if renew is set, the proofs are older than proofLifetime, or an unproven sender
// has sent something.
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

// setProof sets what the kernel has reported about a UDP sender. answered is false if it
// has reported nothing.
func (r *Requests) setProof(s *sender, proof ingest.Source, answered bool) {
	switch {
	case s.unproven && !answered:
		if len(s.pending) > 0 && r.o.Now().Sub(s.lastActive) >= attributionTimeout {
			s.unproven = false
		}
	case s.unproven:
		s.source, s.unproven = proof, false
		if !proof.Proven && s.unnamed.dirty { // the user is not known, and never will be
			r.moveUnnamed(s, unknown)
		}
	case s.source != proof: // the socket was closed, and another one may have its port
		r.releaseUnnamed(s)
		s.faults, s.processApp = lineFaults{}, ""
		s.source, s.unproven, s.cached, s.refusals = s.key, true, cachedAccount{}, nil
	}
}

// releaseUnnamed moves the unnamed events of a sender to the app to which its last ones
// were attributed; to "unknown" if there is none.
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

// hasUnknownApps reports whether there are pending accounts and the users of the apps were
// last read a second ago or earlier.
func (r *Requests) hasUnknownApps() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.senders.pendingAccounts > 0 && r.o.Now().Sub(r.senders.usersReadAt) >= usersInterval
}

// resolvePending applies the pending accounts of all proven senders. If all is false,
// those of apps without an account stay pending.
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

// applyPending moves the counts of a pending account to that of its app. If the sender
// may not report for that app, it drops them and counts their lines as refused.
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

// markKnown marks a sender as known if the account is that of a watched or trusted app:
// known senders do not count in the limit of unknown ones.
func (r *Requests) markKnown(s *sender, a *account) {
	if !s.known && !a.isShared() && a.class >= classTrusted && r.senders.known < maxKnownSenders {
		s.known, s.unnamed.class = true, classAttributed
		r.senders.known++
		r.limits.pairs[classPending] -= s.unnamed.pairs
		r.limits.pairs[classAttributed] += s.unnamed.pairs
	}
}

// expireSenders removes inactive senders, and unknown ones at once if there are nearly
// too many; those with unnamed or pending events are kept. UDP senders that are neither
// proven nor foreign are to be proven anew. It returns the senders with unnamed events;
// nil unless full is set.
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
			s.unproven, s.cached = true, cachedAccount{} // another socket may get its port
		}
	}
	return unnamed
}

// removeSender removes a sender.
func (r *Requests) removeSender(s *sender) {
	delete(r.senders.all, s.key)
	if s.known {
		r.senders.known--
	}
	if r.senders.last == s {
		r.senders.last = nil
	}
}

// attributeUnnamed moves the unnamed events of senders to these senders' apps, or to
// "unknown" if an app was not found within attributionTimeout or there are too many
// unknown senders; else they wait for the next call.
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

// moveUnnamed moves the unnamed events of a sender to the account name: that of its app,
// which the kernel has proven, or a shared one.
func (r *Requests) moveUnnamed(s *sender, name string) {
	a := r.accounts.apps[name]
	if a != nil && a.class == classClaimed && !a.isShared() { // another user claimed it
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
