package views

import (
	"cmp"
	"math"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/leak/linear"
)

// The limits of what is beyond doubt; docs/leaks.md says what each is for.
const (
	leastSpan         = 3600.0 // seconds that were observed
	leastObservations = 60.0   // and so many for each view
	perColumn         = 4.0
	leastRequests     = 20.0 // of a view that samples have shown
	leastErrors       = 6.0  // standard errors that the growth by a request is from none
	leastWithout      = 4.0  // the same without any one of the blocks
	leastBlocks       = 3
	// passing is how many times as large as over longer times the growth at once may be:
	// what is only taken for a moment is given back.
	passing    = 1.4
	leastShare = .4 // of all growth: with traffic that swings, a view that leaks no memory seems to take up to .35
	clip       = 16 // times the mean size of what memory changes by is what counts of one change
	clipFrom   = 1e6
	// warmUp is for how many seconds a process is not observed: what is imported and
	// cached with the first requests is no leak.
	warmUp = 300.0
)

// OtherView is the name under which the views count that are too many.
const OtherView = "other"

// App is what is known of the views of one app. It is not safe for concurrent use.
type App struct {
	names   []string // at most maxViews-1; what is beyond has the last column
	blocks  [maxBlocks]block
	n       int
	wide    float64 // seconds a block
	coef    [columns]float64
	usual   float64 // mean size of a change, bytes
	changes float64
	growing growing
	company company
	dropped uint64
}

// Growth is a view in which an app loses memory, beyond doubt.
type Growth struct {
	View       string
	PerRequest float64 // bytes
	Error      float64 // of PerRequest: one standard error
	PerSecond  float64 // bytes a second that all workers lose in it
}

// Observation is what one worker did between two moments at which it had no request.
type Observation struct {
	Seconds float64 // of a clock that never goes back, at the end
	Age     float64 // of the process, seconds of the same clock
	Lasted  float64 // seconds, by which requests are counted
	Scale   float64 // seconds of Seconds and Age in one of Lasted; 0: 1
	Grown   float64 // bytes of anonymous memory, swap included
	Seen    *Seen
}

// New returns an App without observations.
func New() *App { return &App{wide: firstBlock} }

// Add adds an observation of one worker of the app. It ignores one that is not sound, or
// too soon after the worker's start.
func (a *App) Add(w *Worker, o *Observation) {
	if !(o.Lasted > 0) || !(math.Abs(o.Grown) < 1e15) || !(o.Seconds >= 0 && o.Seconds < 1e12) || o.Age-o.Lasted*max(1, o.Scale) < warmUp {
		return
	}
	grown := *o
	grown.Grown = a.clipped(o.Grown)
	a.growing.add(grown.Grown, o.Lasted)
	x := a.columns(o.Lasted, o.Seen)
	for i := range o.Seen.Views {
		if v := o.Seen.Views[i].Name; v != OtherView && a.column(v) == columns-1 {
			a.dropped++
		}
	}
	a.company.add(&x, grown.Grown)
	w.add(&grown)
	if w.lasted >= a.growing.enough(max(1, o.Scale)) {
		a.observe(w, o.Seconds)
		w.reset()
	}
}

// observe adds what a worker has put together so far to the current block, as one
// observation.
func (a *App) observe(w *Worker, now float64) {
	b := a.block(now)
	x := a.columns(w.lasted, &w.seen)
	for i := range w.seen.Views {
		v := &w.seen.Views[i]
		c := a.column(v.Name)
		b.seen[c-1] += float64(v.Requests)
		b.ages[c-1].add(&v.Ages)
	}
	b.grown += w.grown
	b.spent += w.lasted
	b.looks += float64(w.seen.Looks)
	rest := w.grown
	for i := range columns {
		rest -= a.coef[i] * x[i]
	}
	b.observe(&x, columns, w.grown, rest)
}

// columns returns the columns of an observation: how long it lasted in seconds, and the
// requests to each view.
func (a *App) columns(lasted float64, seen *Seen) (x [columns]float64) {
	x[0] = lasted
	for i := range seen.Views {
		x[a.column(seen.Views[i].Name)] += float64(seen.Views[i].Requests)
	}
	return x
}

// clipped returns a change of memory in bytes, cut to as much as is believed by the usual
// changes, and learns from it. The first 8 are not cut.
func (a *App) clipped(grown float64) float64 {
	if a.changes >= 8 {
		most := max(clip*a.usual, clipFrom)
		grown = max(-most, min(grown, most))
	}
	a.changes = min(a.changes+1, 500)
	a.usual += (math.Abs(grown) - a.usual) / a.changes
	return grown
}

// column returns the column of a view, which it adds if it is new; the last one, that of
// OtherView, if there are too many.
func (a *App) column(view string) int {
	if i := slices.Index(a.names, view); i >= 0 {
		return 1 + i
	}
	if view == OtherView || len(a.names) == maxViews-1 {
		return columns - 1
	}
	a.names = append(a.names, view)
	return len(a.names)
}

// Dropped returns how often a view was counted as [OtherView] because there were too
// many.
func (a *App) Dropped() uint64 { return a.dropped }

// block returns the block to which an observation at now belongs, which it adds if need
// be.
func (a *App) block(now float64) *block {
	if a.n == 0 {
		a.blocks[0], a.n = block{from: now}, 1
	}
	if now-a.blocks[a.n-1].from < a.wide {
		return &a.blocks[a.n-1]
	}
	if a.n == maxBlocks {
		a.makeRoom()
	}
	a.blocks[a.n] = block{from: now}
	a.n++
	return &a.blocks[a.n-1]
}

// makeRoom joins the blocks two by two; if they are as long as they may be, it removes
// the first.
func (a *App) makeRoom() {
	if a.wide >= longestBlock {
		copy(a.blocks[:], a.blocks[1:])
		a.n--
		return
	}
	for i := range maxBlocks / 2 {
		b := a.blocks[2*i]
		b.add(&a.blocks[2*i+1])
		a.blocks[i] = b
	}
	a.n, a.wide = maxBlocks/2, a.wide*2
}

// Judge returns the views in which an app with that many workers loses memory, the worst
// first; nil as long as that is not beyond doubt.
func (a *App) Judge(now float64, workers int) []Growth {
	all := a.sum()
	cols := used(&all, &all)
	var v solution
	if all.spent <= 0 || !v.set(&all, cols) {
		return nil
	}
	a.expect(&all, &v)
	if a.n < leastBlocks || now-a.blocks[0].from < leastSpan || all.n < leastObservations || all.n < perColumn*float64(len(cols)) {
		return nil
	}
	var out []Growth
	mean := all.grown / all.spent
	for k, c := range cols {
		x := v.coef[k]
		growth := min(x*all.rate(c-1), mean)
		if c == columns-1 || all.seen[c-1] < leastRequests || !(growth > 0 && growth >= leastShare*mean) {
			continue
		}
		dev := v.deviation(&all.meat, k)
		if x >= leastErrors*dev && a.isKept(cols, k, x) && a.standsWithoutAny(&all, c) && !a.company.has(c, all.rate) {
			out = append(out, Growth{View: a.names[c-1], PerRequest: x, Error: dev, PerSecond: growth * float64(workers)})
		}
	}
	slices.SortFunc(out, func(x, y Growth) int { return cmp.Compare(y.PerSecond, x.PerSecond) })
	return out
}

// isKept reports whether the memory that requests take of the view in place k of cols is
// kept: within one observation it grows by hardly more than x, the growth per request
// over longer times. false too if the views cannot be separated.
func (a *App) isKept(cols []int, k int, x float64) bool {
	var v solution
	return a.company.atOnce(&v, cols) && v.coef[k]-2*v.deviation(&[packed]float32{}, k) <= passing*x
}

// expect sets by how much later observations are expected to grow. How far they deviate
// from that tells how sure the coefficients are. After few observations it is only the
// mean.
func (a *App) expect(all *block, v *solution) {
	a.coef = [columns]float64{}
	a.coef[0] = all.grown / all.spent
	if all.n < leastObservations/2 || all.n < perColumn*float64(v.cols) {
		return
	}
	for k := range v.cols {
		c := v.of[k]
		a.coef[c] = v.coef[k]
		a.coef[0] -= v.coef[k] * all.seen[c-1] / all.spent
	}
}

// sum returns the sums of all blocks, each about its own means.
func (a *App) sum() (all block) {
	for i := range a.n {
		all.addCentered(&a.blocks[i], 1)
	}
	return all
}

// used returns the columns for a regression on b: those of views that have requests in
// it. all has the sums of all blocks, to tell rounding errors from requests.
func used(b, all *block) []int {
	cols := make([]int, 0, columns)
	for c := 1; c < columns; c++ {
		if k := linear.At(c, c); b.gram[k] > 1e-9*all.gram[k] {
			cols = append(cols, c)
		}
	}
	return cols
}

// standsWithoutAny reports whether the growth by the requests of the view in column c is
// still found if any one block is left out: what happened once is no leak.
func (a *App) standsWithoutAny(all *block, c int) bool {
	var v solution
	for i := range a.n {
		b := *all
		b.addCentered(&a.blocks[i], -1)
		cols := used(&b, all)
		k := slices.Index(cols, c)
		if k < 0 || !v.set(&b, cols) || !(v.coef[k] > 0 && v.coef[k] >= leastWithout*v.deviation(&b.meat, k)) {
			return false
		}
	}
	return true
}

// rate returns how many requests to a view a worker gets per second: those that samples saw
// or, where their ages are known, what follows from these if that is more.
func (b *block) rate(view int) float64 {
	seen := b.seen[view] / b.spent
	if n, ok := b.ages[view].perLook(); ok && b.looks > 0 {
		return max(seen, n/b.looks)
	}
	return seen
}
