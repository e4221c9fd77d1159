package app

import (
	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Latest implements [web.Source]; both are empty, and the time zero, before the first look.
func (a *parts) Latest() (*model.State, health.Evaluation) {
	if l := a.latest.Load(); l != nil {
		return l.state, l.evaluation
	}
	return &model.State{}, health.Evaluation{}
}

// health returns the last evaluation; the zero value before the first.
func (a *parts) health() health.Evaluation {
	_, j := a.Latest()
	return j
}

// bottlenecks returns the last judgement of each app; empty before the first.
func (a *parts) bottlenecks() collectors.Bottlenecks {
	if l := a.latest.Load(); l != nil {
		return collectors.Bottlenecks{Apps: l.state.Bottlenecks, LeftOut: l.unjudged}
	}
	return collectors.Bottlenecks{}
}
