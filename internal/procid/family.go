package procid

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/procfs"
)

// maxChildren is how many children of one master are read.
const maxChildren = 512

// Family is a master with all of its children at one time, with the files that
// they have open. A worker is proved within its family: what it holds must be its
// own and no sibling's.
type Family struct {
	Master    Process
	Children  map[int]Process
	files     map[int]Files // by number, the master's too
	listeners map[uint64]bool
}

// ReadFamily returns a master and its children; root is where /proc is mounted.
// More than 512 children are ErrTooMany. Children that end meanwhile are left
// out; a child that may not be read is an error, as its files count.
func ReadFamily(root string, master int) (*Family, error) {
	m, err := Read(root, master)
	if err != nil {
		return nil, err
	}
	f := &Family{Master: m, Children: make(map[int]Process), files: make(map[int]Files)}
	if f.listeners, err = Listeners(root, master); err != nil {
		return nil, err
	}
	if f.files[master], err = ReadFiles(root, master); err != nil {
		return nil, err
	}
	pids, err := childrenOf(root, master)
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		err := f.add(root, pid)
		if err != nil && !errors.Is(err, ErrGone) {
			return nil, err
		}
	}
	if now, err := readStat(root, master); err != nil || !now.Same(m) {
		return nil, fmt.Errorf("process %d: %w", master, ErrGone)
	}
	return f, nil
}

// add adds a child with its files to the family. A child of another parent is left out.
// One that changes its users just now is added as not uniform: it is no worker, but its
// files count. ErrGone: it has ended.
func (f *Family) add(root string, pid int) error {
	c, err := Read(root, pid)
	if errors.Is(err, ErrUsers) { // it becomes another user just now: no worker, but its files count
		c, err = readStat(root, pid)
		c.UIDs[0]++ // not uniform
	}
	if err != nil {
		return err
	}
	files, err := ReadFiles(root, pid)
	if err != nil {
		return err
	}
	if c.Parent == f.Master.PID {
		f.Children[pid], f.files[pid] = c, files
	}
	return nil
}

// childrenOf returns the pids of the children of a process, in no order, without zombies
// and those that cannot be read. All processes are read: the kernel's own list,
// task/PID/children, leaves some out while others end (proc(5)). ErrTooMany: there are more
// than 512.
func childrenOf(root string, parent int) ([]int, error) {
	dir, err := os.Open(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p, err := readStat(root, pid)
		if err != nil || p.Parent != parent {
			continue
		}
		if out = append(out, pid); len(out) > maxChildren {
			return nil, fmt.Errorf("process %d has more than %d children: %w", parent, maxChildren, ErrTooMany)
		}
	}
	return out, nil
}

// Gunicorn returns nil if pid is a worker of gunicorn: a child of the master with its
// users and its executable, that holds a listener of the master and exactly one heartbeat
// file, which the master holds too and no sibling does. Otherwise the error says why not:
// ErrNoProof if it has no such files, as a process that a hook has forked, else as
// [Family.child].
func (f *Family) Gunicorn(pid int) error {
	c, err := f.child(pid)
	if err != nil {
		return err
	}
	own := f.files[pid].Heartbeats
	if len(own) != 1 {
		return fmt.Errorf("process %d has %d gunicorn heartbeat files open, expected 1: %w", pid, len(own), ErrNoProof)
	}
	for beat := range own {
		if !f.files[f.Master.PID].Heartbeats[beat] {
			return fmt.Errorf("the heartbeat file of process %d is not one of the master's: %w", pid, ErrNoProof)
		}
		for other := range f.Children {
			if other != pid && f.files[other].Heartbeats[beat] {
				return fmt.Errorf("processes %d and %d share a heartbeat file: %w", min(pid, other), max(pid, other), ErrNoProof)
			}
		}
	}
	return f.serves(c)
}

// UWSGI returns nil if pid is a worker of uWSGI: a child of the master with its users and
// its executable, that holds a listener of the master and exactly one other socket of the
// master that no sibling holds: its signal pipe. Otherwise the error says why not:
// ErrNoProof if it has no such sockets, as a process that the app has forked in the
// master, else as [Family.child].
func (f *Family) UWSGI(pid int) error {
	c, err := f.child(pid)
	if err != nil {
		return err
	}
	if err := f.serves(c); err != nil {
		return err
	}
	own := 0
	for ino := range f.files[pid].Sockets {
		if f.files[f.Master.PID].Sockets[ino] && !f.listeners[ino] && !f.heldByOthers(pid, ino) {
			own++
		}
	}
	if own != 1 {
		return fmt.Errorf("process %d holds %d sockets that it shares only with the master, expected 1: %w", pid, own, ErrNoProof)
	}
	return nil
}

// heldByOthers reports whether a child other than pid holds a socket.
func (f *Family) heldByOthers(pid int, socket uint64) bool {
	for other := range f.Children {
		if other != pid && f.files[other].Sockets[socket] {
			return true
		}
	}
	return false
}

// child returns a child of the master. ErrParent: pid is none, as the family was read.
// ErrExecutable or ErrUsers: it has another executable or other users.
func (f *Family) child(pid int) (Process, error) {
	c, ok := f.Children[pid]
	switch {
	case !ok:
		return c, fmt.Errorf("process %d: %w", pid, ErrParent)
	case c.Exe != f.Master.Exe:
		return c, fmt.Errorf("process %d: %w", pid, ErrExecutable)
	}
	if err := Agree(c.Credentials, f.Master.Credentials); err != nil {
		return c, fmt.Errorf("process %d: %w", pid, err)
	}
	return c, nil
}

// serves returns nil if a child holds a listener of its master. ErrNoProof: it holds
// none.
func (f *Family) serves(c Process) error {
	if !f.files[c.PID].Shares(f.files[f.Master.PID], f.listeners) {
		return fmt.Errorf("process %d has no listener of its master open: %w", c.PID, ErrNoProof)
	}
	return nil
}

// SamePIDs reports whether a process is in the PID namespace of the exporter, so that a
// pid in a file of its own means the same here. The error means that it is not known.
func SamePIDs(root string, pid int) (bool, error) {
	name := path(root, pid, "ns/pid")
	theirs, err := os.Readlink(name)
	if err != nil {
		return false, procfs.OrEnded(err, name)
	}
	ours, err := os.Readlink("/proc/self/ns/pid")
	return ours == theirs, err
}
