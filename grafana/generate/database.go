package main

// The worker's connections to a server that is chosen, or to one of that kind
// that the configuration does not name.
const toMySQL = `component=~"mysql(:($mysql))?"`

func database() *dashboard {
	d := newDashboard("resp-database", "Responsiveness / Database and pools", "Is the database the cause, or the connection pool in front of it?", varApp(), varMySQL())
	d.databaseVerdict()
	d.databaseNumbers()
	d.row("Pools: the apps' own connections")
	d.poolStates()
	d.poolWorkers()
	d.row("Load of the server")
	d.mysqlConnections()
	d.mysqlStatements()
	d.row("Lock waits and transactions")
	d.mysqlWaits()
	d.fold("Pools that apps report themselves", (*dashboard).poolsReported)
	d.fold("Buffer pool, temporary tables and aborted connections", (*dashboard).mysqlEngine)
	d.fold("Connection to the server", (*dashboard).mysqlReach)
	return d
}

func (d *dashboard) databaseVerdict() {
	d.line(4,
		stat("Database up", "Whether each database server answers the exporter. If one does not, most other faults here are a consequence.", unitPlain).
			now(seen("component, instance", on("resp_up", `component=~"mysql:($mysql)"`)), "{{component}} {{instance}}").states("down", "red", "up", "green").notSeen().named().none("no database is configured").columns(8),
		timeline("Levels of databases and pools", "The exporter's levels for the pools of each app and for the databases. If pools change while databases stay healthy, the app is the cause: it leaks connections, or needs more of them.").
			query(on("resp_health_status", `app=~"$app|"`, `component=~"mysql|pool"`), "{{component}} {{app}} {{instance}}").health().to("resp-overview", "Overview"),
	)
}

func (d *dashboard) databaseNumbers() {
	d.line(3,
		stat("Fullest pool", "The pool with the largest share of its connections in use. At 100 % or more, requests wait for a connection.", unitRatio).
			judgedEach("topk(1, "+of("resp_pool_utilization_ratio")+")", "{{app}} {{pool}} {{instance}}", "connection_pool").named().none("no pool has a capacity"),
		stat("Leaked connections", "Connections that were not returned within leak_after, in all pools. Any value above 0 is a fault of the app.", unitNumber).
			faults("sum("+of("resp_pool_connections", `state="leaked"`)+")", "leaked", "red").none("no pool"),
		stat("Fullest server by connections", "The server with the largest share of its max_connections open; orange above 80 %. At 100 % it refuses new connections.", unitRatio).
			beyond("topk(1, "+ofMySQL("resp_mysql_connections")+" / ("+ofMySQL("resp_mysql_max_connections")+" > 0))", "{{mysql}} {{instance}}", "> 0.8", "orange").named(),
	)
	d.line(3,
		stat("Lock waits", "Connections that currently wait for a lock on a row, a table or a table's definition, on all servers.", unitNumber).
			faults("sum("+ofMySQL("resp_mysql_lock_waits")+")", "waits", "orange").none("no data"),
		stat("Longest statement", "How long the oldest running statement of a client has been running.", unitSeconds).
			judgedOn("topk(1, "+ofMySQL("resp_mysql_longest_query_seconds")+")", "{{mysql}} {{instance}}", ">=", "query_time").named().none("no data"),
		stat("Oldest transaction", "Age of the oldest open transaction; orange above five minutes. A transaction of minutes holds locks and prevents the server from purging old row versions.", unitSeconds).
			beyond("topk(1, "+ofMySQL("resp_mysql_oldest_transaction_seconds")+")", "{{mysql}} {{instance}}", "> 300", "orange").named().none("no data"),
	)
}

func (d *dashboard) poolStates() {
	connections := func(state string) string {
		return "sum by (app, pool, instance) (" + of("resp_pool_connections", `state="`+state+`"`) + ")"
	}
	d.line(7,
		graph("Connections by state", "What the connections of the selected pools do, and their capacity, summed over the pools that have one. Many idle connections mean that the pool is too large. in_transaction that stays means that the app does other work between its statements.", unitNumber).
			query("sum by (state) ("+of("resp_pool_connections")+")", "{{state}}").stacked().
			painted("in_use", "blue").painted("idle", "green").painted("in_transaction", "orange").painted("leaked", "red").
			query("sum("+of("resp_pool_capacity")+")", "capacity").dashed("capacity", "text"),
		graph("Pool utilization", "Share of the pool's capacity that is not idle. Close to 1, requests wait for a connection. Above 1, the configured size is not the size that the app uses.", unitRatio).
			query(of("resp_pool_utilization_ratio"), "{{app}} {{pool}} {{instance}}").limits("connection_pool").none("no pool has a capacity").to("resp-app", "The app in detail"),
		graph("Leaked and open transactions", "Leaked connections: asleep in a transaction for longer than leak_after, or, of a pool that the app reports, not returned for as long. in_transaction sleeps in a transaction for less. Leaked connections that grow in steps will use up the pool.", unitNumber).
			query(of("resp_pool_connections", `state=~"in_transaction|leaked"`), "{{state}} {{app}} {{pool}} {{instance}}").to("resp-exporter", "Healing"),
	)
	d.line(6,
		table("Pools now", "Each pool's connections by state. The capacity is size plus max_overflow, times the number of workers.", unitNumber).
			now("max by (app, pool, instance) ("+of("resp_pool_capacity")+")", "").
			now(connections("in_use"), "").now(connections("in_transaction"), "").now(connections("leaked"), "").now(connections("idle"), "").
			merged().arranged("Time", "Value #A", "capacity", "Value #B", "in use", "Value #C", "in transaction", "Value #D", "leaked", "Value #E", "idle").
			override("capacity", property{"noValue", "no capacity"}).none("no pool"),
	)
}

// poolsReported adds the panels of what apps report about their own pools.
func (d *dashboard) poolsReported() {
	d.line(6,
		graph("Oldest checkout", "Time since the oldest connection was taken from its pool, for pools that the app reports. A line that rises by one second a second is a connection that is never returned; the status page names the route and the line.", unitSeconds).
			query(of("resp_pool_oldest_checkout_seconds"), "{{app}} {{pool}} {{instance}}").none("no app reports its pools"),
		graph("Threads that wait for a connection", "Threads that wait for a connection of a pool, for pools that the app reports. Above 0 for long, the pool is too small, or connections are kept too long.", unitNumber).
			query(of("resp_pool_waiting_threads"), "{{app}} {{pool}} {{instance}}").none("no app reports its pools"),
		table("Where pools are seen", "inside: the workers report the pool in their memory files. outside: it is counted from the server and the kernel.", unitNumber).
			now("max by (app, pool, source, instance) ("+of("resp_pool_info")+")", "").arranged("Time Value").none("no pool"),
	)
}

func (d *dashboard) poolWorkers() {
	d.line(7,
		graph("Connections of a worker", "Established connections to the database of the worker with most connections, and of the one with fewest. If one worker is far above the others, it leaks; if all grow together, the pool has no limit.", unitNumber).
			query("max by (app, component, instance) ("+of("resp_worker_connections", toMySQL)+")", "most {{app}} {{component}} {{instance}}").
			query("min by (app, component, instance) ("+of("resp_worker_connections", toMySQL)+")", "fewest {{app}} {{component}} {{instance}}").
			none("no worker is connected").columns(8).to("resp-workers", "Workers"),
		table("Workers with most connections", "The twenty workers that currently hold most connections to a database.", unitNumber).
			now("topk(20, sum by (app, worker, component, instance) ("+of("resp_worker_connections", toMySQL)+"))", "").
			arranged("Time", "Value", "open").sized("worker", 65).sized("open", 50).none("no worker is connected").columns(9).to("resp-workers", "Workers"),
		graph("Wait for a connection", "Requests that wait for a connection of their pool, on the mean, as the app reports it. Above 1 at least one request always waits. If the pool is not full at this time, connections are slow to open.", unitNumber).
			query(poolWaits(), "{{app}} {{pool}} {{instance}}").none("the app does not report it").columns(7),
	)
}

func (d *dashboard) mysqlConnections() {
	d.line(7,
		graph("Connections", "Open connections of each server, from all clients, and its max_connections. The server refuses connections beyond it.", unitNumber).
			query(ofMySQL("resp_mysql_connections"), "{{mysql}} {{instance}}").
			query(ofMySQL("resp_mysql_max_connections"), "max {{mysql}} {{instance}}").dashedLike("^max ", "red"),
		graph("Running statements", "Connections that run a statement at this moment. If there are more than the server has cores for a long time, statements queue inside the server.", unitNumber).
			query(ofMySQL("resp_mysql_threads_running"), "{{mysql}} {{instance}}"),
		graph("Statements", "Statements per second. If they drop while requests continue, the app cannot reach its database. If they rise more than the requests, a query runs in a loop.", unitRate).
			query(rate(ofMySQL("resp_mysql_queries_total")), "{{mysql}} {{instance}}").to("resp-app", "The app in detail"),
	)
}

func (d *dashboard) mysqlStatements() {
	d.line(7,
		graph("Mean time of a statement", "Mean duration of statements, on a logarithmic axis. A mean close to the limits means that the server is overloaded. Investigate much earlier, when it is ten times its usual value.", unitSeconds).
			query(rate(ofMySQL("resp_mysql_query_seconds_total"))+" / ("+rate(ofMySQL("resp_mysql_queries_total"))+" > 0)", "{{mysql}} {{instance}}").
			decades().limits("query_time").none("the server does not record it"),
		graph("Share of slow statements", "Share of the statements that took longer than the server's long_query_time.", unitRatio).
			query(rate(ofMySQL("resp_mysql_slow_queries_total"))+" / ("+rate(ofMySQL("resp_mysql_queries_total"))+" > 0)", "{{mysql}} {{instance}}").
			upTo(0.1).none("no statements"),
		graph("Slow statements", "Statements per second that took longer than the server's long_query_time. The server's slow query log names them.", unitRate).
			query(rate(ofMySQL("resp_mysql_slow_queries_total")), "{{mysql}} {{instance}}"),
	)
}

func (d *dashboard) mysqlWaits() {
	d.line(7,
		graph("Lock waits and blockers", "Connections that wait for a lock, and the transactions at the root of those waits. If many wait for one blocking transaction, ending that one lets all continue.", unitNumber).
			query(ofMySQL("resp_mysql_lock_waits"), "wait {{mysql}} {{instance}}").
			query(ofMySQL("resp_mysql_blocking_transactions"), "block {{mysql}} {{instance}}").none("no data: PROCESS right missing, or no answer"),
		graph("Deadlocks", "Deadlocks, each of which ended a transaction with an error that the app must repeat. Some are normal; many mean that two places in the app lock the same rows in different order.", unitNumber).
			query(gain(ofMySQL("resp_mysql_deadlocks_total")), "{{mysql}} {{instance}}").none("the server does not count them"),
		graph("Longest statement over time", "How long the oldest running statement of a client has been running; 0 if there is none. A line that rises steadily is one statement that does not end. The alert is about those of the apps: they run for an app, or hold one up.", unitSeconds).
			query(ofMySQL("resp_mysql_longest_query_seconds"), "{{mysql}} {{instance}}").
			query(ofMySQL("resp_mysql_app_query_seconds"), "of the apps {{mysql}} {{instance}}").
			limits("query_time").none("no data: PROCESS right missing, or no answer"),
		graph("Oldest transaction over time", "Age of the oldest open transaction; 0 if there is none. A line that rises steadily is a transaction that nobody ends: a leaked connection, or a job that does too much at once.", unitSeconds).
			query(ofMySQL("resp_mysql_oldest_transaction_seconds"), "{{mysql}} {{instance}}").
			query(ofMySQL("resp_mysql_lists_age_seconds"), "age of the list {{mysql}} {{instance}}").none("no data: PROCESS right missing, or no answer").to("resp-tasks", "Tasks"),
	)
}

func (d *dashboard) mysqlEngine() {
	const none = "the server does not report it"
	share := func(part, all string) string {
		return rate(ofMySQL(part)) + " / (" + rate(ofMySQL(all)) + " > 0)"
	}
	d.line(7,
		graph("Buffer pool", "Size of InnoDB's buffer pool, the part without a page, and the part that is not written to the disk yet. A large free part means that the data fits into memory. Much that is not written means that the disk is too slow.", unitBytes).
			query(ofMySQL("resp_mysql_buffer_pool_bytes"), "size {{mysql}} {{instance}}").dashedLike("^size ", "text").
			query(ofMySQL("resp_mysql_buffer_pool_free_bytes"), "free {{mysql}} {{instance}}").
			query(ofMySQL("resp_mysql_buffer_pool_dirty_bytes"), "not written {{mysql}} {{instance}}").none(none),
		graph("Share of page reads from the disk", "Share of the reads of a page that were not served by the buffer pool. It is high after a start. If it stays above one percent, the buffer pool is too small, or statements read whole tables.", unitRatio).
			query(share("resp_mysql_buffer_pool_disk_reads_total", "resp_mysql_buffer_pool_read_requests_total"), "{{mysql}} {{instance}}").
			upTo(0.01).none(none).to("resp-host", "Host"),
		graph("Page reads", "Reads of a page per second that the buffer pool served, and those from the disk. If all rise while the statements do not, a statement lacks an index.", unitRate).
			query(rate(ofMySQL("resp_mysql_buffer_pool_read_requests_total")), "all {{mysql}} {{instance}}").
			query(rate(ofMySQL("resp_mysql_buffer_pool_disk_reads_total")), "from the disk {{mysql}} {{instance}}").none(none),
	)
	d.line(7,
		graph("Share of temporary tables on disk", "Share of the server's internal temporary tables that were on disk. A high share of many tables means large results that are sorted or grouped, or columns of text in them.", unitRatio).
			query(share("resp_mysql_temporary_disk_tables_total", "resp_mysql_temporary_tables_total"), "{{mysql}} {{instance}}").atMost(1).none(none),
		graph("Temporary tables", "Internal temporary tables per second, all and those on disk.", unitRate).
			query(rate(ofMySQL("resp_mysql_temporary_tables_total")), "all {{mysql}} {{instance}}").
			query(rate(ofMySQL("resp_mysql_temporary_disk_tables_total")), "on disk {{mysql}} {{instance}}").none(none),
		graph("Aborted connections", "Connections that their client left without closing them, and attempts to connect that failed. Clients that end this way were killed, or slept longer than wait_timeout. Failed attempts are wrong passwords, or a full server.", unitNumber).
			query(gain(ofMySQL("resp_mysql_aborted_clients_total")), "left by the client {{mysql}} {{instance}}").
			query(gain(ofMySQL("resp_mysql_aborted_connects_total")), "failed to connect {{mysql}} {{instance}}").none(none).to("resp-workers", "Workers"),
	)
}

func (d *dashboard) mysqlReach() {
	d.line(6,
		graph("Round trip", "Duration of a ping to the server. It is part of every statement of the app. A rise means a slow network, or a server without free CPU.", unitSeconds).
			query(ofMySQL("resp_mysql_ping_seconds"), "{{mysql}} {{instance}}").to("resp-host", "Host"),
		timeline("Database address in use", "Whether the first configured address is in use, or a fallback. If it is a fallback, find out why the first address does not answer.").
			query(ofMySQL("resp_mysql_fallback"), "{{mysql}} {{instance}}").
			states("first address", "green", "fallback 1", "orange", "fallback 2", "orange", "fallback 3", "orange", "fallback 4", "orange"),
	)
	d.line(6,
		graph("Age of connection counts", "Age of the workers' connection counts, which are read in the background. More than a few minutes means that the exporter cannot keep up.", unitSeconds).
			query(on("resp_worker_connections_sample_age_seconds"), "{{instance}}").none("no sample").columns(5),
		table("Servers", "The server that answers, and its limit of connections.", unitNumber).
			now("max by (mysql, instance, flavour, version) ("+ofMySQL("resp_mysql_info")+" * 0) + on (mysql, instance) group_left () max by (mysql, instance) ("+ofMySQL("resp_mysql_max_connections")+")", "").
			arranged("Time", "Value", "limit").none("no server answers"),
		table("Missing data", "Reasons why values of the databases or of the pools are missing. Run `resp-exporter doctor` on the host for the remedy of each.", unitPlain).
			now("max by (collector, reason, instance) ("+on("resp_collector_available", `collector=~"mysql|pool"`)+" == 0)", "").
			arranged("Time Value").none("nothing is missing").to("resp-exporter", "The exporter"),
	)
}

// poolWaits returns the query of the mean number of callers that wait for a connection of
// each pool: the seconds of waiting per second, from the classic or the native histogram.
func poolWaits() string {
	const by = "sum by (app, pool, instance) ("
	return by + rate(of("resp_pool_wait_seconds_sum")) + ") or " + by + "histogram_sum(" + rate(of("resp_pool_wait_seconds")) + "))"
}
