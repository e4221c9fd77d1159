package app

import (
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// snapshot is what one gather read, and its evaluation.
type snapshot struct {
	state      *model.State
	evaluation health.Evaluation
}

// Latest implements [web.Source].
func (a *App) Latest() (*model.State, health.Evaluation) {
	if l := a.latest.Load(); l != nil {
		return l.state, l.evaluation
	}
	return &model.State{}, health.Evaluation{}
}

func (a *App) health() health.Evaluation {
	_, j := a.Latest()
	return j
}
