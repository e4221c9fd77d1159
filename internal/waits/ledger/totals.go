package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

const (
	// MaxViews is how many views of one app are counted; the rest count as
	// OtherView.
	MaxViews = 100
	// OtherView is the view of what is beyond MaxViews.
	OtherView = "other"
	// forgetAfter is how long the totals of an app or a slot are kept that has no
	// process any more.
	forgetAfter = time.Hour
	// utilizationSpan is over how long utilization is a mean, and utilizationStep
	// how often its totals are kept.
	utilizationSpan = time.Minute
	utilizationStep = 5 * time.Second
)

// Totals is the seconds of all apps since the exporter first saw them. It is not
// safe for concurrent use.
type Totals struct {
	apps   map[string]*App
	beyond uint64 // how often a view was counted as OtherView because of MaxViews
}

// App is the totals of one app.
type App struct {
	slots map[int]*Slot
	views map[string]*View
	seen  time.Time
	past  [utilizationSpan/utilizationStep + 1]moment // the older first
	kept  int
}

// moment is the totals of an app at one time.
type moment struct {
	at         time.Time
	all, inUse float64
}

// Slot is the totals of one slot of a worker, over all the processes that were in
// it.
type Slot struct {
	Seconds Seconds
	Blocked float64 // of an event loop that did not return to its poll
	Loop    bool    // it has or had an event loop, as far as is known
	seen    time.Time
}

// View is the totals of one view.
type View struct {
	Name    string
	Seconds Seconds
}

// Slot returns the totals of a slot of an app, which it makes if there are none. They
// stay when the process in the slot is replaced.
func (t *Totals) Slot(app string, slot int, now time.Time) *Slot {
	a := t.app(app, now)
	s := a.slots[slot]
	if s == nil {
		s = new(Slot)
		a.slots[slot] = s
	}
	s.seen = now
	return s
}

// View returns the totals of a view of an app, which it makes if there are none. Once the
// app has MaxViews it returns those of OtherView for further views, and counts that.
func (t *Totals) View(app, view string, now time.Time) *View {
	a := t.app(app, now)
	v := a.views[view]
	if v == nil && len(a.views) >= MaxViews {
		t.beyond++
		view = OtherView
		v = a.views[view]
	}
	if v == nil {
		v = &View{Name: view}
		a.views[view] = v
	}
	return v
}

// DroppedViews returns how often a view was counted as OtherView because its app has
// MaxViews others.
func (t *Totals) DroppedViews() uint64 { return t.beyond }

// app returns the totals of an app, which it makes if there are none.
func (t *Totals) app(name string, now time.Time) *App {
	if t.apps == nil {
		t.apps = make(map[string]*App)
	}
	a := t.apps[name]
	if a == nil {
		a = &App{slots: make(map[int]*Slot), views: make(map[string]*View)}
		t.apps[name] = a
	}
	a.seen = now
	return a
}

// Tick stores a copy of the totals every 5 s, from which utilization is computed, and
// removes apps and slots that had no process for an hour. The caller calls it about every
// second.
func (t *Totals) Tick(now time.Time) {
	for name, a := range t.apps {
		if now.Sub(a.seen) > forgetAfter {
			delete(t.apps, name)
			continue
		}
		maps.DeleteFunc(a.slots, func(_ int, s *Slot) bool { return now.Sub(s.seen) > forgetAfter })
		if a.kept > 0 && now.Sub(a.past[a.kept-1].at) < utilizationStep {
			continue
		}
		if a.kept == len(a.past) {
			copy(a.past[:], a.past[1:])
			a.kept--
		}
		a.past[a.kept] = a.moment(now)
		a.kept++
	}
}

// moment returns the app's totals now, for a comparison with later ones.
func (a *App) moment(now time.Time) moment {
	m := moment{at: now}
	for _, s := range a.slots {
		sum := s.Seconds.Sum()
		m.all += sum
		m.inUse += sum - s.Seconds[Idle]
	}
	return m
}

// utilization returns the part of the thread time of the last minute, from 0 to 1, with a
// request in hand; false until there are five seconds to compare, or if no time was counted
// in them.
func (a *App) utilization(now time.Time) (float64, bool) {
	first := 0
	for first < a.kept && now.Sub(a.past[first].at) > utilizationSpan+utilizationStep {
		first++
	}
	if first == a.kept {
		return 0, false
	}
	was, is := a.past[first], a.moment(now)
	all := is.all - was.all
	if now.Sub(was.at) < utilizationStep || all <= 0 {
		return 0, false
	}
	return min(max(0, (is.inUse-was.inUse)/all), 1), true
}

// AppTotals is a copy of the totals of one app.
type AppTotals struct {
	App         string
	Slots       []SlotTotals // by slot
	Views       []View       // by name
	Utilization *float64     // of the last minute; nil: not known yet
}

// SlotTotals is a copy of the totals of one slot.
type SlotTotals struct {
	Slot    int
	Seconds Seconds
	Blocked float64
	Loop    bool
}

// Copy returns a copy of the totals of all apps, sorted by name.
func (t *Totals) Copy(now time.Time) []AppTotals {
	out := make([]AppTotals, 0, len(t.apps))
	for _, name := range slices.Sorted(maps.Keys(t.apps)) {
		a := t.apps[name]
		x := AppTotals{App: name}
		for n, s := range a.slots {
			x.Slots = append(x.Slots, SlotTotals{Slot: n, Seconds: s.Seconds, Blocked: s.Blocked, Loop: s.Loop})
		}
		slices.SortFunc(x.Slots, func(p, q SlotTotals) int { return cmp.Compare(p.Slot, q.Slot) })
		for _, v := range a.views {
			x.Views = append(x.Views, *v)
		}
		slices.SortFunc(x.Views, func(p, q View) int { return cmp.Compare(p.Name, q.Name) })
		if u, ok := a.utilization(now); ok {
			x.Utilization = &u
		}
		out = append(out, x)
	}
	return out
}
