package web

import (
	"github.com/resp-exporter/resp-exporter/internal/health"
	"github.com/resp-exporter/resp-exporter/internal/model"
)

// Source returns what the latest gather read and how that was judged; a
// judgement of the zero time says that there was none yet. It must not block.
type Source interface {
	Latest() (*model.State, health.Evaluation)
}
