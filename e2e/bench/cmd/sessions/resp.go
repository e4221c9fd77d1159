package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// dial connects. It retries for as long as the server takes to start.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil || time.Now().After(end) {
			return c, err
		}
	}
}

// fill writes n sessions, each third one without an expiry, and reads as many answers.
func fill(ctx context.Context, socket string, n int) error {
	c, err := dial(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	wrote := make(chan error, 1)
	go func() {
		w := bufio.NewWriterSize(c, 64<<10)
		value := strings.Repeat("x", 120)
		for i := range n {
			expiry := " EX 86400"
			if i%3 == 0 {
				expiry = ""
			}
			// A bufio.Writer keeps its first error for Flush.
			_, _ = fmt.Fprintf(w, "SET session:%08x%024x %s%s\r\n", uint32(i)*2654435761, i, value, expiry)
		}
		wrote <- w.Flush()
	}()
	r := bufio.NewReaderSize(c, 64<<10)
	for range n {
		line, err := r.ReadString('\n')
		if err != nil || line != "+OK\r\n" {
			return fmt.Errorf("fill: %q: %w", line, errors.Join(err, errors.New("not done")))
		}
	}
	if err := <-wrote; err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	return nil
}

// ping returns the time of one round trip.
func ping(c net.Conn) (time.Duration, error) {
	var reply [7]byte
	began := time.Now()
	if err := c.SetDeadline(began.Add(10 * time.Second)); err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	if _, err := io.ReadFull(c, reply[:]); err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	return time.Since(began), nil
}
