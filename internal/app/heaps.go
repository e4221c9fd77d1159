package app

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/leak/growth"
)

// leastPatience is for how long a census is tried at least while the detector's time
// passes faster than the clock.
const leastPatience = 2 * time.Minute

// newHeaps returns the watcher that counts the objects of workers suspected of a leak. It
// is not running yet.
func newHeaps(a *parts, o *Options) *growth.Watcher {
	scale := max(o.LeakTimeScale, 1)
	return growth.New(growth.Options{
		Suspects: a.memoryLeaks.Suspects, ProcRoot: o.ProcRoot, Logger: o.Logger,
		On:       func() bool { return a.config.Load().Diagnosis.HeapCensus == config.CensusOnSuspicion },
		Pause:    time.Duration(float64(growth.DefaultPause) / scale),
		Patience: max(time.Duration(float64(growth.DefaultPatience)/scale), leastPatience),
	})
}
