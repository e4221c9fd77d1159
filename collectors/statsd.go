package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

var listeningFamily = gauge("statsd_listening", "Whether the exporter listens on this configured StatsD address (1).", "listen")

// Socket is one StatsD address of the configuration. Err is why it is not bound, or
// nil.
type Socket struct {
	Listen string
	Err    error
}

// Sockets is the collector "statsd": whether the StatsD sockets are bound.
type Sockets struct{ list func() []Socket }

// NewSockets returns the collector "statsd". list returns the sockets that receive
// requests.
func NewSockets(list func() []Socket) *Sockets { return &Sockets{list: list} }

// Name implements [Collector].
func (*Sockets) Name() string { return "statsd" }

// Descs implements [Collector].
func (*Sockets) Descs() []*prometheus.Desc { return descs(listeningFamily) }

// Collect implements [Collector]. The error has a lack for each socket that is not bound;
// it is a lack with reason [Disabled] if none is configured.
func (c *Sockets) Collect(context.Context) (Sample, error) {
	var s Sample
	var lacks []error
	list := c.list()
	for _, k := range list {
		if k.Err == nil {
			s.add(listeningFamily, 1, k.Listen)
			continue
		}
		s.add(listeningFamily, 0, k.Listen)
		lacks = append(lacks, socketLack(k))
	}
	if len(list) == 0 {
		return s, &Unavailable{Reason: Disabled, Detail: "statsd.listen is empty: apps cannot report requests"}
	}
	return s, errors.Join(lacks...)
}

// socketLack returns the lack of a socket that is not bound, with its remedy: [InUse],
// [Permission] or [NotFound], or [Failed] without a remedy.
func socketLack(k Socket) error {
	of := "statsd:" + k.Listen
	switch {
	case errors.Is(k.Err, syscall.EADDRINUSE):
		return &Unavailable{Reason: InUse, Of: of, Detail: k.Listen + " is in use by another program: no requests are received there", Remedy: "in the configuration: statsd: {listen: [\"udp://127.0.0.1:9126\"]}, and the same port in the apps' --statsd-host"}
	case errors.Is(k.Err, fs.ErrPermission):
		return &Unavailable{Reason: Permission, Of: of, Detail: fmt.Sprintf("%s cannot be opened: %v", k.Listen, k.Err), Remedy: remedyRuntime(k.Listen)}
	case errors.Is(k.Err, fs.ErrNotExist):
		return &Unavailable{Reason: NotFound, Of: of, Detail: k.Listen + ": its directory does not exist", Remedy: remedyRuntime(k.Listen)}
	default:
		return &Unavailable{Reason: Failed, Of: of, Detail: fmt.Sprintf("%s: %v", k.Listen, k.Err)}
	}
}

// remedyRuntime returns how to make the directory of a UNIX socket that is missing; ""
// for another kind of address.
func remedyRuntime(listen string) string {
	socket, ok := strings.CutPrefix(listen, "unixgram://")
	if !ok {
		return ""
	}
	dir := path.Dir(socket)
	if name, ok := strings.CutPrefix(dir, "/run/"); ok && !strings.Contains(name, "/") {
		return "in the unit: RuntimeDirectory=" + name + "\ninstall -d -o USER " + dir
	}
	return "install -d -o USER " + dir
}
