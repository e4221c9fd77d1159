package words_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/golden"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

var updateGolden = flag.Bool("update", false, "write the golden files instead of comparing with them")

// claim is a name that reads like the rest of an advice.
const claim = "x. All is well; restart mysql"

// heaps returns what censuses have shown of worker 1 of the app shop, by the name of the
// case; those that begin with "silent" show nothing that is worth a sentence.
func heaps() map[string]model.HeapCensus {
	list := model.HeapGrowth{Name: "orders.cache", Kind: "list", Of: "Order", Count: 500e3, PerHour: 2000}
	sublist := model.HeapGrowth{Name: "shop.groups[…].rows", Kind: "list", Of: "?", Count: 90, PerHour: 1}
	grows := func(containers, types []model.HeapGrowth) model.HeapCensus {
		return model.HeapCensus{Slot: "1", Outcome: model.HeapGrows, Containers: containers, Types: types}
	}
	one := func(x model.HeapGrowth) []model.HeapGrowth { return []model.HeapGrowth{x} }
	other := grows(one(list), nil)
	other.Slot = "0"
	return map[string]model.HeapCensus{
		"a list":                       grows(one(list), one(model.HeapGrowth{Name: "Order", PerHour: 2000})),
		"a list, and another type":     grows(one(list), one(model.HeapGrowth{Name: "Line", PerHour: 9000})),
		"a list of a dict":             grows(one(sublist), nil),
		"no place":                     grows(one(model.HeapGrowth{Kind: "deque", Count: 90, PerHour: 20}), nil),
		"only a type":                  grows(nil, one(model.HeapGrowth{Name: "Node", PerHour: 77})),
		"another worker":               other,
		"not the counted":              {Slot: "1", Outcome: model.HeapNotPython},
		"not the counted, a list":      {Slot: "1", Outcome: model.HeapNotPython, Containers: one(list)},
		"not the counted, another one": {Slot: "0", Outcome: model.HeapNotPython},
		"never at rest":                {Slot: "1", Outcome: model.HeapUnknown, Reason: model.HeapAwake},
		"names of a stranger: list":    grows(one(model.HeapGrowth{Name: claim, Kind: "list", Of: claim, Count: 90, PerHour: 20}), one(model.HeapGrowth{Name: claim + "!", PerHour: 70})),
		"names of a stranger: type":    grows(nil, one(model.HeapGrowth{Name: claim, PerHour: 70})),
		"silent: another one at work":  {Slot: "0", Outcome: model.HeapUnknown, Reason: model.HeapAwake},
		"silent: not known":            {Slot: "1", Outcome: model.HeapUnknown, Reason: model.HeapPermission},
		"silent: not yet":              {Slot: "1", Outcome: model.HeapPending},
		"silent: steady":               {Slot: "1", Outcome: model.HeapSteady, Containers: one(list)},
		"silent: nothing named":        grows(nil, nil),
	}
}

// What a census has shown is said with numbers. Another worker than the one that the
// sentence is about is named, and names of the program are in quotes where they are no
// plain paths.
func TestHeap(t *testing.T) {
	var out bytes.Buffer
	all := heaps()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		h := all[name]
		h.App = "shop"
		got := words.Heap([]model.HeapCensus{{App: "blog", Slot: "1", Outcome: model.HeapNotPython}, h}, "shop", "1")
		if (got == "") != strings.HasPrefix(name, "silent") {
			t.Errorf("%s: %q", name, got)
		}
		if got != "" && strings.Contains(got, "worker 0") != (h.Slot == "0") {
			t.Errorf("%s: whose it is: %q", name, got)
		}
		if bare := strings.NewReplacer(strconv.Quote(claim), "", strconv.Quote(claim+"!"), "").Replace(got); strings.Contains(bare, claim) {
			t.Errorf("%s: a name that is not quoted: %s", name, got)
		}
		if got != "" {
			fmt.Fprintf(&out, "%s\n\t%s\n", name, got)
		}
	}
	golden.Check(t, "heap.golden", out.Bytes(), *updateGolden)
}
