package procfs

import "time"

// The bounds of what is kept of processes whose memory does not come.
const (
	maxHung       = 256              // processes
	maxHungOfUser = 2                // of one user, until none of the user's is read
	hungAgain     = 10 * time.Minute // until they are read again
)

// hung is the processes whose memory did not come in time.
type hung struct {
	ownNS     uint64 // inode of the exporter's user namespace
	processes map[int]hungProcess
}

type hungProcess struct {
	at    time.Time
	owner Account
}

// add records that a read of a process's memory hangs. When there are too many, the
// others are forgotten.
func (h *hung) add(r *FS, pid int) {
	if h.processes == nil || len(h.processes) >= maxHung {
		h.processes = make(map[int]hungProcess)
	}
	h.processes[pid] = hungProcess{time.Now(), r.Owner(pid, 0, h.ownNS).Account}
}

// has reports whether the memory of a process is not to be read, since in the last ten
// minutes a read of it did not return, or reads of two processes of its user did not.
func (h *hung) has(r *FS, pid int) bool {
	if len(h.processes) == 0 {
		return false
	}
	for p, x := range h.processes {
		if time.Since(x.at) >= hungAgain {
			delete(h.processes, p)
		}
	}
	if _, ok := h.processes[pid]; ok || len(h.processes) < maxHungOfUser {
		return ok
	}
	n, owner := 0, r.Owner(pid, 0, h.ownNS).Account
	for _, x := range h.processes {
		if x.owner == owner {
			n++
		}
	}
	return n >= maxHungOfUser
}
