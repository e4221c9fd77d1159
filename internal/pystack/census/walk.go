package census

import (
	"cmp"
	"context"
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// Offsets of objects in bytes, the same in all versions: see package object.
const (
	headSize  = 16 // of a node of the collector, in front of the object
	atType    = 8
	atSize    = 16 // of a list, a tuple, a dict and a deque
	atSetUsed = 24
	atCache   = 72 // of an lru_cache: its dict
	atWrapped = 88 // and its function
)

// Walk returns how many objects of each type the collector knows, and the [MaxContainers]
// largest containers; nil with an error. [ErrAwake]: the process ran meanwhile. ErrTooMuch:
// it takes too long, or has more than [MaxObjects] objects. ErrLayout, ErrCollecting or
// ErrTorn: the lists cannot be walked. Dicts whose keys and values are all atomic are not
// among them before 3.14: see [Census.Search].
func (c *Census) Walk(ctx context.Context) (*Heap, error) {
	c.begin()
	h := &Heap{Types: make(map[uint64]uint64)}
	err := c.find()
	for _, l := range c.lists {
		if err != nil {
			break
		}
		err = c.walkList(ctx, h, l)
	}
	if err = c.end(err); err != nil {
		return nil, err
	}
	h.trim(MaxContainers)
	return h, nil
}

// walkList adds the objects of one list to h. Each node must lead back to the one before,
// so that a list cannot be a ring without its head. ErrTorn: one does not, or cannot be
// read. ErrTooMuch: there are too many. [Census.step] has other errors.
func (c *Census) walkList(ctx context.Context, h *Heap, l list) error {
	shift := int(c.t.Objects.Shift())
	size := headSize + shift + atSetUsed + 8
	last, info, count := uint64(0), typeInfo{}, uint64(0)
	defer func() { h.add(last, count) }()
	before := l.head
	for node := l.first; node != l.head; {
		if err := c.step(ctx); err != nil {
			return err
		}
		if h.Objects >= MaxObjects {
			return ErrTooMuch
		}
		raw := c.pages.view(node, size, c.room[:])
		if node%4 != 0 || raw == nil || memory.Uint64At(raw, 8)&^3 != before {
			return ErrTorn
		}
		h.Objects++
		next := memory.Uint64At(raw, 0) &^ 3
		items := memory.Uint64At(raw, headSize+shift+atSize)
		used := memory.Uint64At(raw, headSize+shift+atSetUsed)
		if t := memory.Uint64At(raw, headSize+shift+atType); t != last {
			h.add(last, count)
			last, count, info = t, 0, c.typeOf(t)
		}
		count++
		switch info.holds {
		case "":
		case Set:
			c.contain(h, Container{node + headSize, Set, used})
		case LRUCache:
			c.contain(h, Container{node + headSize, LRUCache, c.cached(node + headSize)})
		default:
			c.contain(h, Container{node + headSize, info.holds, items})
		}
		before, node = node, next
	}
	return nil
}

// cached returns how many results an lru_cache has; 0 if that cannot be read, or it keeps
// them in no dict.
func (c *Census) cached(obj uint64) uint64 {
	dict, ok := c.objects.Field(obj, atCache)
	if !ok || c.typeOfObject(dict).holds != Dict {
		return 0
	}
	n, _ := c.objects.Field(dict, atSize)
	return n
}

// containerAt returns the container at an address with its number of items, 0 if that
// cannot be read; one without a kind if there is none or its type cannot be read.
func (c *Census) containerAt(addr uint64) Container {
	x := Container{Addr: addr, Kind: c.typeOfObject(addr).holds}
	switch x.Kind {
	case "":
	case LRUCache:
		x.Items = c.cached(addr)
	case Set:
		x.Items, _ = c.objects.Field(addr, atSetUsed)
	default:
		x.Items, _ = c.objects.Field(addr, atSize)
	}
	return x
}

// typeOfObject returns what is known of the type of an object; zero if it cannot be read.
func (c *Census) typeOfObject(obj uint64) typeInfo {
	t, ok := c.objects.Field(obj, atType)
	if !ok {
		return typeInfo{}
	}
	return c.typeOf(t)
}

// add adds n objects of the type t. When there are too many types, they count as others.
func (h *Heap) add(t, n uint64) {
	if n == 0 {
		return
	}
	if _, ok := h.Types[t]; !ok && len(h.Types) >= MaxTypes {
		h.Other += n
		return
	}
	h.Types[t] += n
}

// contain adds a container to h, if it has at least eight items and is plausible.
func (c *Census) contain(h *Heap, x Container) {
	if x.Items < minItems || !c.plausible(x) {
		return
	}
	h.Containers = append(h.Containers, x)
	if len(h.Containers) == 4*MaxContainers {
		h.trim(MaxContainers)
	}
}

// trim sorts the containers, the largest first, and removes those after the n-th, which
// count as dropped.
func (h *Heap) trim(n int) {
	slices.SortFunc(h.Containers, func(a, b Container) int {
		return cmp.Or(cmp.Compare(b.Items, a.Items), cmp.Compare(a.Addr, b.Addr))
	})
	if len(h.Containers) > n {
		h.Dropped += uint64(len(h.Containers) - n)
		h.Containers = h.Containers[:n]
	}
}
