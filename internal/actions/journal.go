package actions

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	journalSize = 8 << 20   // bytes of one file before the next is begun; two are kept
	lineSize    = 256 << 10 // bytes of one line
)

// Entry is one line of the journal: a transition of a run, or what an alert
// came to that started none.
type Entry struct {
	At       time.Time `json:"at"`
	Decision Decision  `json:"decision"`
	Rule     string    `json:"rule,omitempty"`
	Action   string    `json:"action,omitempty"`
	Target   string    `json:"target,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Alert    *Subject  `json:"alert,omitempty"`
	Run      *Run      `json:"run,omitempty"`
}

// entryOf is the line of a run as it now is.
func entryOf(r *Run) Entry {
	return Entry{At: r.Updated, Decision: r.State, Rule: r.Rule, Action: r.Action, Target: r.Target, Reason: r.Reason, Run: r}
}

// journal appends lines to a file; each is on the disk when Append returns.
type journal struct {
	dir  string
	size int64 // of a file before the next is begun

	mu     sync.Mutex
	file   *os.File
	length int64            // of the file, in whole lines
	older  int64            // bytes of the file before
	open   map[string]Entry // the last line of each run that has not ended
	bytes  atomic.Int64     // of both files
}

func openJournal(dir string) (*journal, error) {
	j := &journal{dir: dir, size: journalSize, open: make(map[string]Entry)}
	f, err := os.OpenFile(j.path(journalFile), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("journal: %w", err)
	}
	j.file, j.length = f, info.Size()
	if old, err := os.Stat(j.path(olderFile)); err == nil {
		j.older = old.Size()
	}
	j.bytes.Store(j.older + j.length)
	return j, j.mend()
}

func (j *journal) path(name string) string { return filepath.Join(j.dir, name) }

// mend cuts off a last line that was not written to its end.
func (j *journal) mend() error {
	for at := j.length; at > 0; {
		n := min(at, 4096)
		b := make([]byte, n)
		if _, err := j.file.ReadAt(b, at-n); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return j.cut(at - n + int64(i) + 1)
		}
		at -= n
	}
	return j.cut(0)
}

func (j *journal) cut(length int64) error {
	if length == j.length {
		return nil
	}
	if err := j.file.Truncate(length); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.length = length
	return nil
}

// Append writes entries, all or none. When it fails nothing of them is in the
// file, or at most a torn line that the next start cuts off.
func (j *journal) Append(entries ...Entry) error {
	if len(entries) == 0 {
		return nil
	}
	data, err := encode(entries)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return errClosed
	}
	if j.length+int64(len(data)) > j.size && j.length > 0 {
		j.rotate()
	}
	if j.length > 2*j.size { // no next file could be begun
		return errors.New("journal: it is full")
	}
	_, err = j.file.Write(data)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		if info, e := j.file.Stat(); e == nil && info.Size() > j.length {
			err = errors.Join(err, j.file.Truncate(j.length))
		}
		return fmt.Errorf("journal: %w", err)
	}
	j.length += int64(len(data))
	j.bytes.Store(j.older + j.length)
	for _, e := range entries {
		j.track(e)
	}
	return nil
}

// track remembers what the next file must begin with. It follows what is
// written, not what the runner holds: a line that says less than the one before
// it would let an action be done twice.
func (j *journal) track(e Entry) {
	switch {
	case e.Run == nil:
	case e.Run.terminal():
		delete(j.open, e.Run.ID)
	default:
		j.open[e.Run.ID] = e
	}
}

// encode makes lines of at most lineSize bytes each.
func encode(entries []Entry) ([]byte, error) {
	var out bytes.Buffer
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err == nil && len(line) > lineSize && e.Run != nil {
			short := *e.Run
			short.Facts = nil
			if short.Plan != nil {
				short.Plan.Victims = nil
			}
			e.Run = &short
			line, err = json.Marshal(e)
		}
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// rotate begins the next file with the runs that have not ended, so that none
// is lost with the file before the last. When it cannot, the file in use grows on.
func (j *journal) rotate() {
	data, err := encode(slices.SortedFunc(maps.Values(j.open), func(a, b Entry) int { return a.Run.Created.Compare(b.Run.Created) }))
	next := j.path(journalFile + ".new")
	if err != nil || writeSynced(next, data) != nil {
		_ = os.Remove(next)
		return
	}
	f, err := os.OpenFile(next, os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	if os.Rename(j.path(journalFile), j.path(olderFile)) != nil || os.Rename(next, j.path(journalFile)) != nil {
		_ = f.Close()
		return
	}
	_ = syncDir(j.dir)
	_ = j.file.Close()
	j.older = j.length
	j.file, j.length = f, int64(len(data))
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// Replay gives every entry of both files to f, the oldest first, before the
// first Append. Lines that are no entry are passed over and counted.
func (j *journal) Replay(f func(Entry)) (bad int, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, name := range []string{olderFile, journalFile} {
		file, err := os.Open(j.path(name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return bad, fmt.Errorf("journal: %w", err)
		}
		n, err := ReadJournal(file, func(e Entry) {
			j.track(e)
			f(e)
		})
		bad += n
		if err = errors.Join(err, file.Close()); err != nil {
			return bad, fmt.Errorf("journal: %w", err)
		}
	}
	return bad, nil
}

// ReadJournal gives each entry of a journal to f, and counts the lines that are
// none: torn ones, and those that are longer than any that is written.
func ReadJournal(r io.Reader, f func(Entry)) (bad int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if long = long || len(line)+len(part) > lineSize+1; !long {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		whole := bytes.HasSuffix(part, []byte("\n"))
		var e Entry
		switch {
		case len(part) == 0 && len(line) == 0 && !long:
		case !long && whole && json.Unmarshal(line, &e) == nil && e.Decision != "":
			f(e)
		default:
			bad++
		}
		line, long = line[:0], false
		if errors.Is(err, io.EOF) {
			return bad, nil
		}
		if err != nil {
			return bad, err
		}
	}
}
