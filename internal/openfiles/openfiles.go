// Package openfiles divides the files that the exporter may have open (RLIMIT_NOFILE) among
// what holds files open, so that all of it together leaves some for what opens files briefly:
// scans, databases, logs. Where there are few, less is held open, and nothing fails.
package openfiles

import "golang.org/x/sys/unix"

// Purpose is what files are held open for.
type Purpose int

// The purposes.
const (
	Connections   Purpose = iota // of HTTP clients
	ThreadFiles                  // of the sampler: two a thread
	WorkerDirs                   // of the sampler: /proc/PID of each worker
	Stacks                       // /proc/PID of processes whose stacks are read, and two files a thread
	WorkerHandles                // pidfds of workers
	Heartbeats                   // heartbeat files of gunicorn's workers
	MemoryFiles                  // memory files of resp_flask.py
	RedisNodes                   // connections to the nodes of clusters
)

// bound is the part of the files that a purpose may have, and the most that it needs.
type bound struct{ parts, most uint64 }

const (
	parts = 32 // of all files but the reserved ones
	// reserved files are for what opens files briefly; at most a quarter of all.
	reserved = 64
	// usual is the limit where it cannot be read.
	usual = 1024
)

// boundOf returns the bound of a purpose.
func boundOf(p Purpose) bound {
	switch p {
	case Connections:
		return bound{8, 512}
	case ThreadFiles:
		return bound{6, 2048}
	case WorkerDirs:
		return bound{4, 4096}
	case Stacks:
		return bound{4, 8192}
	case WorkerHandles, Heartbeats, MemoryFiles:
		return bound{2, 1024}
	case RedisNodes:
		return bound{4, 1000}
	}
	return bound{}
}

// Limit returns how many files may be held open for a purpose, by the limit of this process.
func Limit(p Purpose) int {
	limit := unix.Rlimit{Cur: usual}
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return Of(limit.Cur, p)
}

// Of returns how many files may be held open for a purpose where the process may have that
// many open.
func Of(files uint64, p Purpose) int {
	b := boundOf(p)
	left := files - min(reserved, files/4)
	return int(min(left/parts*b.parts, b.most)) //nolint:gosec // at most b.most
}
