package diagnosis

import (
	"cmp"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// The kinds of [model.Chain.Kind] that are more specific than what the store reports.
const (
	kindGIL      = "gil"
	kindLock     = "lock"
	kindUpstream = "upstream"
	kindFull     = "full"
	kindDown     = "down"
	kindScript   = "script"
	kindSlow     = "slow_command"
	kindBlocking = "blocked" // a command of Redis that waits for data
)

// likely is the kind of the node of a connection that is likely to hold what is waited for:
// what it waits for itself is not reported.
const likely = "likely"

// sort is what a node is.
type sort int

const (
	ofThread     sort = iota
	ofConnection      // that is joined to no thread
	ofProcess         // one of the threads of a worker, which is not known
	ofApp             // the workers of an app
	ofPlace           // a server or an address
	ofHolder          // who has most connections of a full server
)

// node is one party: who waits, or who is waited for. It is comparable.
type node struct {
	sort sort
	// index is of a thread or of a worker, in the graph's lists.
	index int
	// name is of a server, an address or an app.
	name string
	id   uint64 // of a connection
	// served is the server's end of a connection without a known id.
	served uint64
	// kind and object distinguish what is waited for at one place, if the holder is
	// unknown.
	kind, object string
}

// compare returns the order of two nodes, as cmp.Compare does; 0: they are the same.
func (n node) compare(o node) int {
	return cmp.Or(cmp.Compare(n.sort, o.sort), cmp.Compare(n.index, o.index), cmp.Compare(n.name, o.name),
		cmp.Compare(n.id, o.id), cmp.Compare(n.served, o.served), cmp.Compare(n.kind, o.kind), cmp.Compare(n.object, o.object))
}

// step is one wait: of a node for another one.
type step struct {
	to node
	// on, peer, kind and object are what is waited for, as [model.Chain] has them.
	on, peer, kind, object string
	// connection is the one of the node that is waited for, where that holds a lock.
	connection key
	held       bool // it is seen that to holds what is waited for
	probable   bool // that it is to is likely, and not proven
	candidates int  // how many threads or workers to stands for; 0: one
}

// key names one connection of a server, such as "mysql:main": by its id, or where that is
// not known by the inode of the server's end.
type key struct {
	server string
	id     uint64
	served uint64
}

// key returns the key of the connection that a node of the sort ofConnection stands for.
func (n node) key() key { return key{n.name, n.id, n.served} }

// keyOf returns the key of a connection; the zero key if nothing identifies it.
func keyOf(c *model.StoreConnection) key {
	switch {
	case c.ID != 0:
		return key{server: c.Server, id: c.ID}
	case c.Served != 0:
		return key{server: c.Server, served: c.Served}
	}
	return key{}
}

// blockerOf returns the key of the connection that is waited for; the zero key if it is
// not known.
func blockerOf(w *model.StoreWait) key {
	switch {
	case w.Blocker != 0:
		return key{server: w.Server, id: w.Blocker}
	case w.Served != 0:
		return key{server: w.Server, served: w.Served}
	}
	return key{}
}
