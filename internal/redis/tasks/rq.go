package tasks

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	driver "github.com/redis/go-redis/v9"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

// rqKeys is what RQ calls its keys, as the end of an ACL rule.
const rqKeys = "%R~rq:* (before Redis 7 ~rq:*)"

// rqQueue has the commands of one RQ queue.
type rqQueue struct {
	queue                   int // index of its [Queue]
	length                  *driver.IntCmd
	ahead                   *driver.StringSliceCmd // ids of the jobs that come next
	started, expired        *driver.IntCmd
	alive                   *driver.StringSliceCmd // started jobs whose time is not up
	failed, workers         *driver.IntCmd
	names                   *driver.StringSliceCmd // keys of workers
	jobTimes, jobWorkers    []*driver.SliceCmd
	workerKeys, startedJobs []string
}

// askRQ adds the commands for one queue to p, and returns where their replies will be:
// the list rq:queue:NAME, from whose left end workers take jobs; the sorted sets
// rq:wip:NAME (started jobs by the Unix time at which they expire, which a live worker
// postpones) and rq:failed:NAME; and the set rq:workers:NAME.
func askRQ(ctx context.Context, p driver.Pipeliner, i int, name string, now time.Time) rqQueue {
	at := strconv.FormatInt(now.Unix(), 10)
	list, wip, workers := "rq:queue:"+name, "rq:wip:"+name, "rq:workers:"+name
	return rqQueue{
		queue:   i,
		length:  p.LLen(ctx, list),
		ahead:   p.LRange(ctx, list, 0, aheadJobs-1),
		started: p.ZCard(ctx, wip),
		expired: p.ZCount(ctx, wip, "0", "("+at),
		alive:   p.ZRangeByScore(ctx, wip, &driver.ZRangeBy{Min: at, Max: "+inf", Count: maxStarted}),
		failed:  p.ZCard(ctx, "rq:failed:"+name),
		workers: p.SCard(ctx, workers),
		names:   p.SRandMemberN(ctx, workers, maxWorkers),
	}
}

// counts returns the queue by the replies of the first pipeline. If the length cannot be
// read, it has only Err, which says why; if anything else, only Lack and the length. It
// also sets which workers and started jobs to read next.
func (r *rqQueue) counts() Queue {
	if err := refused(rqKeys, r.length); err != nil {
		return Queue{Err: err}
	}
	if err := refused(rqKeys, r.ahead, r.started, r.expired, r.alive, r.failed, r.workers, r.names); err != nil {
		return Queue{Lack: err, Length: size(r.length)}
	}
	for _, key := range r.names.Val() {
		if strings.HasPrefix(key, "rq:worker:") && len(key) <= maxNameLen && !slices.Contains(r.workerKeys, key) {
			r.workerKeys = append(r.workerKeys, key)
		}
	}
	for _, entry := range r.alive.Val() {
		if id := jobOf(entry); id != "" {
			r.startedJobs = append(r.startedJobs, id)
		}
	}
	started, expired := size(r.started), size(r.expired)
	return Queue{
		Length: size(r.length), Started: started, Orphaned: min(expired, started), Failed: size(r.failed),
		Unlooked:    max(0, started-expired-int64(len(r.alive.Val()))),
		WorkersOver: max(0, size(r.workers)-maxWorkers),
	}
}

// jobOf returns the id of a started job from its entry: since RQ 2 the id is followed by
// that of the execution, 32 hexadecimal digits. "" for an entry of more than 256 bytes.
func jobOf(entry string) string {
	if len(entry) > maxNameLen {
		return ""
	}
	if n := len(entry) - 33; n > 0 && entry[n] == ':' && strings.Trim(entry[n+1:], "0123456789abcdef") == "" {
		return entry[:n]
	}
	return entry
}

// hashes adds to the queues what the hashes of jobs (when it was enqueued, its worker)
// and of workers (time of the last heartbeat) tell.
func (q *queueReader) hashes(ctx context.Context, jobs []rqQueue) error {
	b := newHashBatch(q.link)
	for i := range jobs {
		jobs[i].ask(ctx, b)
	}
	if err := b.send(ctx); err != nil {
		return err
	}
	for i := range jobs {
		jobs[i].askWorkers(ctx, b)
	}
	if err := b.send(ctx); err != nil {
		return err
	}
	for i := range jobs {
		jobs[i].finish(&q.list[jobs[i].queue], b.workers)
	}
	return nil
}

// ask adds to b the commands that read the hashes of the queue's jobs and workers.
func (r *rqQueue) ask(ctx context.Context, b *hashBatch) {
	for _, id := range r.ahead.Val() {
		if len(id) <= maxNameLen {
			r.jobTimes = append(r.jobTimes, b.get(ctx, "rq:job:"+id, "enqueued_at", "created_at"))
		}
	}
	for _, id := range r.startedJobs {
		r.jobWorkers = append(r.jobWorkers, b.get(ctx, "rq:job:"+id, "worker_name"))
	}
	for _, key := range r.workerKeys {
		b.worker(ctx, key)
	}
}

// askWorkers adds to b the commands for the workers of started jobs: a worker may have
// come after the queue's workers were read, or serve other queues now.
func (r *rqQueue) askWorkers(ctx context.Context, b *hashBatch) {
	for _, c := range r.jobWorkers {
		if name := text(c, 0); name != "" && len(name) <= maxNameLen {
			b.worker(ctx, "rq:worker:"+name)
		}
	}
}

// finish sets in the queue what the hashes tell. If a read was refused, Lack of the queue
// says why. workers has the replies by the worker's key.
func (r *rqQueue) finish(to *Queue, workers map[string]*driver.SliceCmd) {
	cmds := make([]driver.Cmder, 0, len(r.jobTimes)+len(r.jobWorkers)+len(r.workerKeys))
	for _, c := range slices.Concat(r.jobTimes, r.jobWorkers) {
		cmds = append(cmds, c)
	}
	for _, key := range r.workerKeys {
		cmds = append(cmds, workers[key])
	}
	if err := refused(rqKeys, cmds...); err != nil {
		*to = Queue{Lack: err, Length: to.Length}
		return
	}
	for _, c := range r.jobTimes {
		at := parseTime(text(c, 0))
		if at.IsZero() {
			at = parseTime(text(c, 1))
		}
		to.Oldest = earlier(to.Oldest, at)
	}
	for _, key := range r.workerKeys {
		if lives(workers[key]) {
			to.Workers++
			to.Heartbeat = earlier(to.Heartbeat, parseTime(text(workers[key], 0)))
		}
	}
	for _, c := range r.jobWorkers {
		// A job without the name of a worker has just been started, or has just ended.
		if w := workers["rq:worker:"+text(c, 0)]; w != nil && w.Err() == nil && !lives(w) {
			to.Orphaned = min(to.Orphaned+1, to.Started)
		}
	}
}

// lives reports whether a worker is alive: its hash has a heartbeat, since it expires
// without them, and no death, which it has once the worker has ended. False also if the
// hash could not be read.
func lives(c *driver.SliceCmd) bool { return text(c, 0) != "" && text(c, 1) == "" }

// hashBatch reads fields of many hashes in pipelines of a bounded length, and each worker
// once, however many queues it serves.
type hashBatch struct {
	link    *redis.Link
	open    []*driver.SliceCmd
	workers map[string]*driver.SliceCmd // last_heartbeat and death, by key
}

// newHashBatch returns a batch without commands.
func newHashBatch(l *redis.Link) *hashBatch {
	return &hashBatch{link: l, workers: make(map[string]*driver.SliceCmd)}
}

// get adds a command that reads fields of a hash, and returns it; its reply is there
// after send.
func (b *hashBatch) get(ctx context.Context, key string, fields ...string) *driver.SliceCmd {
	args := []any{"hmget", key}
	for _, f := range fields {
		args = append(args, f)
	}
	c := driver.NewSliceCmd(ctx, args...)
	b.open = append(b.open, c)
	return c
}

// worker adds the fields of a worker to the batch, once.
func (b *hashBatch) worker(ctx context.Context, key string) {
	if b.workers[key] == nil {
		b.workers[key] = b.get(ctx, key, "last_heartbeat", "death")
	}
}

// send sends the commands of the batch, hashesAtOne at a time.
func (b *hashBatch) send(ctx context.Context) error {
	for chunk := range slices.Chunk(b.open, hashesAtOne) {
		err := pipelined(ctx, b.link, func(p driver.Pipeliner) {
			for _, c := range chunk {
				_ = p.Process(ctx, c) // it is only queued
			}
		})
		if err != nil {
			return err
		}
	}
	b.open = nil
	return nil
}

// text returns one field of a reply to HMGET; "" if it is missing or there is no reply.
func text(c *driver.SliceCmd, field int) string {
	if v := c.Val(); field < len(v) {
		s, _ := v[field].(string)
		return s
	}
	return ""
}

// parseTime returns the time in a text of RQ, "2026-01-02T15:04:05.678901Z", or of another
// zone and fraction (RFC 3339); the zero time for anything else, and before 1970.
func parseTime(s string) time.Time {
	if len(s) > len("2026-01-02T15:04:05.678901234+00:00") {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil || at.Unix() <= 0 {
		return time.Time{}
	}
	return at
}

// earlier returns the earlier of two times. A zero time is none, so that the other one is
// returned.
func earlier(x, y time.Time) time.Time {
	if x.IsZero() || !y.IsZero() && y.Before(x) {
		return y
	}
	return x
}
