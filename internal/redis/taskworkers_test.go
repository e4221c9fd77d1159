package redis_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/redis"
)

const workerFields = " last_heartbeat death hostname pid birth current_job successful_job_count failed_job_count"

func workersStore() map[string]string {
	return map[string]string{
		"llen rq:queue:mail":                     ":4\r\n",
		"srandmember rq:workers:mail":            strs("rq:worker:a", "rq:worker:a", "rq:worker:idle", "rq:worker:dead", "rq:worker:expired", "rq:worker:strange", "secret:key"),
		"hmget rq:worker:a" + workerFields:       strs("2026-01-02T03:04:05.5Z", "", "web-1", "77", "2026-01-02T03:00:00Z", "job", "3", "1"),
		"hmget rq:job:job started_at origin":     strs("2026-01-02T03:01:00.000000Z", "mail"),
		"hmget rq:worker:idle" + workerFields:    "*8\r\n" + bulk("2026-01-02T03:04:00Z") + "$-1\r\n" + bulk("web-2") + bulk("78") + bulk("2026-01-02T03:00:01Z") + "$-1\r\n$-1\r\n" + bulk("-5"),
		"hmget rq:worker:dead" + workerFields:    strs("2026-01-02T03:04:00Z", died, "web-1", "79", "2026-01-02T03:00:00Z", "", "0", "0"),
		"hmget rq:worker:strange" + workerFields: strs("2026-01-02T03:04:00Z", "", "web-1", "-1", "2026-01-02T03:00:00Z", "", "0", "0"),
	}
}

func TestRQWorkers(t *testing.T) {
	t.Parallel()
	f := serve(t, store(workersStore()))
	look, err := openAt(t, f, time.Now).RQWorkers(t.Context(), "mail")
	got, waiting := look.Workers, look.Waiting
	if err != nil || waiting != 4 || len(got) != 2 {
		t.Fatalf("%d wait, %+v, %v", waiting, got, err)
	}
	at := func(h, m, s int) time.Time { return time.Date(2026, 1, 2, h, m, s, 0, time.UTC) }
	want := redis.RQWorker{
		Key: "rq:worker:a", Host: "web-1", PID: 77, Birth: at(3, 0, 0), Heartbeat: at(3, 4, 5).Add(500 * time.Millisecond), Ended: 4,
		Job: "job", JobQueue: "mail", JobStarted: at(3, 1, 0),
	}
	if fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	if w := got[1]; w.PID != 78 || w.Job != "" || w.Ended != 0 || !w.JobStarted.IsZero() {
		t.Errorf("%+v", w)
	}
	if n := f.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if want := []redis.Client{{Addr: netip.MustParseAddrPort("127.0.0.1:41872"), To: netip.MustParseAddrPort("127.0.0.1:6379"), Name: "a"}}; look.At.ID != "c0ffee" || look.At.Peer.String() != f.addr || !slices.Equal(look.At.Clients, want) {
		t.Errorf("%+v", look.At)
	}
}

// The list of clients may be refused, or too long: that is no fault, and said.
func TestPlaceWithoutClients(t *testing.T) {
	t.Parallel()
	for name, replies := range map[string]map[string]string{
		"refused":  {"client list": "-NOPERM this user has no permissions to run the 'client|list' command\r\n"},
		"too many": {"info server clients memory stats replication": bulk("run_id:c0ffee\r\nconnected_clients:2001\r\n"), "client list": "-ERR asked\r\n"},
		"unknown":  {"info server clients memory stats replication": bulk("run_id:c0ffee\r\n"), "client list": "-ERR asked\r\n"},
	} {
		f := serve(t, store(replies))
		s := openAt(t, f, time.Now)
		for range 2 {
			look, err := s.RQWorkers(t.Context(), "mail")
			if err != nil || look.At.Hidden == "" || len(look.At.Clients) > 0 || look.At.ID != "c0ffee" {
				t.Errorf("%s: %+v, %v", name, look.At, err)
			}
		}
		if n := f.accepted.Load(); n != 1 {
			t.Errorf("%s: %d connections", name, n)
		}
	}
}

// A server that does not say which one it is cannot be told from others.
func TestServerID(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]redis.ServerID{"run_id:c0ffee\r\n": "c0ffee", "role:master\r\n": "", "run_id:a+b\r\n": "", "run_id:" + strings.Repeat("a", 65) + "\r\n": ""} {
		got, err := openAt(t, serve(t, well(map[string]string{"info": bulk(reply)})), time.Now).ServerID(t.Context())
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", reply, got, err)
		}
	}
}

// What the user may not read is told, and the connection stays.
func TestTaskWorkersRefused(t *testing.T) {
	t.Parallel()
	const key = "-NOPERM No permissions to access a key\r\n"
	for _, command := range []string{"llen rq:queue:mail", "srandmember rq:workers:mail", "hmget rq:worker:a" + workerFields, "hmget rq:job:job started_at origin", "hlen unacked", "llen mail"} {
		replies := workersStore()
		if replies[command] = key; strings.HasPrefix(command, "srandmember") {
			replies["srandmember rq:workers:mail 256"] = key
		}
		f := serve(t, store(replies))
		s := openAt(t, f, time.Now)
		for range 2 {
			_, err := s.RQWorkers(t.Context(), "mail")
			if !strings.Contains(command, "rq:") {
				_, err = s.CeleryIntake(t.Context(), "mail", time.Now())
			}
			var fault *redis.Error
			if !errors.As(err, &fault) || fault.Reason != reason.Permission {
				t.Errorf("%s: %v", command, err)
			}
		}
		if n := f.accepted.Load(); n != 1 {
			t.Errorf("%s: %d connections", command, n)
		}
	}
}

func TestCeleryIntake(t *testing.T) {
	t.Parallel()
	since := time.UnixMilli(1767323000250)
	for name, c := range map[string]struct {
		newer string
		want  redis.Intake
	}{
		"fresh": {strs("tag"), redis.Intake{Waiting: 5, Held: 2, Fresh: true}},
		"still": {"*0\r\n", redis.Intake{Waiting: 5, Held: 2}},
	} {
		f := serve(t, store(map[string]string{
			"llen mail": ":2\r\n", "llen mail\x06\x169": ":3\r\n", "hlen unacked": ":2\r\n",
			"zrangebyscore unacked_index (1767323000.250 +inf limit 0 1": c.newer,
		}))
		got, err := openAt(t, f, time.Now).CeleryIntake(t.Context(), "mail", since)
		if got.At.Peer.String() != f.addr || got.At.ID != "c0ffee" {
			t.Errorf("%s: it is at %+v, not %s", name, got.At, f.addr)
		}
		got.At = redis.ServerState{}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Whatever is in an entry: a worker that is given has a plain pid, and times.
func FuzzParseWorker(f *testing.F) {
	f.Add("2026-01-02T03:04:05.5Z", "", "web-1", "77", "2026-01-02T03:00:00Z", "job", "3", "1")
	f.Add("x", "", "", "1", "", "", "-1", "1e9")
	f.Fuzz(func(t *testing.T, beat, death, host, pid, birth, job, ok, failed string) {
		for n := range 9 {
			fields := []any{beat, death, host, pid, birth, job, ok, failed}[:min(n, 8)]
			w, good := redis.ParseWorker(fields)
			if good && (w.PID < 2 || w.Birth.IsZero() || w.Heartbeat.IsZero() || death != "") || w.Ended < 0 || len(w.Job) > 256 || len(w.Host) > 256 {
				t.Errorf("%q gives %+v", fields, w)
			}
		}
	})
}

// Whatever a list of clients holds: none of them has a long name or no address,
// and there are no more than the bound.
func FuzzParseClients(f *testing.F) {
	f.Add("id=3 addr=127.0.0.1:41872 laddr=127.0.0.1:6379 fd=8 name=a db=0 cmd=brpop\n")
	f.Add("id=3 addr=/run/redis.sock:0 name= db=15\nid=4 addr=[::1]:7 name=x db=-1\naddr=? db=1")
	f.Add(strings.Repeat("addr=1.2.3.4:5 db=0\n", 3000))
	f.Fuzz(func(t *testing.T, list string) {
		got := redis.ParseClients(list)
		if len(got) > 2000 {
			t.Errorf("%d clients", len(got))
		}
		for _, c := range got {
			if c.Addr.IsValid() == (c.Path != "") || len(c.Name) > 256 || len(c.Path) > 256 || strings.ContainsAny(c.Name, " \n") || c.DB < 0 {
				t.Errorf("%q gives %+v", list, c)
			}
		}
	})
}

func BenchmarkParseClients(b *testing.B) {
	b.ReportAllocs()
	list := strings.Repeat("id=3 addr=127.0.0.1:41872 laddr=127.0.0.1:6379 fd=8 name=worker age=1 idle=0 flags=b db=0 sub=0 psub=0 multi=-1 qbuf=0 cmd=brpop user=shop\n", 1000)
	for b.Loop() {
		if len(redis.ParseClients(list)) != 1000 {
			b.Fatal("not all are read")
		}
	}
}
