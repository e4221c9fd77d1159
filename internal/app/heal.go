package app

import (
	"context"
	"net/http"
	"os"
	"time"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/app/fleetleases"
	"github.com/resp-exporter/resp-exporter/internal/appside/control"
	"github.com/resp-exporter/resp-exporter/internal/heal"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/throttle"
	"github.com/resp-exporter/resp-exporter/internal/heal/journal"
	"github.com/resp-exporter/resp-exporter/internal/heal/relay"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/controlkey"
	"github.com/resp-exporter/resp-exporter/internal/webhook"
)

// fleetSettle is how long an exporter waits for requests of the others for the same
// action: Alertmanager does not send all groups at the same time.
const fleetSettle = 2 * time.Second

// healing is the part that acts: the runner, and what speaks to it.
type healing struct {
	runner    *heal.Runner
	relay     *relay.Relay
	hook      *webhook.Webhook
	throttles *throttle.Holder
	control   *control.Writer
	keys      *controlkey.Publisher // of what apps on other hosts are asked to do
}

// newHealing returns healing that does not run yet.
func newHealing(a *parts) *healing {
	h := &healing{control: a.control}
	h.runner = heal.New(heal.Options{
		StateDir: a.o.StateDir, Evidence: a.evidence, Settle: fleetSettle, Logger: a.log,
		Leases: func(server string) heal.Leases {
			return fleetleases.Of{Server: func() *redis.Server { return a.redis.server(server) }, Me: a.fleetName()}
		},
	})
	h.throttles = throttle.NewHolder(throttle.Options{
		Control: a.control, Call: h.runner.CallPerson, Logger: a.log,
		Enforced: h.runner.Enforces, MayRaise: h.runner.MayAct,
	})
	h.relay = relay.New(relay.Options{Runner: h.runner, Store: h.runner.Store, Redis: a.redis.server, Settings: a.relaySettings, Logger: a.log})
	h.keys = controlkey.New(controlkey.Options{Documents: a.control.Shared, Redis: a.redis.server, Settings: a.controlSettings, Logger: a.log})
	h.hook = webhook.New(webhook.Options{
		Runner: h.received(), RoutePrefix: a.o.RoutePrefix, Logger: a.log,
		TokenFile: func() string { return a.config.Load().Healing.TokenFile },
		Guard:     a.limits.hosts.Guard, GuardBrowsers: a.limits.hosts.GuardBrowsers,
	})
	return h
}

func (h *healing) register(mux *http.ServeMux) { h.hook.Register(mux) }

// snapshot returns the state of healing, with the relay and the throttles, for people.
func (h *healing) snapshot() heal.Snapshot { return h.received().Snapshot() }

// received returns the runner as the webhook and the page see it.
func (h *healing) received() received { return received{h.runner, h.relay, h.throttles} }

func (h *healing) stats() collectors.HealStats {
	s := h.hook.Stats()
	return collectors.HealStats{
		Actions: h.runner.Stats(), Relay: h.relay.Stats(), Requests: s.Requests, Truncated: s.Truncated,
		Throttles: h.throttles.Percents(), Control: h.control.Stats(), Keys: h.keys.Stats(),
	}
}

// received is a runner whose alerts about other hosts are relayed.
type received struct {
	*heal.Runner

	relay     *relay.Relay
	throttles *throttle.Holder
}

// Take implements [webhook.Runner]. Alerts about other hosts are relayed without a decision.
func (r received) Take(ctx context.Context, alerts []action.Alert) ([]journal.Decision, error) {
	return r.relay.Take(ctx, alerts)
}

// Snapshot implements [webhook.Runner]: that of the runner, with the relay and the throttles.
func (r received) Snapshot() heal.Snapshot {
	s := r.Runner.Snapshot()
	s.Relay = r.relay.Summary()
	for _, x := range r.throttles.Held() {
		s.Throttles = append(s.Throttles, heal.Throttled(x))
	}
	return s
}

// relaySettings returns the relay's settings as the configuration in force has them.
func (a *parts) relaySettings() relay.Settings {
	h := a.config.Load().Healing
	return relay.Settings{Redis: h.Relay.Redis, TokenFile: h.TokenFile, Label: h.Identity.Label, Value: h.Identity.Value}
}

// controlSettings returns the settings of the control keys as the configuration in force has
// them.
func (a *parts) controlSettings() controlkey.Settings {
	c := a.config.Load().Healing.Control
	return controlkey.Settings{Redis: c.Redis, KeyFile: c.KeyFile, By: a.fleetName()}
}

// fleetName returns the name by which the other exporters know this one: its identity in the
// configuration, else the host's name; a sentence that there is none if that cannot be read.
func (a *parts) fleetName() string {
	if id := a.config.Load().Healing.Identity.Value; id != "" {
		return id
	}
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "the exporter has no host name"
}
