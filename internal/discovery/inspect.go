package discovery

import (
	"context"
	"errors"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/conns"
	"github.com/resp-exporter/resp-exporter/internal/discovery/cmdline"
	"github.com/resp-exporter/resp-exporter/internal/discovery/slots"
	"github.com/resp-exporter/resp-exporter/internal/discovery/table"
	"github.com/resp-exporter/resp-exporter/internal/procfs"
	"github.com/resp-exporter/resp-exporter/internal/sockdiag"
)

// State is what a worker does, by one inspection from outside.
type State string

// The states. StateUnknown is of a worker that may not be read.
const (
	Idle         State = "idle"
	Busy         State = "busy"
	Stuck        State = "stuck"
	Booting      State = "booting"
	StateUnknown State = ""
)

// The values of [Wait.On] beside those of a socket: conns.OnMySQL, conns.OnRedis,
// conns.OnUpstream, conns.OnClient and conns.OnOther.
const (
	OnLock  = "lock"
	OnDisk  = "disk"
	OnSleep = "sleep"
	OnChild = "child"
	OnCPU   = "cpu"
)

// Wait is what a worker waits for.
type Wait struct {
	On string // one of the values above
	// Peer is who has to answer: "mysql:main" for a configured server, "app:NAME"
	// for another watched app on this host, else an address, or the path of a UNIX
	// socket, followed by the kind of server in brackets where that is known; ""
	// where it is not known, or not one.
	Peer string
	Call time.Duration // how long the thread has been in this one call, at least
}

// Inspector reports what workers do. It is called for one worker at a time, under
// the watcher's lock, and keeps none of its arguments.
type Inspector interface {
	// Inspect sets in out what a worker in a slot does: State, For, Detail, Wait,
	// Requests, Spare and its heartbeat. An error means that its state is unknown;
	// for a process that has ended it is of the kind that [procfs.Gone] reports, and
	// [ErrAllowance] where its user's allowance for this scan is used up.
	Inspect(ctx context.Context, i *Inspected, out *Worker) error
	// State returns the state of a worker that has no slot yet; errors as above.
	State(ctx context.Context, i *Inspected) (State, error)
	// Finish sets what the workers that were inspected since the last call wait for,
	// where that takes the apps of the whole scan.
	Finish(ctx context.Context, scan conns.Scan)
}

// Parts is what an inspector may use of a Watcher while one of its methods is
// called.
type Parts struct {
	Table       *table.Table
	Namespaces  *conns.Namespaces
	Connections *conns.Sampler
}

// ErrAllowance means that a worker was not inspected, as its user's allowance for
// this scan is used up.
var ErrAllowance = errors.New("the work limit of this scan is reached")

// Inspected is a worker that is to be inspected.
type Inspected struct {
	App     *InspectedApp
	Process *table.Process
	Tracker slots.Tracker // of the inspection before; nil: there was none. Set by the inspector
	Scan    conns.Scan
	Stuck   time.Duration // how long a request may take before its worker is called stuck
	Now     time.Time
}

// InspectedApp is the app of a worker that is inspected.
type InspectedApp struct {
	Name      string
	Owner     procfs.Account
	Server    cmdline.Server
	Listeners []sockdiag.Listener
	Namespace *conns.Namespace
}
