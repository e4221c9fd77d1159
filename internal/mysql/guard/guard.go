// Package guard reads along on a connection to a MySQL server, and ends it where the
// server sends too much or does not keep to the protocol.
package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

// The bounds of what a server may send. The list of 100,000 connections is below
// 25 MB, a statement's text below 250 kB.
const (
	maxConnectBytes = 256 << 10 // until the login is done
	maxAnswerBytes  = 32 << 20  // of one statement
	maxPacket       = 1 << 20
	maxShortPacket  = 16 << 10 // of the login, a column, an error
	maxLoginPackets = 16
	maxRows         = 200_000 // of one answer; max_connections is 100,000 at most
	header          = 4       // bytes before each packet
	readAhead       = 16 << 10
)

// phase is which packet of the server comes next.
type phase int

const (
	greeting phase = iota
	login
	answer // the first packet of one
	columns
	columnsEnd
	rows
	idle // none
)

// Conn is a connection that reads along. The driver makes room for as much as a
// packet announces and trusts the numbers in it, so that a hostile or a mistaken
// server could take all memory, or end the process. What is not as the protocol
// has it ends the connection before the driver sees it. In TLS only bytes are
// counted: there the server has proven who it is, unless the DSN waives that.
type Conn struct {
	net.Conn

	in     *bufio.Reader
	out    []byte // whole packets that were checked
	buf    []byte // of out
	phase  phase
	column int // columns to come, then columns of each row
	width  int
	logins int
	rows   int // since the last command

	mu      sync.Mutex
	left    int // bytes that it may still send
	broken  error
	private bool // TLS has begun
}

// New returns the guard of a connection that was opened just now.
func New(c net.Conn) *Conn {
	return &Conn{Conn: c, in: bufio.NewReaderSize(c, readAhead), left: maxConnectBytes}
}

// Begin allows the server to send the answer to one more statement.
func (g *Conn) Begin() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left = maxAnswerBytes
}

// Fault returns why the guard ended the connection; nil if it did not.
func (g *Conn) Fault() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

// spend counts n received bytes. ErrTooLarge: they are more than the answer may have.
func (g *Conn) spend(n int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left -= n; g.left < 0 {
		return ErrTooLarge
	}
	return nil
}

// fail closes the connection for good if err is ErrTooLarge or ErrProtocol. It returns err.
func (g *Conn) fail(err error) error {
	if !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrProtocol) {
		return err
	}
	g.mu.Lock()
	g.broken = err
	g.mu.Unlock()
	_ = g.Close()
	return err
}

// SyscallConn implements [syscall.Conn], by which the driver sees that an idle connection
// was closed. It is an error if the connection below is no [syscall.Conn].
func (g *Conn) SyscallConn() (syscall.RawConn, error) {
	c, ok := g.Conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("unexpected connection type %T", g.Conn)
	}
	return c.SyscallConn()
}

// Write sends a packet of the client. A command begins a new answer. ErrProtocol: the
// server sent bytes before TLS began.
func (g *Conn) Write(b []byte) (int, error) {
	switch {
	case g.private || len(b) <= header:
	case g.phase == login && len(b) == header+32 && b[header+1]&(withTLS>>8) != 0:
		if g.in.Buffered() > 0 { // else plain bytes would count as part of TLS
			return 0, g.fail(ErrProtocol)
		}
		g.private = true
	case b[3] == 0: // a command
		g.Begin()
		g.phase, g.rows = answer, 0
	}
	return g.Conn.Write(b)
}

// Read returns bytes of packets that are within the bounds; in TLS only their number is
// checked. ErrProtocol or ErrTooLarge: a packet is not, and the guard has ended the
// connection.
func (g *Conn) Read(b []byte) (int, error) {
	if err := g.Fault(); err != nil {
		return 0, err
	}
	if g.private {
		n, err := g.Conn.Read(b)
		if over := g.spend(n); over != nil {
			return 0, g.fail(over)
		}
		return n, err
	}
	if len(g.out) == 0 {
		g.out = g.buf[:0]
		for {
			if err := g.packet(); err != nil {
				return 0, g.fail(err)
			}
			if !g.ready() {
				break
			}
		}
		g.buf = g.out
		if cap(g.buf) > 4*readAhead {
			g.buf = nil
		}
	}
	n := copy(b, g.out)
	g.out = g.out[n:]
	return n, nil
}

// ready reports whether another whole packet of an answer has come, which can be handed
// on with those before it; false while out has more than readAhead, and between answers
// and during the login, where packets are handed on one by one.
func (g *Conn) ready() bool {
	if g.in.Buffered() < header || len(g.out) > readAhead || g.phase == greeting || g.phase == login || g.phase == idle {
		return false
	}
	head, err := g.in.Peek(header)
	return err == nil && g.in.Buffered() >= header+sizeOf(head)
}

// sizeOf returns the size of a packet's body, in bytes, from its head.
func sizeOf(head []byte) int { return int(head[0]) | int(head[1])<<8 | int(head[2])<<16 }

// packet appends one packet to out and checks it. ErrProtocol or ErrTooLarge: it is no
// valid one.
func (g *Conn) packet() error {
	head, err := g.in.Peek(header)
	if err != nil {
		return err
	}
	n := sizeOf(head)
	switch {
	case n == 0:
		return ErrProtocol
	case n > maxPacket, n > maxShortPacket && g.phase != rows:
		return ErrTooLarge
	}
	if err := g.spend(header + n); err != nil {
		return err
	}
	at := len(g.out)
	if need := at + header + n; need <= cap(g.out) {
		g.out = g.out[:need]
	} else {
		g.out = append(g.out, make([]byte, header+n)...)
	}
	if _, err := io.ReadFull(g.in, g.out[at:]); err != nil {
		return err
	}
	return g.check(g.out[at+header:])
}

// check checks a packet by the phase of the protocol, and sets the next phase.
// ErrProtocol or ErrTooLarge: it may not be sent.
func (g *Conn) check(p []byte) error {
	switch g.phase {
	case greeting:
		g.phase = login
		return checkGreeting(p)
	case login:
		if g.logins++; g.logins > maxLoginPackets {
			return ErrTooLarge
		}
		_, err := checkLogin(p)
		return err
	case answer:
		return g.first(p)
	case columns:
		if g.column--; g.column == 0 {
			g.phase = columnsEnd
		}
		return checkColumn(p)
	case columnsEnd:
		g.phase = rows
		_, err := checkEOF(p)
		return err
	case rows:
		return g.row(p)
	case idle:
	}
	if p[0] == isError { // such as: the server ends
		return checkError(p)
	}
	return ErrProtocol
}

// first checks the first packet of an answer, which is not empty, and sets the next phase: an
// end, another answer, an error, or the columns of rows. ErrTooLarge: there are more than 64
// columns. ErrProtocol: it is malformed, or requests a local file.
func (g *Conn) first(p []byte) error {
	switch p[0] {
	case isOK:
		status, err := checkOK(p)
		g.ended(status)
		return err
	case isError:
		g.phase = idle
		return checkError(p)
	case isEOF:
		g.phase = idle
		_, err := checkEOF(p)
		return err
	case isLocalFile: // it requests a local file
		return ErrProtocol
	}
	n, _, ok := length(p)
	if !ok || n == 0 {
		return ErrProtocol
	}
	if n > maxColumns {
		return ErrTooLarge
	}
	g.phase, g.width = columns, int(n) //nolint:gosec // at most maxColumns
	g.column = g.width
	return nil
}

// row checks a row, or the packet that ends the rows. ErrTooLarge: there are more than
// 200,000. ErrProtocol: it is malformed.
func (g *Conn) row(p []byte) error {
	switch p[0] {
	case isEOF:
		status, err := checkEOF(p)
		g.ended(status)
		return err
	case isError:
		g.phase = idle
		return checkError(p)
	}
	if _, ok := skipStrings(p, g.width); !ok {
		return ErrProtocol
	}
	if g.rows++; g.rows > maxRows {
		return ErrTooLarge
	}
	return nil
}

// ended sets the phase at the end of an answer: idle, or another answer that follows by
// status.
func (g *Conn) ended(status uint16) {
	g.phase = idle
	if status&moreResults != 0 {
		g.phase = answer
	}
}
