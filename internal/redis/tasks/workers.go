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

// RQWorker is one worker of RQ, as it registers itself under rq:worker:NAME and keeps its
// entry up to date. Every client that may write to the Redis may also write this.
type RQWorker struct {
	Key       string    // identifies the worker; it may contain a host name, so it is not shown
	Host      string    // its host's name, as the worker itself sees it
	PID       int       // on that host
	Birth     time.Time // when it registered itself
	Heartbeat time.Time // its last sign of life; by default every 30 s while busy, every 405 s while idle
	Ended     int64     // jobs that it has finished or failed

	Job        string    // the one it holds; "": none. Not for showing
	JobQueue   string    // the queue that this job came from; "": not known
	JobStarted time.Time // when it began; zero: not known
}

// RQSnapshot is a queue of RQ and its workers, read on one connection.
type RQSnapshot struct {
	Workers []RQWorker        // registered ones, at most 256
	Waiting int64             // jobs in the queue
	At      redis.ServerState // with the list of clients where workers are registered and jobs wait
}

// RQWorkers returns the workers of a queue of RQ that have not ended, in no order, those of
// at most 256 entries, how many jobs wait in it and the server's state, all read on one
// connection. Its error is an [redis.Error], also if only one of the commands is refused;
// but without CLIENT LIST only the state's Clients are missing.
func (r *Reader) RQWorkers(ctx context.Context, queue string) (RQSnapshot, error) {
	if err := r.oneServer(); err != nil {
		return RQSnapshot{}, err
	}
	var reader rqWorkerReader
	var at redis.ServerState
	err := r.server.OnOneConnection(ctx, func(ctx context.Context, l *redis.Link) (err error) {
		reader = rqWorkerReader{link: l, queue: queue}
		if err := reader.all(ctx); err != nil || reader.fault != nil {
			return err
		}
		at, err = r.server.State(ctx, l)
		return err
	})
	switch {
	case err != nil:
		return RQSnapshot{}, err
	case reader.fault != nil:
		return RQSnapshot{}, reader.fault
	}
	return RQSnapshot{reader.workers, reader.length, at}, nil
}

// rqWorkerReader reads the workers of a queue, in three pipelines.
type rqWorkerReader struct {
	link    *redis.Link
	queue   string
	length  int64
	workers []RQWorker
	fault   *redis.Error // of the first command that failed; the connection still works
}

// all reads the length of the queue, and its workers with their jobs. What the server
// refuses is in fault; an error is of the connection.
func (q *rqWorkerReader) all(ctx context.Context) error {
	var length *driver.IntCmd
	var keys *driver.StringSliceCmd
	err := pipelined(ctx, q.link, func(p driver.Pipeliner) {
		length = p.LLen(ctx, "rq:queue:"+q.queue)
		keys = p.SRandMemberN(ctx, "rq:workers:"+q.queue, maxWorkers)
	})
	if q.fault = refused(rqKeys, length, keys); err != nil || q.fault != nil {
		return err
	}
	q.length = size(length)
	if err := q.entries(ctx, keys.Val()); err != nil || q.fault != nil {
		return err
	}
	return q.jobs(ctx)
}

// entries sets q.workers by the workers' own entries, without those that [parseWorker]
// refuses, such as of a worker that has ended. A refusal is in q.fault; an error is of
// the connection.
func (q *rqWorkerReader) entries(ctx context.Context, keys []string) error {
	b := newHashBatch(q.link)
	var known []string
	var cmds []*driver.SliceCmd
	for _, key := range keys {
		if strings.HasPrefix(key, "rq:worker:") && len(key) <= maxNameLen && !slices.Contains(known, key) {
			known = append(known, key)
			cmds = append(cmds, b.get(ctx, key, "last_heartbeat", "death", "hostname", "pid", "birth", "current_job", "successful_job_count", "failed_job_count"))
		}
	}
	if err := b.send(ctx); err != nil {
		return err
	}
	for i, c := range cmds {
		if q.fault = refused(rqKeys, c); q.fault != nil {
			return nil
		}
		if w, ok := parseWorker(c.Val()); ok && c.Err() == nil {
			w.Key = known[i]
			q.workers = append(q.workers, w)
		}
	}
	return nil
}

// parseWorker returns the worker with the fields of its entry, without its Key; false if it has
// ended (a death of any value), or a pid from 2 to 2^22, the heartbeat or the birth is missing
// or not valid. Any other text of more than 256 bytes counts as missing, and a count of jobs
// that is no number as 0.
func parseWorker(fields []any) (RQWorker, bool) {
	at := func(i int) string {
		if i < len(fields) {
			if s, ok := fields[i].(string); ok && len(s) <= maxNameLen {
				return s
			}
		}
		return ""
	}
	pid, err := strconv.Atoi(at(3))
	w := RQWorker{Host: at(2), PID: pid, Heartbeat: parseTime(at(0)), Birth: parseTime(at(4)), Job: at(5), Ended: jobCount(at(6)) + jobCount(at(7))}
	dead := len(fields) > 1 && fields[1] != nil && fields[1] != "" // of any value
	ok := err == nil && pid > 1 && pid <= 1<<22 && !w.Heartbeat.IsZero() && !w.Birth.IsZero() && !dead
	return w, ok
}

// jobCount returns a number of jobs; 0 if the text is not a number from 0 to 2^53.
func jobCount(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		return 0
	}
	return n
}

// jobs sets in q.workers when the jobs that they hold began, and in which queue. A
// refusal is in q.fault; an error is of the connection.
func (q *rqWorkerReader) jobs(ctx context.Context) error {
	b := newHashBatch(q.link)
	cmds := make([]*driver.SliceCmd, len(q.workers))
	for i, w := range q.workers {
		if w.Job != "" {
			cmds[i] = b.get(ctx, "rq:job:"+w.Job, "started_at", "origin")
		}
	}
	if err := b.send(ctx); err != nil {
		return err
	}
	for i, c := range cmds {
		if c == nil {
			continue
		}
		if q.fault = refused(rqKeys, c); q.fault != nil {
			return nil
		}
		if origin := text(c, 1); len(origin) <= maxNameLen {
			q.workers[i].JobQueue = origin
		}
		q.workers[i].JobStarted = parseTime(text(c, 0))
	}
	return nil
}

// Intake is how a queue of Celery is served.
type Intake struct {
	Waiting int64 // messages in the queue
	Held    int64 // messages that workers have taken and not acknowledged, of all queues of the broker
	Fresh   bool  // one of those was taken since the time that was asked for

	At redis.ServerState
}

// CeleryIntake returns whether workers hold a message, of any queue of the database, that
// they have taken since some time and not acknowledged by now; how many they hold, how many
// wait in the queue, and the server's state. Its error is an [redis.Error], also if only
// one of the commands other than CLIENT LIST is refused.
func (r *Reader) CeleryIntake(ctx context.Context, queue string, since time.Time) (Intake, error) {
	if err := r.oneServer(); err != nil {
		return Intake{}, err
	}
	var out Intake
	var fault *redis.Error
	err := r.server.OnOneConnection(ctx, func(ctx context.Context, l *redis.Link) error {
		var lengths celeryLengths
		var held *driver.IntCmd
		var fresh *driver.StringSliceCmd
		err := pipelined(ctx, l, func(p driver.Pipeliner) {
			lengths = askCelery(ctx, p, 0, queue)
			held = p.HLen(ctx, "unacked")
			from := strconv.FormatFloat(float64(since.UnixMilli())/1000, 'f', 3, 64)
			fresh = p.ZRangeByScore(ctx, "unacked_index", &driver.ZRangeBy{Min: "(" + from, Max: "+inf", Count: 1})
		})
		if err != nil {
			return err
		}
		q, _ := lengths.counts()
		if fault = q.Err; fault == nil {
			fault = refused(celeryKeys, held, fresh)
		}
		out = Intake{Waiting: q.Length, Held: size(held), Fresh: len(fresh.Val()) > 0}
		if fault == nil {
			out.At, err = r.server.State(ctx, l)
		}
		return err
	})
	switch {
	case err != nil:
		return Intake{}, err
	case fault != nil:
		return Intake{}, fault
	}
	return out, nil
}
