package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/resp-exporter/resp-exporter/e2e/bench/internal/rig"
)

const (
	warmUp = 30 * time.Second // at most, until everything is on
	inside = `resp_pool_info{app="shop",pool="main",source="inside"}`
)

// measure scrapes a fresh exporter and returns a row of the table. Before each scrape the
// app gets a request that takes a connection from its pool.
func (s settings) measure(ctx context.Context, path string, busy int) ([]string, error) {
	path, err := rig.Find(path, rig.HowOurs)
	if err != nil {
		return nil, err
	}
	r, err := rig.New()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	e, stop, err := s.begin(ctx, r, path, busy)
	defer stop()
	if err != nil {
		return nil, err
	}
	if err := visit(ctx, e.app+"/good?s=2"); err != nil { // so long that a sample finds it
		return nil, err
	}
	client := rig.NewClient()
	defer client.Close()
	var a rig.Answer
	for n, end := 0, time.Now().Add(warmUp); n < s.scrapes; n++ {
		began := time.Now()
		if err := visit(ctx, e.app+"/good"); err != nil {
			return nil, err
		}
		if a, err = client.Scrape(ctx, e.target.URL); err != nil {
			return nil, err
		}
		if err := rig.Wait(ctx, s.gap-time.Since(began)); err != nil {
			return nil, err
		}
		if n == 0 && time.Now().Before(end) && !bytes.Contains(a.Body, []byte(inside)) {
			n = -1 // the first one is that after which the pool is known from inside
		}
	}
	return row(path, busy, e.target.PID, a.Body)
}

// row returns what is measured of a process, and what its last scrape says. It is an
// error if something that should be on is not.
func row(path string, busy, pid int, body []byte) ([]string, error) {
	var errs []error
	value := func(series string) float64 {
		v, ok := rig.Value(body, series)
		if !ok {
			errs = append(errs, fmt.Errorf("no %s", series))
		}
		return v
	}
	kept, heap := value("resp_history_bytes"), value("go_memstats_heap_inuse_bytes")
	for _, series := range []string{
		`resp_up{component="app:shop"}`, `resp_heal_mode{mode="enforce"}`, inside, `resp_up{component="mysql:main"}`, `resp_up{component="redis:cache"}`,
	} {
		if value(series) != 1 {
			errs = append(errs, fmt.Errorf("%s is not 1", series))
		}
	}
	views := bytes.Count(body, []byte("\nresp_view_seconds_total{"))
	if views == 0 {
		errs = append(errs, errors.New("no view was seen"))
	}
	rss, highest, err := rig.Memory(pid)
	anonymous, file, err2 := parts(pid)
	if err := errors.Join(append(errs, err, err2)...); err != nil {
		return nil, err
	}
	return []string{
		path[strings.LastIndexByte(path, '/')+1:], strconv.Itoa(busy), mega(kept), mega(float64(rss)), mega(anonymous), mega(file), mega(float64(highest)), mega(heap), strconv.Itoa(rig.Series(body)),
	}, nil
}

// parts returns the bytes of a process's resident set that are anonymous, and that are of
// files: RssAnon and RssFile of /proc/PID/status.
func parts(pid int) (anonymous, file float64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		kib, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "RssAnon:":
			anonymous = kib * 1024
		case "RssFile:":
			file = kib * 1024
		}
	}
	return anonymous, file, nil
}

func mega(b float64) string { return fmt.Sprintf("%.1f", b/1e6) }

// visit sends a request to the app.
func visit(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("request to the app: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("request to the app: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("request to the app: status %d, %w", resp.StatusCode, err)
	}
	return nil
}
