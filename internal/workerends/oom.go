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

// read reads the counters, of each group once, unless those that were read last are young.
// A group that is new is read in any case.
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

// since returns how many more there are of a group than a few seconds ago, and takes one
// of them away; false: its counter was not read then.
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

// takeKill returns how many processes of the control group of a worker the OOM killer has
// killed in the last seconds; of the host, where its group's counter cannot be read. One of
// them explains the end of a worker by SIGKILL, and is not counted for the next one.
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

// hostKills returns the counter oom_kill of /proc/vmstat; 0 without it.
func hostKills(procRoot string) uint64 {
	b, err := os.ReadFile(procRoot + "/vmstat")
	if err != nil {
		return 0
	}
	return parseOOMKills(b)
}

// parseOOMKills returns the counter oom_kill of /proc/vmstat.
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
