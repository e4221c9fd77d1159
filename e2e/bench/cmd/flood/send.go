package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/stat"
)

const (
	// sendTimeout ends a send to a receiver that reads nothing.
	sendTimeout = 2 * time.Second
	// behind is how much of its timetable the sender makes up for after it lost
	// its CPU. More would be a burst that no app sends.
	behind = time.Millisecond
	// lookAgain is after how many packets an unpaced sender looks at the clock.
	lookAgain = 64
)

// packets returns packets of n lines each, which go through gunicorn's lines in
// turn: three packets hold each line n times.
func packets(n int) [][]byte {
	lines := rig.GunicornLines()
	var out [][]byte
	next := 0
	for range lines {
		var b bytes.Buffer
		for i := range n {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(lines[next%len(lines)])
			next++
		}
		out = append(out, b.Bytes())
	}
	return out
}

// socket is a connected datagram socket outside Go's poller: a send is one
// system call, and waits where the receiver is slower.
type socket int

func (fd socket) close() { _ = unix.Close(int(fd)) }

// send sends one packet. A send that waits may be interrupted by a signal of
// Go's scheduler; nothing was sent then.
func (fd socket) send(packet []byte) error {
	for {
		if _, err := unix.Write(int(fd), packet); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// dial returns a socket that is connected to the receiver.
func (rc *receiver) dial(network string) (socket, error) {
	family, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: rc.udp, Addr: [4]byte{127, 0, 0, 1}})
	if network == "unixgram" {
		family, to = unix.AF_UNIX, &unix.SockaddrUnix{Name: rc.unix}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket of the sender: %w", err)
	}
	timeout := unix.NsecToTimeval(sendTimeout.Nanoseconds())
	if err := errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout), unix.Connect(fd, to)); err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("socket of the sender: %w", err)
	}
	return socket(fd), nil
}

// flood is one step of sending.
type flood struct {
	socket socket
	lines  int     // a packet
	rate   float64 // lines a second; zero: as fast as it goes
	length time.Duration
}

// send sends for the step's length from a CPU of its own. It spins between two
// packets, since a sleep would make bursts.
func (f *flood) send(ctx context.Context) (stat.Step, error) {
	unpin, err := rig.Pin(senderCPU)
	if err != nil {
		return stat.Step{}, err
	}
	defer unpin()
	var gap time.Duration
	if f.rate > 0 {
		gap = time.Duration(float64(time.Second) * float64(f.lines) / f.rate)
	}
	texts := packets(f.lines)
	var sent int64
	start := time.Now()
	for next, end := start, start.Add(f.length); ctx.Err() == nil; sent++ {
		now := start
		if gap > 0 || sent%lookAgain == 0 {
			if now = until(next); now.After(end) {
				break
			}
		}
		next = next.Add(gap)
		if gap > 0 && now.Sub(next) > behind {
			next = now.Add(-behind)
		}
		if err := f.socket.send(texts[sent%int64(len(texts))]); err != nil {
			return stat.Step{}, fmt.Errorf("send packet %d: %w", sent, err)
		}
	}
	return stat.Step{Asked: f.rate, Sent: sent * int64(f.lines), Seconds: time.Since(start).Seconds()}, ctx.Err()
}

// until spins until the time next, and returns the current time.
func until(next time.Time) time.Time {
	for {
		if now := time.Now(); !now.Before(next) {
			return now
		}
	}
}
