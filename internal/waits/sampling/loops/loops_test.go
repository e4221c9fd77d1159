package loops

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/pystack/tasks"
)

// Of the tasks that share a request the innermost is listed, under the number of the
// first; a request of which one runs is in the thread's stack.
func TestTasksOfOneRequest(t *testing.T) {
	t.Parallel()
	frame := func(line int) model.Frame { return model.Frame{Function: "f", File: "/srv/shop.py", Line: line} }
	list := []tasks.Task{
		{Scope: 8, ID: 12, Own: frame(1)}, {Scope: 8, Own: frame(2), InView: true}, {Scope: 8, Own: frame(3)}, // named by a library
		{Scope: 16, ID: 20, Own: frame(4)}, {Scope: 16, ID: 21, Own: frame(5)},
		{Scope: 24, ID: 30, Own: frame(6)}, {Scope: 24, ID: 31, Running: true},
		{ID: 40, Own: frame(7)}, {ID: 41, Own: frame(8)}, // greenlets have no scope
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	got := map[int]uint64{}
	for _, x := range waiting(list) {
		got[x.Own.Line] = x.ID
	}
	if want := map[int]uint64{2: 12, 5: 20, 7: 40, 8: 41}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
