package words

import (
	"fmt"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/text"
)

// maxObject bounds the name of a type or container in a sentence, in bytes.
const maxObject = 128

// Heap returns what the first census of an app's heap has shown, for a sentence about the
// worker in a slot, e.g. "the list orders.cache grows by 2,000 items (Order) an hour and
// has 500,000", without an end; "" if it has shown nothing, or could not tell and was of
// another worker. Another worker that was counted is named.
func Heap(all []model.HeapCensus, app, slot string) string {
	for i := range all {
		h := &all[i]
		if h.App != app {
			continue
		}
		said := heapOf(h)
		switch {
		case said == "" || h.Slot == slot:
			return said
		case h.Outcome == model.HeapUnknown: // this worker was not tried
			return ""
		}
		return "in worker " + h.Slot + ", " + said
	}
	return ""
}

// heapOf returns the sentence about a census of the heap, "" if it has nothing to say.
func heapOf(h *model.HeapCensus) string {
	switch {
	case h.Outcome == model.HeapNotPython:
		return heapElsewhere(h)
	case h.Outcome == model.HeapGrows:
		return heapGrows(h)
	case h.Outcome == model.HeapUnknown && h.Reason == model.HeapAwake:
		return "its objects were not counted, as it never stood still for long enough"
	}
	return ""
}

// heapElsewhere returns a part of a sentence: the counted objects do not explain the
// growth of the memory.
func heapElsewhere(h *model.HeapCensus) string {
	line := "the counted objects do not explain the growth, so large buffers or texts, a C extension or the allocator may hold the memory"
	if len(h.Containers) > 0 {
		line += "; " + growing(&h.Containers[0]) + ", so check how large an item is"
	}
	return line
}

// heapGrows returns what grows in a heap, and how fast; "" if nothing is known.
func heapGrows(h *model.HeapCensus) string {
	line, of := "", ""
	if len(h.Containers) > 0 {
		line, of = growing(&h.Containers[0]), h.Containers[0].Of
	}
	switch {
	case len(h.Types) == 0 || h.Types[0].Name == of:
	case line == "":
		t := &h.Types[0]
		return fmt.Sprintf("the objects of %s grow by %s an hour, and what holds them was not found (it may be reference cycles, if the garbage collector is off)", object(t.Name), text.Short(t.PerHour))
	case h.Types[0].PerHour > h.Containers[0].PerHour/2:
		line += fmt.Sprintf(", and the objects of %s grow by %s an hour", object(h.Types[0].Name), text.Short(h.Types[0].PerHour))
	}
	return line
}

// growing returns what grows, how fast and how large it is.
func growing(c *model.HeapGrowth) string {
	return fmt.Sprintf("%s grows by %s%s an hour and has %s", container(c), items(c.PerHour), inBrackets(c.Of), text.Short(c.Count))
}

// container returns the kind of a container and its name, e.g. "the list orders.cache";
// without a name if that was not found.
func container(c *model.HeapGrowth) string {
	if c.Name == "" {
		return "a " + c.Kind + " whose place was not found"
	}
	return "the " + c.Kind + " " + object(c.Name)
}

// object returns the name of a type or container, cut to maxObject bytes, in quotes if it
// is no plain path such as shop.groups[…].orders: a program chooses it.
func object(name string) string {
	const item = "[…]"
	if path := strings.ReplaceAll(name, item, ""); len(name) <= maxObject && path != "" && text.Quoted(path, maxObject) == path {
		return name
	}
	return text.Quoted(name, maxObject)
}

// items returns a number of items.
func items(n float64) string { return text.Short(n) + Choose(n == 1, " item", " items") }

// inBrackets returns a name in brackets with a blank before it, "" for an unknown one.
func inBrackets(s string) string {
	if s == "" || s == "?" {
		return ""
	}
	return " (" + object(s) + ")"
}
