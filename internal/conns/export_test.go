package conns

import (
	"context"
	"net/netip"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// Directory is the index of services by address.
type Directory struct{ d *serviceIndex }

// NewDirectory returns a directory of services.
func NewDirectory(services []Service) *Directory { return &Directory{newServiceIndex(services)} }

// SetLookup replaces the resolver.
func (d *Directory) SetLookup(f func(context.Context, string) ([]netip.Addr, error)) { d.d.lookup = f }

// Resolve looks up the addresses again.
func (d *Directory) Resolve(ctx context.Context, now time.Time) { d.d.resolve(ctx, now) }

// Component returns the component that listens at a TCP address.
func (d *Directory) Component(to netip.AddrPort) string { return d.d.component(to) }

// SocketComponent returns the component that listens at the path of a UNIX socket.
func (d *Directory) SocketComponent(path string) string { return d.d.pathComponent(path) }

// Works is works of the real /proc.
func Works(ctx context.Context, pid int) (bool, error) { return works(ctx, procfs.New("/proc"), pid) }
