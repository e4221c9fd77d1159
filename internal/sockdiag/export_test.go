package sockdiag

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
)

// The unexported functions that are tested directly.
var (
	EachAnswer        = eachAnswer
	ParseTCPListener  = parseTCPListener
	ParseUnixListener = parseUnixListener
	ParseUnixAccepted = parseUnixAccepted
	ParseUnixDatagram = parseUnixDatagram
	RemotePorts       = remotePortsFilter
	OtherPorts        = excludePortsFilter
	ParseUnixPending  = parseUnixPending
	NewRequest        = newRequest
	ErrRow            = errRow
)

// FailNext runs a query that gets no answer, and returns its error.
func (c *Conn) FailNext(ctx context.Context) error {
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	// A request for nothing: the kernel answers nothing, so the read times out.
	quiet := newRequest(make([]byte, inetReqLen))
	binary.NativeEndian.PutUint16(quiet[6:], 0)
	err := c.dumpLocked(ctx, "nothing", quiet, func([]byte) error { return nil })
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.Join(errors.New("the read did not time out"), err)
	}
	if c.nl != nil {
		return errors.New("the socket is still open")
	}
	return err
}

// HoldLock locks the Conn and returns a function that unlocks it.
func (c *Conn) HoldLock(ctx context.Context) (release func(), err error) {
	return c.unlock, c.lock(ctx)
}
