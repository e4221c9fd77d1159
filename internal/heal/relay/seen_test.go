package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
)

// stateOf opens a state directory. It is closed with the test.
func stateOf(t *testing.T) (store *journal.Store, file string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	store, err := journal.Open(dir, journal.FileSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store, filepath.Join(dir, takenFile)
}

// Names that are not on the disk are kept no longer than others, also without a directory.
func TestSeenWithoutDirectory(t *testing.T) {
	t.Parallel()
	s, now := newSeen(), time.Now()
	s.add("old", now.Add(-seenFor-time.Second))
	s.add("new", now)
	if err := s.write(now); err == nil {
		t.Error("written without a directory")
	}
	s.prune(now)
	if len(s.fresh) != 1 || !s.fresh["new"] || s.has("old") {
		t.Errorf("to be written: %v", s.fresh)
	}
}

// Names whose write failed are written with the next ones. Their times stay, and no line is
// too long to be read.
func TestSeenWrittenLater(t *testing.T) {
	t.Parallel()
	store, file := stateOf(t)
	s, now := newSeen(), time.Now()
	if err := s.open(store, now); err != nil {
		t.Fatal(err)
	}
	lines := s.lines
	if err := lines.Close(); err != nil {
		t.Fatal(err)
	}
	earlier := now.Add(-time.Minute).Truncate(time.Millisecond)
	s.add("earlier", earlier)
	if err := s.write(now); err == nil {
		t.Fatal("written to a file that is closed")
	}
	var err error
	if s.lines, err = store.OpenLines(takenFile, maxTakenFile, func([]byte) {}); err != nil {
		t.Fatal(err)
	}
	const many = 2*maxNames + 1
	for i := range many {
		s.add(fmt.Sprintf("%d%s", i, strings.Repeat("x", maxName-4)), now)
	}
	if err := s.write(now); err != nil || len(s.fresh) > 0 {
		t.Fatalf("%v, %d are left", err, len(s.fresh))
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if len(line) > journal.LineSize {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	again := newSeen()
	if err := again.open(store, now); err != nil {
		t.Fatal(err)
	}
	if len(again.at) != many+1 || !again.at["earlier"].Equal(earlier) {
		t.Errorf("%d names were read, earlier of %s", len(again.at), again.at["earlier"])
	}
}

// A directory that comes late gets all names, and one whose file cannot be replaced gets them
// with the next write.
func TestSeenRewriteFails(t *testing.T) {
	t.Parallel()
	store, _ := stateOf(t)
	s, now := newSeen(), time.Now()
	if err := s.open(store, now); err != nil {
		t.Fatal(err)
	}
	s.add("one", now)
	if err := s.lines.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.rewrite(now); err == nil || !s.fresh["one"] {
		t.Errorf("%v, to be written: %v", err, s.fresh)
	}
}

// Names of a file for which there is no room are counted.
func TestSeenOverflow(t *testing.T) {
	t.Parallel()
	s, now := newSeen(), time.Now()
	for i := range maxSeen {
		s.add(fmt.Sprint(i), now)
	}
	line, err := json.Marshal(takenLine{At: now, Names: []string{"0", "more"}})
	if err != nil {
		t.Fatal(err)
	}
	s.read(line, now)
	s.add("another", now)
	if n := s.overflow(); n != 2 || len(s.at) != maxSeen {
		t.Errorf("%d counted, %d names", n, len(s.at))
	}
}

// A host about which no alert came for two hours is no longer shown.
func TestMissingIsOver(t *testing.T) {
	t.Parallel()
	c, now := newCounters(), time.Now()
	c.missing("old", "Ill", true, now.Add(-knownFor-time.Second))
	c.missing("new", "Ill", true, now.Add(-knownFor+time.Second))
	if got := c.copy(now).Missing; len(got) != 1 || got[0].Host != "new" {
		t.Errorf("%+v", got)
	}
}
