package collectors

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/resp-exporter/resp-exporter/internal/model"
	"github.com/resp-exporter/resp-exporter/internal/mysql"
	"github.com/resp-exporter/resp-exporter/internal/reason"
)

var (
	mysqlInfoFamily        = gauge("mysql_info", "Flavour (mysql, mariadb) and version of the server; the value is 1.", "mysql", "flavour", "version")
	mysqlFallbackFamily    = gauge("mysql_fallback", "Address in use: 0 is dsn, n is the n-th of fallback_dsns.", "mysql")
	mysqlPingFamily        = gauge("mysql_ping_seconds", "Round-trip time of a ping to the server.", "mysql")
	mysqlConnectionsFamily = gauge("mysql_connections", "Open connections, including the exporter's own.", "mysql")
	mysqlMaxFamily         = gauge("mysql_max_connections", "Maximum number of connections (max_connections); the server reserves one more for an administrator.", "mysql")
	mysqlRunningFamily     = gauge("mysql_threads_running", "Connections that run a statement now, without the exporter's own.", "mysql")
	mysqlQueriesFamily     = counter("mysql_queries_total", "Statements executed by the server, including those in stored programs.", "mysql")
	mysqlQueryTimeFamily   = counter("mysql_query_seconds_total", "Total execution time of statements according to performance_schema; absent if performance_schema is off.", "mysql")
	mysqlSlowFamily        = counter("mysql_slow_queries_total", "Statements that took longer than the server's long_query_time. On MariaDB the value is up to ten seconds old.", "mysql")
	mysqlOldestTrxFamily   = gauge("mysql_oldest_transaction_seconds", "Age of the oldest open InnoDB transaction; 0 if there is none.", "mysql")
	mysqlLockWaitsFamily   = gauge("mysql_lock_waits", "Connections that wait for a row lock, a table lock or a metadata lock.", "mysql")
	mysqlBlockersFamily    = gauge("mysql_blocking_transactions", "InnoDB transactions that block others and do not wait themselves.", "mysql")
	mysqlLongestFamily     = gauge("mysql_longest_query_seconds", "Run time of the longest-running statement of a client; 0 if there is none.", "mysql")
)

// The rights to see how long statements took and, of MySQL 8, who waits for whom.
const (
	CureStatementTime = "GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO " + mysql.Placeholder + ";"
	CureLockWaits     = "GRANT SELECT ON performance_schema.data_lock_waits TO " + mysql.Placeholder + ";"
)

// MySQL returns the state of MySQL and MariaDB servers.
type MySQL struct {
	activity *Activity

	mu   sync.Mutex
	left mysql.LeftOut // of all servers, since the start
}

// NewMySQL returns the collector "mysql".
func NewMySQL(activity *Activity) *MySQL { return &MySQL{activity: activity} }

// Name implements [Collector].
func (*MySQL) Name() string { return "mysql" }

// Descs implements [Collector].
func (*MySQL) Descs() []*prometheus.Desc {
	return descs(upFamily, mysqlInfoFamily, mysqlFallbackFamily, mysqlPingFamily, mysqlConnectionsFamily, mysqlMaxFamily, mysqlRunningFamily,
		mysqlQueriesFamily, mysqlQueryTimeFamily, mysqlSlowFamily, mysqlOldestTrxFamily, mysqlLockWaitsFamily, mysqlBlockersFamily, mysqlLongestFamily, mysqlAppQueryFamily, seriesDropped)
}

// Collect implements [Collector].
func (c *MySQL) Collect(ctx context.Context) (Sample, error) {
	targets := c.activity.list()
	looks := make([]mysqlLook, len(targets))
	for i, t := range targets {
		looks[i].MySQLTarget, looks[i].server.Name = t, t.Name
	}
	eachServer(ctx, len(looks), func(ctx context.Context, i int) { looks[i].read(ctx, c.activity) }, func(i int, err error) {
		l := &looks[i]
		l.Sample, l.server = Sample{}, model.MySQLServer{Name: l.Name}
		l.add(upFamily, 0, "mysql:"+l.Name)
		l.errs = []error{lackOf("mysql", l.Name, err)}
	})
	var s Sample
	var errs []error
	for i := range looks {
		s.Metrics = append(s.Metrics, looks[i].Metrics...)
		s.State.MySQL = append(s.State.MySQL, looks[i].server)
		errs = append(errs, looks[i].errs...)
	}
	c.leftOut(&s, looks)
	return s, errors.Join(errs...)
}

// leftOut adds up the rows that bounds kept out of the looks.
func (c *MySQL) leftOut(s *Sample, looks []mysqlLook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range looks {
		c.left.Threads += looks[i].left.Threads
		c.left.Transactions += looks[i].left.Transactions
		c.left.LockWaits += looks[i].left.LockWaits
	}
	s.add(seriesDropped, float64(c.left.Threads), "mysql_thread")
	s.add(seriesDropped, float64(c.left.Transactions), "mysql_transaction")
	s.add(seriesDropped, float64(c.left.LockWaits), "mysql_lock_wait")
}

// mysqlLook is one look at one server.
type mysqlLook struct {
	MySQLTarget
	Sample
	server  model.MySQLServer
	errs    []error
	refused bool // one error of that kind is enough
	counted bool // the server has told how many threads run
	running *int // and how many are in its list of threads
	left    mysql.LeftOut
}

func (l *mysqlLook) read(ctx context.Context, from *Activity) {
	now, err := from.of(ctx, l.MySQLTarget, "mysql")
	if err == nil {
		err = now.pingErr
	}
	if err != nil {
		var e *mysql.Error
		l.server.Full = errors.As(err, &e) && e.Full
		l.add(upFamily, 0, "mysql:"+l.Name)
		l.lack(err)
		return
	}
	if l.left = now.left; l.left != (mysql.LeftOut{}) {
		l.errs = append(l.errs, cutShort(l.Name))
	}
	l.server.Up = true
	l.add(upFamily, 1, "mysql:"+l.Name)
	l.set(&l.server.Ping, mysqlPingFamily, now.ping.Seconds(), l.Name)
	if index, v, ok := l.Server.Serving(); ok {
		l.add(mysqlInfoFamily, 1, l.Name, v.Flavour(), v.String())
		l.add(mysqlFallbackFamily, float64(index), l.Name)
	}
	defer func() {
		if !l.counted && l.running != nil {
			l.set(&l.server.ThreadsRunning, mysqlRunningFamily, float64(*l.running), l.Name)
		}
	}()
	// What is read already comes first: it may say that the server hangs.
	if err := l.activity(now); err != nil && l.lack(err) {
		return
	}
	for _, part := range []func(context.Context) error{l.status, l.limits, l.time} {
		if err := part(ctx); err != nil && l.lack(err) {
			return
		}
	}
	l.holders(now.threads)
}

var errCutShort = errors.New("it has more connections, transactions or lock waits than the exporter reads, so the values derived from them are too low")

// cutShort says that a look does not have all. It names no number, so that it
// is said once and not at each scrape.
func cutShort(server string) *Unavailable {
	return lackOf("mysql", server, errCutShort)
}

// lack notes why something is not in the sample, and tells whether there is no
// point in going on.
func (l *mysqlLook) lack(err error) (stop bool) {
	stop, process, u := mysqlLack(l.Name, err)
	if process && l.refused {
		return false
	}
	l.refused = l.refused || process
	l.errs = append(l.errs, u)
	return stop
}

// mysqlLack is an error of a server as one of a collector: stop tells that there
// is no point in asking that server more, process that the right PROCESS is
// missing.
func mysqlLack(name string, err error) (stop, process bool, lack error) {
	var e *mysql.Error
	if !errors.As(err, &e) {
		return false, false, lackOf("mysql", name, err)
	}
	u := &Unavailable{Reason: e.Reason, Short: e.Text, Remedy: e.Cure, Of: "mysql:" + name}
	stop = e.Broken || e.Reason == NotFound || e.Reason == Busy || e.Reason == Timeout
	if process = e.Need == "PROCESS"; process {
		u.Short += ": as an administrator, GRANT PROCESS ON *.* to the exporter's user"
	}
	u.Detail = "mysql " + name + ": " + u.Short
	return stop, process, u
}

func (l *mysqlLook) status(ctx context.Context) error {
	status, err := l.Server.Status(ctx)
	if err != nil {
		return err
	}
	if v, ok := status["Threads_running"]; ok {
		l.counted = true
		l.set(&l.server.ThreadsRunning, mysqlRunningFamily, max(v-1, 0), l.Name)
	}
	if v, ok := status["Threads_connected"]; ok {
		l.set(&l.server.Connections, mysqlConnectionsFamily, v, l.Name)
	}
	for _, c := range []struct {
		name string
		f    *family
	}{{"Queries", mysqlQueriesFamily}, {"Slow_queries", mysqlSlowFamily}} {
		if v, ok := status[c.name]; ok {
			l.add(c.f, v, l.Name)
		}
	}
	return nil
}

// activity adds what runs, what is open and what waits.
func (l *mysqlLook) activity(now *activity) error {
	if now.threadsErr != nil {
		return now.threadsErr
	}
	waits := l.threads(now.threads)
	if now.transactionsErr != nil {
		return now.transactionsErr
	}
	oldest := time.Duration(0)
	for i := range now.transactions {
		t := &now.transactions[i]
		oldest = max(oldest, t.Age)
		if t.Waits {
			waits[t.Thread] = true
		}
	}
	l.queryTime(now.threads, waits)
	l.set(&l.server.OldestTransaction, mysqlOldestTrxFamily, oldest.Seconds(), l.Name)
	l.set(&l.server.LockWaits, mysqlLockWaitsFamily, float64(len(waits)), l.Name)
	return l.blockers(now)
}

// threads adds what the list of threads tells, and gives the ones that wait for
// a lock of a table.
func (l *mysqlLook) threads(threads []mysql.Thread) (waits map[uint64]bool) {
	waits = make(map[uint64]bool)
	longest, running := time.Duration(0), 0
	for i := range threads {
		t := &threads[i]
		if t.Own {
			continue
		}
		if ofClient(t) {
			longest = max(longest, t.Time)
		}
		if t.Command != "Sleep" && t.Command != "Daemon" {
			running++
		}
		if waitsForLock(t.State) {
			waits[t.ID] = true
		}
	}
	l.set(&l.server.LongestQuery, mysqlLongestFamily, longest.Seconds(), l.Name)
	l.running = &running
	return waits
}

// waitsForLock reports whether the state of a thread, such as "Waiting for table
// metadata lock", is that it waits for one.
func waitsForLock(state string) bool {
	return strings.HasPrefix(state, "Waiting for ") && strings.HasSuffix(state, " lock")
}

// LacksOfMySQL says why something of a server is missing, as the collector
// would.
func LacksOfMySQL(name string, err error) []*Unavailable {
	l := mysqlLook{MySQLTarget: MySQLTarget{Name: name}}
	l.lack(waitsRefused(err))
	return Lacks(errors.Join(l.errs...))
}

// waitsRefused adds the cure to an error of LockWaits: MySQL 8 has lock waits in
// performance_schema, which needs a right of its own.
func waitsRefused(err error) error {
	var e *mysql.Error
	if !errors.As(err, &e) || e.Reason != reason.Permission || e.Need != "SELECT" {
		return err
	}
	return &mysql.Error{
		Reason: reason.Permission, Text: "lock waits cannot be read: as an administrator, GRANT SELECT ON performance_schema.data_lock_waits to the exporter's user",
		Cure: CureLockWaits,
	}
}

// blockers counts the transactions at the root of the waits for locks.
func (l *mysqlLook) blockers(now *activity) error {
	if now.waitsErr != nil {
		return waitsRefused(now.waitsErr)
	}
	byID := now.byID()
	roots := make(map[string]bool)
	for _, p := range now.waits {
		waiter, blocker := byID[p.Waiting], byID[p.Blocking]
		if waiter == nil || blocker == nil {
			continue // it ended between the two questions
		}
		if !blocker.Waits {
			roots[blocker.ID] = true
		}
	}
	l.add(mysqlBlockersFamily, float64(len(roots)), l.Name)
	return nil
}

func (l *mysqlLook) limits(ctx context.Context) error {
	variables, err := l.Server.Variables(ctx)
	if err != nil {
		return err
	}
	if v, err := strconv.ParseFloat(variables["max_connections"], 64); err == nil {
		l.set(&l.server.MaxConnections, mysqlMaxFamily, v, l.Name)
	}
	return nil
}

// time reads how long statements took, which only performance_schema adds up.
func (l *mysqlLook) time(ctx context.Context) error {
	variables, err := l.Server.Variables(ctx)
	if err != nil {
		return err
	}
	if !strings.EqualFold(variables["performance_schema"], "ON") {
		// MariaDB is installed so. What a server does not add up unless it is told
		// to is nothing that is wrong with it.
		l.errs = append(l.errs, &Unavailable{
			Reason: Unsupported, Of: "mysql:" + l.Name, Optional: true, Detail: "mysql " + l.Name + ": query time needs performance_schema=ON in the configuration of the server",
			Remedy: "performance_schema=ON below [mysqld] in its my.cnf, a restart, then " + CureStatementTime,
		})
		return nil
	}
	took, err := l.Server.StatementTime(ctx)
	var e *mysql.Error
	if errors.As(err, &e) && e.Reason == reason.Permission {
		return &mysql.Error{
			Reason: reason.Permission, Cure: CureStatementTime,
			Text: "query time cannot be read: as an administrator, GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name to the exporter's user",
		}
	}
	if err != nil {
		return err
	}
	l.add(mysqlQueryTimeFamily, took.Seconds(), l.Name)
	return nil
}
