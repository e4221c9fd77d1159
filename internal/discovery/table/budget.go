package table

import "github.com/resp-exporter/resp-exporter/internal/procfs"

// cost is a kind of work that a look does for one account's processes.
type cost int

const (
	costLoad   cost = iota // processes that are new or due to be read again
	CostLink               // descriptors that are looked up
	CostMember             // processes of apps that are read
	CostThread             // threads whose system call is read
	costs
)

// What one look may spend on one account. Root's is larger, and the first look
// of all reads the whole host.
const (
	firstLook  = 16 // times as much
	rootsShare = 16
)

func allowances() [costs]int { return [costs]int{250, 4096, 2048, 4096} }

// budget bounds what each account costs a look, so that no user's processes
// delay those of another. What was spent over the allowance, by one process
// with very many descriptors, is owed in the looks after.
type budget struct {
	first bool
	spent map[procfs.Account]*[costs]int
}

func newBudget() *budget { return &budget{spent: make(map[procfs.Account]*[costs]int)} }

// Begin starts a look.
func (b *budget) Begin(first bool) {
	b.first = first
	for a, s := range b.spent {
		left := 0
		for k := range s {
			s[k] = max(0, s[k]-b.allowed(a, cost(k)))
			left += s[k]
		}
		if left == 0 {
			delete(b.spent, a)
		}
	}
}

func (b *budget) allowed(a procfs.Account, k cost) int {
	n := allowances()[k]
	if a == 0 {
		n *= rootsShare
	}
	if b.first && k != CostMember {
		n *= firstLook
	}
	return n
}

// has reports whether anything is left of an account's allowance.
func (b *budget) has(a procfs.Account, k cost) bool {
	s := b.spent[a]
	return s == nil || s[k] < b.allowed(a, k)
}

// Spend charges n to an account.
func (b *budget) Spend(a procfs.Account, k cost, n int) {
	s := b.spent[a]
	if s == nil {
		s = new([costs]int)
		b.spent[a] = s
	}
	s[k] += n
}

// Take charges n if anything is left.
func (b *budget) Take(a procfs.Account, k cost, n int) bool {
	if !b.has(a, k) {
		return false
	}
	b.Spend(a, k, n)
	return true
}

// MaxWorkers bounds what one app can publish.
const MaxWorkers = 512

// MaxThreads bounds the threads looked at in one worker.
const MaxThreads = 64
