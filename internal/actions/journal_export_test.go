package actions

import "github.com/resp-exporter/resp-exporter/internal/heal/action"

// Covers returns why an approval of one plan does not cover another.
func Covers(approved, p action.Plan) string {
	return approvalOf(*approved.Bounded()).covers(*p.Bounded())
}

// SetSize sets after how many bytes the journal begins its next file.
func (s *Store) SetSize(n int64) { s.size = n }
