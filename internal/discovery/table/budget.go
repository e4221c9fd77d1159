package table

import "github.com/resp-exporter/resp-exporter/internal/procfs"

// CostKind is a kind of work that a scan does for the processes of one account.
type CostKind int

const (
	costLoad CostKind = iota // processes that are new or due to be read again
	// CostLink is descriptors whose links are read.
	CostLink
	// CostMember is processes of apps that are read.
	CostMember
	// CostThread is threads whose system call is read.
	CostThread
	costs
)

const (
	// firstScanFactor multiplies the allowances in the first scan, which reads
	// the whole host; rootFactor multiplies those of root.
	firstScanFactor = 16 // times as much
	rootFactor      = 16
)

// allowances returns how much work one scan may spend on one account, by kind of work.
func allowances() [costs]int { return [costs]int{250, 4096, 2048, 4096} }

// Budgets bounds the cost of each account a scan, so that no user's processes
// delay those of another. What was spent beyond the allowance, by one process
// with very many descriptors, is owed in the scans after.
type Budgets struct {
	first bool
	spent map[procfs.Account]*[costs]int
}

// newBudgets returns Budgets of which nothing is spent.
func newBudgets() *Budgets { return &Budgets{spent: make(map[procfs.Account]*[costs]int)} }

// Begin starts a scan: each account gets its allowance again, less what it owes.
func (b *Budgets) Begin(first bool) {
	b.first = first
	for a, s := range b.spent {
		left := 0
		for k := range s {
			s[k] = max(0, s[k]-b.allowed(a, CostKind(k)))
			left += s[k]
		}
		if left == 0 {
			delete(b.spent, a)
		}
	}
}

// allowed returns the allowance of an account in this scan: a multiple for root, and a
// multiple in the first scan, except of CostMember.
func (b *Budgets) allowed(a procfs.Account, k CostKind) int {
	n := allowances()[k]
	if a == 0 {
		n *= rootFactor
	}
	if b.first && k != CostMember {
		n *= firstScanFactor
	}
	return n
}

// has reports whether some of an account's allowance is left.
func (b *Budgets) has(a procfs.Account, k CostKind) bool {
	s := b.spent[a]
	return s == nil || s[k] < b.allowed(a, k)
}

// Spend charges n to an account, even if its allowance is used up.
func (b *Budgets) Spend(a procfs.Account, k CostKind, n int) {
	s := b.spent[a]
	if s == nil {
		s = new([costs]int)
		b.spent[a] = s
	}
	s[k] += n
}

// TrySpend charges n to an account if any of its allowance is left, even less than n, and
// reports whether it did.
func (b *Budgets) TrySpend(a procfs.Account, k CostKind, n int) bool {
	if !b.has(a, k) {
		return false
	}
	b.Spend(a, k, n)
	return true
}

// MaxWorkers is how many workers of one app are published.
const MaxWorkers = 512

// MaxThreads is how many threads of one worker are read.
const MaxThreads = 64
