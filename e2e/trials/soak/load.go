package soak

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/internal/run"
)

const (
	scrapeTimeout = 30 * time.Second
	visitEvery    = 50 * time.Millisecond // requests to the app
	readEvery     = time.Second           // one byte of a slow reader
	maxPage       = 64 << 20              // bytes of a scrape
	spread        = 5 * time.Second       // within which the slow readers begin
)

// page is one scrape's text.
type page struct {
	text   string
	series int
}

// sum adds up the series of one metric.
func (p page) sum(name string) (total float64, ok bool) {
	for line := range strings.Lines(p.text) {
		rest, found := strings.CutPrefix(line, name)
		if !found || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
		if err == nil {
			total, ok = total+v, true
		}
	}
	return total, ok
}

// read reads /metrics on a new connection; status 0 is no answer, or a truncated one.
func (b *bench) read(ctx context.Context) (page, int) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.exporter+"/metrics", nil)
	if err != nil {
		return page{}, 0
	}
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "10")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return page{}, 0
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return page{}, 0
	}
	p := page{text: string(text)}
	for line := range strings.Lines(p.text) {
		if line[0] != '#' {
			p.series++
		}
	}
	return p, resp.StatusCode
}

// recycle ends a worker of the app each Recycle, in a way that is the same for
// a seed; gunicorn starts another one.
func (b *bench) recycle(ctx context.Context) {
	if b.o.Recycle <= 0 {
		return
	}
	random := b.random(0)
	for pause(ctx, b.o.Recycle); ctx.Err() == nil; pause(ctx, b.o.Recycle) {
		workers, err := run.Children(b.master)
		if err != nil || len(workers) == 0 {
			continue
		}
		if syscall.Kill(workers[random.IntN(len(workers))], syscall.SIGTERM) == nil {
			b.recycled.Add(1)
		}
	}
}

// visit makes requests to the app, so that its workers report them.
func (b *bench) visit(ctx context.Context) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for ; ctx.Err() == nil; pause(ctx, visitEvery) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.app+"/", nil)
		if err != nil {
			return
		}
		if resp, err := client.Do(req); err == nil { // a worker that ends may drop it
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
}

// slow runs one slow reader: it requests /metrics and reads a byte a second, with buffers
// so small that the exporter's writes block. It starts again when the exporter has ended
// the connection.
func (b *bench) slow(ctx context.Context, i int) {
	random := b.random(i + 1)
	for ctx.Err() == nil {
		pause(ctx, time.Duration(random.Int64N(int64(spread)))) // not all at once
		b.readSlowly(ctx)
	}
}

// readSlowly requests the metrics and reads the answer as slowly as TCP allows, until ctx
// ends.
func (b *bench) readSlowly(ctx context.Context) {
	d := net.Dialer{Timeout: 5 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) {
			// The kernel's least receive buffer, and segments so small that the sender's buffer stays small too.
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1)
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 200)
		})
	}}
	c, err := d.DialContext(ctx, "tcp", b.exporter)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	b.opened.Add(1)
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: "+b.exporter+"\r\n\r\n"); err != nil {
		return
	}
	for r := bufio.NewReaderSize(c, 16); ctx.Err() == nil; pause(ctx, readEvery) {
		if _, err := r.ReadByte(); err != nil {
			if ctx.Err() == nil {
				b.closed.Add(1)
			}
			return
		}
	}
}
