package rig

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	scrapeTimeout = 30 * time.Second
	maxBody       = 16 << 20 // bytes
)

// Client is a client that scrapes as Prometheus does: one kept connection, gzip, the
// text format.
type Client struct {
	http *http.Client
	wire bytes.Buffer
}

// Answer is what one scrape gave.
type Answer struct {
	Body []byte        // text, gunzipped
	Wire int           // bytes as they came
	Took time.Duration // until the last byte was here; gunzipping is not in it
}

// NewClient returns a client; Close ends its connections.
func NewClient() *Client {
	return &Client{http: &http.Client{
		Timeout:   scrapeTimeout,
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1},
	}}
}

// Close ends the kept connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Scrape requests url once. Any status but 200 is an error.
func (c *Client) Scrape(ctx context.Context, url string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{}, fmt.Errorf("scrape %s: %w", url, err)
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	req.Header.Set("Accept-Encoding", "gzip")
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return Answer{}, fmt.Errorf("scrape %s: %w", url, err)
	}
	defer func() { _ = resp.Body.Close() }()
	c.wire.Reset()
	if _, err := io.Copy(&c.wire, io.LimitReader(resp.Body, maxBody)); err != nil {
		return Answer{}, fmt.Errorf("scrape %s: %w", url, err)
	}
	a := Answer{Took: time.Since(start), Wire: c.wire.Len()}
	if resp.StatusCode != http.StatusOK {
		return Answer{}, fmt.Errorf("scrape %s: status %d", url, resp.StatusCode)
	}
	var text io.Reader = &c.wire
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if text, err = gzip.NewReader(&c.wire); err != nil {
			return Answer{}, fmt.Errorf("scrape %s: %w", url, err)
		}
	}
	if a.Body, err = io.ReadAll(io.LimitReader(text, maxBody)); err != nil {
		return Answer{}, fmt.Errorf("scrape %s: %w", url, err)
	}
	return a, nil
}

// Series returns the number of samples in a scrape.
func Series(body []byte) int {
	n := 0
	for line := range bytes.Lines(body) {
		if len(bytes.TrimSpace(line)) > 0 && line[0] != '#' {
			n++
		}
	}
	return n
}

// Value returns the sample of exactly that series, labels included as the text
// format writes them; ok is false if there is none.
func Value(body []byte, series string) (v float64, ok bool) {
	for line := range bytes.Lines(body) {
		rest, found := strings.CutPrefix(string(line), series+" ")
		if !found {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
		return v, err == nil
	}
	return 0, false
}
