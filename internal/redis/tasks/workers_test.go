package tasks_test

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
	"github.com/resp-exporter/resp-exporter/internal/redis/redistest"
	"github.com/resp-exporter/resp-exporter/internal/redis/tasks"
)

const workerFields = " last_heartbeat death hostname pid birth current_job successful_job_count failed_job_count"

func workersStore() map[string]string {
	return map[string]string{
		"llen rq:queue:mail":                     ":4\r\n",
		"srandmember rq:workers:mail":            redistest.Strings("rq:worker:a", "rq:worker:a", "rq:worker:idle", "rq:worker:dead", "rq:worker:expired", "rq:worker:strange", "secret:key"),
		"hmget rq:worker:a" + workerFields:       redistest.Strings("2026-01-02T03:04:05.5Z", "", "web-1", "77", "2026-01-02T03:00:00Z", "job", "3", "1"),
		"hmget rq:job:job started_at origin":     redistest.Strings("2026-01-02T03:01:00.000000Z", "mail"),
		"hmget rq:worker:idle" + workerFields:    "*8\r\n" + redistest.Bulk("2026-01-02T03:04:00Z") + "$-1\r\n" + redistest.Bulk("web-2") + redistest.Bulk("78") + redistest.Bulk("2026-01-02T03:00:01Z") + "$-1\r\n$-1\r\n" + redistest.Bulk("-5"),
		"hmget rq:worker:dead" + workerFields:    redistest.Strings("2026-01-02T03:04:00Z", died, "web-1", "79", "2026-01-02T03:00:00Z", "", "0", "0"),
		"hmget rq:worker:strange" + workerFields: redistest.Strings("2026-01-02T03:04:00Z", "", "web-1", "-1", "2026-01-02T03:00:00Z", "", "0", "0"),
	}
}

func TestRQWorkers(t *testing.T) {
	t.Parallel()
	f := redistest.Serve(t, store(workersStore()))
	snapshot, err := readerAt(t, f, time.Now).RQWorkers(t.Context(), "mail")
	got, waiting := snapshot.Workers, snapshot.Waiting
	if err != nil || waiting != 4 || len(got) != 2 {
		t.Fatalf("%d wait, %+v, %v", waiting, got, err)
	}
	at := func(h, m, s int) time.Time { return time.Date(2026, 1, 2, h, m, s, 0, time.UTC) }
	want := tasks.RQWorker{
		Key: "rq:worker:a", Host: "web-1", PID: 77, Birth: at(3, 0, 0), Heartbeat: at(3, 4, 5).Add(500 * time.Millisecond), Ended: 4,
		Job: "job", JobQueue: "mail", JobStarted: at(3, 1, 0),
	}
	if fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	if w := got[1]; w.PID != 78 || w.Job != "" || w.Ended != 0 || !w.JobStarted.IsZero() {
		t.Errorf("%+v", w)
	}
	if n := f.Accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if want := []redis.Client{{Addr: netip.MustParseAddrPort("127.0.0.1:41872"), To: netip.MustParseAddrPort("127.0.0.1:6379"), Name: "a"}}; snapshot.At.ID != "c0ffee" || snapshot.At.Peer.String() != f.Addr || !slices.Equal(snapshot.At.Clients, want) {
		t.Errorf("%+v", snapshot.At)
	}
}

// A list of clients that is refused, or too long, is no error, and the reason is set.
func TestPlaceWithoutClients(t *testing.T) {
	t.Parallel()
	for name, replies := range map[string]map[string]string{
		"refused":  {"client list": "-NOPERM this user has no permissions to run the 'client|list' command\r\n"},
		"too many": {"info server clients memory stats replication keyspace": redistest.Bulk("run_id:c0ffee\r\nconnected_clients:2001\r\n"), "client list": "-ERR asked\r\n"},
		"unknown":  {"info server clients memory stats replication keyspace": redistest.Bulk("run_id:c0ffee\r\n"), "client list": "-ERR asked\r\n"},
	} {
		f := redistest.Serve(t, store(replies))
		s := readerAt(t, f, time.Now)
		for range 2 {
			snapshot, err := s.RQWorkers(t.Context(), "mail")
			if err != nil || snapshot.At.Hidden == "" || len(snapshot.At.Clients) > 0 || snapshot.At.ID != "c0ffee" {
				t.Errorf("%s: %+v, %v", name, snapshot.At, err)
			}
		}
		if n := f.Accepted.Load(); n != 1 {
			t.Errorf("%s: %d connections", name, n)
		}
	}
}

// A missing right of the user is reported, and the connection stays.
func TestTaskWorkersRefused(t *testing.T) {
	t.Parallel()
	const key = "-NOPERM No permissions to access a key\r\n"
	for _, command := range []string{"llen rq:queue:mail", "srandmember rq:workers:mail", "hmget rq:worker:a" + workerFields, "hmget rq:job:job started_at origin", "hlen unacked", "llen mail"} {
		replies := workersStore()
		if replies[command] = key; strings.HasPrefix(command, "srandmember") {
			replies["srandmember rq:workers:mail 256"] = key
		}
		f := redistest.Serve(t, store(replies))
		s := readerAt(t, f, time.Now)
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
		if n := f.Accepted.Load(); n != 1 {
			t.Errorf("%s: %d connections", command, n)
		}
	}
}

func TestCeleryIntake(t *testing.T) {
	t.Parallel()
	since := time.UnixMilli(1767323000250)
	for name, c := range map[string]struct {
		newer string
		want  tasks.Intake
	}{
		"fresh": {redistest.Strings("tag"), tasks.Intake{Waiting: 5, Held: 2, Fresh: true}},
		"still": {"*0\r\n", tasks.Intake{Waiting: 5, Held: 2}},
	} {
		f := redistest.Serve(t, store(map[string]string{
			"llen mail": ":2\r\n", "llen mail\x06\x169": ":3\r\n", "hlen unacked": ":2\r\n",
			"zrangebyscore unacked_index (1767323000.250 +inf limit 0 1": c.newer,
		}))
		got, err := readerAt(t, f, time.Now).CeleryIntake(t.Context(), "mail", since)
		if got.At.Peer.String() != f.Addr || got.At.ID != "c0ffee" {
			t.Errorf("%s: it is at %+v, not %s", name, got.At, f.Addr)
		}
		got.At = redis.ServerState{}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// FuzzParseWorker: a parsed worker has a positive pid and valid times.
func FuzzParseWorker(f *testing.F) {
	f.Add("2026-01-02T03:04:05.5Z", "", "web-1", "77", "2026-01-02T03:00:00Z", "job", "3", "1")
	f.Add("x", "", "", "1", "", "", "-1", "1e9")
	f.Fuzz(func(t *testing.T, beat, death, host, pid, birth, job, ok, failed string) {
		for n := range 9 {
			fields := []any{beat, death, host, pid, birth, job, ok, failed}[:min(n, 8)]
			w, good := tasks.ParseWorker(fields)
			if good && (w.PID < 2 || w.Birth.IsZero() || w.Heartbeat.IsZero() || death != "") || w.Ended < 0 || len(w.Job) > 256 || len(w.Host) > 256 {
				t.Errorf("%q gives %+v", fields, w)
			}
		}
	})
}
