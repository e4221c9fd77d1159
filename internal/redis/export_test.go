package redis

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Guarded reads from r through a guard and returns what came through, and why it ended.
func Guarded(r net.Conn) (read int, reply string, err error) {
	var last atomic.Pointer[string]
	g := &guard{Conn: r, reply: &last}
	b := make([]byte, 512)
	for {
		n, err := g.Read(b)
		read += n
		if err != nil {
			if s := last.Load(); s != nil {
				reply = *s
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return read, reply, err
		}
	}
}

// ErrProtocol and ErrTooLarge are what a guard ends with.
var (
	ErrProtocol = errProtocol
	ErrTooLarge = errTooLarge
)

// JobOf returns the job of an entry among the started ones.
func JobOf(entry string) string { return jobOf(entry) }

// ParseTime reads one of RQ's times.
func ParseTime(s string) time.Time { return parseTime(s) }

// EternalNode is what INFO tells of where sessions are: how many keys, and
// whether EXPIRE NX is known.
func EternalNode(reply string, db int) (keys float64, nx bool, err error) {
	n, err := parseScannedNode(reply, db)
	return n.keys, n.nx, err
}

// ParseWorker reads the fields of the entry of a worker of RQ.
func ParseWorker(fields []any) (RQWorker, bool) { return parseWorker(fields) }
