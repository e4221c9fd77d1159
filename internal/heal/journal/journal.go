package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is one line of the journal: a transition of a run, an alert that was
// resolved, or a part of the guards as they stood when the file was begun.
type Entry struct {
	At       time.Time   `json:"at"`
	Decision Decision    `json:"decision"`
	Rule     string      `json:"rule,omitempty"`
	Action   string      `json:"action,omitempty"`
	Target   string      `json:"target,omitempty"`
	Reason   string      `json:"reason,omitempty"`
	Alert    *Subject    `json:"alert,omitempty"`
	Run      *Run        `json:"run,omitempty"`
	Guards   *GuardState `json:"guards,omitempty"`
}

// EntryOf returns the line of a run as it now is. The run may change afterwards.
func EntryOf(r *Run) Entry {
	run := *r
	return Entry{At: run.Updated, Decision: run.State, Rule: run.Rule, Action: run.Action, Target: run.Target, Reason: run.Reason, Run: &run}
}

// journal appends lines to a file; each is on the disk when Append returns.
type journal struct {
	dir  *stateDir
	size int64 // of a file before the next is begun

	mu     sync.Mutex
	file   *os.File
	out    io.Writer        // file
	length int64            // of the file, in whole lines
	torn   bool             // part of a line that failed may stand after them
	older  int64            // bytes of the file before
	open   map[string]Entry // the last line of each run that has not ended
	guards func() []Entry   // the guards, with which a file begins; nil: with the open runs
	Bytes  atomic.Int64     // of both files
}

func openJournal(dir *stateDir, size int64) (*journal, error) {
	j := &journal{dir: dir, size: size, open: make(map[string]Entry)}
	f, err := dir.open(journalFile, os.O_RDWR|os.O_CREATE|os.O_APPEND, maxJournal)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), f.Close())
	}
	j.setFile(f, info.Size())
	if old, err := dir.root.Lstat(olderFile); err == nil {
		j.older = old.Size()
	}
	j.Bytes.Store(j.older + j.length)
	if err := j.cutTornLine(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

func (j *journal) setFile(f *os.File, length int64) {
	j.file, j.out, j.length, j.torn = f, f, length, false
}

// cutTornLine cuts off a last line that was not written to its end.
func (j *journal) cutTornLine() error {
	for at := j.length; at > 0; {
		n := min(at, 4096)
		b := make([]byte, n)
		if _, err := j.file.ReadAt(b, at-n); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			return j.truncate(at - n + int64(i) + 1)
		}
		at -= n
	}
	return j.truncate(0)
}

func (j *journal) truncate(length int64) error {
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
// file, or at most a torn line that the next start cuts off. It returns [ErrLost]
// when the file that it writes to is not, or no longer, the journal of the
// directory at the path.
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
	if err := j.write(data); err != nil {
		return err
	}
	for _, e := range entries {
		j.track(e)
	}
	return nil
}

// Probe writes an empty line, and reports what keeps the journal from being written.
func (j *journal) Probe() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write([]byte("\n"))
}

// CheckHeld reports what keeps the journal from being the one at the path: [ErrLost]
// where that is for good.
func (j *journal) CheckHeld() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.checkHeld()
}

func (j *journal) checkHeld() error {
	if j.file == nil {
		return ErrClosed
	}
	if err := j.dir.checkHeld(); err != nil {
		return err
	}
	if err := j.dir.checkSame(journalFile, j.file); err != nil {
		return err
	}
	info, err := j.file.Stat()
	switch {
	case err != nil:
		return err
	case info.Size() == j.length:
		return nil
	case info.Size() > j.length && j.torn:
		if err := j.file.Truncate(j.length); err != nil {
			return err
		}
		j.torn = false
		return nil
	}
	return fmt.Errorf("%w: %s was changed by somebody else", ErrLost, journalFile)
}

// write appends lines. The journal must be held before and after. j.mu is held.
func (j *journal) write(data []byte) error {
	if err := j.checkHeld(); err != nil {
		return err
	}
	if j.length+int64(len(data)) > j.size && j.length > 0 {
		j.beginFile()
	}
	if j.length > 2*j.size { // no next file could be begun
		return errors.New("journal: it is full")
	}
	_, err := j.out.Write(data)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.torn = true
		if info, e := j.file.Stat(); e == nil && info.Size() > j.length {
			e = j.file.Truncate(j.length)
			j.torn = e != nil
			err = errors.Join(err, e)
		}
		return fmt.Errorf("journal: %w", err)
	}
	j.length += int64(len(data))
	j.Bytes.Store(j.older + j.length)
	return j.checkHeld()
}

// track remembers what the next file must begin with. It follows what is
// written, not what the runner holds: a line that says less than the one before
// it would let an action be done twice.
func (j *journal) track(e Entry) {
	switch {
	case e.Run == nil: // no transition
	case e.Run.Terminal():
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
		if err == nil && len(line) > LineSize && e.Run != nil {
			short := *e.Run
			short.Facts = nil
			if short.Plan != nil { // the run is published, and its plan with it
				plan := *short.Plan
				plan.Victims = nil
				short.Plan = &plan
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

// beginFile begins the next file with the guards and the runs that have not ended,
// so that neither is lost with the file before the last. When it cannot, the file
// in use grows on. j.mu is held.
func (j *journal) beginFile() {
	open := slices.SortedFunc(maps.Values(j.open), func(a, b Entry) int { return a.Run.Created.Compare(b.Run.Created) })
	var entries []Entry
	if j.guards != nil {
		entries = j.guards()
		entries[len(entries)-1].Guards.Open = len(open)
	}
	data, err := encode(append(entries, open...))
	if err != nil {
		return
	}
	next, root := journalFile+suffixNew, j.dir.root
	f, err := j.dir.write(next, data)
	if err != nil {
		return
	}
	if root.Rename(journalFile, olderFile) != nil {
		_ = errors.Join(f.Close(), root.Remove(next))
		return
	}
	if root.Rename(next, journalFile) != nil {
		_ = errors.Join(f.Close(), root.Rename(olderFile, journalFile))
		return
	}
	_ = errors.Join(j.dir.self.Sync(), j.file.Close())
	j.older = j.length
	j.setFile(f, int64(len(data)))
}

// Rotate begins the next file now, which leaves broken lines behind.
func (j *journal) Rotate() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.checkHeld() == nil {
		j.beginFile()
		j.Bytes.Store(j.older + j.length)
	}
}

// SetHead sets what the next file begins with: the guards, and those of the runs
// that have not ended.
func (j *journal) SetHead(runs []Run, guards func() []Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.guards = guards
	for i := range runs {
		if !runs[i].Terminal() {
			j.open[runs[i].ID] = EntryOf(&runs[i])
		}
	}
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
