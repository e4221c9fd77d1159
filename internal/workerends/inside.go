package workerends

import (
	"time"

	"github.com/resp-exporter/resp-exporter/internal/appside"
)

// Inside keeps the memory files of workers; [appside.Keeper] does.
type Inside interface {
	Look(app string, uid uint32, pid int, began time.Time, busy bool)
	Ended(pid int, began, at time.Time) appside.Last
	Forget(pid int, began time.Time)
	Close()
}

// nothing is an [Inside] that keeps nothing.
type nothing struct{}

func (nothing) Look(string, uint32, int, time.Time, bool)    {}
func (nothing) Ended(int, time.Time, time.Time) appside.Last { return appside.Last{} }
func (nothing) Forget(int, time.Time)                        {}
func (nothing) Close()                                       {}
