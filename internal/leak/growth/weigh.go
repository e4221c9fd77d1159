package growth

import (
	"cmp"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/pystack/census"
)

const (
	// itemMost is how many bytes an object is taken to have at most with all that it refers
	// to.
	itemMost = 64 << 10
	// itemLeast is how many bytes an object that refers to others has at least, to compare
	// containers.
	itemLeast = 512
	// atomicMore is how many bytes an item that refers to nothing takes in its container.
	atomicMore = 16
	// An object whose size was measured, with what it refers to itself, is likely to take
	// measuredTimes as much with all that it refers to, and may take measuredLeast bytes.
	measuredTimes = 16
	measuredLeast = 4 << 10
	// Bytes of the interpreter's own objects, without what these refer to, at most: classes
	// with their dict, deques with one block of items, others such as a dict.
	classMost = 8 << 10
	dequeMost = 1 << 10
	ownMost   = 512
)

// weighed is a container or type that grows, and how much of the growth of the memory it
// explains.
type weighed struct {
	grown
	name   string
	of     string  // type of a container's items
	likely float64 // bytes
	most   float64 // bytes, if each object is as large as one is taken to be at most
	weight float64 // how much it tells a person
	atomic bool    // the items of a container refer to nothing: it takes likely bytes
}

// weighContainers returns containers with what their growth is likely to take, those that
// tell most first. One whose place was found tells more.
func weighContainers(all []grown, found *census.Found) (out []weighed) {
	for _, g := range all {
		i := found.Items[g.addr]
		x := weighed{grown: g, name: found.Names[g.addr], of: i.Type, atomic: i.Atomic, likely: g.by * likelyBytes(i)}
		x.most, x.weight = x.likely, x.likely
		if !i.Atomic {
			x.most, x.weight = g.by*max(itemMost, i.Bytes), g.by*max(i.Bytes, itemLeast)
		}
		if x.name == "" {
			x.weight /= 8
		}
		out = append(out, x)
	}
	sortByWeight(out)
	return out
}

// weighTypes returns types with what their growth is likely to take, those that tell most
// first. Those that [ownBytes] lists tell less.
func weighTypes(all []grown, found *census.Found) (out []weighed) {
	measured := measuredTypes(found)
	for _, g := range all {
		x := weighed{grown: g, name: found.Types[g.addr], likely: g.by * itemMost, most: g.by * itemMost, weight: g.by}
		if bytes, ok := ownBytes(x.name); ok {
			x.likely, x.most, x.weight = g.by*bytes, g.by*bytes, g.by/4
		} else if bytes, ok := measured[x.name]; ok {
			x.likely = g.by * bytes
		}
		out = append(out, x)
	}
	sortByWeight(out)
	return out
}

// sortByWeight sorts by weight, the heaviest first; equal ones keep their order.
func sortByWeight(all []weighed) {
	slices.SortStableFunc(all, func(a, b weighed) int { return cmp.Compare(b.weight, a.weight) })
}

// measuredTypes returns, by type, the likely bytes of an object: of each type that is the
// most frequent one among the items of a growing container, the most that one such
// container shows.
func measuredTypes(found *census.Found) map[string]float64 {
	out := make(map[string]float64, len(found.Items))
	for _, i := range found.Items {
		if i.Type != "" {
			out[i.Type] = max(out[i.Type], likelyBytes(i))
		}
	}
	return out
}

// likelyBytes returns how many bytes an item is likely to take, with what it refers to: 16
// times what was measured, within 4 and 64 KiB, at least what was measured; 64 KiB if
// nothing was. An atomic item refers to nothing: its bytes and 16 more.
func likelyBytes(i census.Items) float64 {
	switch {
	case i.Atomic:
		return i.Bytes + atomicMore
	case i.Bytes <= 0:
		return itemMost
	default:
		return max(i.Bytes, min(itemMost, max(measuredLeast, measuredTimes*i.Bytes)))
	}
}

// ownBytes returns how many bytes an object of a type of the interpreter, listed here by
// name, is assumed to have at most, without what it refers to; false for all other names, also
// exceptions (they keep variables of functions) and files and buffers of io.
func ownBytes(name string) (bytes float64, ok bool) {
	switch name {
	case "type", "abc.ABCMeta", "module":
		return classMost, true
	case "collections.deque":
		return dequeMost, true
	case "dict", "list", "tuple", "set", "frozenset", "slice", "mappingproxy",
		"collections.OrderedDict", "collections.defaultdict",
		"cell", "function", "method", "builtin_function_or_method", "method-wrapper", "functools.partial",
		"generator", "coroutine", "async_generator", "coroutine_wrapper", "frame", "traceback",
		"property", "classmethod", "staticmethod", "super",
		"getset_descriptor", "member_descriptor", "method_descriptor", "wrapper_descriptor", "classmethod_descriptor",
		"weakref", "weakref.ReferenceType", "weakref.ProxyType", "weakref.CallableProxyType", "weakproxy", "weakcallableproxy",
		"functools._lru_list_elem", "functools._lru_cache_wrapper",
		"types.GenericAlias", "types.UnionType", "Context", "ContextVar", "Token",
		"_contextvars.Context", "_contextvars.ContextVar", "_contextvars.Token",
		"enumerate", "zip", "map", "filter", "reversed", "iterator", "callable_iterator",
		"dict_keys", "dict_values", "dict_items", "dict_keyiterator", "dict_valueiterator", "dict_itemiterator",
		"list_iterator", "list_reverseiterator", "tuple_iterator", "set_iterator":
		return ownMost, true
	}
	return 0, false
}
