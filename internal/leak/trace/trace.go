// Package trace reads memory traces from files: one line a sample.
package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/leak"
)

// Header is the first line of a trace.
const Header = "t_seconds,rss_bytes,anon_bytes,requests_total"

const (
	maxLine = 4096
	maxRows = 5_000_000 // of 5 seconds each, 289 days
	maxSize = 1 << 30   // bytes, uncompressed
)

// Row is one line of a trace.
type Row struct {
	Seconds, RSS, Anon, Requests float64
}

// SyntaxError is a line that is no sample.
type SyntaxError struct {
	Line int
	Text string // what is wrong
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

// ErrTooLong is what is returned of a trace with too many lines or bytes.
var ErrTooLong = fmt.Errorf("a trace may have %d lines and %d bytes", maxRows, maxSize)

// Reader reads rows.
type Reader struct {
	lines *bufio.Scanner
	limit *io.LimitedReader
	line  int
	rows  int
	last  float64
}

// NewReader returns a reader of a trace, which may be compressed with gzip. A
// [SyntaxError]: the first line is not [Header]. Further columns are ignored.
func NewReader(r io.Reader) (*Reader, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	limit := &io.LimitedReader{R: b, N: maxSize}
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		limit.R = z
	}
	t := &Reader{lines: bufio.NewScanner(limit), limit: limit, last: math.Inf(-1)}
	t.lines.Buffer(make([]byte, 0, maxLine), maxLine)
	head, err := t.next()
	if errors.Is(err, io.EOF) {
		return nil, &SyntaxError{1, "the file is empty; expected " + Header}
	}
	if err != nil {
		return nil, err
	}
	if head != Header && !strings.HasPrefix(head, Header+",") {
		return nil, &SyntaxError{1, "got " + quote(head) + "; expected " + Header}
	}
	return t, nil
}

// next returns the next line. The error is [io.EOF] at the end, ErrTooLong for a file that
// is too long, a [*SyntaxError] for a line that is.
func (t *Reader) next() (string, error) {
	if !t.lines.Scan() {
		switch err := t.lines.Err(); {
		case errors.Is(err, bufio.ErrTooLong):
			return "", &SyntaxError{t.line + 1, fmt.Sprintf("longer than %d bytes", maxLine)}
		case err != nil:
			return "", fmt.Errorf("line %d: %w", t.line+1, err)
		case t.limit.N <= 0:
			return "", ErrTooLong
		}
		return "", io.EOF
	}
	t.line++
	return strings.TrimSuffix(t.lines.Text(), "\r"), nil
}

// Read returns the next row; empty lines are skipped. io.EOF: there is none;
// [ErrTooLong]: the trace is too long; a [SyntaxError]: the line is not valid.
func (t *Reader) Read() (Row, error) {
	for {
		s, err := t.next()
		if err != nil {
			return Row{}, err
		}
		if t.line > maxRows {
			return Row{}, ErrTooLong
		}
		if s == "" {
			continue
		}
		t.rows++
		return t.parse(s)
	}
}

// parse returns the row of a line. A [*SyntaxError]: it is no row, or earlier than the one
// before.
func (t *Reader) parse(line string) (r Row, err error) {
	rest := line
	names := strings.Split(Header, ",")
	for i, to := range []*float64{&r.Seconds, &r.RSS, &r.Anon, &r.Requests} {
		field, after, more := strings.Cut(rest, ",")
		if !more && i < len(names)-1 {
			return Row{}, &SyntaxError{t.line, "got " + quote(line) + "; expected " + Header}
		}
		rest = after
		*to, err = strconv.ParseFloat(field, 64)
		if err != nil || !(*to >= 0 && *to <= 1e18) {
			return Row{}, &SyntaxError{t.line, names[i] + ": got " + quote(field) + "; expected a number from 0 to 1e18"}
		}
	}
	if r.Seconds < t.last {
		return Row{}, &SyntaxError{t.line, fmt.Sprintf("t_seconds: got %g after %g; expected times in order", r.Seconds, t.last)}
	}
	t.last = r.Seconds
	return r, nil
}

// quote returns the first 60 bytes of a text, quoted in ASCII, with "…" (\u2026) if it was
// cut.
func quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.QuoteToASCII(s)
}

// Judge returns the verdict of a leak detector on a whole trace. Errors are those of
// [NewReader] and [Reader.Read], and a [SyntaxError] for a trace without rows.
func Judge(r io.Reader) (leak.Verdict, error) {
	t, err := NewReader(r)
	if err != nil {
		return leak.Verdict{}, err
	}
	f := NewFeed()
	for {
		row, err := t.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return leak.Verdict{}, err
		}
		f.Add(row)
	}
	if t.rows == 0 {
		return leak.Verdict{}, &SyntaxError{2, "there is no sample"}
	}
	return f.Verdict(), nil
}

// Feed hands rows to a detector. As a trace has no pid, a new process is told by the
// counter of requests, if that fell and resident memory fell by 8 % or more.
type Feed struct {
	detector *leak.Detector
	rss      [4]float64 // of the last rows
	requests float64
	n        int
}

// NewFeed returns a Feed with a new detector.
func NewFeed() *Feed { return &Feed{detector: leak.New()} }

// Add passes a row to the detector. A row whose requests and memory have both fallen is
// of another process.
func (f *Feed) Add(r Row) {
	if f.n > 0 && r.Requests < f.requests {
		most := 0.0
		for _, x := range f.rss[:min(f.n, len(f.rss))] {
			most = max(most, x)
		}
		if r.RSS < .92*most {
			f.detector.Replace()
		}
	}
	f.rss[f.n%len(f.rss)] = r.RSS
	f.n++
	f.requests = r.Requests
	f.detector.Add(leak.Sample{Seconds: r.Seconds, RSS: r.RSS, Anon: r.Anon, Requests: r.Requests})
}

// Verdict returns the verdict of the feed's leak detector by the rows added so far; no
// leak if there are too few.
func (f *Feed) Verdict() leak.Verdict { return f.detector.Verdict() }
