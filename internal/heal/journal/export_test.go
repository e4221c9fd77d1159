package journal

import (
	"os"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Covers returns why an approval of one plan does not cover another.
func Covers(approved, p action.Plan) string {
	return ApprovalOf(*approved.Bounded()).Covers(*p.Bounded())
}

// FillDisk makes each write of the journal fail with ENOSPC, until free is called.
func (s *Store) FillDisk() (free func()) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.file.out = full
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.file.out = s.file.file
		_ = full.Close()
	}
}
