package diagnosis

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// OfWorker returns the first chain of which a worker is a victim or the root, or in whose
// circle it is; nil if there is none that names its root, and for the slot "".
func OfWorker(list []model.Chain, app, slot string) *model.Chain {
	is := func(l model.Link) bool { return l.App == app && l.Slot == slot && slot != "" }
	for i := range list {
		c := &list[i]
		if !namesRoot(c) {
			continue
		}
		roots := c.Links[len(c.Links)-1:]
		if c.Deadlock {
			roots = c.Links
		}
		if slices.ContainsFunc(c.Victims, is) || slices.ContainsFunc(roots, is) {
			return c
		}
	}
	return nil
}

// OfServer returns the first chain that names its root and whose victims wait for a
// server, e.g. "mysql:main", or whose root is or has a connection to it, or is a client of it;
// nil if there is none.
func OfServer(list []model.Chain, server string) *model.Chain {
	for i := range list {
		if c := &list[i]; namesRoot(c) && (c.Peer == server || c.Links[len(c.Links)-1].Server == server) {
			return c
		}
	}
	return nil
}

// namesRoot reports whether a chain ends at a worker, a connection or a client, or is a
// deadlock. The others end at a server, an address or an app without a worker, or have no links.
func namesRoot(c *model.Chain) bool {
	if len(c.Links) == 0 {
		return false
	}
	root := &c.Links[len(c.Links)-1]
	return c.Deadlock || root.Slot != "" || root.Connection != 0 || root.Host != ""
}
