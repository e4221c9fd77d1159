package app

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/ingest/origin"
)

// senders decides who may report for every app, and proves who sends by UDP.
type senders struct {
	prover *origin.Prover
	log    *slog.Logger
	self   uint32
	trust  atomic.Pointer[trust]
}

// trust is the entries of statsd.trust.
type trust struct {
	users map[uint32]bool
	nets  []netip.Prefix
}

func newSenders(log *slog.Logger) *senders {
	s := &senders{prover: origin.New(), log: log, self: uint32(os.Geteuid())}
	s.trust.Store(&trust{})
	return s
}

// apply sets the entries of statsd.trust, which are checked already.
func (s *senders) apply(entries []string) {
	t := &trust{users: make(map[uint32]bool)}
	for _, e := range entries {
		x, err := config.ParseTrust(e)
		switch {
		case err != nil:
		case x.Net.IsValid():
			t.nets = append(t.nets, x.Net)
		default:
			t.users[x.UID] = true
		}
	}
	s.trust.Store(t)
}

// trusts reports whether a sender may report for every app: root, the
// exporter's own user, and whom the configuration names.
func (s *senders) trusts(from ingest.Source) bool {
	t := s.trust.Load()
	if from.Proven && (from.UID == 0 || from.UID == s.self || t.users[from.UID]) {
		return true
	}
	if !from.Addr.IsValid() {
		return false
	}
	addr := from.Addr.Addr().Unmap().WithZone("")
	for _, n := range t.nets {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// prove returns what the kernel reports about UDP sources.
func (s *senders) prove(ctx context.Context, asked []ingest.Source) map[ingest.Source]ingest.Source {
	out, err := s.prover.Prove(ctx, asked)
	if err != nil {
		s.log.Debug("UDP senders cannot be verified", "err", err)
	}
	return out
}

// Run frees the resources of the proofs when ctx ends.
func (s *senders) Run(ctx context.Context) error {
	<-ctx.Done()
	return s.prover.Close()
}
