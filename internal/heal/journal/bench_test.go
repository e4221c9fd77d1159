package journal_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// BenchmarkReadJournal reads a journal of runs as at a start, one line per operation.
func BenchmarkReadJournal(b *testing.B) {
	data, err := json.Marshal(entry("r-1", "verified"))
	if err != nil {
		b.Fatal(err)
	}
	data = append(data, '\n')
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		err := journal.ReadLines(bytes.NewReader(data), time.Now(), func(l journal.Line) {
			if !l.OK {
				b.Fatalf("%s", l.Text)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppend appends one line, with the check that the journal is the file at the
// path, on the disk of the temporary directory.
func BenchmarkAppend(b *testing.B) {
	s, err := journal.Open(b.TempDir(), journal.FileSize)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	e := entry("r-1", "verified")
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Append(e); err != nil {
			b.Fatal(err)
		}
	}
}
