package redis

import "strings"

// The commands of each part, as ACL rules.
const (
	baseRights    = "+info +ping +client|setname"
	rqRights      = "+llen +lrange +zcard +zcount +zrangebyscore +scard +srandmember +hmget"
	celeryRights  = "+llen +lrange +hlen +zrangebyscore"
	sessionRights = "+ttl +memory|usage"
	leaseRights   = "+time +set +get +del +expire +zadd +zcount +zremrangebyscore +zrem +watch +unwatch +multi +exec"
	controlRights = "+eval +getrange +set +del"
	relayRights   = "+time +set +get +del +expire +hlen +hget +hgetall +hmget +hset +hdel +xadd +xlen +xdel +xack +xreadgroup +xgroup|create +watch +unwatch +multi +exec"
)

// HealPrefix is what all keys of the fleet begin with; docs/healing.md has the
// rights that they need.
const HealPrefix = "resp:heal:"

// Rights are what the exporter's user needs on one server for what is configured.
type Rights struct {
	Database bool     // another database than 0
	Cluster  bool     // it is a cluster
	RQ       bool     // queues of RQ
	Celery   []string // queues of Celery
	Sessions []string // prefixes of the keys of sessions
	Leases   bool     // healing.coordination
	Relay    bool     // healing.relay
	Control  bool     // healing.control
	Clients  bool     // restart_task of a queue
}

// Rules returns the ACL rules that grant these rights. From Redis 7 on, commands and the
// keys that they may read are in a selector, which is valid whatever keys the user may
// read otherwise; before, a rule for keys is refused for a user who may read all keys.
func (r Rights) Rules(before7 bool) []string {
	out := strings.Fields(baseRights)
	if r.Database {
		out = append(out, "+select")
	}
	if r.Cluster {
		out = append(out, "+cluster|slots")
	}
	if r.Clients {
		out = append(out, "+client|list")
	}
	add := func(commands, access string, keys ...string) {
		out = append(out, selector(before7, commands, access, keys)...)
	}
	if r.RQ {
		add(rqRights, "%R~", "rq:*")
	}
	if len(r.Celery) > 0 {
		keys := []string{"unacked", "unacked_index"}
		for _, q := range r.Celery {
			keys = append(keys, literal(q), literal(q)+"??[1-9]")
		}
		add(celeryRights, "%R~", keys...)
	}
	if len(r.Sessions) > 0 {
		out = append(out, "+scan")
		var keys []string
		for _, p := range r.Sessions {
			keys = append(keys, literal(p)+"*")
		}
		add(sessionRights, "%R~", keys...)
	}
	if r.Leases {
		add(leaseRights, "~", HealPrefix+"*")
	}
	if r.Relay {
		add(relayRights, "~", HealPrefix+"relay:*")
	}
	if r.Control {
		add(controlRights, "~", "resp:control:*")
	}
	return out
}

// selector returns the ACL rules for commands and the keys that they are for, each with the
// access before it: one selector or, before Redis 7, plain rules with ~ for any access.
func selector(before7 bool, commands, access string, keys []string) []string {
	if before7 {
		access = "~"
	}
	rules := strings.Fields(commands)
	for _, k := range keys {
		rules = append(rules, access+k)
	}
	if before7 {
		return rules
	}
	return []string{"(" + strings.Join(rules, " ") + ")"}
}

// literal returns a pattern of Redis that means s and nothing else.
func literal(s string) string { return strings.TrimSuffix(KeyPattern(s), "*") }
