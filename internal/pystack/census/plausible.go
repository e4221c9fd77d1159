package census

import "github.com/resp-exporter/resp-exporter/internal/pystack/memory"

// manyItems is how many items a container may have unproven. A pointer that is taken for
// a number of items is larger.
const manyItems = 1 << 16

// plausible reports whether a container can have as many items as it claims. Up to 65,536
// are believed; for more a few reads must show that there is memory where the last item
// would be, of a deque that its first and last block are there. Containers that claim more
// items than memory has would displace the true ones.
func (c *Census) plausible(x Container) bool {
	if x.Items <= manyItems {
		return true
	}
	if x.Items > memory.EndAddress/8 {
		return false
	}
	r := c.objects
	switch x.Kind {
	case List:
		room, ok := r.Field(x.Addr, 32)
		items, ok2 := r.Field(x.Addr, 24)
		return ok && ok2 && room >= x.Items && c.readable(items+8*(x.Items-1))
	case Tuple:
		_, ok := r.Field(x.Addr, 24+8*(x.Items-1))
		return ok
	case Dict: // the keys, whose entries have at least 16 bytes
		keys, ok := r.Field(x.Addr, 32)
		return ok && c.readable(keys+16*x.Items)
	case Set:
		mask, ok := r.Field(x.Addr, 32)
		table, ok2 := r.Field(x.Addr, 40)
		return ok && ok2 && mask >= x.Items-1 && mask <= memory.EndAddress/8 && c.readable(table+16*mask)
	case Deque: // two blocks, and places in them
		return c.inBlock(x.Addr, 24, 40) && c.inBlock(x.Addr, 32, 48)
	case LRUCache:
		dict, ok := r.Field(x.Addr, atCache)
		return ok && c.plausible(Container{dict, Dict, x.Items})
	}
	return false
}

// readable reports whether the memory at an address can be read.
func (c *Census) readable(addr uint64) bool {
	_, ok := c.pages.word(addr &^ 7)
	return ok
}

// inBlock reports whether a deque has a block at one offset, and at another one a place
// that a block has; false too if they cannot be read.
func (c *Census) inBlock(deque, block, place uint64) bool {
	b, ok := c.objects.Field(deque, block)
	at, ok2 := c.objects.Field(deque, place)
	return ok && ok2 && at < blockItems && c.readable(b)
}
