package discovery

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// refreshSockets updates which process holds which listening socket. It reads the
// descriptors of a candidate when it is new, and again when a listening socket of its
// user has appeared. A socket without a known holder may be held by a program that was
// replaced by exec long after its start, so it reads all processes of that user again, at
// most once in rereadPause.
func (w *Watcher) refreshSockets(ctx context.Context, now time.Time, first bool) {
	candidates := w.candidates()
	w.namespaces.GetOwn(w.table.Self)
	for _, p := range candidates {
		w.netOf(p)
	}
	news := make(table.Users)
	for _, l := range w.namespaces.Refresh(ctx, now) {
		news[l.UID] = true
	}
	w.newListener = len(news) > 0
	w.readDescriptors(candidates, news)
	if w.newListener && !first {
		w.noteUnclaimed()
	}
	if len(w.unclaimedOf) > 0 && now.Sub(w.rereadAt) > rereadPause {
		w.rereadAt = now
		w.table.RereadAll(w.unclaimedOf, w.matchBits)
		w.readDescriptors(w.candidates(), w.unclaimedOf)
		w.unclaimedOf = make(table.Users)
	}
	w.namespaces.AcknowledgeNew()
}

// readDescriptors reads the descriptors of processes that were never read, or may hold a new
// socket of one of the users in news. What exceeds the allowances is read in a later scan.
func (w *Watcher) readDescriptors(candidates []*table.Process, news table.Users) {
	for _, p := range candidates {
		if !p.FDs().Known || p.FDsStale || len(news) > 0 && news.MayHold(p) {
			w.table.ReadDescriptors(p)
		}
	}
}

// noteUnclaimed records the users of new listening sockets that no candidate holds, so that
// their processes are read again.
func (w *Watcher) noteUnclaimed() {
	missing := make(map[uint64]uint32)
	for _, l := range w.namespaces.NewListeners() {
		missing[l.Inode] = l.UID
	}
	for _, p := range w.candidates() {
		if len(missing) == 0 {
			return
		}
		for _, l := range w.listenersOf(p) {
			delete(missing, l.Inode)
		}
	}
	for _, uid := range missing {
		w.unclaimedOf[uid] = true
	}
}
