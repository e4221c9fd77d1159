package discovery

import (
	"context"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
)

// lookAtSockets reads who holds which listening socket, as far as needed: the
// descriptors of a candidate are read when it is new, and again when a
// listening socket of its user has appeared. A socket that then still belongs
// to nobody may be held by a program that was replaced by exec long after its
// start, so all of its user's processes are read once more, not more often than
// in searchPause.
func (w *Watcher) lookAtSockets(ctx context.Context, now time.Time, first bool) {
	candidates := w.candidates()
	w.sockets.GetOwn(w.table.Self)
	for _, p := range candidates {
		w.netOf(p)
	}
	news := make(table.Users)
	for _, l := range w.sockets.Refresh(ctx, now) {
		news[l.UID] = true
	}
	w.news = len(news) > 0
	w.readSockets(candidates, news)
	if w.news && !first {
		w.unclaimed()
	}
	if len(w.owed) > 0 && now.Sub(w.searched) > searchPause {
		w.searched = now
		w.table.RereadAll(w.owed, w.matchBits)
		w.readSockets(w.candidates(), w.owed)
		w.owed = make(table.Users)
	}
	w.sockets.AcknowledgeNew()
}

// readSockets reads the descriptors of those that were never read, or may hold
// a new socket of one of these users. What the allowances do not permit is read
// in a later look.
func (w *Watcher) readSockets(candidates []*table.Process, news table.Users) {
	for _, p := range candidates {
		if !p.FDs().Known || p.Stale || len(news) > 0 && news.Concern(p) {
			w.table.ReadDescriptors(p)
		}
	}
}

// unclaimed notes the owners of new listening sockets that belong to no candidate.
func (w *Watcher) unclaimed() {
	missing := make(map[uint64]uint32)
	for _, l := range w.sockets.NewListeners() {
		missing[l.Inode] = l.UID
	}
	for _, p := range w.candidates() {
		if len(missing) == 0 {
			return
		}
		for _, l := range w.holds(p) {
			delete(missing, l.Inode)
		}
	}
	for _, uid := range missing {
		w.owed[uid] = true
	}
}
