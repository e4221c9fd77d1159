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

// newSenders returns senders of which only root and the exporter's own user are trusted yet.
func newSenders(log *slog.Logger) *senders {
	s := &senders{prover: origin.New(), log: log, self: uint32(os.Geteuid())}
	s.trust.Store(&trust{})
	return s
}

// apply sets who may report for every app. entries are those of statsd.trust; one that
// cannot be parsed is skipped, since the configuration has been checked.
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

// trusts reports whether a sender may report for every app: one whose user is proven to be
// root, the exporter's own or a configured one, or whose address is in a configured network.
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

// prove returns the given UDP sources with what the kernel reports about them: the
// process and the user. If the kernel cannot be asked, the result lacks those sources.
func (s *senders) prove(ctx context.Context, asked []ingest.Source) map[ingest.Source]ingest.Source {
	out, err := s.prover.Prove(ctx, asked)
	if err != nil {
		s.log.Debug("UDP senders cannot be verified", "err", err)
	}
	return out
}

// Run waits until ctx ends, then closes the prover's socket to the kernel and returns the
// error of that; nil if the prover had none open.
func (s *senders) Run(ctx context.Context) error {
	<-ctx.Done()
	return s.prover.Close()
}
