package discovery

import (
	"context"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/ingest"
)

// Senders returns the apps that sent from these proven sources, without the sources whose
// app is not known: by the process id that came with a UNIX datagram, if the app has a
// process of that user too, or by who holds the UDP socket. Nil if the processes cannot be
// listed or ctx ends.
func (w *Watcher) Senders(ctx context.Context, sources []ingest.Source) map[ingest.Source]string {
	if _, err := w.Snapshot(ctx); err != nil {
		return nil
	}
	if err := w.lock(ctx); err != nil {
		return nil
	}
	defer w.unlock()
	out := make(map[ingest.Source]string, len(sources))
	for _, s := range sources {
		switch {
		case !s.Proven:
		case s.PID != 0:
			// The number may be reused by now: the user must be the sender's.
			if p := w.table.Processes[int(s.PID)]; p != nil && p.Member != nil && slices.Contains(memberOf(p).users(), s.UID) {
				out[s] = memberOf(p).name
			}
		case s.Inode != 0:
			if name := w.holderOf(s.Inode); name != "" {
				out[s] = name
			}
		}
	}
	return out
}

// Users returns the user ids of the processes of each app; none for an app that is down.
// Nil if the processes cannot be listed or ctx ends.
func (w *Watcher) Users(ctx context.Context) map[string][]uint32 {
	if _, err := w.Snapshot(ctx); err != nil {
		return nil
	}
	if err := w.lock(ctx); err != nil {
		return nil
	}
	defer w.unlock()
	out := make(map[string][]uint32, len(w.apps))
	for _, a := range w.apps {
		out[a.name] = a.users()
	}
	return out
}

// users returns the user ids of an app's processes, each once.
func (a *app) users() []uint32 {
	var out []uint32
	for _, p := range a.members {
		if !slices.Contains(out, p.UID) {
			out = append(out, p.UID)
		}
	}
	return out
}

// holderOf returns the name of the app that holds a socket; "" if none is known to. For
// an unknown socket the descriptors of all apps are read again, at most once a second.
func (w *Watcher) holderOf(inode uint64) string {
	if name := w.holderName(inode); name != "" {
		return name
	}
	if now := w.now(); now.Sub(w.fdsReadAt) > time.Second {
		w.fdsReadAt = now
		for _, a := range w.apps {
			for _, p := range a.members {
				w.table.ReadDescriptors(p)
			}
		}
		return w.holderName(inode)
	}
	return ""
}

// holderName returns the name of the app that is known to hold a socket; "" if none is. Nothing
// is read.
func (w *Watcher) holderName(inode uint64) string {
	for _, a := range w.apps {
		for _, p := range a.members {
			if _, ok := p.FDs().Sockets[inode]; ok {
				return a.name
			}
		}
	}
	return ""
}
