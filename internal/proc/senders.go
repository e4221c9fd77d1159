package proc

import (
	"context"
	"net/netip"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// Senders names the apps that sent from these sources, as far as they are
// known: by the process id that came with a UNIX datagram, or by who holds the
// UDP socket that is bound to the source's port in our network namespace.
func (w *Watcher) Senders(ctx context.Context, sources []ingest.Source) map[ingest.Source]string {
	if _, err := w.Snapshot(ctx); err != nil {
		return nil
	}
	if err := w.lock(ctx); err != nil {
		return nil
	}
	defer w.unlock()
	out := make(map[ingest.Source]string, len(sources))
	var udp []sockdiag.UDPSocket
	var asked bool
	for _, s := range sources {
		if s.PID != 0 {
			if p := w.table.procs[int(s.PID)]; p != nil && p.member != nil {
				out[s] = p.member.name
			}
			continue
		}
		if !asked {
			udp, asked = w.udp(ctx), true
		}
		if name := w.ownerOf(udp, s.Addr); name != "" {
			out[s] = name
		}
	}
	return out
}

func (w *Watcher) udp(ctx context.Context) []sockdiag.UDPSocket {
	n := w.sockets.nets[w.sockets.own]
	if n == nil || n.conn == nil {
		return nil
	}
	list, err := n.conn.UDP(ctx, 0)
	if err != nil {
		w.log.Debug("UDP sockets cannot be listed, senders stay unknown", "err", err)
	}
	return list
}

// ownerOf finds the app that holds the UDP socket with this local address. A
// socket that nobody is known to hold makes the descriptors of all apps be
// read again, at most once a second.
func (w *Watcher) ownerOf(udp []sockdiag.UDPSocket, from netip.AddrPort) string {
	var inodes []uint64
	for _, u := range udp {
		if u.Local.Port() == from.Port() && (u.Local.Addr() == from.Addr().Unmap() || u.Local.Addr().IsUnspecified()) {
			inodes = append(inodes, u.Inode)
		}
	}
	if len(inodes) == 0 {
		return ""
	}
	if name := w.holderName(inodes); name != "" {
		return name
	}
	if now := w.now(); now.Sub(w.ownersAt) > time.Second {
		w.ownersAt = now
		for _, a := range w.apps {
			for _, p := range a.members {
				w.table.readWithin(p)
			}
		}
		return w.holderName(inodes)
	}
	return ""
}

func (w *Watcher) holderName(inodes []uint64) string {
	for _, a := range w.apps {
		for _, p := range a.members {
			for _, ino := range inodes {
				if _, ok := p.fds.sockets[ino]; ok {
					return a.name
				}
			}
		}
	}
	return ""
}
