// Package tasks reads the queues and workers of background tasks, of RQ and of
// Celery, in a Redis.
package tasks

import (
	"context"
	"slices"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// The limits of one read of queues. Each is far above what a healthy queue
// needs, and what lies above it is counted.
const (
	maxQueues   = 1000 // in one call
	maxWorkers  = 256  // of one RQ queue, whose heartbeat is looked at
	maxStarted  = 100  // jobs of one RQ queue whose worker is looked for
	aheadJobs   = 8    // jobs at the front of an RQ queue that may be its oldest
	maxNameLen  = 256  // bytes of a job's id and of a worker's name
	queuesAtOne = 50   // in one pipeline: below 1 MB of replies
	hashesAtOne = 500  // in one pipeline: some 100 bytes of reply each
)

// QueueKind is the library that a queue belongs to.
type QueueKind int

// The kinds of a [QueueRef].
const (
	RQ     QueueKind = iota // python-rq.org
	Celery                  // kombu's transport for Redis
)

// QueueRef names one queue of background tasks.
type QueueRef struct {
	Kind QueueKind
	Name string // as the app calls it: "default", not "rq:queue:default"
}

// Queue is what a server reports of one queue. Counts are whole numbers of tasks.
type Queue struct {
	Err    *redis.Error // why nothing is known of it; nil: what follows holds
	Lack   *redis.Error // why no more than Length is known; nil: all is
	Length int64        // tasks that wait for a worker

	// Oldest is when the oldest waiting job was put into an RQ queue; zero: not
	// known, or none waits.
	Oldest time.Time
	// Started counts RQ's started jobs, Orphaned those of them that no worker
	// works on any more, Failed the jobs that RQ keeps as failed.
	Started, Orphaned, Failed int64
	Unlooked                  int64     // started jobs over the bound, taken for well
	Workers                   int64     // RQ's workers of this queue, whose entry has not expired
	Heartbeat                 time.Time // the oldest of their heartbeats; zero: not known
	WorkersOver               int64     // registered workers over the bound

	// Heads has the oldest message of each part of a Celery queue, one part a
	// priority, in which a message waits.
	Heads []Head
}

// Unacked is what Celery's workers have taken from a broker and not yet
// acknowledged, of all its queues together.
type Unacked struct {
	Err    *redis.Error // why it is not known
	Count  int64        // messages
	Oldest time.Time    // when the one held longest was taken; zero: none is, or not known
}

// Queues is the answer of [Reader.Queues].
type Queues struct {
	List    []Queue  // as asked for, the first maxQueues of them
	Unacked *Unacked // nil where no Celery queue was asked for
	Over    int      // queues that were asked for and are not in List
}

// Reader reads the queues of one server. Its methods may be called side by side.
type Reader struct {
	server *redis.Server
	heads  *headStore
}

// NewReader returns a reader of the queues of a server.
func NewReader(s *redis.Server) *Reader { return &Reader{s, newHeadStore()} }

// Keyspace calls [redis.Server.Keyspace].
func (r *Reader) Keyspace(ctx context.Context) (string, error) { return r.server.Keyspace(ctx) }

// Queues returns the state of background tasks, of the first 1,000 refs in their order,
// read in a few pipelines; what it requests of each queue does not grow with the queue.
// An [redis.Error] means that nothing is known; what only one queue lacks is in
// [Queue.Err] or [Queue.Lack].
func (r *Reader) Queues(ctx context.Context, refs []QueueRef) (Queues, error) {
	if err := r.oneServer(); err != nil {
		return Queues{}, err
	}
	asked := refs[:min(len(refs), maxQueues)]
	var out Queues
	err := r.server.WithKeys(ctx, func(ctx context.Context, l *redis.Link) error {
		reader := &queueReader{known: r.heads, link: l, now: r.server.Now(), refs: asked, list: make([]Queue, len(asked))}
		err := reader.all(ctx)
		out = Queues{List: reader.list, Unacked: reader.unacked, Over: len(refs) - len(asked)}
		return err
	})
	if err != nil {
		return Queues{}, err
	}
	return out, nil
}

// oneServer returns nil unless the server is a cluster, which is an [redis.Error] with
// the reason unsupported.
func (r *Reader) oneServer() error {
	if r.server.IsCluster() {
		return &redis.Error{Reason: reason.Unsupported, Detail: "is a cluster: RQ and Celery keep their queues on a single server"}
	}
	return nil
}

// queueReader reads the queues of one server.
type queueReader struct {
	known   *headStore
	link    *redis.Link
	now     time.Time
	refs    []QueueRef
	list    []Queue // one a ref
	unacked *Unacked
}

// all sets everything about the queues, the lengths first and the messages last. An error
// is of the connection.
func (q *queueReader) all(ctx context.Context) error {
	var jobs []rqQueue
	var parts []celeryPart
	for chunk := range slices.Chunk(indexes(len(q.refs)), queuesAtOne) {
		more, waiting, err := q.first(ctx, chunk)
		if err != nil {
			return err
		}
		jobs, parts = append(jobs, more...), append(parts, waiting...)
	}
	if err := q.hashes(ctx, jobs); err != nil {
		return err
	}
	if slices.ContainsFunc(q.refs, func(r QueueRef) bool { return r.Kind == Celery }) {
		if err := q.readUnacked(ctx); err != nil {
			return err
		}
	}
	return q.heads(ctx, parts)
}

// first sends the first pipeline for some queues and sets their lengths. It returns which
// jobs, workers and messages to read next, of queues without a refusal. An error is of
// the connection.
func (q *queueReader) first(ctx context.Context, chunk []int) ([]rqQueue, []celeryPart, error) {
	var jobs []rqQueue
	var lengths []celeryLengths
	err := pipelined(ctx, q.link, func(p driver.Pipeliner) {
		for _, i := range chunk {
			if q.refs[i].Kind == RQ {
				jobs = append(jobs, askRQ(ctx, p, i, q.refs[i].Name, q.now))
			} else {
				lengths = append(lengths, askCelery(ctx, p, i, q.refs[i].Name))
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	known := jobs[:0]
	for _, j := range jobs {
		if q.list[j.queue] = j.counts(); q.list[j.queue].Err == nil && q.list[j.queue].Lack == nil {
			known = append(known, j)
		}
	}
	var parts []celeryPart
	for _, c := range lengths {
		var waiting []celeryPart
		q.list[c.queue], waiting = c.counts()
		parts = append(parts, waiting...)
	}
	return known, parts, nil
}

// indexes returns the numbers from 0 to n-1.
func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}
