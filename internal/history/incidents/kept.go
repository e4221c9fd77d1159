package incidents

import (
	"slices"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// keep keeps an incident that has ended. r.mu is held.
func (r *Recorder) keep(x model.Incident) {
	if len(r.closed) == maxKept {
		r.closed = slices.Delete(r.closed, 0, 1)
	}
	r.closed = append(r.closed, x)
}

// keepWords keeps last words. r.mu is held.
func (r *Recorder) keepWords(w model.LastWords) {
	if len(r.words) == maxKept {
		r.words = slices.Delete(r.words, 0, 1)
	}
	r.words = append(r.words, w)
}
