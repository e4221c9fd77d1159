package tasks

import (
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// Over makes a reader read objects from another memory than the process's.
func (r *Reader) Over(m memory.Memory) {
	r.objects = object.NewReader(m, r.objects.Layout(), &object.Room{})
}

// Over makes a reader read objects from another memory than the process's.
func (g *Greenlets) Over(m memory.Memory) {
	g.objects = object.NewReader(m, g.objects.Layout(), &object.Room{})
}

// Linked returns the tasks of a list of 3.14 in a memory.
func Linked(m memory.Memory, head uint64) ([]uint64, bool) {
	layout, _ := object.LayoutOf(3, 14, false)
	r := &Reader{objects: object.NewReader(m, layout, &object.Room{}), layout: layoutOf(14)}
	ok := r.linked(head)
	return r.tasks, ok
}
