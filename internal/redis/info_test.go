package redis_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/redis"
)

const reply = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nos:Linux 6.1\r\n\r\n# Clients\r\nconnected_clients:3\r\nblocked_clients:1\r\n" +
	"\r\n# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n" +
	"\r\n# Stats\r\nkeyspace_hits:90\r\nkeyspace_misses:10\r\nevicted_keys:0\r\nexpired_keys:5\r\ntotal_commands_processed:700\r\nrejected_connections:2\r\n" +
	"total_net_input_bytes:4096\r\ntotal_net_output_bytes:8192\r\n\r\n# Replication\r\nrole:master\r\n" +
	"\r\n# Keyspace\r\ndb0:keys=40,expires=30,avg_ttl=1000\r\ndb3:keys=2,expires=0,avg_ttl=0,subexpiry=0\r\n"

// show returns an Info in one line: "-" is an unknown number.
func show(i redis.Info) string {
	out := fmt.Sprintf("%s %s %s", i.Version, i.Mode, i.Role)
	for _, n := range []*float64{i.Hits, i.Misses, i.Evicted, i.Memory, i.MaxMemory, i.Clients, i.Blocked, i.Expired, i.Commands, i.Rejected, i.Received, i.Sent} {
		if n == nil {
			out += " -"
			continue
		}
		out += fmt.Sprintf(" %.0f", *n)
	}
	if i.Keyspace != nil {
		out += keys(i.Keyspace)
	}
	return out
}

// keys shows the databases as " db0:40/30": keys, and those that expire.
func keys(k *redis.Keyspace) (out string) {
	for _, d := range k.Databases {
		expiring := "-"
		if d.Expiring != nil {
			expiring = fmt.Sprint(*d.Expiring)
		}
		out += fmt.Sprintf(" db%d:%v/%s", d.Number, d.Keys, expiring)
	}
	if k.LeftOut > 0 {
		out += fmt.Sprintf(" and %d", k.LeftOut)
	}
	return out
}

func TestParseKeyspace(t *testing.T) {
	many := ""
	for i := range 70 {
		many += fmt.Sprintf("db%d:keys=1\n", i)
	}
	for name, c := range map[string]struct{ reply, want string }{
		"none":            {"# Stats\r\nexpired_keys:1", "unknown"},
		"no keys":         {"# Keyspace\r\n", ""},
		"outside":         {"db0:keys=3,expires=1", "unknown"},
		"by number":       {"# Keyspace\ndb10:keys=1,expires=1\ndb9:keys=2,expires=0", " db9:2/0 db10:1/1"},
		"twice":           {"# Keyspace\ndb1:keys=1\ndb1:keys=2", " db1:2/-"},
		"without expires": {"# Keyspace\ndb0:keys=7,avg_ttl=3", " db0:7/-"},
		"no number":       {"# Keyspace\ndb0:keys=-1,expires=0\ndbx:keys=1\ndb:keys=1\ndb-1:keys=1\ndb99999999:keys=1\ndb2:expires=1\ndb3:keys=1,expires=NaN", " db3:1/-"},
		"too many":        {"# Keyspace\n" + many, strings.Repeat("x", 64) + " and 6"},
	} {
		k := redis.ParseInfo(c.reply).Keyspace
		got := "unknown"
		if k != nil {
			got = keys(k)
		}
		if name == "too many" && len(k.Databases) == 64 {
			got = strings.Repeat("x", 64) + fmt.Sprintf(" and %d", k.LeftOut)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestSumKeyspaces checks the keys of a cluster: the sums over its masters.
func TestSumKeyspaces(t *testing.T) {
	const one, other = "# Keyspace\ndb0:keys=3,expires=1", "# Keyspace\ndb0:keys=4,expires=2\ndb1:keys=1"
	for _, c := range []struct {
		replies []string
		want    string
	}{
		{[]string{one}, " db0:3/1"},
		{[]string{one, other}, " db0:7/3 db1:1/-"},
		{[]string{one, "# Keyspace"}, " db0:3/1"},
		{[]string{one, "# Keyspace\ndb0:keys=1"}, " db0:4/-"},
		{[]string{one, "role:master"}, "unknown"},
	} {
		got := "unknown"
		if k := redis.SumInfo(c.replies...).Keyspace; k != nil {
			got = keys(k)
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.replies, got, c.want)
		}
	}
}

func TestParseInfo(t *testing.T) {
	for name, c := range map[string]struct{ reply, want string }{
		"whole":             {reply, "7.0.15 standalone master 90 10 0 1048576 - 3 1 5 700 2 4096 8192 db0:40/30 db3:2/0"},
		"with a limit":      {strings.Replace(reply, "maxmemory:0", "maxmemory:2097152", 1), "7.0.15 standalone master 90 10 0 1048576 2097152 3 1 5 700 2 4096 8192 db0:40/30 db3:2/0"},
		"only line feeds":   {strings.ReplaceAll(reply, "\r", ""), "7.0.15 standalone master 90 10 0 1048576 - 3 1 5 700 2 4096 8192 db0:40/30 db3:2/0"},
		"empty":             {"", "   - - - - - - - - - - - -"},
		"garbage":           {"\x00\xff:::\r\n:\r\nkeyspace_hits\r\nkeyspace_misses:\r\n", "   - - - - - - - - - - - -"},
		"no numbers":        {"keyspace_hits:-1\r\nkeyspace_misses:NaN\r\nused_memory:1e400\r\nconnected_clients:0x10\r\nblocked_clients: 1", "   - - - - - - - - - - - -"},
		"too large":         {"keyspace_hits:9223372036854775808\nkeyspace_misses:9223372036854775807", "   - 9223372036854775808 - - - - - - - - - -"},
		"hostile version":   {"redis_version:7\"} 1\nrole:" + strings.Repeat("m", 33) + "\nredis_mode:a\xffb", "   - - - - - - - - - - - -"},
		"a key inside text": {"os:role:master\r\nxkeyspace_hits:3\r\n", "   - - - - - - - - - - - -"},
	} {
		if got := show(redis.ParseInfo(c.reply)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// FuzzParseInfo: numbers are finite and not negative, texts are short and printable, a
// limit of 0 means no limit, and missing values stay unknown.
func FuzzParseInfo(f *testing.F) {
	f.Add(reply)
	f.Add("maxmemory:0\nmaxmemory:5\nrole:slave")
	f.Add("keyspace_hits:18446744073709551615\r\n\r\r\n#")
	f.Add("# Keyspace\r\ndb1:keys=2,expires=1\r\ndb0:keys=9999999999999999999,expires=\r\ndb01:keys=1,keys=3")
	f.Fuzz(func(t *testing.T, s string) {
		i := redis.ParseInfo(s)
		for key, n := range map[string]*float64{
			"keyspace_hits": i.Hits, "keyspace_misses": i.Misses, "evicted_keys": i.Evicted, "used_memory": i.Memory,
			"maxmemory": i.MaxMemory, "connected_clients": i.Clients, "blocked_clients": i.Blocked,
			"expired_keys": i.Expired, "total_commands_processed": i.Commands, "rejected_connections": i.Rejected,
			"total_net_input_bytes": i.Received, "total_net_output_bytes": i.Sent,
		} {
			if n != nil && (math.IsNaN(*n) || math.IsInf(*n, 0) || *n < 0 || !strings.Contains(s, key+":")) {
				t.Errorf("%s is %v of %q", key, *n, s)
			}
		}
		if i.MaxMemory != nil && *i.MaxMemory == 0 {
			t.Error("a limit of 0")
		}
		databases(t, i.Keyspace)
		for _, text := range []string{i.Version, i.Mode, i.Role} {
			if len(text) > 32 || strings.ContainsAny(text, "\"\\\n{} ") || !strings.Contains(s, ":"+text) && text != "" {
				t.Errorf("text %q of %q", text, s)
			}
		}
	})
}

// databases checks that the databases are few, each is there once and in order, and all
// numbers are amounts.
func databases(t *testing.T, k *redis.Keyspace) {
	t.Helper()
	if k == nil {
		return
	}
	if len(k.Databases) > 64 || k.LeftOut < 0 || k.LeftOut > 0 && len(k.Databases) < 64 {
		t.Errorf("%d databases, %d left out", len(k.Databases), k.LeftOut)
	}
	last := -1
	for _, d := range k.Databases {
		if d.Number <= last || !(d.Keys >= 0) || math.IsInf(d.Keys, 0) || d.Expiring != nil && (!(*d.Expiring >= 0) || math.IsInf(*d.Expiring, 0)) {
			t.Errorf("database %+v after %d", d, last)
		}
		last = d.Number
	}
}

func BenchmarkParseInfo(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if redis.ParseInfo(reply).Hits == nil {
			b.Fatal("no hits")
		}
	}
}
