package redis

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
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

// ErrProtocol is what a guard ends with.
var ErrProtocol = errProtocol

// Other errors that are explained.
var (
	ErrCertificate = errCertificate
	ErrHandshake   = errHandshake
	ErrNodes       = errNodes
	ErrSentinel    = errSentinel
	ErrNoMaster    = errNoMaster
)

// Explain returns the error for err after a reply, "" for none, on a connection with TLS or
// without.
func Explain(err error, reply string, encrypted bool) *Error { return classify(err, reply, encrypted) }
