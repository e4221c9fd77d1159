package redis

import (
	"bytes"
	"net"
	"strconv"
	"sync/atomic"
)

// The bounds of what may be read between two commands. The slots of the
// largest cluster are below 2 MB; everything else here is below 20 kB.
const (
	maxReply    = 4 << 20 // bytes in all
	maxLine     = 16 << 10
	maxBulk     = 1 << 20 // bytes of one string
	maxElements = 1 << 17 // of all arrays together
	maxDepth    = 32      // of arrays in arrays; the client reads them by recursion
	minInteger  = -2      // TTL: no such key
	maxInteger  = 1 << 53 // the most that a metric holds exactly
	keptError   = 128     // bytes of an error reply
)

// guard is a connection that reads along in RESP2. The client makes room for as much
// as a reply announces before it has come, so a hostile or a mistaken server
// must be cut off at the announcement.
type guard struct {
	net.Conn

	reply *atomic.Pointer[string] // the last error reply read, at most keptError bytes of it

	read     int    // bytes since the last command
	elements int    // announced since the last command
	line     []byte // of the present header line, at most keptError bytes
	length   int    // of the present line, all of it
	skip     int    // bytes of a string's content still to come
	open     []int  // elements still to come of each array that is not whole
	broken   error
}

// Write sends a command, and begins to count anew what its reply may hold.
func (g *guard) Write(b []byte) (int, error) {
	g.read, g.elements = 0, 0
	return g.Conn.Write(b)
}

// Read returns what the server sends while it is within the bounds. ErrTooLarge or
// errProtocol: it is not, and every later read returns that too.
func (g *guard) Read(b []byte) (int, error) {
	if g.broken != nil {
		return 0, g.broken
	}
	n, err := g.Conn.Read(b)
	if g.broken = g.check(b[:n]); g.broken != nil {
		return 0, g.broken
	}
	return n, err
}

// check counts received bytes and parses the protocol. ErrTooLarge: a limit is exceeded.
// errProtocol: it is not Redis.
func (g *guard) check(b []byte) error {
	if g.read += len(b); g.read > maxReply {
		return ErrTooLarge
	}
	for len(b) > 0 {
		if g.skip > 0 {
			n := min(g.skip, len(b))
			g.skip -= n
			b = b[n:]
			continue
		}
		c := b[0]
		b = b[1:]
		if g.length++; g.length > maxLine {
			return ErrTooLarge
		}
		if len(g.line) < keptError {
			g.line = append(g.line, c)
		}
		if c != '\n' {
			continue
		}
		if err := g.header(); err != nil {
			return err
		}
		g.line, g.length = g.line[:0], 0
	}
	return nil
}

// header begins the value of one complete line. ErrTooLarge or errProtocol: it may not be
// sent.
func (g *guard) header() error {
	line := g.line
	if g.length <= keptError {
		var ok bool
		if line, ok = bytes.CutSuffix(line, []byte("\r\n")); !ok || len(line) == 0 {
			return errProtocol
		}
	}
	kind, rest := line[0], string(line[1:])
	switch kind {
	case '+':
		g.close()
		return nil
	case ':':
		n, err := strconv.ParseInt(rest, 10, 64)
		if err != nil {
			return errProtocol
		}
		if n < minInteger || n > maxInteger {
			return ErrTooLarge
		}
		g.close()
		return nil
	case '-':
		g.reply.Store(&rest)
		g.close()
		return nil
	case '$', '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n < -1 {
			return errProtocol
		}
		if kind == '$' {
			return g.bulk(n)
		}
		return g.array(n)
	default:
		return errProtocol
	}
}

// bulk begins a string of n bytes; -1 is a null string. ErrTooLarge: it is too long.
func (g *guard) bulk(n int) error {
	if n > maxBulk {
		return ErrTooLarge
	}
	if n >= 0 {
		g.skip = n + len("\r\n")
	}
	g.close()
	return nil
}

// array begins an array of n elements; -1 is a null array. ErrTooLarge: it has too many,
// or is too deep.
func (g *guard) array(n int) error {
	if n > maxElements {
		return ErrTooLarge
	}
	if g.elements += max(n, 0); g.elements > maxElements || len(g.open) >= maxDepth {
		return ErrTooLarge
	}
	if n <= 0 {
		g.close()
		return nil
	}
	g.open = append(g.open, n)
	return nil
}

// close marks one value as complete, and the arrays that it completes.
func (g *guard) close() {
	for i := len(g.open) - 1; i >= 0; i-- {
		if g.open[i]--; g.open[i] > 0 {
			return
		}
		g.open = g.open[:i]
	}
}
