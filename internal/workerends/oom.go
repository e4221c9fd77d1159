package workerends

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killsAge is how old the counters are with which those at a worker's end are compared, at
// least: a process that the OOM killer has chosen ends a little later.
const killsAge = 5 * time.Second

// kills is the counters of the OOM killer, by control group, "" for the host.
type kills struct {
	before, last map[string]uint64 // as of two looks, killsAge or more apart
	at           time.Time         // of last
}

// read reads the counters of OOM kills of all workers' control groups, each once, if the
// last ones are old enough. A group that is new is read in any case.
func (k *kills) read(w *Watcher, now time.Time) {
	rotate := now.Sub(k.at) >= killsAge
	if rotate {
		k.before, k.last, k.at = k.last, make(map[string]uint64), now
	}
	if _, ok := k.last[""]; !ok {
		k.last[""] = hostKills(w.o.ProcRoot)
	}
	for _, x := range w.workers {
		if _, ok := k.last[x.group]; !ok {
			if n, ok := w.o.Groups.OOMKills(x.groupPath); ok {
				k.last[x.group] = n
			}
		}
	}
}

// since returns by how much the counter n of a group exceeds that of a few seconds ago, 0
// if it does not, and counts one kill as explained. known is false if the counter was not
// read then.
func (k *kills) since(group string, n uint64) (more uint64, known bool) {
	of := k.before
	if _, ok := of[group]; !ok {
		of = k.last
	}
	before, known := of[group]
	if !known || n <= before {
		return 0, known
	}
	for _, m := range []map[string]uint64{k.before, k.last} {
		if at, ok := m[group]; ok && at < n {
			m[group] = at + 1
		}
	}
	return n - before, true
}

// takeKill returns how many processes of a worker's control group the OOM killer has killed
// in the last seconds; of the host if the group cannot be or was not read; 0 if neither is
// known, or it is known that no SIGKILL ended the worker. One of these kills explains this
// end, and does not count for the next.
func (w *Watcher) takeKill(x *worker, s Status) uint64 {
	if s.Known && s.Signal != unix.SIGKILL {
		return 0
	}
	if n, ok := w.o.Groups.OOMKills(x.groupPath); ok {
		if more, known := w.kills.since(x.group, n); known {
			return more
		}
	}
	more, _ := w.kills.since("", hostKills(w.o.ProcRoot))
	return more
}

// hostKills returns the counter oom_kill of the host (/proc/vmstat); 0 if it cannot be
// read.
func hostKills(procRoot string) uint64 {
	b, err := os.ReadFile(procRoot + "/vmstat")
	if err != nil {
		return 0
	}
	return parseOOMKills(b)
}

// parseOOMKills returns the counter oom_kill in the text of /proc/vmstat; 0 without it.
func parseOOMKills(b []byte) uint64 {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("oom_kill ")); ok {
			n, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
