package trace_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/leak/trace"
)

func TestSyntax(t *testing.T) {
	head := trace.Header + "\n"
	for text, line := range map[string]int{
		"":                          1,
		"t,rss\n0,1\n":              1,
		head:                        2,
		head + "0,1,2\n":            2,
		head + "0,1,2,3\n1,x,2,3\n": 3,
		head + "0,1,2,-3\n":         2,
		head + "0,1,NaN,3\n":        2,
		head + "0,1,2,1e30\n":       2,
		head + "5,1,2,3\n4,1,2,3\n": 3,
		head + "0,1,2,3\n" + strings.Repeat("0", 5000): 3,
	} {
		_, err := trace.Judge(strings.NewReader(text))
		var syntax *trace.SyntaxError
		if !errors.As(err, &syntax) || syntax.Line != line {
			t.Errorf("%.60q: %v, expected line %d", text, err, line)
		}
	}
	for _, text := range []string{head + "0,1,2,3\n", head + "0,1,2,3", trace.Header + ",pid\r\n0,1,2,3,77\r\n\r\n"} {
		if _, err := trace.Judge(strings.NewReader(text)); err != nil {
			t.Errorf("%.60q: %v", text, err)
		}
	}
	if _, err := trace.Judge(bytes.NewReader([]byte{0x1f, 0x8b, 0, 0})); err == nil {
		t.Error("a broken gzip file is read")
	}
}

// TestBomb shows that a small file that unpacks to a lot ends with an error.
func TestBomb(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := io.WriteString(w, trace.Header+strings.Repeat("\n", 6_000_000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := trace.Judge(&z); !errors.Is(err, trace.ErrTooLong) {
		t.Errorf("%v", err)
	}
}

// FuzzTrace: rows are in order and finite, and each verdict is finite where it claims a
// leak.
func FuzzTrace(f *testing.F) {
	f.Add([]byte(trace.Header + "\n0,1e8,1e8,0\n30,1e8,1e8,5\n"))
	f.Add([]byte(trace.Header + ",x\r\n0,1,2,3,4\n"))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := trace.NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		feed := trace.NewFeed()
		last := 0.0
		for {
			row, err := r.Read()
			if err != nil {
				break
			}
			for _, x := range []float64{row.Seconds, row.RSS, row.Anon, row.Requests} {
				if !(x >= 0 && x <= 1e18) {
					t.Fatalf("%+v", row)
				}
			}
			if row.Seconds < last {
				t.Fatalf("%v after %v", row.Seconds, last)
			}
			last = row.Seconds
			feed.Add(row)
		}
		if v := feed.Verdict(); v.Leak && (math.IsNaN(v.Since) || math.IsNaN(v.Slope) || math.IsInf(v.Slope, 0) || v.Confidence < 0 || v.Confidence > 1) {
			t.Fatalf("%+v", v)
		}
	})
}
