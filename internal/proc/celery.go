package proc

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The bounds of what is told of Celery's workers.
const (
	maxCelery       = 256 // workers
	maxOthersCelery = 64  // workers of one account other than root's
	maxCeleryQueues = 50  // of one worker
)

// CeleryWorker is one worker of Celery on this host, as `celery worker` starts
// it. Celery keeps no list of them in Redis.
type CeleryWorker struct {
	PID       int
	Start     time.Time
	Queues    []string // by the command line: -Q, else "celery"; at most 50
	Processes int      // that run tasks: those of its pool, or 1 where the pool is of threads or none
}

// celeryID is what a command line tells of a worker of Celery.
type celeryID struct {
	queues []string
	child  bool // a process of a worker's pool, by its title
	beat   bool // the scheduler that -B starts, by its title: it runs no task
}

// celeryTitle is what Celery sets where it can: "[celeryd: celery@host:MainProcess] -active- (-A shop worker -Q mail)".
var celeryTitle = regexp.MustCompile(`^\[celeryd: \S*?:([A-Za-z]+)(?:-\d+)?\](?:[^(]*\((.*)\))?$`)

// celeryOf reads the command line of a worker of Celery; nil: it is none.
func celeryOf(argv []string) *celeryID {
	if len(argv) == 0 {
		return nil
	}
	if title := strings.TrimSpace(argv[0]); strings.HasPrefix(title, "[celeryd: ") {
		if m := celeryTitle.FindStringSubmatch(title); m != nil {
			if m[1] != "MainProcess" {
				return &celeryID{child: true, beat: m[1] == "Beat"}
			}
			return celeryArgs(strings.Fields(m[2]))
		}
	}
	if path.Base(argv[0]) == "celery" {
		return celeryArgs(argv[1:])
	}
	if !isPython(path.Base(argv[0])) {
		return nil
	}
	for i := 1; i < len(argv); i++ {
		switch a := argv[i]; {
		case a == "-m" && i+1 < len(argv) && argv[i+1] == "celery":
			return celeryArgs(argv[i+2:])
		case a == "-W" || a == "-X":
			i++
		case a == "-m" || a == "-c":
			return nil
		case strings.HasPrefix(a, "-"):
		case path.Base(a) == "celery":
			return celeryArgs(argv[i+1:])
		default:
			return nil
		}
	}
	return nil
}

// celeryArgs finds the command worker among Celery's arguments, and its queues.
func celeryArgs(args []string) *celeryID {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "worker":
			return &celeryID{queues: celeryQueues(args[i+1:])}
		case slices.Contains([]string{"-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"}, a):
			i++
		case strings.HasPrefix(a, "-"):
		default:
			return nil // beat, flower, inspect
		}
	}
	return nil
}

func celeryQueues(args []string) []string {
	var out []string
	not := strings.Split(option(args, "-X", "--exclude-queues"), ",")
	for q := range strings.SplitSeq(cmp.Or(option(args, "-Q", "--queues"), "celery"), ",") {
		q = strings.TrimSpace(q)
		if q != "" && !slices.Contains(not, q) && !slices.Contains(out, q) && len(out) < maxCeleryQueues {
			out = append(out, q)
		}
	}
	return out
}

// celeryWorkers gives Celery's workers of this host, oldest first, at most 256.
// It looks through the table only after a change of it, and reads nothing.
func (w *Watcher) celeryWorkers() []CeleryWorker {
	if w.celeryGen == w.table.gen {
		return w.celery
	}
	w.celery, w.celeryGen = nil, w.table.gen // a new list: the one before was given out
	held := make(map[account]int)
	for _, p := range w.celeryMains() {
		owner := w.table.owns(p).account
		if held[owner]++; owner != 0 && held[owner] > maxOthersCelery {
			continue
		}
		n := 0
		for _, kid := range w.table.kids[p.pid] {
			if kid.celery != nil && !kid.celery.beat {
				n++
			}
		}
		w.celery = append(w.celery, CeleryWorker{PID: p.pid, Start: w.table.started(p), Queues: p.celery.queues, Processes: max(1, n)})
	}
	slices.SortFunc(w.celery, func(x, y CeleryWorker) int {
		return cmp.Or(x.Start.Compare(y.Start), cmp.Compare(x.PID, y.PID))
	})
	w.celery = w.celery[:min(len(w.celery), maxCelery)]
	return w.celery
}

// celeryMains returns the main processes of Celery's workers, oldest first.
func (w *Watcher) celeryMains() []*process {
	var mains []*process
	for _, p := range w.table.procs {
		if p.celery == nil || p.celery.child {
			continue
		}
		if q := w.table.procs[p.stat.ppid]; q != nil && q.celery != nil {
			continue // of a pool, in a worker that sets no titles
		}
		mains = append(mains, p)
	}
	slices.SortFunc(mains, oldest)
	return mains
}
