package tasks

import (
	"strconv"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/pystack/memory"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// layout has the offsets of a task (Modules/_asynciomodule.c) and of the lists of
// them, in bytes.
type layout struct {
	coroutine, state uint64
	lists            bool   // tasks are in lists, not in sets: 3.14
	node             uint64 // of a task, in its list
	threadHead       uint64 // of a thread state: the list of its tasks
}

// layoutOf returns the layout of version 3.minor: that of 3.14 for any number above 13 or
// below 8.
func layoutOf(minor int) layout {
	switch minor {
	case 8:
		return layout{coroutine: 112, state: 72}
	case 9:
		return layout{coroutine: 152, state: 80}
	case 10:
		return layout{coroutine: 160, state: 88}
	case 11, 12:
		return layout{coroutine: 136, state: 88}
	case 13:
		return layout{coroutine: 120, state: 96}
	}
	return layout{coroutine: 128, state: 104, lists: true, node: 152, threadHead: 880}
}

// pending returns the address of the coroutine of a task; false if the task has ended, is
// none of asyncio's own type or cannot be read.
func (r *Reader) pending(task uint64) (uint64, bool) {
	var ok bool
	if r.name, ok = r.objects.TypeName(r.name[:0], task); !ok || string(r.name) != "_asyncio.Task" {
		return 0, false
	}
	state, ok := r.objects.Field(task, r.layout.state)
	if !ok || uint32(state) != 0 {
		return 0, false
	}
	coroutine, ok := r.objects.Field(task, r.layout.coroutine)
	return coroutine, ok && coroutine != 0
}

// number returns N of a task's name "Task-N", which asyncio assigns, and which an app may
// set too; 0 for any other name, none, or one that cannot be read. From 3.12 on the name is
// the number alone until a program reads it.
func (r *Reader) number(task uint64) uint64 {
	name, ok := r.objects.Field(task, r.layout.coroutine+8)
	if !ok || name == 0 {
		return 0
	}
	if r.objects.Is(name, object.Int) {
		n, _ := r.objects.Int(name)
		return uint64(max(n, 0))
	}
	if r.name, ok = r.objects.Str(r.name[:0], name); !ok {
		return 0
	}
	digits, ok := strings.CutPrefix(string(r.name), "Task-")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// list sets r.tasks to the tasks of the process, from 3.14 on those of the loop's thread
// only, at most [MaxTasks]; thread is the thread state of the loop. false: that is 0, the
// tasks could not be found, or their list not be read to its end; eager tasks may be
// missing.
func (r *Reader) list(thread uint64) bool {
	if r.layout.lists {
		return thread != 0 && r.linked(thread+r.layout.threadHead)
	}
	if thread == 0 {
		return false
	}
	interpreter, ok := r.objects.Word(thread + uint64(r.process.Layout().Thread.Interp)) // of several, that of the loop
	if !ok {
		return false
	}
	module, ok := r.objects.Module(interpreter, r.keys.module)
	if !ok {
		return false
	}
	weak, ok := r.objects.ModuleAttribute(module, r.keys.all)
	if !ok {
		if weak, ok = r.objects.ModuleAttribute(module, r.keys.scheduled); !ok {
			return false
		}
		if eager, ok := r.objects.ModuleAttribute(module, r.keys.eager); ok {
			r.objects.Set(eager, r.add)
		}
	}
	set, ok := r.objects.Attribute(weak, r.keys.data)
	if !ok {
		return false
	}
	return r.objects.Set(set, func(ref uint64) bool {
		if task, ok := r.objects.WeakrefTarget(ref); ok {
			return r.add(task)
		}
		return true
	})
}

// add adds a task to r.tasks. It returns false if there is no room, which is counted.
func (r *Reader) add(task uint64) bool {
	if len(r.tasks) == MaxTasks {
		r.Counts.TasksBeyond++
		return false
	}
	r.tasks = append(r.tasks, task)
	return true
}

// linked adds the tasks of a linked list to r.tasks, until there is no room. It checks the
// links in both directions; false if one is wrong or cannot be read.
func (r *Reader) linked(head uint64) bool {
	before := head
	node, ok := r.objects.Word(head)
	for ok && node != head {
		previous, sound := r.objects.Word(node + 8)
		if !sound || previous != before || node < memory.MinAddress+r.layout.node {
			return false
		}
		if !r.add(node - r.layout.node) {
			return true
		}
		before = node
		node, ok = r.objects.Word(node)
	}
	return ok
}
