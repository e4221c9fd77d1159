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
	"\r\n# Stats\r\nkeyspace_hits:90\r\nkeyspace_misses:10\r\nevicted_keys:0\r\n\r\n# Replication\r\nrole:master\r\n"

// show returns an Info in one line: "-" is an unknown number.
func show(i redis.Info) string {
	out := fmt.Sprintf("%s %s %s", i.Version, i.Mode, i.Role)
	for _, n := range []*float64{i.Hits, i.Misses, i.Evicted, i.Memory, i.MaxMemory, i.Clients, i.Blocked} {
		if n == nil {
			out += " -"
			continue
		}
		out += fmt.Sprintf(" %.0f", *n)
	}
	return out
}

func TestParseInfo(t *testing.T) {
	for name, c := range map[string]struct{ reply, want string }{
		"whole":             {reply, "7.0.15 standalone master 90 10 0 1048576 - 3 1"},
		"with a limit":      {strings.Replace(reply, "maxmemory:0", "maxmemory:2097152", 1), "7.0.15 standalone master 90 10 0 1048576 2097152 3 1"},
		"only line feeds":   {strings.ReplaceAll(reply, "\r", ""), "7.0.15 standalone master 90 10 0 1048576 - 3 1"},
		"empty":             {"", "   - - - - - - -"},
		"garbage":           {"\x00\xff:::\r\n:\r\nkeyspace_hits\r\nkeyspace_misses:\r\n", "   - - - - - - -"},
		"no numbers":        {"keyspace_hits:-1\r\nkeyspace_misses:NaN\r\nused_memory:1e400\r\nconnected_clients:0x10\r\nblocked_clients: 1", "   - - - - - - -"},
		"too large":         {"keyspace_hits:9223372036854775808\nkeyspace_misses:9223372036854775807", "   - 9223372036854775808 - - - - -"},
		"hostile version":   {"redis_version:7\"} 1\nrole:" + strings.Repeat("m", 33) + "\nredis_mode:a\xffb", "   - - - - - - -"},
		"a key inside text": {"os:role:master\r\nxkeyspace_hits:3\r\n", "   - - - - - - -"},
	} {
		if got := show(redis.ParseInfo(c.reply)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// FuzzParseInfo: numbers are finite and not negative, texts are short and plain, a limit
// of 0 is none, and missing values stay unknown.
func FuzzParseInfo(f *testing.F) {
	f.Add(reply)
	f.Add("maxmemory:0\nmaxmemory:5\nrole:slave")
	f.Add("keyspace_hits:18446744073709551615\r\n\r\r\n#")
	f.Fuzz(func(t *testing.T, s string) {
		i := redis.ParseInfo(s)
		for key, n := range map[string]*float64{
			"keyspace_hits": i.Hits, "keyspace_misses": i.Misses, "evicted_keys": i.Evicted, "used_memory": i.Memory,
			"maxmemory": i.MaxMemory, "connected_clients": i.Clients, "blocked_clients": i.Blocked,
		} {
			if n != nil && (math.IsNaN(*n) || math.IsInf(*n, 0) || *n < 0 || !strings.Contains(s, key+":")) {
				t.Errorf("%s is %v of %q", key, *n, s)
			}
		}
		if i.MaxMemory != nil && *i.MaxMemory == 0 {
			t.Error("a limit of 0")
		}
		for _, text := range []string{i.Version, i.Mode, i.Role} {
			if len(text) > 32 || strings.ContainsAny(text, "\"\\\n{} ") || !strings.Contains(s, ":"+text) && text != "" {
				t.Errorf("text %q of %q", text, s)
			}
		}
	})
}

func BenchmarkParseInfo(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if redis.ParseInfo(reply).Hits == nil {
			b.Fatal("no hits")
		}
	}
}
