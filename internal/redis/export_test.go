package redis

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// Guarded reads from r through a guard until its end, and returns the number of bytes, the
// last error reply and the error at the end.
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

// ErrProtocol is the error of a guard.
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

// Unusable returns the error for err of a caller's function.
func Unusable(err error) *Error { return unusable(err) }

// SumInfo returns the INFO of a cluster from the replies of its masters.
func SumInfo(replies ...string) Info {
	var infos []Info
	for _, r := range replies {
		infos = append(infos, ParseInfo(r))
	}
	return sum(infos)
}
