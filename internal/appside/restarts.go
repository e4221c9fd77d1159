package appside

// maxRestarts is how many tasks have restarts that nobody has taken yet.
const maxRestarts = 4096

// task identifies a background task of an app, which may run in any of its workers.
type task struct{ app, name string }

// Restarts is how often a background task of an app was restarted.
type Restarts struct {
	App, Task string
	N         uint64
}

// noteRestarts counts the restarts of a worker's tasks since the last read.
func (k *Keeper) noteRestarts(w worker, x *kept, states []State) {
	now := make(map[string]uint64)
	for i := range states {
		for _, t := range states[i].Tasks {
			now[t.Name] += t.Restarts
		}
	}
	isNew := x.restarts != nil || k.isNew(w)
	for name, n := range now {
		before := x.restarts[name]
		now[name] = max(n, before) // it cannot fall
		t := task{x.app, name}
		if _, known := k.restarts[t]; !known && len(k.restarts) >= maxRestarts {
			k.counts.Invalid++
			continue
		}
		k.restarts[t] += 0
		if isNew && n > before {
			k.restarts[t] += n - before
		}
	}
	if len(states) > 0 {
		x.restarts = now
	}
}
