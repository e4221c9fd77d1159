package charts

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/waits/ledger"
)

const (
	spentSpan = 5 * time.Minute
	spentStep = time.Minute
	spentKept = int(spentSpan/spentStep) + 1
)

// Spent keeps what the requests of each view spent their time on over the last five
// minutes: the totals of the sampler once a minute, six times, and the latest. A view
// takes 136 bytes each time, so an app with 100 views 95 kB. All methods are safe for
// concurrent use.
type Spent struct {
	mu     sync.RWMutex
	kept   []spentAt // ascending
	latest spentAt
}

type spentAt struct {
	at   time.Time
	apps map[string][]ledger.View // by name
}

// NewSpent returns a Spent without totals.
func NewSpent() *Spent { return &Spent{} }

// ViewTime is what the requests of one view spent their time on, in seconds a second.
type ViewTime struct {
	View    string
	Seconds ledger.Seconds
	Sum     float64
}

// Record stores the totals of the apps' views at t, which must not change afterwards. If
// the clock was set back, it removes the older ones.
func (s *Spent) Record(t time.Time, apps []ledger.AppTotals) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Before(s.latest.at) {
		s.kept = nil
	}
	s.latest = spentAt{t, make(map[string][]ledger.View, len(apps))}
	for i := range apps {
		s.latest.apps[apps[i].App] = apps[i].Views
	}
	if n := len(s.kept); n > 0 && t.Sub(s.kept[n-1].at) < spentStep {
		return
	}
	if len(s.kept) == spentKept {
		s.kept = slices.Delete(s.kept, 0, 1)
	}
	s.kept = append(s.kept, s.latest)
}

// Views returns what the views of an app spent their time on, in seconds per second, the
// one with most first, as a mean over the last 5 to 6 minutes, or less if less is known:
// over has how long. Views without time are left out. nil and 0 if nothing is known yet.
func (s *Spent) Views(app string) (views []ViewTime, over time.Duration) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	base := slices.IndexFunc(s.kept, func(x spentAt) bool {
		_, ok := x.apps[app]
		return ok && s.latest.at.Sub(x.at) <= spentSpan+spentStep
	})
	if base < 0 {
		return nil, 0
	}
	if over = s.latest.at.Sub(s.kept[base].at); over <= 0 {
		return nil, 0
	}
	before := make(map[string]*ledger.Seconds, len(s.kept[base].apps[app]))
	for i := range s.kept[base].apps[app] {
		v := &s.kept[base].apps[app][i]
		before[v.Name] = &v.Seconds
	}
	for i := range s.latest.apps[app] {
		v := &s.latest.apps[app][i]
		if x := rateOf(v, before[v.Name], over.Seconds()); x.Sum > 0 {
			views = append(views, x)
		}
	}
	slices.SortFunc(views, func(a, b ViewTime) int { return cmp.Or(cmp.Compare(b.Sum, a.Sum), cmp.Compare(a.View, b.View)) })
	return views, over
}

// rateOf returns what a view spent per second over the last over seconds, without its idle
// time. before is its totals then. Without them (nil: it is new, or they were forgotten),
// and for a total that is less than before, all of the total counts as spent since.
func rateOf(v *ledger.View, before *ledger.Seconds, over float64) ViewTime {
	x := ViewTime{View: v.Name}
	for on := range v.Seconds {
		d := v.Seconds[on]
		if before != nil && before[on] <= d {
			d -= before[on]
		}
		if ledger.On(on) == ledger.Idle { //nolint:gosec // an index of Seconds
			continue
		}
		x.Seconds[on] = d / over
		x.Sum += d / over
	}
	return x
}
