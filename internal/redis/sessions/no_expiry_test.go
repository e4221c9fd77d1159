package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/sessions"
)

// vault is a Redis with strings, each with its expiry and idle time in seconds.
type vault struct {
	mu      sync.Mutex
	info    string
	list    []string
	ttl     map[string]int
	idle    map[string]int
	refuse  map[string]string // by the first word of a command
	asked   []string
	onWatch func()
	changed bool // a watched key
	queued  []string
}

const masterInfo = "redis_version:7.0.15\r\nrun_id:c0ffee\r\nrole:master\r\nmaxmemory_policy:noeviction\r\ndb0:keys=400,expires=1,avg_ttl=0\r\n"

func (k *vault) reply(command string, c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	words := strings.Fields(command)
	k.asked = append(k.asked, command)
	if s, ok := k.refuse[words[0]]; ok {
		return redistest.Write(c, s)
	}
	number := func(m map[string]int, key string, gone string) string {
		if v, ok := m[key]; ok {
			return ":" + strconv.Itoa(v) + "\r\n"
		}
		return gone
	}
	switch words[0] {
	case "info":
		return redistest.Write(c, redistest.Bulk(k.info))
	case "scan":
		out := fmt.Sprintf("*2\r\n$1\r\n0\r\n*%d\r\n", len(k.list))
		for _, key := range k.list {
			out += redistest.Bulk(key)
		}
		return redistest.Write(c, out)
	case "ttl":
		return redistest.Write(c, number(k.ttl, words[1], ":-2\r\n"))
	case "object":
		return redistest.Write(c, number(k.idle, words[2], "$-1\r\n"))
	case "expire":
		if k.ttl[words[1]] != -1 {
			return redistest.Write(c, ":0\r\n")
		}
		k.ttl[words[1]], _ = strconv.Atoi(words[2])
		return redistest.Write(c, ":1\r\n")
	case "watch":
		if k.onWatch != nil {
			k.onWatch()
		}
		return redistest.Write(c, "+OK\r\n")
	case "unlink":
		k.queued = words[1:]
		return redistest.Write(c, "+QUEUED\r\n")
	case "exec":
		if k.changed {
			return redistest.Write(c, "*-1\r\n")
		}
		for _, key := range k.queued {
			delete(k.ttl, key)
		}
		return redistest.Write(c, fmt.Sprintf("*1\r\n:%d\r\n", len(k.queued)))
	}
	return redistest.Well(nil)(command, c)
}

// vaultOf returns a vault with three keys to expire, and three others.
func vaultOf() *vault {
	return &vault{
		info: masterInfo, list: []string{"session:a", "session:b", "session:c", "session:ttl", "session:used", "session:gone", "other:d"},
		ttl:  map[string]int{"session:a": -1, "session:b": -1, "session:c": -1, "session:ttl": 60, "session:used": -1, "other:d": -1},
		idle: map[string]int{"session:a": 9000, "session:b": 7200, "session:c": 8000, "session:ttl": 9000, "session:used": 7199, "other:d": 9000},
	}
}

func eternal() sessions.NoExpiryQuery {
	return sessions.NoExpiryQuery{Prefix: "session:", MinIdle: 2 * time.Hour, MaxKeys: 100, Grace: time.Hour}
}

func (k *vault) serve(t *testing.T) sessions.Store {
	t.Helper()
	return sessions.NewStore(redistest.Open(t, "redis://"+redistest.Serve(t, k.reply).Addr+"/0", ""))
}

func TestEternalCount(t *testing.T) {
	t.Parallel()
	k := vaultOf()
	got, err := k.serve(t).CountNoExpiry(t.Context(), eternal())
	if want := (sessions.NoExpiryCount{Sessions: 6, Matching: 3, Coverage: 1, Server: "c0ffee"}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, command := range k.asked {
		word, _, _ := strings.Cut(command, " ")
		switch word {
		case "hello", "client", "info", "ttl":
		case "scan":
			if command != "scan 0 match session:* count 200 type string" {
				t.Errorf("asked %q", command)
			}
		case "object":
			if !strings.HasPrefix(command, "object idletime session:") {
				t.Errorf("asked %q", command)
			}
		default:
			t.Errorf("a count asked %q", command)
		}
	}
	if s := strings.Join(k.asked, "\n"); strings.Contains(s, "other:d") {
		t.Error("a key without the prefix was asked after")
	}
}

func TestEternalExpire(t *testing.T) {
	t.Parallel()
	k := vaultOf()
	s := k.serve(t)
	q := eternal()
	q.MaxKeys = 2
	got, err := s.CleanUpNoExpiry(t.Context(), q)
	if err != nil || got.Changed != 2 || k.ttl["session:a"] != 3600 || k.ttl["session:b"] != 3600 || k.ttl["session:c"] != -1 {
		t.Errorf("got %+v, %v, %v", got, err, k.ttl)
	}
	got, err = s.CleanUpNoExpiry(t.Context(), q)
	if err != nil || got.Changed != 1 || k.ttl["session:c"] != 3600 || k.ttl["session:ttl"] != 60 || k.ttl["session:used"] != -1 || k.ttl["other:d"] != -1 {
		t.Errorf("got %+v, %v, %v", got, err, k.ttl)
	}
	if s := strings.Join(k.asked, "\n"); !strings.Contains(s, "expire session:a 3600 nx") || strings.Contains(s, "unlink") {
		t.Error(s)
	}
}

// Before Redis 7 EXPIRE has no NX: the expiry of each key is read once more.
func TestEternalExpireOld(t *testing.T) {
	t.Parallel()
	k := vaultOf()
	k.info = strings.Replace(masterInfo, "7.0.15", "6.2.7", 1)
	got, err := k.serve(t).CleanUpNoExpiry(t.Context(), eternal())
	if err != nil || got.Changed != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	asked := strings.Join(k.asked, "\n")
	if strings.Contains(asked, " nx") || strings.Count(asked, "ttl session:a\n") != 2 || strings.LastIndex(asked, "ttl session:c") > strings.Index(asked, "expire session:a") {
		t.Error(asked)
	}
}

func TestEternalRemove(t *testing.T) {
	t.Parallel()
	q := eternal()
	q.Remove = true
	k := vaultOf()
	got, err := k.serve(t).CleanUpNoExpiry(t.Context(), q)
	if err != nil || got.Changed != 3 || len(k.ttl) != 3 {
		t.Errorf("got %+v, %v, %v", got, err, k.ttl)
	}
	k = vaultOf()
	k.onWatch = func() { k.ttl["session:a"] = 60 } // the app saves it before our look
	got, err = k.serve(t).CleanUpNoExpiry(t.Context(), q)
	if err != nil || got.Changed != 2 || k.ttl["session:a"] != 60 || len(k.ttl) != 4 {
		t.Errorf("saved before: %+v, %v, %v", got, err, k.ttl)
	}
	k = vaultOf()
	k.changed = true // and after it
	got, err = k.serve(t).CleanUpNoExpiry(t.Context(), q)
	if err != nil || got.Changed != 0 || len(k.ttl) != 6 {
		t.Errorf("saved after: %+v, %v, %v", got, err, k.ttl)
	}
}

func TestEternalRefused(t *testing.T) {
	t.Parallel()
	with := func(f func(*sessions.NoExpiryQuery)) sessions.NoExpiryQuery {
		q := eternal()
		f(&q)
		return q
	}
	for name, c := range map[string]struct {
		query sessions.NoExpiryQuery
		info  string
	}{
		"an empty prefix":   {query: with(func(q *sessions.NoExpiryQuery) { q.Prefix = "" })},
		"a short prefix":    {query: with(func(q *sessions.NoExpiryQuery) { q.Prefix = "abc" })},
		"short in letters":  {query: with(func(q *sessions.NoExpiryQuery) { q.Prefix = "äöü" })},
		"only wildcards":    {query: with(func(q *sessions.NoExpiryQuery) { q.Prefix = "*?*?*" })},
		"no idle time":      {query: with(func(q *sessions.NoExpiryQuery) { q.MinIdle = 0 })},
		"no cap":            {query: with(func(q *sessions.NoExpiryQuery) { q.MaxKeys = 0 })},
		"no grace":          {query: with(func(q *sessions.NoExpiryQuery) { q.Grace = 0 })},
		"LFU":               {query: eternal(), info: strings.Replace(masterInfo, "noeviction", "allkeys-lfu", 1)},
		"a replica":         {query: eternal(), info: strings.Replace(masterInfo, "role:master", "role:slave", 1)},
		"an old one":        {query: eternal(), info: strings.Replace(masterInfo, "7.0.15", "5.0.14", 1)},
		"no known version":  {query: eternal(), info: "role:master\r\n"},
		"nothing of a INFO": {query: eternal(), info: "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := vaultOf()
			if c.info != "" {
				k.info = c.info
			}
			got, err := k.serve(t).CleanUpNoExpiry(t.Context(), c.query)
			var refusal *sessions.Refusal
			if !errors.As(err, &refusal) || got.Changed != 0 {
				t.Errorf("got %+v, %v", got, err)
			}
			if s := strings.Join(k.asked, "\n"); strings.Contains(s, "scan") {
				t.Error("it was scanned")
			}
		})
	}
}

func TestEternalFaults(t *testing.T) {
	t.Parallel()
	right := &redis.Error{Reason: reason.Permission} // with a sentence of its own
	for name, c := range map[string]struct {
		refuse map[string]string
		want   *redis.Error // nil: a refusal
	}{
		"no right to scan":   {map[string]string{"scan": "-NOPERM User hunter has no permissions to run the 'scan' command\r\n"}, right},
		"no right to a key":  {map[string]string{"ttl": "-NOPERM No permissions to access a key\r\n"}, right},
		"no right to expire": {map[string]string{"expire": "-NOPERM this user has no permissions to run the 'expire' command\r\n"}, right},
		"LFU meanwhile":      {map[string]string{"object": "-ERR An LFU maxmemory policy is selected, idle time not tracked.\r\n"}, nil},
		"a script":           {map[string]string{"scan": "-BUSY Redis is busy running a script.\r\n"}, redis.ReplyFault("-BUSY x")},
		"read-only":          {map[string]string{"expire": "-READONLY You can't write against a read only replica.\r\n"}, redis.ReplyFault("-READONLY x")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := vaultOf()
			k.refuse = c.refuse
			_, err := k.serve(t).CleanUpNoExpiry(t.Context(), eternal())
			_, refused := errors.AsType[*sessions.Refusal](err)
			fault, _ := errors.AsType[*redis.Error](err)
			switch {
			case refused != (c.want == nil), fault == nil != (c.want == nil):
				t.Errorf("got %v", err)
			case fault != nil && (fault.Reason != c.want.Reason || c.want.Detail != "" && *fault != *c.want):
				t.Errorf("got %+v, want %+v", fault, c.want)
			case strings.Contains(err.Error(), "hunter"), strings.Contains(err.Error(), "session:"):
				t.Errorf("it repeats a name: %v", err)
			}
		})
	}
	k := vaultOf()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.serve(t).CleanUpNoExpiry(ctx, eternal()); err == nil || k.ttl["session:a"] != -1 {
		t.Errorf("after its end: %v", err)
	}
	server := redistest.Open(t, "redis://"+redistest.Serve(t, vaultOf().reply).Addr+"/0", "")
	_ = server.Close()
	if _, err := sessions.NewStore(server).CountNoExpiry(t.Context(), eternal()); err == nil {
		t.Error("a closed server was scanned")
	}
}

// A scan that never ends is stopped by the budget.
func TestEternalBudget(t *testing.T) {
	t.Parallel()
	k := vaultOf()
	k.refuse = map[string]string{"scan": "*2\r\n$1\r\n7\r\n*1\r\n" + redistest.Bulk("session:a")}
	q := eternal()
	q.Budget = 50 * time.Millisecond
	got, err := k.serve(t).CountNoExpiry(t.Context(), q)
	if err != nil || got.Coverage >= 1 || got.Coverage <= 0 || got.Sessions < 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// FuzzEternalNode: only a master of a sufficient version is accepted.
func FuzzEternalNode(f *testing.F) {
	f.Add(masterInfo)
	f.Add("redis_version:x\r\nrole:slave\r\ndb0:keys=-1")
	f.Fuzz(func(t *testing.T, reply string) {
		n, nx, err := sessions.EternalNode(reply, 0)
		if n < 0 || err == nil && !strings.Contains(reply, "redis_version:") || nx && err != nil {
			t.Errorf("%q gives %v, %v, %v", reply, n, nx, err)
		}
	})
}

// A scan that was planned on one server changes nothing on another one.
func TestExpireEternalOnAnotherServer(t *testing.T) {
	t.Parallel()
	k := &vault{info: masterInfo, list: []string{"session:a"}, ttl: map[string]int{"session:a": -1}, idle: map[string]int{"session:a": 9000}}
	f := redistest.Serve(t, k.reply)
	s := sessions.NewStore(redistest.OpenAt(t, f, time.Now))
	q := sessions.NoExpiryQuery{Prefix: "session:", MinIdle: time.Hour, MaxKeys: 10, Grace: time.Hour, Only: "abc"}
	var refusal *sessions.Refusal
	if got, err := s.CleanUpNoExpiry(t.Context(), q); !errors.As(err, &refusal) || got.Changed != 0 || k.ttl["session:a"] != -1 {
		t.Errorf("%+v, %v", got, err)
	}
	q.Only = "c0ffee"
	if got, err := s.CleanUpNoExpiry(t.Context(), q); err != nil || got.Changed != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
