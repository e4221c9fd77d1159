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
	// maxLeakLines is the maximum number of lines per leakWindow.
	maxLeakLines = 100
	leakWindow   = time.Minute
	// statementTimeout limits the query for the last statements of leaked connections.
	statementTimeout = 2 * time.Second
	// unknownStatement is logged if the server does not report the statement.
	unknownStatement = "not known"
)

// leakLine is one leaked connection.
type leakLine struct {
	app, pool, mysql string
	leak             leak
}

// leakBatch is the new leaks of one read of one server.
type leakBatch struct {
	server MySQLServer
	lines  []leakLine
}

// LeakLog logs one line for each leaked connection, with its worker, transaction
// and last statement. It queries the server for the statement, so it runs outside
// of scrapes.
type LeakLog struct {
	log     *slog.Logger
	batches chan leakBatch
	dropped atomic.Int64 // leaks dropped because batches was full
}

// NewLeakLog returns a log of leaked connections. It writes nothing before Run.
func NewLeakLog(log *slog.Logger) *LeakLog {
	return &LeakLog{log: logs.Or(log), batches: make(chan leakBatch, 20)}
}

// report queues new leaks for Run. It never blocks: if the queue is full, the leaks are
// only counted. l may be nil.
func (l *LeakLog) report(b leakBatch) {
	if len(b.lines) == 0 || l == nil {
		return
	}
	select {
	case l.batches <- b:
	default:
		l.dropped.Add(int64(len(b.lines)))
	}
}

// Run logs the queued leaks until ctx ends, at most 100 in a minute; the others are
// counted in one line at its end. It returns nil.
func (l *LeakLog) Run(ctx context.Context) error {
	timer := time.NewTimer(leakWindow)
	timer.Stop()
	defer timer.Stop()
	written, left := 0, 0
	open := false // a leakWindow has begun
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			left += int(l.dropped.Swap(0))
			if left > 0 {
				l.log.Warn("More leaked connections, not logged individually", "connections", left)
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

// write logs one line per leak, with the connection's last statement if the server tells
// it, but neither users nor values.
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
			"connection", x.leak.connection, "worker", slotName(x.leak.Owner), "pid", x.leak.PID, "asleep", x.leak.asleep,
			"transaction_age", x.leak.transaction.Age, "rows_locked", x.leak.transaction.RowsLocked, "rows_modified", x.leak.transaction.RowsModified,
			"statement", statement)
	}
}

// slotName returns the slot of an owner, a number as text; "unattributed" without one.
func slotName(o model.Owner) string {
	if o.Slot == "" {
		return "unattributed"
	}
	return o.Slot
}

// lastStatements returns the last statement, without values, of the first 100 connections
// by their ids, within two seconds; those of which none is known are left out. A panic of
// the server's client becomes an error, so that it does not end the exporter.
func lastStatements(ctx context.Context, server MySQLServer, ids []uint64) (out map[uint64]string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, statementTimeout)
	defer cancel()
	return server.LastStatements(ctx, ids)
}
