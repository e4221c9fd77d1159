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
	mysqlListsAgeFamily    = gauge("mysql_lists_age_seconds", "Age of the lists of connections and transactions from which the metrics of MySQL and of pools are counted, at most 3 s: those of a server with at least 200 connections, of which none waits for a lock, are shared by scrapes in quick succession.", "mysql")
	mysqlLongestFamily     = gauge("mysql_longest_query_seconds", "Run time of the longest-running statement of a client; 0 if there is none.", "mysql")
)

// The grants to read the statement times, the lock waits of MySQL 8, and who is at
// both ends of a wait.
const (
	RemedyStatementTime = "GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name TO " + mysql.Placeholder + ";"
	RemedyLockWaits     = "GRANT SELECT ON performance_schema.data_lock_waits TO " + mysql.Placeholder + ";"
	RemedyLockedTables  = "GRANT SELECT (ENGINE_LOCK_ID, OBJECT_SCHEMA, OBJECT_NAME) ON performance_schema.data_locks TO " + mysql.Placeholder + ";"
	RemedyMetadataLocks = "GRANT SELECT ON performance_schema.metadata_locks TO " + mysql.Placeholder + "; " +
		"GRANT SELECT (THREAD_ID, PROCESSLIST_ID) ON performance_schema.threads TO " + mysql.Placeholder + ";"
	RemedyClientPIDs = "GRANT SELECT (PROCESSLIST_ID, ATTR_NAME, ATTR_VALUE) ON performance_schema.session_connect_attrs TO " + mysql.Placeholder + ";"
)

// MySQL is the collector "mysql": the state of MySQL and MariaDB servers.
type MySQL struct {
	activity *Activity

	mu      sync.Mutex
	leftOut mysql.LeftOut        // rows over the limits, of all servers, since the start
	full    map[string]time.Time // since when it has had no connection left, by the name of the server
}

// NewMySQL returns the collector "mysql".
func NewMySQL(activity *Activity) *MySQL { return &MySQL{activity: activity} }

// Name implements [Collector].
func (*MySQL) Name() string { return "mysql" }

// Descs implements [Collector].
func (*MySQL) Descs() []*prometheus.Desc {
	return append(descs(upFamily, mysqlInfoFamily, mysqlFallbackFamily, mysqlPingFamily, mysqlConnectionsFamily, mysqlMaxFamily, mysqlRunningFamily,
		mysqlQueriesFamily, mysqlQueryTimeFamily, mysqlSlowFamily, mysqlOldestTrxFamily, mysqlLockWaitsFamily, mysqlBlockersFamily, mysqlLongestFamily, mysqlListsAgeFamily, mysqlAppQueryFamily, seriesDropped), mysqlEngineDescs()...)
}

// Collect implements [Collector]. Of a server that does not answer there is only resp_up,
// 0. The error has the lacks of all servers, in the order of the configuration.
func (c *MySQL) Collect(ctx context.Context) (Sample, error) {
	targets := c.activity.currentTargets()
	reads := make([]mysqlRead, len(targets))
	for i, t := range targets {
		reads[i].MySQLTarget, reads[i].server.Name = t, t.Name
	}
	eachServer(ctx, len(reads), func(ctx context.Context, i int) { reads[i].readServer(ctx, c.activity) }, func(i int, err error) {
		l := &reads[i]
		l.Sample, l.server = Sample{}, model.MySQLServer{Name: l.Name}
		l.add(upFamily, 0, "mysql:"+l.Name)
		l.errs = []error{lackOf("mysql", l.Name, err)}
	})
	var s Sample
	var errs []error
	for i := range reads {
		s.Metrics = append(s.Metrics, reads[i].Metrics...)
		s.State.MySQL = append(s.State.MySQL, reads[i].server)
		errs = append(errs, reads[i].errs...)
	}
	c.addLeftOut(&s, reads)
	c.addFull(&s, time.Now())
	return s, errors.Join(errs...)
}

// addLeftOut adds the rows that were over the limits in these reads to the totals, and
// publishes these.
func (c *MySQL) addLeftOut(s *Sample, reads []mysqlRead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range reads {
		c.leftOut.Threads += reads[i].leftOut.Threads
		c.leftOut.Transactions += reads[i].leftOut.Transactions
		c.leftOut.LockWaits += reads[i].leftOut.LockWaits
	}
	s.add(seriesDropped, float64(c.leftOut.Threads), "mysql_thread")
	s.add(seriesDropped, float64(c.leftOut.Transactions), "mysql_transaction")
	s.add(seriesDropped, float64(c.leftOut.LockWaits), "mysql_lock_wait")
}

// addFull adds to the state a wait for each server that has no connection left; its
// seconds count from the first read in a row that found it so.
func (c *MySQL) addFull(s *Sample, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := make(map[string]time.Time)
	for i := range s.State.MySQL {
		m := &s.State.MySQL[i]
		if !m.Full && (m.Connections == nil || m.MaxConnections == nil || *m.MaxConnections <= 0 || *m.Connections < *m.MaxConnections) {
			continue
		}
		full[m.Name] = now
		if since, ok := c.full[m.Name]; ok {
			full[m.Name] = since
		}
		s.State.StoreWaits = append(s.State.StoreWaits, model.StoreWait{Server: "mysql:" + m.Name, Kind: "full", Seconds: max(0, now.Sub(full[m.Name]).Seconds())})
	}
	c.full = full
}

// mysqlRead is one read of one server.
type mysqlRead struct {
	MySQLTarget
	Sample
	server            model.MySQLServer
	errs              []error
	processRefused    bool // the right PROCESS is missing, and that is in errs
	hasThreadsRunning bool // the server reported Threads_running
	listedRunning     *int // running threads in its list of threads
	leftOut           mysql.LeftOut
}

// readServer reads the server and sets l's metrics and state. What could not be read is
// in l.errs.
func (l *mysqlRead) readServer(ctx context.Context, from *Activity) {
	now, err := from.read(ctx, l.MySQLTarget, "mysql")
	if err == nil {
		err = now.pingErr
	}
	if err != nil {
		var e *mysql.Error
		l.server.Full = errors.As(err, &e) && e.Full
		l.add(upFamily, 0, "mysql:"+l.Name)
		l.addLack(err)
		return
	}
	if l.leftOut = now.leftOut; l.leftOut != (mysql.LeftOut{}) {
		l.errs = append(l.errs, incompleteLack(l.Name))
	}
	l.server.Up = true
	l.add(upFamily, 1, "mysql:"+l.Name)
	l.set(&l.server.Ping, mysqlPingFamily, now.ping.Seconds(), l.Name)
	if index, v, ok := l.Server.Serving(); ok {
		l.add(mysqlInfoFamily, 1, l.Name, v.Flavour(), v.String())
		l.add(mysqlFallbackFamily, float64(index), l.Name)
	}
	defer func() {
		if !l.hasThreadsRunning && l.listedRunning != nil {
			l.set(&l.server.ThreadsRunning, mysqlRunningFamily, float64(*l.listedRunning), l.Name)
		}
	}()
	// The activity is read already and comes first: it shows whether the server hangs.
	if err := l.addActivity(now); err != nil && l.addLack(err) {
		return
	}
	for _, part := range []func(context.Context) error{l.readStatus, l.readLimits, l.readStatementTime} {
		if err := part(ctx); err != nil && l.addLack(err) {
			return
		}
	}
	l.addHolders(now.threads)
}

var errIncomplete = errors.New("it has more connections, transactions or lock waits than the exporter reads, so the values derived from them are too low")

// incompleteLack returns the lack, with reason [Failed], of a server that has more rows
// than are read. It has no number, so that it is logged once and not at each scrape.
func incompleteLack(server string) *Unavailable {
	return lackOf("mysql", server, errIncomplete)
}

// addLack adds an error of the server to l.errs; a missing right PROCESS only once. stop:
// no further query to the server is worth trying, as [mysqlLack] says; false for a repeated
// PROCESS.
func (l *mysqlRead) addLack(err error) (stop bool) {
	stop, process, u := mysqlLack(l.Name, err)
	if process && l.processRefused {
		return false
	}
	l.processRefused = l.processRefused || process
	l.errs = append(l.errs, u)
	return stop
}

// mysqlLack returns an error of a server as an [Unavailable]; one that is no [mysql.Error]
// as [lackOf] does, with stop and process false. stop: the connection is broken or the
// reason is [NotFound], [Busy] or [Timeout], so that further queries to that server are not
// worth trying. process: the right PROCESS is missing.
func mysqlLack(name string, err error) (stop, process bool, lack error) {
	var e *mysql.Error
	if !errors.As(err, &e) {
		return false, false, lackOf("mysql", name, err)
	}
	u := &Unavailable{Reason: e.Reason, Short: e.Text, Remedy: e.Remedy, Of: "mysql:" + name}
	stop = e.Broken || e.Reason == NotFound || e.Reason == Busy || e.Reason == Timeout
	if process = e.Need == "PROCESS"; process {
		u.Short += ": as an administrator, GRANT PROCESS ON *.* to the exporter's user"
	}
	u.Detail = "mysql " + name + ": " + u.Short
	return stop, process, u
}

// addActivity adds the metrics of threads, transactions and lock waits, up to the first
// of these that could not be read, whose error it returns.
func (l *mysqlRead) addActivity(now *activity) error {
	if now.threadsErr != nil {
		return now.threadsErr
	}
	waits := l.addThreads(now.threads)
	l.add(mysqlListsAgeFamily, now.age.Seconds(), l.Name)
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
	l.addQueryTime(now.threads, waits)
	l.set(&l.server.OldestTransaction, mysqlOldestTrxFamily, oldest.Seconds(), l.Name)
	l.set(&l.server.LockWaits, mysqlLockWaitsFamily, float64(len(waits)), l.Name)
	return l.addBlockers(now)
}

// addThreads adds the metric of the longest query and sets l.listedRunning. It returns
// the ids of the threads, without the exporter's own, that wait for a lock by
// [waitsForLock]; those that wait for a row are not among them.
func (l *mysqlRead) addThreads(threads []mysql.Thread) (waits map[uint64]bool) {
	waits = make(map[uint64]bool)
	longest, running := time.Duration(0), 0
	for i := range threads {
		t := &threads[i]
		if t.Own {
			continue
		}
		if isClientStatement(t) {
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
	l.listedRunning = &running
	return waits
}

// LacksOfMySQL returns the lacks that the collector "mysql" would report for an error of a
// server, which must not be nil: one.
func LacksOfMySQL(name string, err error) []*Unavailable {
	l := mysqlRead{MySQLTarget: MySQLTarget{Name: name}}
	l.addLack(lockWaitsError(err))
	return Lacks(errors.Join(l.errs...))
}

// lockWaitsError returns an error of LockWaits with its remedy if the right SELECT is
// missing: in MySQL 8 lock waits are in performance_schema, which needs a grant of its own.
// Any other error, also of the right PROCESS, is returned as it is.
func lockWaitsError(err error) error {
	var e *mysql.Error
	if !errors.As(err, &e) || e.Reason != reason.Permission || e.Need != "SELECT" {
		return err
	}
	return &mysql.Error{
		Reason: reason.Permission, Text: "lock waits cannot be read: as an administrator, GRANT SELECT ON performance_schema.data_lock_waits to the exporter's user",
		Remedy: RemedyLockWaits,
	}
}

// LackOfMetadataLocks returns an optional lack of a server whose metadata locks cannot be
// read because a right is missing; nil for any other error.
func LackOfMetadataLocks(name string, err error) *Unavailable {
	var e *mysql.Error
	if !errors.As(err, &e) || e.Reason != reason.Permission {
		return nil
	}
	const text = "who holds the lock of a table's definition cannot be read: as an administrator, GRANT SELECT ON performance_schema.metadata_locks to the exporter's user"
	return &Unavailable{Reason: Permission, Of: "mysql:" + name, Optional: true, Detail: "mysql " + name + ": " + text, Short: text, Remedy: RemedyMetadataLocks}
}

// addBlockers adds the metric of how many transactions block others and wait for none
// themselves; a wait of which a transaction is not known does not count. If the lock
// waits could not be read, it adds nothing and returns [lockWaitsError].
func (l *mysqlRead) addBlockers(now *activity) error {
	if now.waitsErr != nil {
		return lockWaitsError(now.waitsErr)
	}
	byID := now.transactionsByID()
	roots := make(map[string]bool)
	for _, p := range now.waits {
		waiter, blocker := byID[p.Waiting], byID[p.Blocking]
		if waiter == nil || blocker == nil {
			continue // it ended between the two queries
		}
		if !blocker.Waits {
			roots[blocker.ID] = true
		}
	}
	l.add(mysqlBlockersFamily, float64(len(roots)), l.Name)
	return nil
}

// readLimits reads the server's variables and adds the metric of max_connections; nothing
// if they do not have it.
func (l *mysqlRead) readLimits(ctx context.Context) error {
	variables, err := l.Server.Variables(ctx)
	if err != nil {
		return err
	}
	if v, err := strconv.ParseFloat(variables["max_connections"], 64); err == nil {
		l.set(&l.server.MaxConnections, mysqlMaxFamily, v, l.Name)
	}
	return nil
}

// readStatementTime reads and adds the total time of all statements. If
// performance_schema, which has it, is off, it adds an optional lack and returns nil. If
// the right is missing, the error is a [mysql.Error] with the remedy.
func (l *mysqlRead) readStatementTime(ctx context.Context) error {
	variables, err := l.Server.Variables(ctx)
	if err != nil {
		return err
	}
	if !strings.EqualFold(variables["performance_schema"], "ON") {
		// This is the default of MariaDB, so it is no fault of the server.
		l.errs = append(l.errs, &Unavailable{
			Reason: Unsupported, Of: "mysql:" + l.Name, Optional: true, Detail: "mysql " + l.Name + ": query time needs performance_schema=ON in the configuration of the server",
			Remedy: "performance_schema=ON below [mysqld] in its my.cnf, a restart, then " + RemedyStatementTime,
		})
		return nil
	}
	took, err := l.Server.StatementTime(ctx)
	var e *mysql.Error
	if errors.As(err, &e) && e.Reason == reason.Permission {
		return &mysql.Error{
			Reason: reason.Permission, Remedy: RemedyStatementTime,
			Text: "query time cannot be read: as an administrator, GRANT SELECT ON performance_schema.events_statements_summary_global_by_event_name to the exporter's user",
		}
	}
	if err != nil {
		return err
	}
	l.add(mysqlQueryTimeFamily, took.Seconds(), l.Name)
	return nil
}
