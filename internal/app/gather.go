package app

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gatherers gathers from two registries. It is [prometheus.Gatherers] for registries that have
// no family in common: each has checked and sorted its own series, and doing so again takes an
// eighth of a scrape. Where they do have one in common, it leaves them to prometheus.Gatherers.
type gatherers [2]prometheus.Gatherer

// Gather implements [prometheus.Gatherer]; an error of one source does not leave out the other. It sorts by name.
func (g gatherers) Gather() ([]*dto.MetricFamily, error) {
	var got [2][]*dto.MetricFamily
	var errs [2]error
	for i := range g {
		got[i], errs[i] = g[i].Gather()
	}
	if err := errors.Join(errs[:]...); err != nil || !disjoint(got[0], got[1]) {
		again := func(i int) prometheus.Gatherer {
			return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return got[i], errs[i] })
		}
		return prometheus.Gatherers{again(0), again(1)}.Gather()
	}
	all := slices.Concat(got[0], got[1])
	slices.SortFunc(all, func(x, y *dto.MetricFamily) int { return cmp.Compare(x.GetName(), y.GetName()) })
	return all, nil
}

// disjoint reports whether the metric families of two lists have no name in common. The
// names of a histogram's or a summary's series count as the name of the family.
func disjoint(xs, ys []*dto.MetricFamily) bool {
	names := make(map[string]bool, len(ys))
	for _, y := range ys {
		names[seriesOf(y.GetName())] = true
	}
	return !slices.ContainsFunc(xs, func(x *dto.MetricFamily) bool { return names[seriesOf(x.GetName())] })
}

// seriesOf returns a name without the suffix of a series of a histogram or a summary.
func seriesOf(name string) string {
	for _, ending := range [...]string{"_count", "_sum", "_bucket"} {
		if s, ok := strings.CutSuffix(name, ending); ok {
			return s
		}
	}
	return name
}
