package discovery

import "github.com/resp-exporter/resp-exporter/internal/procfs"

// cost is a kind of work that a look does for one account's processes.
type cost int

const (
	costLoad   cost = iota // processes that are new or due to be read again
	costLink               // descriptors that are looked up
	costMember             // processes of apps that are read
	costThread             // threads whose system call is read
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

// begin starts a look.
func (b *budget) begin(first bool) {
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
	if b.first && k != costMember {
		n *= firstLook
	}
	return n
}

// has reports whether anything is left of an account's allowance.
func (b *budget) has(a procfs.Account, k cost) bool {
	s := b.spent[a]
	return s == nil || s[k] < b.allowed(a, k)
}

// spend charges n to an account.
func (b *budget) spend(a procfs.Account, k cost, n int) {
	s := b.spent[a]
	if s == nil {
		s = new([costs]int)
		b.spent[a] = s
	}
	s[k] += n
}

// take charges n if anything is left.
func (b *budget) take(a procfs.Account, k cost, n int) bool {
	if !b.has(a, k) {
		return false
	}
	b.spend(a, k, n)
	return true
}

// maxWorkers bounds what one app can publish.
const maxWorkers = 512

// maxThreads bounds the threads looked at in one worker.
const maxThreads = 64
