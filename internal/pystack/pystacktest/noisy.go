package pystacktest

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
)

// Noisy is the memory of a process with some of its words replaced.
type Noisy struct {
	Memory memory.Memory
	RNG    *rand.Rand
	Rate   int // one word in so many
	Reads  int // so far

	seen []uint64 // addresses
}

// Read implements [memory.Memory].
func (n *Noisy) Read(parts ...memory.Part) error {
	n.Reads++
	if err := n.Memory.Read(parts...); err != nil {
		return err
	}
	for _, p := range parts {
		if len(n.seen) < 1000 {
			n.seen = append(n.seen, p.Addr&^7)
		}
		for i := 0; i+8 <= len(p.Into); i += 8 {
			if n.RNG.IntN(n.Rate) == 0 {
				binary.LittleEndian.PutUint64(p.Into[i:], n.word())
			}
		}
	}
	return nil
}

// word returns a small number, an address that was read before, or anything.
func (n *Noisy) word() uint64 {
	switch n.RNG.IntN(4) {
	case 0:
		return uint64(n.RNG.IntN(64))
	case 1:
		return n.seen[n.RNG.IntN(len(n.seen))] + uint64(n.RNG.IntN(256))&^7
	case 2:
		return n.RNG.Uint64()
	}
	return 0
}
