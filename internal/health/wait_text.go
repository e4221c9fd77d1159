package health

import (
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/health/measures"
	"github.com/resp-exporter/resp-exporter/internal/health/words"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// WaitsFor returns, by slot, what the workers of an app wait for, in words. Workers whose
// wait is not known, or has no words, are left out.
func WaitsFor(w *model.AppWorkers) map[string]string {
	out := make(map[string]string)
	for i := range w.Workers {
		if text := words.Wait(w.Workers[i].Wait, true); text != "" {
			out[w.Workers[i].Slot] = text
		}
	}
	return out
}

// WaitText returns a worker's wait, e.g. "waits for MySQL main"; "" if it is not known or has no words ("other").
func WaitText(x *model.Wait) string { return words.Wait(x, true) }

// waitOf returns what a worker waits for; nil if for nothing, or it is not known.
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

// storeOf returns the kind and name of the MySQL or Redis in a wait's peer, e.g. of mysql:main; false: there is none.
func storeOf(x *model.Wait) (kind, name string, ok bool) {
	if x.On != "mysql" && x.On != "redis" {
		return "", "", false
	}
	name, ok = strings.CutPrefix(x.Peer, x.On+":")
	return x.On, name, ok
}

// doesText returns what a worker waits for, else its detail, to follow its name: ", waits
// for MySQL main"; "" if neither is known.
func (x *worker) doesText() string {
	if does := words.Wait(x.Wait, true); does != "" {
		return detailText(does)
	}
	return detailText(x.Detail)
}
