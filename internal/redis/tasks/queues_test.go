package tasks_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

// store returns the replies of a map, by the whole command, and otherwise those of an
// empty Redis.
func store(replies map[string]string) func(string, net.Conn) bool {
	return func(command string, c net.Conn) bool {
		if s, ok := replies[command]; ok {
			return redistest.Write(c, s)
		}
		switch word, rest, _ := strings.Cut(command, " "); word {
		case "llen", "zcard", "zcount", "scard", "hlen":
			return redistest.Write(c, ":0\r\n")
		case "lrange", "zrangebyscore", "srandmember":
			if s, ok := replies[word+" "+strings.Fields(rest)[0]]; ok {
				return redistest.Write(c, s)
			}
			return redistest.Write(c, "*0\r\n")
		case "hmget":
			return redistest.Write(c, "*"+strconv.Itoa(len(strings.Fields(rest))-1)+"\r\n"+strings.Repeat("$-1\r\n", len(strings.Fields(rest))-1))
		case "info":
			return redistest.Write(c, redistest.Bulk("run_id:c0ffee\r\nconnected_clients:2\r\n"))
		case "client":
			if strings.HasPrefix(rest, "list") {
				return redistest.Write(c, redistest.Bulk("id=3 addr=127.0.0.1:41872 laddr=127.0.0.1:6379 fd=8 name=a age=1 db=0 cmd=brpop\n"))
			}
		}
		return redistest.Well(nil)(command, c)
	}
}

func rqRef(name string) tasks.QueueRef     { return tasks.QueueRef{Kind: tasks.RQ, Name: name} }
func celeryRef(name string) tasks.QueueRef { return tasks.QueueRef{Kind: tasks.Celery, Name: name} }

const (
	execution = "0123456789abcdef0123456789abcdef"
	died      = "2026-01-02T03:00:00Z"
)

func rqStore() map[string]string {
	return map[string]string{
		"llen rq:queue:high": ":3\r\n",
		// The first was put at the front, the second was deleted, the third is of an old RQ.
		"lrange rq:queue:high":                           redistest.Strings("front", "gone", "old"),
		"hmget rq:job:front enqueued_at created_at":      redistest.Strings("2026-01-02T03:04:06.500000Z", "2026-01-02T03:00:00.000000Z"),
		"hmget rq:job:old enqueued_at created_at":        "*2\r\n$-1\r\n" + redistest.Bulk("2026-01-02T03:04:05Z"),
		"zcard rq:wip:high":                              ":5\r\n",
		"zcount rq:wip:high 0 (1767323046":               ":1\r\n",
		"zrangebyscore rq:wip:high":                      redistest.Strings("a", "b:"+execution, "c", "d"),
		"hmget rq:job:a worker_name":                     redistest.Strings("w1"),
		"hmget rq:job:b worker_name":                     redistest.Strings("dead"),
		"hmget rq:job:c worker_name":                     redistest.Strings("elsewhere"),
		"zcard rq:failed:high":                           ":7\r\n",
		"scard rq:workers:high":                          ":300\r\n",
		"srandmember rq:workers:high":                    redistest.Strings("rq:worker:w1", "rq:worker:w2", "rq:worker:dead", "rq:worker:expired", "secret:key", "rq:worker:"+strings.Repeat("x", 300)),
		"hmget rq:worker:w1 last_heartbeat death":        redistest.Strings("2026-01-02T03:04:00.25Z", ""),
		"hmget rq:worker:w2 last_heartbeat death":        redistest.Strings("2026-01-02T03:03:00.000000Z", ""),
		"hmget rq:worker:dead last_heartbeat death":      redistest.Strings("2026-01-02T03:02:00.000000Z", died),
		"hmget rq:worker:elsewhere last_heartbeat death": redistest.Strings("2026-01-02T03:04:01.000000Z", ""),
	}
}

// readerAt returns a reader of a fake, with a clock.
func readerAt(t *testing.T, f *redistest.Fake, now func() time.Time) *tasks.Reader {
	t.Helper()
	return tasks.NewReader(redistest.OpenAt(t, f, now))
}

func TestRQ(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, store(rqStore()))
	got, err := readerAt(t, f, func() time.Time { return time.Unix(1767323046, 0) }).Queues(t.Context(), []tasks.QueueRef{rqRef("high"), rqRef("empty")})
	if err != nil {
		t.Fatal(err)
	}
	q := got.List[0]
	q.Oldest, q.Heartbeat = q.Oldest.UTC(), q.Heartbeat.UTC()
	want := tasks.Queue{
		Length: 3, Oldest: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Started: 5, Orphaned: 2, Failed: 7,
		Workers: 2, Heartbeat: time.Date(2026, 1, 2, 3, 3, 0, 0, time.UTC), WorkersOver: 44,
	}
	if fmt.Sprintf("%+v", q) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", q, want)
	}
	if e := fmt.Sprintf("%+v", got.List[1]); e != fmt.Sprintf("%+v", tasks.Queue{}) {
		t.Errorf("an empty queue: %s", e)
	}
	if got.Unacked != nil || got.Over != 0 {
		t.Errorf("%+v", got)
	}
	if n := f.Accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func message(tag, more string) string {
	return fmt.Sprintf(`{"body": "secret", "headers": {"task": "x"}, "properties": {"delivery_tag": %q%s}}`, tag, more)
}

func TestCelery(t *testing.T) {
	t.Parallel()
	replies := map[string]string{
		"llen mail": ":2\r\n", "lrange mail": redistest.Strings(message("one", "")),
		"llen mail\x06\x163": ":1\r\n", "lrange mail\x06\x163": redistest.Strings("no JSON"),
		"llen mail\x06\x167": ":4\r\n", "lrange mail\x06\x167": redistest.Strings(message("sent", `, "timestamp": 1767323000`)),
		"llen mail\x06\x169": ":1\r\n", // taken by a worker meanwhile
		"hlen unacked":       ":6\r\n", "zrangebyscore unacked_index": redistest.Strings("tag", "1767323000.5"),
	}
	f := redistest.Serve(t, store(replies))
	s := readerAt(t, f, nil)
	look := func() tasks.Queues {
		t.Helper()
		got, err := s.Queues(t.Context(), []tasks.QueueRef{celeryRef("mail"), celeryRef("empty")})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := look()
	q := got.List[0]
	if q.Length != 8 || len(q.Heads) != 3 || q.Heads[0].Part != 0 || q.Heads[1].Part != 3 || q.Heads[2].Part != 7 || got.List[1].Length != 0 {
		t.Fatalf("%+v", got)
	}
	if q.Heads[0].ID == q.Heads[1].ID || !q.Heads[0].Sent.IsZero() || q.Heads[2].Sent.Unix() != 1767323000 {
		t.Errorf("%+v", q.Heads)
	}
	if got.Unacked == nil || got.Unacked.Err != nil || got.Unacked.Count != 6 || got.Unacked.Oldest.UnixMilli() != 1767323000500 {
		t.Errorf("%+v", got.Unacked)
	}
	// A message that the broker took back and put in again is the same one.
	next := maps.Clone(replies)
	next["lrange mail"] = redistest.Strings(message("one", `, "delivery_info": {"redelivered": true}`))
	next["lrange mail\x06\x163"] = redistest.Strings("another")
	answer := store(next)
	f.Answer.Store(&answer)
	again := look().List[0]
	if again.Heads[0].ID != q.Heads[0].ID || again.Heads[1].ID == q.Heads[1].ID {
		t.Errorf("%+v after %+v", again.Heads, q.Heads)
	}
}

// A message that is too large ends a connection at most twice in ten minutes, and only its
// own age is unknown; a large one is read twice a minute.
func TestCeleryLargeMessages(t *testing.T) {
	t.Parallel()
	var reads atomic.Int64
	replies := map[string]string{
		"llen huge": ":1\r\n", "llen large": ":1\r\n", "llen small": ":1\r\n",
		"lrange large -1 -1": redistest.Strings(message("large", `, "x": "`+strings.Repeat("x", 100_000)+`"`)),
		"lrange small -1 -1": redistest.Strings(message("small", "")),
	}
	f := redistest.Serve(t, func(command string, c net.Conn) bool {
		if command == "lrange huge -1 -1" {
			return redistest.Write(c, "*1\r\n$2000000\r\n"+strings.Repeat("x", 1000))
		}
		if command == "lrange large -1 -1" {
			reads.Add(1)
		}
		return store(replies)(command, c)
	})
	var now atomic.Int64
	now.Store(1767323046)
	server := redistest.OpenAt(t, f, func() time.Time { return time.Unix(now.Load(), 0) })
	s := tasks.NewReader(server)
	look := func(huge bool) {
		t.Helper()
		got, err := s.Queues(t.Context(), []tasks.QueueRef{celeryRef("large"), celeryRef("huge"), celeryRef("small")})
		if err != nil {
			t.Fatal(err)
		}
		for i, q := range got.List {
			if len(q.Heads) != 1 || q.Length != 1 || q.Heads[0].Unread != (huge && i == 1) {
				t.Fatalf("queue %d: %+v", i, q)
			}
		}
	}
	for range 5 {
		look(true)
	}
	if n, r := f.Accepted.Load(), reads.Load(); n != 3 || r > 2 {
		t.Errorf("%d connections, %d reads of the large one", n, r)
	}
	reads.Store(0)
	now.Add(40)
	look(true)
	if n, r := f.Accepted.Load(), reads.Load(); n != 3 || r != 1 {
		t.Errorf("after 40 s: %d connections, %d reads of the large one", n, r)
	}
	if _, err := server.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	now.Add(600)
	look(true)
	if n := f.Accepted.Load(); n != 5 && n != 4 {
		t.Errorf("after ten minutes: %d connections", n)
	}
}

// sayAsTheReply reports whether an error has the sentence of a reply; the sentences about
// keys and types are those of this package.
func sayAsTheReply(e *redis.Error, reply string) bool {
	own := strings.Contains(reply, " key") || strings.Contains(reply, "WRONGTYPE")
	return own || *e == *redis.ReplyFault(strings.TrimSuffix(reply, "\r\n"))
}

func TestQueueRefusals(t *testing.T) {
	t.Parallel()
	rq, celery := rqRef("hunter2"), celeryRef("hunter2")
	for name, c := range map[string]struct {
		ref     tasks.QueueRef
		command string
		reply   string
		kind    reason.Reason
		remedy  string // is in the command that grants the right
		length  bool
	}{
		"command":     {rq, "llen rq:queue:hunter2", "-NOPERM User hunter2 has no permissions to run the 'llen' command\r\n", reason.Permission, "ACL SETUSER <user> +llen", false},
		"old command": {rq, "llen rq:queue:hunter2", "-NOPERM this user has no permissions to run the 'llen' command or its subcommand\r\n", reason.Permission, "ACL SETUSER <user> +llen", false},
		"key":         {rq, "zcard rq:wip:hunter2", "-NOPERM No permissions to access a key\r\n", reason.Permission, "%R~rq:*", true},
		"old key":     {rq, "zcard rq:wip:hunter2", "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n", reason.Permission, "%R~rq:*", true},
		"celery key":  {celery, "llen hunter2", "-NOPERM No permissions to access a key\r\n", reason.Permission, "%R~unacked", false},
		"wrong type":  {celery, "llen hunter2", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", reason.Failed, "", false},
		"loading":     {celery, "llen hunter2", "-LOADING Redis is loading the dataset in memory\r\n", reason.Busy, "", false},
		"head":        {celery, "lrange hunter2 -1 -1", "-NOPERM User hunter2 has no permissions to run the 'lrange' command\r\n", reason.Permission, "+lrange", true},
		"no command":  {rq, "llen rq:queue:hunter2", "-ERR unknown command 'llen', with args beginning with: 'rq:queue:hunter2' \r\n", reason.Unsupported, "", false},
		"no set":      {rq, "srandmember rq:workers:hunter2 256", "-ERR unknown command `srandmember`, with args beginning with: `rq:workers:hunter2`, `256`, \r\n", reason.Unsupported, "", true},
		"no hash":     {celery, "lrange hunter2 -1 -1", "-ERR This command is not available: 'hunter2'\r\n", reason.Unsupported, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replies := map[string]string{c.command: c.reply}
			if c.length {
				replies["llen hunter2"], replies["llen rq:queue:hunter2"] = ":1\r\n", ":1\r\n"
			}
			f := redistest.Serve(t, store(replies))
			got, err := tasks.NewReader(redistest.Open(t, "redis://"+f.Addr, "")).Queues(t.Context(), []tasks.QueueRef{c.ref, rqRef("well")})
			if err != nil {
				t.Fatal(err)
			}
			q := got.List[0]
			why := q.Err
			if c.length { // the length is not refused
				why = q.Lack
			}
			if why == nil || why.Reason != c.kind || !strings.Contains(why.Remedy, c.remedy) || !sayAsTheReply(why, c.reply) || strings.Contains(why.Detail, "hunter2") {
				t.Errorf("%+v, want %s and %q", q, c.kind, c.remedy)
			}
			if c.length && (q.Err != nil || q.Length != 1) {
				t.Errorf("%+v, want its length", q)
			}
			if got.List[1].Err != nil {
				t.Errorf("the other queue: %v", got.List[1].Err)
			}
		})
	}
	f := redistest.Serve(t, redistest.Well(map[string]string{"client": "-NOAUTH Authentication required.\r\n"}))
	_, err := tasks.NewReader(redistest.Open(t, "redis://"+f.Addr, "")).Queues(t.Context(), []tasks.QueueRef{rq})
	if k, detail := redistest.Fault(t, err); k != reason.Permission || detail != redis.ReplyFault("-NOAUTH x").Detail {
		t.Errorf("%s %s", k, detail)
	}
	_, err = tasks.NewReader(redistest.Open(t, "redis+cluster://127.0.0.1:1", "")).Queues(t.Context(), []tasks.QueueRef{rq})
	if k, _ := redistest.Fault(t, err); k != reason.Unsupported {
		t.Errorf("a cluster: %s", k)
	}
}

// Hostile replies result in an error or in plausible values, in time.
func TestHostileQueues(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"nothing": "*0\r\n", "nulls": "*3\r\n$-1\r\n$-1\r\n$-1\r\n", "number": ":9223372036854775807\r\n", "negative": ":-5\r\n",
		"text": "+x\r\n", "nested": "*1\r\n*1\r\n*1\r\n:1\r\n", "garbage": "hello\r\n", "no such": "-ERR unknown command\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := redistest.Serve(t, func(command string, c net.Conn) bool {
				switch word, _, _ := strings.Cut(command, " "); word {
				case "llen", "lrange", "zcard", "zcount", "zrangebyscore", "scard", "srandmember", "hmget", "hlen":
					return redistest.Write(c, reply)
				}
				return redistest.Well(nil)(command, c)
			})
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			got, err := tasks.NewReader(redistest.Open(t, "redis://"+f.Addr, "")).Queues(ctx, []tasks.QueueRef{rqRef("a"), celeryRef("b")})
			if err != nil {
				_, _ = redistest.Fault(t, err)
				return
			}
			for _, q := range got.List {
				if q.Err == nil && (q.Length < 0 || q.Orphaned < 0 || q.Orphaned > q.Started || q.Workers < 0 || q.WorkersOver < 0 || q.Unlooked < 0) {
					t.Errorf("%+v", q)
				}
			}
		})
	}
}

// Many queues are read in few round trips, and those above the limit are counted.
func TestManyQueues(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, store(nil))
	refs := make([]tasks.QueueRef, 1100)
	for i := range refs {
		refs[i] = rqRef("q" + strconv.Itoa(i))
	}
	got, err := tasks.NewReader(redistest.Open(t, "redis://"+f.Addr, "")).Queues(t.Context(), refs)
	if err != nil || len(got.List) != 1000 || got.Over != 100 {
		t.Errorf("%d queues, %d over, %v", len(got.List), got.Over, err)
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(message("tag", `, "timestamp": 1767323000.5`)))
	f.Add([]byte(`{"properties": {"delivery_tag": 1, "timestamp": "x"}}`))
	f.Add([]byte(`{"properties": []}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := tasks.ParseMessage(b)
		if len(m.Tag) > 256 {
			t.Errorf("a tag of %d bytes", len(m.Tag))
		}
		if !m.Sent.IsZero() && (m.Sent.Unix() < 0 || m.Sent.Year() > 5200) {
			t.Errorf("sent at %s", m.Sent)
		}
	})
}

func FuzzJobOf(f *testing.F) {
	f.Add("id:" + execution)
	f.Add("a:b")
	f.Fuzz(func(t *testing.T, s string) {
		id := tasks.JobOf(s)
		if !strings.HasPrefix(s, id) || len(id) > 256 || id == "" && s != "" && len(s) <= 256 {
			t.Errorf("%q of %q", id, s)
		}
		if at := tasks.ParseTime(s); !at.IsZero() && at.Unix() <= 0 {
			t.Errorf("%q is %s", s, at)
		}
	})
}

func BenchmarkParseMessage(b *testing.B) {
	m := []byte(message("f006384f-7cad-4008-afc7-85020479a2d6", `, "timestamp": 1767323000`))
	b.ReportAllocs()
	for b.Loop() {
		tasks.ParseMessage(m)
	}
}
