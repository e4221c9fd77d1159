package appside

import (
	"slices"
	"time"
)

// Confirm and Replace are what [File.Read] does with the reads of a file.
var (
	Confirm = confirm
	Replace = replace
)

// Prove opens a file at a path if it is a memory file of a user.
func Prove(path string, uid uint32) (*File, error) {
	return newFinder("/proc").prove(path, uid, map[uint64]bool{})
}

// Searches returns after how many seconds a worker without a file is searched, in some seconds
// in which it is looked at each second.
func (k *Keeper) Searches(app string, pid int, seconds int, busy bool) (out []int) {
	w, start := worker{pid, 0}, time.Unix(1_700_000_000, 0)
	for s := range seconds {
		k.look(start.Add(time.Duration(s)*time.Second), app, 0, w, busy)
		if at := int(k.workers[w].searched.Sub(start) / time.Second); !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	delete(k.workers, w)
	return out
}

// Search searches for the files of a worker several times, a minute apart.
func (k *Keeper) Search(app string, pid int, began time.Time, times int) {
	for i := range times {
		k.look(time.Now().Add(time.Duration(i)*time.Minute), app, 0, worker{pid, began.UnixNano()}, true)
	}
}
