package request

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// NewOver is New with another memory than the process's.
func NewOver(p *pystack.Process, m memory.Memory, room *object.Room) *Reader {
	layout, _ := object.LayoutOf(p.Version().Major, p.Version().Minor, false)
	return newReader(object.NewReader(m, layout, room), p.Runtime(), time.UTC)
}

// Known reports whether a function has a role.
func Known(file, function string) bool { return roleOf(file, function) != plain }
