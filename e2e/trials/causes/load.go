package causes

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxOpen is how many requests are open at most; more are dropped.
const maxOpen = 60

// load sends requests at random times, whether earlier ones were answered or not.
type load struct {
	rate atomic.Int64 // requests in 100 seconds
	open atomic.Int64
}

// startLoad sends requests at random times until ctx ends, rate per second on average, and
// never more than maxOpen at once.
func (r *rig) startLoad(ctx context.Context, rate float64) {
	r.load = &load{}
	r.load.set(rate)
	draws := rand.New(rand.NewPCG(r.draws.Uint64(), 1))
	r.calls.Go(func() {
		for ctx.Err() == nil {
			rate := float64(r.load.rate.Load()) / 100
			if rate <= 0 {
				sleep(ctx, 200*time.Millisecond)
				continue
			}
			sleep(ctx, time.Duration(draws.ExpFloat64()/rate*1e9))
			if r.load.open.Load() >= maxOpen {
				continue
			}
			r.load.open.Add(1)
			r.calls.Go(func() { _ = r.get(ctx, "/"); r.load.open.Add(-1) })
		}
	})
}

// set sets the rate, in requests per second.
func (l *load) set(rate float64) { l.rate.Store(int64(rate * 100)) }

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// slowReader requests a large body and reads it slowly.
func (r *rig) slowReader(ctx context.Context) {
	c, err := net.DialTimeout("tcp", r.app, 5*time.Second)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	buf := make([]byte, 2000)
	for ctx.Err() == nil {
		if _, err := c.Read(buf); err != nil {
			return
		}
		sleep(ctx, 300*time.Millisecond)
	}
}

// slowWriter sends a body a little at a time.
func (r *rig) slowWriter(ctx context.Context) {
	c, err := net.DialTimeout("tcp", r.app, 5*time.Second)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST /upload HTTP/1.0\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	for ctx.Err() == nil {
		if _, err := io.WriteString(c, "0123456789"); err != nil {
			return
		}
		sleep(ctx, 300*time.Millisecond)
	}
}

// upstream is a server that the app calls: one address answers after a while, another one
// never does.
type upstream struct {
	answers net.Listener
	silent  net.Listener
}

// newUpstream starts a server that answers after the time in the URL, and one that never
// answers.
func newUpstream() (*upstream, error) {
	u := &upstream{}
	var err error
	if u.answers, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if u.silent, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	go func() {
		_ = http.Serve(u.answers, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { //nolint:gosec // for this trial
			s, _ := strconv.ParseFloat(req.URL.Query().Get("s"), 64)
			sleep(req.Context(), time.Duration(s*1e9))
			_, _ = io.WriteString(w, "ok")
		}))
	}()
	return u, nil
}

// fill returns a text with the addresses filled in.
func (u *upstream) fill(s string) string {
	_, silent, _ := strings.Cut(u.silent.Addr().String(), ":")
	return strings.NewReplacer("UP/", fmt.Sprintf("http://%s/", u.answers.Addr()), "SILENT", silent).Replace(s)
}

// hangUp closes the connections to the address that never answers, until there was none
// for a second or ctx ends.
func (u *upstream) hangUp(ctx context.Context) error {
	l := u.silent.(*net.TCPListener)
	for ctx.Err() == nil {
		if err := l.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		c, err := l.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		_ = c.Close()
	}
	return ctx.Err()
}

func (u *upstream) close() {
	_ = u.answers.Close()
	_ = u.silent.Close()
}

// badConn makes database/sql close a connection instead of keeping it.
func badConn(any) error { return driver.ErrBadConn }
