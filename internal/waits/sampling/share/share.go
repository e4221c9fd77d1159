// Package share divides the CPU time that sampling may use among the users whose
// processes are sampled, so that the processes of one do not use up that of another. It
// is pure: it reads nothing and has no clock.
package share

import (
	"math"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/waits/sampling/reserve"
)

const (
	// Core is the divisor of the part of one core that all users have together.
	Core = 100
	// MaxSavings is how much CPU time that samples of a user were allowed to use and did
	// not can be saved for the stacks of later ones, and maxDebt how much can be owed.
	MaxSavings = 10 * time.Millisecond
	maxDebt    = 10 * MaxSavings
	// outlier is how many times the mean one sample counts at most. A page fault or an
	// interrupt makes one sample in a hundred dear; the stacks pay for it, not the rate.
	outlier = 3
	// reads is the inverse of the part of a user's share that samples may use without their
	// stacks.
	reads = 5.0 / 3
	// Slowest is the longest time between two samples of a user.
	Slowest = 10 * time.Second
	// maxHung is how many reads of memory of a user's processes may fail to return until
	// no memory of other ones is read, for as long as hungFor.
	maxHung = 2
	hungFor = 10 * time.Minute
)

// User is the share of one user. What it costs to sample its processes is charged to it
// alone.
type User struct {
	Account procfs.Account
	Savings time.Duration   // CPU time that its stacks may use
	Reserve reserve.Reserve // that of its long requests in samples without stacks
	Due     bool            // its workers are read in the sample under way
	Looks   bool            // and the stacks of their threads

	hung    int           // reads of memory of its processes that did not return, lately
	hungAt  time.Time     // the last one
	period  time.Duration // between two samples of it
	sampled time.Time
	mean    time.Duration // CPU time of a sample without its stacks; the late ones count most
	ofLooks time.Duration // mean of that of the stacks of a sample with stacks
	read    time.Duration // CPU time of the sample under way without stacks
	looked  time.Duration // that of its stacks
}

// Read adds to the user's cost of this sample the CPU time of reading the state of its
// threads.
func (u *User) Read(cost time.Duration) { u.read += cost }

// Looked adds to the user's cost of this sample the CPU time of its stacks, without that
// of the reserve.
func (u *User) Looked(cost time.Duration) { u.looked += cost }

// Hang records that a read of the memory of one of the user's processes did not return.
func (u *User) Hang(now time.Time) {
	if u.hung > 0 && now.Sub(u.hungAt) >= hungFor {
		u.hung = 0
	}
	u.hung++
	u.hungAt = now
}

// Hangs reports whether so many reads of the user's memory hung lately that no further
// process of the user is to be read.
func (u *User) Hangs(now time.Time) bool { return u.hung >= maxHung && now.Sub(u.hungAt) < hungFor }

// Shares is the shares of all users. The zero value is ready.
type Shares struct {
	users  []*User
	rooms  []time.Duration // reused
	period time.Duration
	ended  time.Time // the sample before; zero: there is none
}

// Of returns the share of a user, which it makes if there is none, with no CPU time
// saved.
func (s *Shares) Of(a procfs.Account) *User {
	for _, u := range s.users {
		if u.Account == a {
			return u
		}
	}
	u := &User{Account: a}
	s.users = append(s.users, u)
	return u
}

// Users returns all users, in the slice that the shares themselves use.
func (s *Shares) Users() []*User { return s.users }

// Keep removes the users for which keep returns false. It keeps those whose memory could
// not be read lately.
func (s *Shares) Keep(now time.Time, keep func(*User) bool) {
	s.users = slices.DeleteFunc(s.users, func(u *User) bool { return !keep(u) && (u.hung == 0 || now.Sub(u.hungAt) >= hungFor) })
}

// Begin sets which users' workers are read in this sample (Due), and whose stacks
// (Looks): of those that have saved the CPU time that their stacks cost on average. If it
// depended on how many stacks are due, the samples with stacks would find too few
// requests.
func (s *Shares) Begin(now time.Time, stacks bool) {
	for _, u := range s.users {
		u.Due = u.period <= s.period || now.Sub(u.sampled) >= u.period-s.period/4
		u.Looks = u.Due && stacks && u.Savings >= min(u.ofLooks, MaxSavings)
		u.read, u.looked, u.Reserve.Used = 0, 0, 0
		if u.Due {
			u.sampled = now
		}
	}
}

// End divides among the users' savings the CPU time that is allowed for the time since
// the last sample; none at the first. cost is the CPU time of this sample: each user pays
// for its own, and the rest of it is subtracted from all.
func (s *Shares) End(now time.Time, cost time.Duration) {
	passed := now.Sub(s.ended)
	if s.ended.IsZero() {
		passed = 0
	}
	s.ended = now
	s.rooms = s.rooms[:0]
	for _, u := range s.users {
		cost -= u.read + u.looked + u.Reserve.Used
		switch {
		case u.Due && u.mean == 0:
			u.mean = u.read
		case u.Due:
			u.mean += (min(u.read, outlier*max(u.mean, time.Millisecond)) - u.mean) / 8
		}
		if u.Looks {
			u.ofLooks += (min(u.looked, MaxSavings) - u.ofLooks) / 8
		}
		u.Savings = max(u.Savings-u.read-u.looked, -maxDebt)
		s.rooms = append(s.rooms, MaxSavings-u.Savings)
	}
	divide(max(passed/Core-passed/reserve.Share-max(cost, 0), 0), s.rooms)
	for i, u := range s.users {
		u.Savings += s.rooms[i]
		u.Reserve.Left -= u.Reserve.Used
		s.rooms[i] = reserve.Most - u.Reserve.Left
	}
	divide(passed/reserve.Share, s.rooms)
	for i, u := range s.users {
		u.Reserve.Left += s.rooms[i]
	}
}

// divide divides amount evenly among users, none of which gets more than its room; what
// is left goes to the others. rooms holds the rooms, and afterwards the parts.
func divide(amount time.Duration, rooms []time.Duration) {
	level := time.Duration(fair(float64(amount), len(rooms), func(i int) float64 { return float64(rooms[i]) }))
	for i := range rooms {
		rooms[i] = min(rooms[i], level)
	}
}

// fair returns the largest level so that n demands, each cut to the level, have at most
// total together: who demands less gets all, the others the same. A huge number: all can
// have what they demand.
func fair(total float64, n int, demand func(int) float64) float64 {
	level := 0.0
	for {
		left, open := total, 0
		for i := range n {
			if d := demand(i); d <= level {
				left -= d
			} else {
				open++
			}
		}
		if open == 0 {
			return math.MaxInt64 / 2
		}
		next := left / float64(open)
		if next <= level {
			return level
		}
		level = next
	}
}

// SetPeriods sets how often each user's workers are sampled, and returns the shortest of
// these times, to the next sample: fastest, also without users, or up to 10 s for users
// whose samples would cost more than three fifths of their share without stacks, or that
// owe much CPU time.
func (s *Shares) SetPeriods(fastest time.Duration) time.Duration {
	level := fair(1.0/Core, len(s.users), func(i int) float64 { return reads * float64(s.users[i].mean) / float64(fastest) })
	s.period = Slowest
	for _, u := range s.users {
		u.period = fastest
		if p := reads * float64(u.mean) / level; p > float64(fastest) {
			u.period = time.Duration(min(p, float64(Slowest)))
		}
		if u.Savings < -MaxSavings { // many outliers
			u.period = min(2*u.period, Slowest)
		}
		s.period = min(s.period, u.period)
	}
	if len(s.users) == 0 {
		s.period = fastest
	}
	return s.period
}

// Rate returns how many samples a second there are of the user that is sampled least
// often; 0 before the first call of [Shares.SetPeriods].
func (s *Shares) Rate() float64 {
	longest := s.period
	for _, u := range s.users {
		longest = max(longest, u.period)
	}
	if longest <= 0 {
		return 0
	}
	return 1 / longest.Seconds()
}
