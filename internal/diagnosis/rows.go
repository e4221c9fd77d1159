package diagnosis

import (
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// thread is one request thread with its worker.
type thread struct {
	*model.Thread

	app    string
	worker int // index in graph.workers
}

// worker is one process of an app.
type worker struct {
	*model.Worker

	app     string
	threads []int // indices in graph.threads, without helpers
	holders []int // those of the threads that hold the interpreter's lock
}

// asleep reports whether a connection is one of MySQL that runs no statement.
func asleep(c *model.StoreConnection) bool {
	return strings.HasPrefix(c.Server, "mysql:") && strings.EqualFold(c.Command, "sleep")
}

// inHand reports whether a thread may have a request: it is not seen idle.
func (t *thread) inHand() bool { return t.On != "idle" }

// storeWait reports whether a thread waits for a MySQL or Redis server of the
// configuration; false for one that is known by its address only.
func storeWait(t *model.Thread) bool {
	return (t.On == "mysql" || t.On == "redis") && strings.HasPrefix(t.Peer, t.On+":")
}
