package health

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// WaitsFor returns what the workers of an app wait for, in words, by their slots.
func WaitsFor(w *model.AppWorkers) map[string]string {
	out := make(map[string]string)
	for i := range w.Workers {
		if text := waitText(w.Workers[i].Wait, true); text != "" {
			out[w.Workers[i].Slot] = text
		}
	}
	return out
}

// WaitText returns a wait of one worker in words, e.g. "waits for MySQL main"; ""
// where it is not known.
func WaitText(x *model.Wait) string { return waitText(x, true) }

// waitOf returns what a worker waits for; nil if nothing or not known.
func (e *evaluator) waitOf(app, slot string) *model.Wait {
	w := measures.Workers(e.State, app)
	if slot == "" || w == nil {
		return nil
	}
	i := slices.IndexFunc(w.Workers, func(x model.Worker) bool { return x.Slot == slot })
	if i < 0 {
		return nil
	}
	return w.Workers[i].Wait
}

// storeOf returns the kind and the name of the configured server for which a worker
// waits.
func storeOf(x *model.Wait) (kind, name string, ok bool) {
	if x.On != "mysql" && x.On != "redis" {
		return "", "", false
	}
	name, ok = strings.CutPrefix(x.Peer, x.On+":")
	return x.On, name, ok
}

// waitText returns a wait in words, e.g. "waits for MySQL main", for one worker or
// several; "" where it is not known.
func waitText(x *model.Wait, one bool) string {
	if x == nil {
		return ""
	}
	waits := choose(one, "waits", "wait") + " for "
	switch x.On {
	case "mysql":
		return waits + storeName("MySQL", x.On, x.Peer)
	case "redis":
		return waits + storeName("Redis", x.On, x.Peer)
	case "upstream":
		if app, ok := strings.CutPrefix(x.Peer, "app:"); ok {
			return waits + "the app " + app
		}
		return waits + orText(x.Peer, "another server")
	case "client":
		return waits + "its client"
	case "lock":
		return waits + "a lock of its process"
	case "disk":
		return waits + "the disk"
	case "sleep":
		return choose(one, "sleeps", "sleep")
	case "child":
		return waits + "a child process"
	case "cpu":
		return choose(one, "computes", "compute")
	}
	return ""
}

func storeName(word, kind, peer string) string {
	name, _ := strings.CutPrefix(peer, kind+":")
	return strings.TrimSpace(word + " " + name)
}

// doesText returns what a worker waits for, or its detail, to follow its name.
func (x *worker) doesText() string {
	if does := waitText(x.Wait, true); does != "" {
		return detailText(does)
	}
	return detailText(x.Detail)
}
