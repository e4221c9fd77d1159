package journal

import (
	"sync"
	"sync/atomic"
)

// journal is the journal of a state directory. Its methods lock; what is appended is
// on the disk when they return.
type journal struct {
	mu   sync.Mutex
	file *appender
	size atomic.Int64 // of both files, in bytes
}

// openJournal opens the journal of a state directory and makes it if there is none. size
// is the length in bytes at which it is rotated.
func openJournal(dir *stateDir, size int64) (*journal, error) {
	a, err := newAppender(dir, size)
	if err != nil {
		return nil, err
	}
	j := &journal{file: a}
	j.size.Store(a.bytes())
	return j, nil
}

// Bytes returns the size of both files in bytes.
func (j *journal) Bytes() int64 { return j.size.Load() }

// Append writes entries, all or none. With an error nothing of them is in the file, or a
// torn line that the next start cuts off, unless only the check after the write failed:
// then all are. [ErrLost]: the file that is written to is not the journal of the directory
// at the path, no longer, or was changed by others.
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
	err = j.file.write(data)
	j.size.Store(j.file.bytes())
	if err != nil {
		return err
	}
	for _, e := range entries {
		j.file.track(e)
	}
	return nil
}

// Probe writes an empty line, and returns the error if that fails.
func (j *journal) Probe() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.write([]byte("\n"))
}

// CheckHeld returns an error unless the lock is held, and the journal is still the file at
// the path, unchanged by others. [ErrLost]: it was replaced or changed, for good.
func (j *journal) CheckHeld() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.checkHeld()
}

// Rotate starts the next file now. Broken lines remain in the old one.
func (j *journal) Rotate() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file.checkHeld() == nil {
		j.file.beginFile()
		j.size.Store(j.file.bytes())
	}
}

// SetHead sets the beginning of the next file: the lines of guards, which is called for
// each file, and those of the runs that have not ended.
func (j *journal) SetHead(runs []Run, guards func() []Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file.guards = guards
	for i := range runs {
		if !runs[i].Terminal() {
			j.file.open[runs[i].ID] = EntryOf(&runs[i])
		}
	}
}

// close closes the file. A second call does nothing.
func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file.file == nil {
		return nil
	}
	err := j.file.file.Close()
	j.file.file = nil
	return err
}
