package collectors_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/resp-exporter/resp-exporter/collectors"
	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/mysql/locks"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

// fakeMySQL returns fixed values, or the error that is set for a part.
type fakeMySQL struct {
	errs         map[string]error
	hang         bool
	status       map[string]float64
	variables    map[string]string
	threads      []mysql.Thread
	transactions []mysql.Transaction
	waits        []mysql.LockWait
	statements   map[uint64]string
	locks        []locks.Lock
	pids         map[uint64]int
	over         int           // rows more than are looked at, at each question
	slow         time.Duration // how long the list of threads takes
	failovers    int           // how often another address has taken over

	left  mysql.LeftOut
	mu    sync.Mutex
	asked map[string]int
}

func (f *fakeMySQL) answer(ctx context.Context, part string) error {
	f.mu.Lock()
	if f.asked == nil {
		f.asked = make(map[string]int)
	}
	f.asked[part]++
	f.mu.Unlock()
	if f.hang {
		<-ctx.Done()
		return &mysql.Error{Reason: reason.Timeout, Text: "it does not answer in time"}
	}
	return f.errs[part]
}

func (f *fakeMySQL) Ping(ctx context.Context) (time.Duration, error) {
	return 250 * time.Microsecond, f.answer(ctx, "ping")
}

func (f *fakeMySQL) Serving() (int, mysql.Version, bool) {
	return 1 + f.failovers, mysql.Version{MariaDB: true, Major: 10, Minor: 11, Patch: 6}, true
}

func (f *fakeMySQL) Status(ctx context.Context) (map[string]float64, error) {
	return f.status, f.answer(ctx, "status")
}

func (f *fakeMySQL) Variables(ctx context.Context) (map[string]string, error) {
	return f.variables, f.answer(ctx, "variables")
}

func (f *fakeMySQL) Threads(ctx context.Context) ([]mysql.Thread, error) {
	f.mu.Lock()
	f.left.Threads += uint64(f.over)
	f.mu.Unlock()
	time.Sleep(f.slow)
	return f.threads, f.answer(ctx, "threads")
}

func (f *fakeMySQL) Transactions(ctx context.Context) ([]mysql.Transaction, error) {
	return f.transactions, f.answer(ctx, "transactions")
}

func (f *fakeMySQL) LockWaits(ctx context.Context) ([]mysql.LockWait, error) {
	return f.waits, f.answer(ctx, "waits")
}

func (f *fakeMySQL) LastStatements(ctx context.Context, _ []uint64) (map[uint64]string, error) {
	return f.statements, f.answer(ctx, "statements")
}

func (f *fakeMySQL) MetadataLocks(ctx context.Context) ([]locks.Lock, error) {
	return f.locks, f.answer(ctx, "locks")
}

func (f *fakeMySQL) ClientPIDs(ctx context.Context) (map[uint64]int, error) {
	return f.pids, f.answer(ctx, "pids")
}

func (f *fakeMySQL) LeftOut() mysql.LeftOut {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left
}

func (f *fakeMySQL) StatementTime(ctx context.Context) (time.Duration, error) {
	return 90 * time.Minute, f.answer(ctx, "time")
}

// busyMySQL returns a server with all kinds of threads: connection 7 blocks 8, which
// blocks 9; 10 waits for a table; 11 runs for 42 s.
func busyMySQL() *fakeMySQL {
	return &fakeMySQL{
		status: map[string]float64{"Threads_connected": 8, "Threads_running": 5, "Queries": 123456, "Slow_queries": 3, "Aborted_clients": 4, "Aborted_connects": 2,
			"Created_tmp_tables": 50, "Created_tmp_disk_tables": 6, "Innodb_deadlocks": 1, "Innodb_page_size": 16384, "Innodb_buffer_pool_pages_total": 2048,
			"Innodb_buffer_pool_pages_free": 1024, "Innodb_buffer_pool_pages_dirty": 16, "Innodb_buffer_pool_read_requests": 900, "Innodb_buffer_pool_reads": 165},
		variables: map[string]string{"max_connections": "151", "performance_schema": "ON"},
		threads: []mysql.Thread{
			{ID: 1, Command: "Daemon", Time: time.Hour}, {ID: 5, Command: "Query", Time: time.Minute, Own: true},
			{ID: 7, Command: "Sleep", Time: time.Minute}, {ID: 8, Command: "Query", Time: 2 * time.Second, State: "Updating"},
			{ID: 9, Command: "Execute", Time: time.Second, State: "Updating"}, {ID: 10, Command: "Query", Time: 3 * time.Second, State: "Waiting for table metadata lock"},
			{ID: 11, Command: "Query", Time: 42 * time.Second, State: "Sending data"}, {ID: 12, Command: "Sleep", State: "Waiting for next activation"},
		},
		transactions: []mysql.Transaction{
			{ID: "70", Thread: 7, Age: time.Minute}, {ID: "80", Thread: 8, Age: 5 * time.Second, Waits: true, Waiting: 2 * time.Second},
			{ID: "90", Thread: 9, Age: time.Second, Waits: true, Waiting: time.Second},
		},
		waits: []mysql.LockWait{{Waiting: "80", Blocking: "70"}, {Waiting: "90", Blocking: "80"}, {Waiting: "90", Blocking: "70"}, {Waiting: "1", Blocking: "2"}},
	}
}

func activityOf(servers map[string]*fakeMySQL) *collectors.Activity {
	return collectors.NewActivity(func() []collectors.MySQLTarget {
		var out []collectors.MySQLTarget
		for _, name := range slices.Sorted(maps.Keys(servers)) {
			out = append(out, collectors.MySQLTarget{Name: name, Server: servers[name]})
		}
		return out
	})
}

func mysqlOf(servers map[string]*fakeMySQL) *collectors.MySQL {
	return collectors.NewMySQL(activityOf(servers))
}

func TestMySQLGolden(t *testing.T) {
	golden(t, mysqlOf(map[string]*fakeMySQL{"main": busyMySQL()}))
}

// A server without a connection left is a wait of everybody, for as long as it is so.
func TestMySQLFull(t *testing.T) {
	f, refused := busyMySQL(), &fakeMySQL{errs: map[string]error{"ping": &mysql.Error{Reason: reason.Busy, Full: true, Text: "full"}}}
	c := mysqlOf(map[string]*fakeMySQL{"main": f, "refused": refused})
	waits := func() []model.StoreWait {
		s, _ := c.Collect(t.Context())
		return s.State.StoreWaits
	}
	if got := waits(); len(got) != 1 || got[0] != (model.StoreWait{Server: "mysql:refused", Kind: "full"}) {
		t.Errorf("one refuses: %+v", got)
	}
	f.status["Threads_connected"] = 151
	if got := waits(); len(got) != 2 || got[0].Server != "mysql:main" || got[0].Seconds != 0 || got[1].Seconds <= 0 {
		t.Errorf("the other one has none left: %+v", got)
	}
	f.status["Threads_connected"], refused.errs = 150, nil
	if got := waits(); len(got) != 0 {
		t.Errorf("both have some left: %+v", got)
	}
}

// If a server does not report how many threads run, they are counted, without idle ones,
// the server's own and the exporter's.
func TestMySQLCountsRunningThreads(t *testing.T) {
	f := busyMySQL()
	delete(f.status, "Threads_running")
	s, err := mysqlOf(map[string]*fakeMySQL{"main": f}).Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	for _, r := range facts(s) {
		if r.Name == "resp_mysql_threads_running" {
			got = append(got, r.Value)
		}
	}
	if !slices.Equal(got, []float64{4}) {
		t.Errorf("got %v, want 4 once", got)
	}
}

// Rows above a limit are counted once for each read, and the lack says that values are too
// low.
func TestMySQLLeavesOut(t *testing.T) {
	servers := map[string]*fakeMySQL{"main": busyMySQL(), "other": busyMySQL()}
	servers["main"].over, servers["other"].over = 5, 2
	left := func(s collectors.Sample) (n float64) {
		for _, m := range s.Metrics {
			var out dto.Metric
			if err := m.Write(&out); err != nil {
				t.Fatal(err)
			}
			if len(out.GetLabel()) == 1 && out.GetLabel()[0].GetValue() == "mysql_thread" {
				n = out.GetCounter().GetValue()
			}
		}
		return n
	}
	activity := activityOf(servers)
	c := collectors.NewMySQL(activity)
	for i := 1; i <= 2; i++ {
		s, err := c.Collect(t.Context())
		if reason, detail := collectors.ReasonOf(err); reason != collectors.Failed || strings.Count(detail, "are too low") != 2 {
			t.Errorf("%s: %s", reason, detail)
		}
		if got := left(s); got != float64(7*i) {
			t.Errorf("%v are left out, want %d", got, 7*i)
		}
	}
	delete(servers, "other") // a counter does not go back with its server
	servers["main"].over = 0
	s, err := c.Collect(t.Context())
	if got := left(s); got != 14 || err != nil {
		t.Errorf("%v are left out, %v", got, err)
	}
}

func TestMySQLLacks(t *testing.T) {
	failed := func(kind reason.Reason, need string) error {
		return &mysql.Error{Reason: kind, Text: "so it is", Need: need}
	}
	tests := map[string]struct {
		part   string
		err    error
		reason collectors.Reason
		says   string
		absent []string
		asks   []string // parts that are still asked for
	}{
		"down":      {"ping", failed(reason.NotFound, ""), collectors.NotFound, "mysql main: so it is", []string{"ping_seconds", "connections", "info"}, nil},
		"refused":   {"ping", failed(reason.Permission, ""), collectors.Permission, "so it is", []string{"ping_seconds"}, nil},
		"full":      {"ping", failed(reason.Busy, ""), collectors.Busy, "so it is", []string{"ping_seconds"}, nil},
		"hung":      {"threads", failed(reason.Timeout, ""), collectors.Timeout, "so it is", []string{"connections", "longest_query_seconds"}, nil},
		"strange":   {"status", failed(reason.Failed, ""), collectors.Failed, "so it is", []string{"connections"}, []string{"threads", "time"}},
		"no right":  {"threads", failed(reason.Permission, "PROCESS"), collectors.Permission, "GRANT PROCESS ON *.*", []string{"longest_query_seconds", "oldest_transaction_seconds", "lock_waits"}, []string{"time"}},
		"no select": {"time", failed(reason.Permission, "SELECT"), collectors.Permission, "GRANT SELECT ON performance_schema.", []string{"query_seconds_total"}, nil},
		"no waits":  {"waits", failed(reason.Unsupported, ""), collectors.Unsupported, "so it is", []string{"blocking_transactions"}, []string{"time"}},
		"no ours":   {"transactions", errors.New("what"), collectors.Failed, "what", []string{"oldest_transaction_seconds", "lock_waits"}, []string{"time"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := busyMySQL()
			f.errs = map[string]error{test.part: test.err}
			s, err := mysqlOf(map[string]*fakeMySQL{"main": f}).Collect(t.Context())
			if reason, detail := collectors.ReasonOf(err); reason != test.reason || !strings.Contains(detail, test.says) {
				t.Errorf("%s: %s", reason, detail)
			}
			up := -1.0
			for _, r := range facts(s) {
				for _, a := range test.absent {
					if r.Name == "resp_mysql_"+a {
						t.Errorf("%s is there", r.Name)
					}
				}
				if r.Name == "resp_up" {
					up = r.Value
				}
			}
			if want := map[bool]float64{true: 0, false: 1}[test.part == "ping"]; up != want {
				t.Errorf("up is %v, want %v", up, want)
			}
			for _, a := range test.asks {
				if f.asked[a] == 0 {
					t.Errorf("%s was not asked for", a)
				}
			}
			if test.asks == nil && test.part == "threads" && f.asked["status"] > 0 {
				t.Error("a server that hangs was asked again")
			}
		})
	}
}

// ofStatus are the metrics that come from the status and the variables of a server.
func ofStatus() []string {
	return []string{
		"resp_mysql_max_connections", "resp_mysql_connections", "resp_mysql_queries_total", "resp_mysql_buffer_pool_bytes", "resp_mysql_buffer_pool_free_bytes",
		"resp_mysql_buffer_pool_dirty_bytes", "resp_mysql_buffer_pool_read_requests_total", "resp_mysql_buffer_pool_disk_reads_total", "resp_mysql_deadlocks_total",
		"resp_mysql_aborted_clients_total", "resp_mysql_aborted_connects_total", "resp_mysql_temporary_tables_total", "resp_mysql_temporary_disk_tables_total",
	}
}

// Pages of an unknown size are no bytes.
func TestMySQLPagesWithoutSize(t *testing.T) {
	f := busyMySQL()
	delete(f.status, "Innodb_page_size")
	s, err := mysqlOf(map[string]*fakeMySQL{"main": f}).Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range facts(s) {
		if strings.Contains(r.Name, "buffer_pool") {
			got = append(got, r.Name)
		}
	}
	if want := []string{"resp_mysql_buffer_pool_disk_reads_total", "resp_mysql_buffer_pool_read_requests_total"}; !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// If the server does not sum times, or its names are not known, values are absent, not 0.
func TestMySQLAbsentNotZero(t *testing.T) {
	f := busyMySQL()
	f.variables, f.status = map[string]string{"performance_schema": "OFF"}, map[string]float64{}
	s, err := mysqlOf(map[string]*fakeMySQL{"main": f}).Collect(t.Context())
	if reason, _ := collectors.ReasonOf(err); reason != collectors.OK || f.asked["time"] != 0 {
		t.Errorf("%v, asked %v", err, f.asked)
	}
	lacks := collectors.Lacks(err)
	if len(lacks) != 1 || !lacks[0].Optional || lacks[0].Of != "mysql:main" || !strings.Contains(lacks[0].Remedy, "performance_schema=ON") {
		t.Errorf("what is missing: %v", err)
	}
	for _, r := range facts(s) {
		if r.Name == "resp_mysql_query_seconds_total" || slices.Contains(ofStatus(), r.Name) {
			t.Errorf("%s is %v", r.Name, r.Value)
		}
	}
}

// A server that hangs uses only its share of the time; the values of the other are complete
// before the deadline of the scrape.
func TestMySQLHangingServerBesideAGoodOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		s, err := mysqlOf(map[string]*fakeMySQL{"main": busyMySQL(), "hung": {hang: true}}).Collect(ctx)
		if took := time.Since(began); took != 8*time.Second {
			t.Errorf("it took %s", took)
		}
		if reason, detail := collectors.ReasonOf(err); reason != collectors.Timeout || !strings.Contains(detail, "hung") {
			t.Errorf("%s: %s", reason, detail)
		}
		up := map[string]float64{}
		for _, r := range facts(s) {
			if r.Name == "resp_up" {
				up[r.Labels[0]] = r.Value
			}
		}
		if want := map[string]float64{"mysql:main": 1, "mysql:hung": 0}; !maps.Equal(up, want) {
			t.Errorf("up is %v", up)
		}
	})
}

func BenchmarkMySQLCollect(b *testing.B) {
	f := busyMySQL()
	for i := range 1000 {
		f.threads = append(f.threads, mysql.Thread{ID: uint64(100 + i), Command: "Sleep", Host: "127.0.0.1:1"})
	}
	c := mysqlOf(map[string]*fakeMySQL{"main": f})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
