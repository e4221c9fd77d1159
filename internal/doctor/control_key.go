package doctor

import (
	"context"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/redis/controlkey"
)

// controlKeys adds what keeps apps on other hosts from being asked what those of this host
// are asked: the secret, or a right on the Redis.
func (d *doctor) controlKeys(ctx context.Context) {
	c := d.Config.Healing.Control
	if c.Redis == "" {
		return
	}
	const no = "apps on other hosts are not asked to do anything: "
	if err := controlkey.CheckKey(c.KeyFile); err != nil {
		d.add("heal", Finding{Of: "heal", Reason: collectors.Permission, Fault: true, Detail: no + "the key_file cannot be used: " + err.Error()})
	}
	server := d.Redis(c.Redis)
	if server == nil {
		return
	}
	if err := controlkey.Check(ctx, server); err != nil {
		d.add("heal", Finding{
			Of: "redis:" + c.Redis, Reason: collectors.Permission, Fault: true, Remedy: d.relayRemedy(ctx, c.Redis),
			Detail: no + "redis " + c.Redis + " " + err.Error(),
		})
		return
	}
	d.fact("heal", "apps on other hosts are asked by redis %s", c.Redis)
}
