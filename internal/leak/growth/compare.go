package growth

import (
	"cmp"
	"slices"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
)

const (
	// leastGrown is how many objects or items more there must be at the last census than
	// at the first, and leastShare what share of them.
	leastGrown = 10
	leastShare = 0.001
	// uneven is how many times faster a growth may be between two censuses than between
	// two others: what goes up and down does not grow.
	uneven = 5.0
	// explains is which share of the growth of the memory objects must explain, names which
	// share one container or type must, to be named.
	explains = 0.25
	names    = explains / 2
	// alike is which share of what the largest atomic container explains another one must,
	// to be named where only all of them together explain enough.
	alike = 0.1
	// leastMemory is how many bytes the memory must have grown by.
	leastMemory = 64 << 10
	maxSearched = 64 // containers and types that grow whose names are looked for
	maxNamed    = 5  // that are shown
)

// sample is one census.
type sample struct {
	at         time.Time
	anon       float64 // bytes
	objects    uint64
	types      map[uint64]uint64
	containers map[uint64]census.Container
	complete   bool // no container was left out
}

// grown is what has become more.
type grown struct {
	addr   uint64
	kind   census.Kind
	counts []float64 // at each census
	by     float64   // from the first to the last one
}

// add adds containers by their address.
func (s *sample) add(containers []census.Container) {
	for _, c := range containers {
		s.containers[c.Addr] = c
	}
}

// grows returns by how much counts, one for each census, have grown; ok is false unless
// they grew enough, at each census and about evenly.
func grows(counts []float64, at []time.Time) (by float64, ok bool) {
	last := len(counts) - 1
	if last < 1 {
		return 0, false
	}
	by = counts[last] - counts[0]
	if by < leastGrown || by < leastShare*counts[last] {
		return 0, false
	}
	slow, fast := 0.0, 0.0
	for i := range last {
		rate := (counts[i+1] - counts[i]) / at[i+1].Sub(at[i]).Seconds()
		if !(rate > 0) {
			return 0, false
		}
		if i == 0 || rate < slow {
			slow = rate
		}
		fast = max(fast, rate)
	}
	return by, fast <= uneven*slow
}

// times returns the times of the samples.
func times(all []sample) (out []time.Time) {
	for i := range all {
		out = append(out, all[i].at)
	}
	return out
}

// containersThatGrow returns the containers that grow, those that took most items first,
// at most maxSearched.
func containersThatGrow(all []sample) []grown { return most(growing(all)) }

// growing returns all containers that grow, in no order. One that an earlier census lacks
// counts as empty then if that census is complete; else it is left out, as is one of
// another kind.
func growing(all []sample) (out []grown) {
	at := times(all)
	for addr, c := range all[len(all)-1].containers {
		g := grown{addr: addr, kind: c.Kind}
		known := true
		for i := range all {
			before, ok := all[i].containers[addr]
			known = known && (ok && before.Kind == c.Kind || !ok && all[i].complete)
			g.counts = append(g.counts, float64(before.Items))
		}
		if by, ok := grows(g.counts, at); known && ok {
			g.by = by
			out = append(out, g)
		}
	}
	return out
}

// typesThatGrow returns the types whose objects grow in number, those with the largest
// growth first, at most maxSearched. A type that an earlier census lacks counts
// as without objects then.
func typesThatGrow(all []sample) []grown {
	at := times(all)
	var out []grown
	for addr := range all[len(all)-1].types {
		g := grown{addr: addr}
		for i := range all {
			g.counts = append(g.counts, float64(all[i].types[addr]))
		}
		if by, ok := grows(g.counts, at); ok {
			g.by = by
			out = append(out, g)
		}
	}
	return most(out)
}

// most returns what has grown most, at most maxSearched, the most first. It sorts all in
// place.
func most(all []grown) []grown {
	slices.SortFunc(all, func(a, b grown) int { return cmp.Or(cmp.Compare(b.by, a.by), cmp.Compare(a.addr, b.addr)) })
	return all[:min(len(all), maxSearched)]
}

// judge returns what the censuses show: whether the growth of types and containers explains
// that of the memory (HeapGrows, HeapNotPython; HeapSteady if it hardly grew), and those
// that explain a share of it alone, or many alike together. HeapUnknown: there are fewer
// than two censuses.
func judge(all []sample, containers, types []grown, found *census.Found) model.HeapCensus {
	last := &all[len(all)-1]
	out := model.HeapCensus{Censuses: len(all), Objects: float64(last.objects), Outcome: model.HeapUnknown}
	if len(all) < 2 {
		return out
	}
	span := last.at.Sub(all[0].at)
	out.Seconds, out.Growth = span.Seconds(), last.anon-all[0].anon
	held := weighContainers(containers, found)
	counted := weighTypes(types, found)
	atomic, largest := atomicBytes(held, growing(all))
	explained := atomic + max(likeliest(held), likeliest(counted))
	switch {
	case out.Growth < leastMemory:
		out.Outcome = model.HeapSteady
	case explained >= explains*out.Growth:
		out.Outcome = model.HeapGrows
	default:
		out.Outcome = model.HeapNotPython
	}
	together := out.Outcome == model.HeapGrows && atomic >= names*out.Growth
	enough := func(x *weighed) bool {
		switch {
		case together && x.atomic && x.likely >= alike*largest:
			return true
		case out.Outcome == model.HeapGrows:
			return x.likely >= names*out.Growth
		}
		return x.most >= names*out.Growth
	}
	out.Containers = named(held, enough, span)
	out.Types = named(counted, enough, span)
	return out
}

// atomicBytes returns by how many bytes all containers grew whose items, as far as they
// were looked at, refer to nothing, and by how many the largest. Growing containers beyond
// [maxSearched], whose items were not looked at, are taken to be like the others.
func atomicBytes(held []weighed, all []grown) (sum, largest float64) {
	searched, grew := 0.0, 0.0
	for i := range held {
		x := &held[i]
		searched += x.by
		if x.atomic {
			sum, largest = sum+x.likely, max(largest, x.likely)
		}
	}
	for i := range all {
		grew += all[i].by
	}
	if searched > 0 {
		sum *= max(1, grew/searched)
	}
	return sum, largest
}

// likeliest returns the most bytes that one of those explains whose items are not known to
// refer to nothing. One may hold what another one holds, so they are not added up; 0 if
// there is none.
func likeliest(all []weighed) (bytes float64) {
	for i := range all {
		if x := &all[i]; !x.atomic {
			bytes = max(bytes, x.likely)
		}
	}
	return bytes
}

// named returns what is shown of those for which enough returns true, the weightiest
// first, at most maxNamed. span is the time over which they grew.
func named(all []weighed, enough func(*weighed) bool, span time.Duration) (out []model.HeapGrowth) {
	for i := range all {
		x := &all[i]
		if len(out) < maxNamed && enough(x) {
			out = append(out, model.HeapGrowth{Name: x.name, Kind: string(x.kind), Of: x.of, Count: x.counts[len(x.counts)-1], PerHour: x.by / span.Hours()})
		}
	}
	return out
}
