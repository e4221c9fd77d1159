package collectors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

var listeningFamily = gauge("statsd_listening", "Whether this StatsD address of the configuration is listened at.", "listen")

// Socket is one StatsD address of the configuration; Err says why it is not
// listened at.
type Socket struct {
	Listen string
	Err    error
}

// Sockets tells whether requests can be reported at all.
type Sockets struct{ list func() []Socket }

// NewSockets returns the collector "statsd".
func NewSockets(list func() []Socket) *Sockets { return &Sockets{list: list} }

// Name implements [Collector].
func (*Sockets) Name() string { return "statsd" }

// Descs implements [Collector].
func (*Sockets) Descs() []*prometheus.Desc { return descs(listeningFamily) }

// Collect implements [Collector].
func (c *Sockets) Collect(context.Context) (Sample, error) {
	var s Sample
	var lack error
	list := c.list()
	for _, k := range list {
		if k.Err == nil {
			s.add(listeningFamily, 1, k.Listen)
			continue
		}
		s.add(listeningFamily, 0, k.Listen)
		if lack == nil {
			lack = whyNotListening(k)
		}
	}
	if len(list) == 0 {
		lack = &Unavailable{Disabled, "statsd.listen is empty: no request can be reported"}
	}
	return s, lack
}

func whyNotListening(k Socket) error {
	switch {
	case errors.Is(k.Err, syscall.EADDRINUSE):
		return &Unavailable{InUse, fmt.Sprintf("%s is taken by another program, so no request is reported there", k.Listen)}
	case errors.Is(k.Err, fs.ErrPermission):
		return &Unavailable{Permission, fmt.Sprintf("%s may not be opened: %v", k.Listen, k.Err)}
	case errors.Is(k.Err, fs.ErrNotExist):
		return &Unavailable{NotFound, fmt.Sprintf("%s: its folder does not exist", k.Listen)}
	default:
		return &Unavailable{Failed, fmt.Sprintf("%s: %v", k.Listen, k.Err)}
	}
}
