package collectors

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/logs"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

const (
	// maxLeakLines bounds the lines of a minute, leakWindow is that minute.
	maxLeakLines = 100
	leakWindow   = time.Minute
	// leakPatience bounds the question what the leaked connections last did.
	leakPatience = 2 * time.Second
	// unknownStatement is said where the server does not tell.
	unknownStatement = "not known"
)

// leakLine is one leaked connection.
type leakLine struct {
	app, pool, mysql string
	leak             leak
}

// leakBatch is the new leaks of one look at one server.
type leakBatch struct {
	server MySQLServer
	lines  []leakLine
}

// LeakLog writes one line for each leaked connection, with what diagnoses it.
// It asks the server what the connection last did, so it is no part of a scrape.
type LeakLog struct {
	log     *slog.Logger
	batches chan leakBatch
	lost    atomic.Int64 // leaks that found no place in batches
}

// NewLeakLog returns a log of leaks; nothing is written before Run.
func NewLeakLog(log *slog.Logger) *LeakLog {
	return &LeakLog{log: logs.Or(log), batches: make(chan leakBatch, 20)}
}

// report takes new leaks. It never waits.
func (l *LeakLog) report(b leakBatch) {
	if len(b.lines) == 0 || l == nil {
		return
	}
	select {
	case l.batches <- b:
	default:
		l.lost.Add(int64(len(b.lines)))
	}
}

// Run writes until ctx ends.
func (l *LeakLog) Run(ctx context.Context) error {
	timer := time.NewTimer(leakWindow)
	timer.Stop()
	defer timer.Stop()
	written, left := 0, 0
	open := false // a minute is under way
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			left += int(l.lost.Swap(0))
			if left > 0 {
				l.log.Warn("More leaked connections than are logged one by one", "connections", left)
			}
			written, left, open = 0, 0, false
		case b := <-l.batches:
			if !open {
				open = true
				timer.Reset(leakWindow)
			}
			n := min(len(b.lines), maxLeakLines-written)
			l.write(ctx, b.server, b.lines[:n])
			written, left = written+n, left+len(b.lines)-n
		}
	}
}

// write writes some lines. No user is named, and no value of a statement.
func (l *LeakLog) write(ctx context.Context, server MySQLServer, lines []leakLine) {
	if len(lines) == 0 {
		return
	}
	ids := make([]uint64, len(lines))
	for i := range lines {
		ids[i] = lines[i].leak.connection
	}
	statements, err := lastStatements(ctx, server, ids)
	if err != nil {
		l.log.Debug("Last statements of leaked connections not available", "mysql", lines[0].mysql, "err", err)
	}
	for i := range lines {
		x := &lines[i]
		statement, ok := statements[x.leak.connection]
		if !ok {
			statement = unknownStatement
		}
		l.log.Warn("Leaked connection: idle in a transaction for too long", "app", x.app, "pool", x.pool, "mysql", x.mysql,
			"connection", x.leak.connection, "worker", worker(x.leak.Owner), "pid", x.leak.PID, "asleep", x.leak.asleep,
			"transaction_age", x.leak.transaction.Age, "rows_locked", x.leak.transaction.RowsLocked, "rows_modified", x.leak.transaction.RowsModified,
			"statement", statement)
	}
}

// worker names a slot for people.
func worker(o model.Owner) string {
	if o.Slot == "" {
		return "unattributed"
	}
	return o.Slot
}

// lastStatements asks the server. A panic there must not end the exporter.
func lastStatements(ctx context.Context, server MySQLServer, ids []uint64) (out map[uint64]string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, leakPatience)
	defer cancel()
	return server.LastStatements(ctx, ids)
}
