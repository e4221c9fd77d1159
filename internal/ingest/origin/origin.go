// Package origin determines the user that sent a UDP datagram from this host, by the
// kernel's table of sockets, which has the user id of the creator of each socket.
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

// addressesLifetime is how long the list of this host's addresses is cached.
const addressesLifetime = 10 * time.Second

// maxSinglePorts is the maximum number of ports that are queried one by one.
const maxSinglePorts = 64

// Prover looks up UDP sources in the network namespace of the exporter. It is safe for
// concurrent use.
type Prover struct {
	mu                 sync.Mutex
	conn               *sockdiag.Conn // nil until the first query
	ownAddresses       map[netip.Addr]bool
	ownAddressesReadAt time.Time
}

// New returns a Prover; nothing is opened before the first [Prover.Prove].
func New() *Prover { return &Prover{} }

// Prove returns what the kernel reports about each of these UDP sources, by the given
// source. One stays unproven if it is Foreign, its socket is closed or not in the list (see
// sockets), or sockets of several users have its port: any may have sent it, as a socket
// may choose another address of this host (IP_PKTINFO) but not another port. The error is
// that of reading addresses or sockets; the map is nil then.
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

// proveSource returns a source as proven by the sockets that have its port: Foreign if its
// address is not one of own, those of this host; unchanged if no socket has it, or sockets
// of several users have the port.
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

// sockets returns the UDP sockets of this namespace. If there are more than one query may
// return, it returns those of at most maxSinglePorts of ports. With an error the list may
// be incomplete.
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

// withoutMissingFamily returns an error without that of a kernel without IPv4 or IPv6,
// which the query of both joins; nil if there is no other. With another error, the socket of
// another user could be missing from the list.
func withoutMissingFamily(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var left []error
		for _, e := range joined.Unwrap() {
			left = append(left, withoutMissingFamily(e))
		}
		return errors.Join(left...)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// addresses returns the addresses of this host, read at most once in addressesLifetime.
// The map is shared and must not be changed.
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

// Close closes the socket to the kernel; nil if none is open. The Prover must not be used
// afterwards.
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
