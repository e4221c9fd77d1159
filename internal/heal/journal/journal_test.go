package journal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

func openStore(t *testing.T, dir string, size ...int64) *journal.Store {
	t.Helper()
	s, err := journal.Open(dir, append(size, journal.FileSize)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func entry(id string, d journal.Decision) journal.Entry {
	return journal.Entry{At: time.Unix(1, 0).UTC(), Decision: d, Run: &journal.Run{ID: id, State: d}}
}

func replay(t *testing.T, s *journal.Store) (ids []string, bad int) {
	t.Helper()
	err := s.Replay(time.Now(), func(l journal.Line) {
		if !l.OK {
			bad++
			return
		}
		ids = append(ids, l.Entry.Run.ID+" "+string(l.Entry.Decision))
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids, bad
}

// The size of the journal is known from the start, and a closed journal cannot be written.
func TestBytes(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	before := s.Bytes()
	if err := s.Append(entry("r-1", "cleared")); err != nil {
		t.Fatal(err)
	}
	size := s.Bytes()
	info, err := os.Stat(filepath.Join(dir, "journal.jsonl"))
	if err != nil || before != 0 || size != info.Size() || size == 0 {
		t.Errorf("%d bytes, then %d: %+v, %v", before, size, info, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(entry("r-2", "cleared")); err == nil {
		t.Error("a closed journal is written")
	}
	if again := openStore(t, dir); again.Bytes() != size {
		t.Errorf("after a restart %d bytes, want %d", again.Bytes(), size)
	}
}

// An incomplete last line is removed, and the next line is complete.
func TestTornLine(t *testing.T) {
	for _, torn := range []string{`{"at":"2026`, `{"at":"2026-01-02T03:04:05Z","decision":"queued"}`, strings.Repeat("x", 9000)} {
		dir := t.TempDir()
		s := openStore(t, dir)
		if err := s.Append(entry("a", "queued")); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "journal.jsonl")
		before, _ := os.ReadFile(file)
		if err := os.WriteFile(file, append(bytes.Clone(before), torn...), 0o600); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, dir)
		if err := s.Append(entry("b", "queued")); err != nil {
			t.Fatal(err)
		}
		if ids, bad := replay(t, s); fmt.Sprint(ids) != "[a queued b queued]" || bad != 0 {
			t.Errorf("after %.20q: %v, %d bad", torn, ids, bad)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
}

// The journal uses the space of two files, and keeps each run that has not ended.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 4096)
	if err := s.Append(entry("open", "running")); err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if err := s.Append(entry(fmt.Sprint(i), "cleared")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(entry("open", "verifying")); err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		if err := s.Append(entry(fmt.Sprint(i), "cleared")); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "journal*"))
	if err != nil || len(files) != 2 {
		t.Errorf("files %v, %v", files, err)
	}
	total := int64(0)
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || info.Size() > 4096+1024 {
			t.Errorf("%s has %d bytes, %v", f, info.Size(), err)
		}
		total += info.Size()
	}
	if s.Bytes() != total {
		t.Errorf("%d bytes are reported, %d are on the disk", s.Bytes(), total)
	}
	last := ""
	ids, _ := replay(t, s)
	for _, id := range ids {
		if strings.HasPrefix(id, "open ") {
			last = id
		}
	}
	if last != "open verifying" {
		t.Errorf("the open run is %q", last)
	}
}

// FuzzReadJournal: reading any file ends, returns only entries with a decision, and these
// can be written and read again.
func FuzzReadJournal(f *testing.F) {
	f.Add([]byte(`{"at":"2026-01-02T03:04:05Z","decision":"queued","run":{"id":"r-1","state":"queued"}}` + "\n"))
	f.Add([]byte("\n\n{}\n" + strings.Repeat("x", 300<<10) + "\n{\"decision\":\"x\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		bad := 0
		err := journal.ReadLines(bytes.NewReader(data), time.Now(), func(l journal.Line) {
			if !l.OK {
				bad++
				return
			}
			e := l.Entry
			n++
			if e.Decision == "" {
				t.Error("an entry without a decision")
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		})
		if err != nil || n+bad > bytes.Count(data, []byte("\n"))+1 {
			t.Errorf("%d entries and %d bad lines of %d, %v", n, bad, bytes.Count(data, []byte("\n")), err)
		}
	})
}

// With a full disk an append is an error, and the journal has no part of the entry.
func TestFullDisk(t *testing.T) {
	s := openStore(t, t.TempDir())
	try(t, s.Append(entry("a", "queued")))
	free := s.FillDisk()
	for range 2 {
		if err := s.Append(entry("b", "queued"), entry("c", "queued")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Append: %v", err)
		}
		if err := s.Probe(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("Probe: %v", err)
		}
	}
	free()
	try(t, s.Probe(), s.Append(entry("d", "queued")))
	if ids, bad := replay(t, s); bad != 0 || !slices.Equal(ids, []string{"a queued", "d queued"}) {
		t.Errorf("%d bad lines, %v", bad, ids)
	}
}

// A line that is too long is written without evidence and victims; its run keeps both.
func TestLongLine(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	e := entry("a", "queued")
	e.Run.Facts = json.RawMessage(`"` + strings.Repeat("x", 60<<10) + `"`)
	e.Run.Plan = &action.Plan{Action: "x", Summary: "end some"}
	for range 100 {
		e.Run.Plan.Victims = append(e.Run.Plan.Victims, action.Victim{Kind: "query", ID: strings.Repeat("<", 400)})
	}
	try(t, s.Append(e))
	if len(e.Run.Facts) == 0 || len(e.Run.Plan.Victims) != 100 {
		t.Errorf("the run has %d victims and %d bytes of evidence left", len(e.Run.Plan.Victims), len(e.Run.Facts))
	}
	err := s.Replay(time.Now(), func(l journal.Line) {
		if run := l.Entry.Run; !l.OK || run.Plan.Summary != "end some" || len(run.Plan.Victims) != 0 || len(run.Facts) != 0 {
			t.Errorf("the line has %+v", run)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// A line of exactly LineSize bytes is written whole, and one byte more loses the
// evidence.
func TestLineSize(t *testing.T) {
	for _, over := range []int{0, 1} {
		s := openStore(t, t.TempDir())
		e := entry("a", "queued")
		e.Run.Facts = json.RawMessage(`""`)
		line, err := json.Marshal(e)
		try(t, err)
		e.Run.Facts = json.RawMessage(`"` + strings.Repeat("x", journal.LineSize-len(line)+over) + `"`)
		try(t, s.Append(e))
		if n := s.Bytes(); over == 0 && n != journal.LineSize+1 || over > 0 && n >= journal.LineSize {
			t.Errorf("%d bytes too long: %d bytes are written", over, n)
		}
	}
}

// Entries of which one cannot be encoded are not written, neither it nor the others.
func TestUnencodable(t *testing.T) {
	s := openStore(t, t.TempDir())
	bad := entry("b", "queued")
	bad.Run.Facts = json.RawMessage(`{"half":`)
	if err := s.Append(entry("a", "queued"), bad); err == nil || s.Bytes() != 0 {
		t.Errorf("%v, %d bytes written", err, s.Bytes())
	}
	bad.Run.Facts = json.RawMessage(strings.Repeat("{", journal.LineSize+1))
	if err := s.Append(bad); err == nil || s.Bytes() != 0 {
		t.Errorf("a long one: %v, %d bytes written", err, s.Bytes())
	}
	try(t, s.Append(entry("c", "queued")))
	if ids, n := replay(t, s); n != 0 || !slices.Equal(ids, []string{"c queued"}) {
		t.Errorf("%d bad lines, %v", n, ids)
	}
}
