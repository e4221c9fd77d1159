package actions

import "os"

// SetSize sets after how many bytes the journal begins its next file.
func (s *Store) SetSize(n int64) { s.size = n }

// FillDisk lets each write of the journal fail with ENOSPC, until the function
// that it gives is called.
func (r *Runner) FillDisk() (free func()) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	j := r.store.journal
	r.mu.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	file := j.file
	j.file = full
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.file = file
		_ = full.Close()
	}
}
