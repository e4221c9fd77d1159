package doctor

import (
	"context"
	"strings"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/redis/relaystream"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

// relay adds what keeps alerts about other hosts from being relayed: the token, or a
// right on the Redis.
func (d *doctor) relay(ctx context.Context) {
	h := d.Config.Healing
	if h.Relay.Redis == "" {
		return
	}
	if _, err := secret.Read(h.TokenFile); err != nil {
		d.add("heal", Finding{Of: "heal", Reason: collectors.Permission, Fault: true, Detail: "no alert can be relayed: the token_file cannot be read: " + err.Error()})
	}
	server := d.Redis(h.Relay.Redis)
	if server == nil {
		return
	}
	refused, err := relaystream.New(server).Refused(ctx, h.Identity.Label+"="+h.Identity.Value)
	switch {
	case err != nil:
		d.add("heal", Finding{Of: "redis:" + h.Relay.Redis, Reason: collectors.NotFound, Fault: true, Detail: "no alert can be relayed: redis " + h.Relay.Redis + " " + err.Error()})
	case len(refused) > 0:
		d.add("heal", Finding{
			Of: "redis:" + h.Relay.Redis, Reason: collectors.Permission, Fault: true, Remedy: d.relayRemedy(ctx, h.Relay.Redis),
			Detail: "no alert can be relayed: redis " + h.Relay.Redis + " refuses its user: " + strings.Join(refused, ", "),
		})
	default:
		d.fact("heal", "alerts about other hosts are relayed by redis %s", h.Relay.Redis)
	}
}

// relayRemedy returns the command that grants the exporter's user its rights on a Redis;
// nil if that is not in the configuration.
func (d *doctor) relayRemedy(ctx context.Context, name string) []string {
	for _, r := range d.Config.Redis {
		if r.Name == name {
			return []string{d.setUser(ctx, r, "")}
		}
	}
	return nil
}
