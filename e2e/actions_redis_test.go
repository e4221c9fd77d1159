package e2e_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
	"github.com/resp-exporter/resp-exporter/internal/heal/action/purgesessions"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// purgeRights are the rights of docs/actions.md for purge_sessions.
const (
	purgeRights  = "+scan +ttl +object|idletime +expire ~session:*"
	removeRights = "+watch +unwatch +multi +exec +unlink"
)

// restored makes n keys "prefix0", "prefix1", … with these arguments of RESTORE
// after the value, and the same expiry in milliseconds, 0 for none.
func (r *redisServer) restored(prefix string, n, expiry int, arguments string) {
	r.t.Helper()
	r.cli("EVAL", `redis.call('SET', 'tmp', 'secretvalue') local v = redis.call('DUMP', 'tmp') redis.call('DEL', 'tmp')
		local more = {} for word in string.gmatch(ARGV[4], '%S+') do more[#more + 1] = word end
		for i = 0, ARGV[2] - 1 do redis.call('RESTORE', ARGV[1] .. i, ARGV[3], v, 'REPLACE', unpack(more)) end`,
		"0", prefix, strconv.Itoa(n), strconv.Itoa(expiry), arguments)
}

// expiries adds up the expiries of all keys with a prefix, and counts them and
// those that have none. It is exact: a change by a millisecond shows.
func (r *redisServer) expiries(prefix string) (sum string, keys, none int) {
	r.t.Helper()
	out := strings.Fields(r.cli("EVAL", `local keys = redis.call('KEYS', ARGV[1] .. '*') local sum, none = 0, 0
		for _, k in ipairs(keys) do local at = redis.call('PEXPIRETIME', k) if at == -1 then none = none + 1 else sum = sum + at % 100000007 end end
		return {tostring(sum), #keys, none}`, "0", prefix))
	if len(out) != 3 {
		r.t.Fatalf("got %q", out)
	}
	keys, _ = strconv.Atoi(out[1])
	none, _ = strconv.Atoi(out[2])
	return out[0], keys, none
}

// store is a Redis that holds sessions, as the exporter reads it.
func (r *redisServer) store() sessions.Store { return sessions.NewStore(r.opened()) }

// opened is the exporter's side of a Redis.
func (r *redisServer) opened() *redis.Server {
	r.t.Helper()
	u, err := config.ParseRedisURL(config.Secret(r.url()))
	if err != nil {
		r.t.Fatal(err)
	}
	s := redis.Open(redis.Options{URL: u, PasswordFile: write(r.t, filepath.Join(r.t.TempDir(), "password"), redisPassword)})
	r.t.Cleanup(func() { _ = s.Close() })
	return s
}

func purgeOf(store sessions.Store, settings config.Purge) *purgesessions.Action {
	settings.App = "shop"
	return purgesessions.New(purgesessions.Deps{
		Apps: func() []config.App {
			return []config.App{{Name: "shop", Sessions: []config.Sessions{{Redis: "cache", Prefix: "session:", Lifetime: 2 * time.Hour}}}}
		},
		Store: func(string) purgesessions.SessionStore { return store },
	}, settings)
}

// TestPurgeSessions checks that five thousand sessions without expiry get one, and that
// the expiry of no other key changes.
func TestPurgeSessions(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	r.restored("session:eternal:", 5000, 0, "IDLETIME 9000")
	r.restored("session:fresh:", 300, 0, "IDLETIME 100")
	r.restored("session:expires:", 8000, 7_200_000, "IDLETIME 9000")
	r.restored("cache:eternal:", 2000, 0, "IDLETIME 9000")
	r.cli("EVAL", "for i = 1, 100 do redis.call('SADD', 'session:index:' .. i, 'x') end", "0")
	expires, _, _ := r.expiries("session:expires:")
	store := r.store()
	settings := config.Purge{Grace: time.Hour, MaxKeys: 10_000, MaxFraction: 0.5}
	k := purgeOf(store, settings)
	var fault *redis.Error
	if _, err := k.Plan(t.Context(), action.PlanRequest{}); !errors.As(err, &fault) || !strings.Contains(err.Error(), "docs/actions.md") {
		t.Errorf("without the rights: %v", err)
	}
	r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(purgeRights)...)...)
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil || p.Total != 5000 || p.Measure != 5000 || !p.Refused.IsZero() {
		t.Fatalf("plan: %+v, %v", p, err)
	}
	settings.MaxFraction = 0.3 // of 13,300
	if p, err := purgeOf(store, settings).Plan(t.Context(), action.PlanRequest{}); err != nil || p.Refused.Code != action.CodeOverFraction {
		t.Errorf("plan: %+v, %v", p, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	if done, err := k.Apply(ctx, p); done != 5000 || err != nil {
		t.Errorf("done %d, %v", done, err)
	}
	t.Logf("took %s", time.Since(began))
	verified(t, k, p)
	if again, err := k.Plan(t.Context(), action.PlanRequest{}); err != nil || !again.Cleared {
		t.Errorf("plan: %+v, %v", again, err)
	}
	for prefix, want := range map[string][2]int{"session:eternal:": {5000, 0}, "session:fresh:": {300, 300}, "session:expires:": {8000, 0}, "cache:eternal:": {2000, 2000}, "session:index:": {100, 100}} {
		if _, keys, none := r.expiries(prefix); keys != want[0] || none != want[1] {
			t.Errorf("%s: %d keys, %d without expiry", prefix, keys, none)
		}
	}
	if now, _, _ := r.expiries("session:expires:"); now != expires {
		t.Error("an expiry was changed")
	}
	if stats := r.cli("INFO", "commandstats"); strings.Contains(stats, "cmdstat_get:") || strings.Contains(stats, "cmdstat_unlink:") {
		t.Errorf("a value was read, or a key removed:\n%s", stats)
	}
}

// TestPurgeSessionsRemoves checks that remove deletes the sessions, in batches within the
// limit.
func TestPurgeSessionsRemoves(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	r.restored("session:eternal:", 1000, 0, "IDLETIME 9000")
	r.restored("session:expires:", 2000, 7_200_000, "IDLETIME 9000")
	r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(purgeRights)...)...)
	k := purgeOf(r.store(), config.Purge{MaxKeys: 700, MaxFraction: 0.5, Remove: true})
	p, err := k.Plan(t.Context(), action.PlanRequest{})
	if err != nil || p.Total != 700 || p.Measure != 1000 {
		t.Fatalf("plan: %+v, %v", p, err)
	}
	if done, err := k.Apply(t.Context(), p); done != 0 || err == nil {
		t.Errorf("without the rights: %d, %v", done, err)
	}
	r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(removeRights)...)...)
	if done, err := k.Apply(t.Context(), p); done != 700 || err != nil {
		t.Errorf("done %d, %v", done, err)
	}
	verified(t, k, p)
	if _, keys, none := r.expiries("session:eternal:"); keys != 300 || none != 300 {
		t.Errorf("%d sessions are left, %d without expiry", keys, none)
	}
	if _, keys, _ := r.expiries("session:expires:"); keys != 2000 {
		t.Errorf("%d sessions with an expiry are left", keys)
	}
}

// TestPurgeSessionsLFU checks that a Redis that does not report idle times of keys is
// refused.
func TestPurgeSessionsLFU(t *testing.T) {
	t.Parallel()
	r := startRedis(t, "--maxmemory-policy", "allkeys-lfu")
	r.restored("session:eternal:", 10, 0, "")
	r.cli("ACL", append([]string{"SETUSER", redisUser}, strings.Fields(purgeRights)...)...)
	p, err := purgeOf(r.store(), config.Purge{MaxKeys: 100, MaxFraction: 1}).Plan(t.Context(), action.PlanRequest{})
	if err != nil || p.Refused.Code != action.CodeRedisRefuses {
		t.Errorf("plan: %+v, %v", p, err)
	}
	if _, err := os.Stat("../docs/actions.md"); err != nil {
		t.Error(err)
	}
}
