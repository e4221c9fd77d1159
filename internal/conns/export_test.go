package conns

import (
	"context"
	"net/netip"
	"time"
)

// Directory tells which address is which service's.
type Directory struct{ d *serviceIndex }

// NewDirectory returns a directory of services.
func NewDirectory(services []Service) *Directory { return &Directory{newServiceIndex(services)} }

// SetLookup replaces the resolver.
func (d *Directory) SetLookup(f func(context.Context, string) ([]netip.Addr, error)) { d.d.lookup = f }

// Resolve brings the addresses up to date.
func (d *Directory) Resolve(ctx context.Context, now time.Time) { d.d.resolve(ctx, now) }

// Component names what a TCP connection leads to.
func (d *Directory) Component(to netip.AddrPort) string { return d.d.component(to) }

// SocketComponent names what a UNIX socket is.
func (d *Directory) SocketComponent(path string) string { return d.d.pathComponent(path) }
