// Package origin proves who sent a UDP datagram of this host: by the kernel's
// table of sockets, which has the user id of whoever made each socket.
package origin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// addressesFor is how long the list of this host's addresses is used.
const addressesLifetime = 10 * time.Second

// maxPorts is how many ports are asked for one by one.
const maxSinglePorts = 64

// Prover looks up UDP sources in the network namespace of the exporter. It may
// be used by several goroutines.
type Prover struct {
	mu                 sync.Mutex
	conn               *sockdiag.Conn // nil until the first question, and after a failure to open it
	ownAddresses       map[netip.Addr]bool
	ownAddressesReadAt time.Time
}

// New returns a Prover; nothing is opened before the first [Prover.Prove].
func New() *Prover { return &Prover{} }

// Prove returns what the kernel reports about each of these UDP sources, by the
// source asked for. One that stays unproven is Foreign, or its socket is closed
// already, or sockets of several users have its port: any of them may have sent,
// because a socket may choose another address of this host as the source of a
// datagram (IP_PKTINFO) but never another port. The error is that of the
// kernel's table; nothing is proven then.
func (p *Prover) Prove(ctx context.Context, asked []ingest.Source) (map[ingest.Source]ingest.Source, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own, err := p.addresses()
	if err != nil {
		return nil, err
	}
	byPort := make(map[uint16][]sockdiag.UDPSocket)
	for _, s := range asked {
		byPort[s.Addr.Port()] = nil
	}
	list, err := p.sockets(ctx, byPort)
	if err != nil {
		return nil, err
	}
	for _, u := range list {
		if same, asked := byPort[u.Local.Port()]; asked {
			byPort[u.Local.Port()] = append(same, u)
		}
	}
	out := make(map[ingest.Source]ingest.Source, len(asked))
	for _, s := range asked {
		out[s] = proveSource(s, byPort[s.Addr.Port()], own)
	}
	return out, nil
}

// prove judges one source by all sockets that have its port.
func proveSource(s ingest.Source, same []sockdiag.UDPSocket, own map[netip.Addr]bool) ingest.Source {
	addr := s.Addr.Addr().Unmap().WithZone("")
	if !addr.IsLoopback() && !own[addr] {
		s.Foreign = true
		return s
	}
	from, ok := sockdiag.Sender(same, s.Addr)
	if !ok {
		return s
	}
	for _, u := range same {
		if u.UID != from.UID {
			return s
		}
	}
	s.UID, s.Inode, s.Proven = from.UID, from.Inode, true
	return s
}

// sockets lists the UDP sockets of this namespace. Where somebody holds more of
// them than one answer may have, only those of some ports are asked for.
func (p *Prover) sockets(ctx context.Context, ports map[uint16][]sockdiag.UDPSocket) ([]sockdiag.UDPSocket, error) {
	if p.conn == nil {
		conn, err := sockdiag.Dial(0)
		if err != nil {
			return nil, err
		}
		p.conn = conn
	}
	list, err := p.conn.UDP(ctx, 0)
	if !errors.Is(err, sockdiag.ErrTooMany) {
		return list, withoutMissingFamily(err)
	}
	list, err = nil, nil
	n := 0
	for port := range ports {
		if n++; n > maxSinglePorts {
			break
		}
		some, e := p.conn.UDP(ctx, port)
		list, err = append(list, some...), errors.Join(err, withoutMissingFamily(e))
	}
	return list, err
}

// unlessRefused drops the error of a kernel without one of the two families.
// What else is missing from a list could be the socket of another user.
func withoutMissingFamily(err error) error {
	if errors.Is(err, unix.ENOENT) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, sockdiag.ErrTooMany) {
		return nil
	}
	return err
}

// addresses returns the addresses of this host, read at most once in addressesFor.
func (p *Prover) addresses() (map[netip.Addr]bool, error) {
	now := time.Now()
	if p.ownAddresses != nil && now.Sub(p.ownAddressesReadAt) < addressesLifetime {
		return p.ownAddresses, nil
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this host: %w", err)
	}
	own := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own[ip.Unmap()] = true
			}
		}
	}
	p.ownAddresses, p.ownAddressesReadAt = own, now
	return own, nil
}

// Close frees what the Prover holds; it must not be used after it.
func (p *Prover) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	err := p.conn.Close()
	p.conn = nil
	return err
}
