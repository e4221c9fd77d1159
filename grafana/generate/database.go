package main

// The worker's connections to a server that is chosen, or to one of that kind
// that the configuration does not name.
const toMySQL = `component=~"mysql(:($mysql))?"`

func database() *dashboard {
	d := newDashboard("resp-database", "Responsiveness / Database and pools", "Is the database the cause, or the pool that leads to it?", varApp(), varMySQL())
	d.databaseVerdict()
	d.databaseNumbers()
	d.row("Pools: the apps' own connections")
	d.poolStates()
	d.poolWorkers()
	d.row("What the server has to do")
	d.mysqlConnections()
	d.mysqlStatements()
	d.row("Who waits, and for whom")
	d.mysqlWaits()
	d.row("The way to the server")
	d.mysqlReach()
	return d
}

func (d *dashboard) databaseVerdict() {
	d.line(4,
		stat("Does it answer?", "Whether each database server answers the exporter. One that does not explains most of what else is wrong here.", unitPlain).
			query(on("resp_up", `component=~"mysql:($mysql)"`), "{{component}} {{instance}}").states("down", "red", "up", "green").named().none("no database is configured").columns(8),
		timeline("How it is judged", "The exporter's verdict about the pools of each app, and about the databases. Pools that turn while the databases stay healthy point to the app: it leaks, or needs more connections.").
			query(on("resp_health_status", `app=~"$app|"`, `component=~"mysql|pool"`), "{{component}} {{app}} {{instance}}").health().to("resp-overview", "Overview"),
	)
}

func (d *dashboard) databaseNumbers() {
	d.line(3,
		stat("Fullest pool", "The pool with the largest share of its connections in use. At 100 % and more, requests wait for a connection.", unitRatio).
			now("topk(1, "+of("resp_pool_utilization_ratio")+")", "{{app}} {{pool}} {{instance}}").named().none("no pool has a size"),
		stat("Leaked connections", "Connections that have slept in a transaction for longer than leak_after, in all pools. Anything but 0 is a fault of the app.", unitNumber).
			now("sum("+of("resp_pool_connections", `state="leaked"`)+")", "leaked").none("no pool is seen"),
		stat("Fullest server", "The server with the largest share of its max_connections open. At 100 % it refuses whoever comes.", unitRatio).
			now("topk(1, "+ofMySQL("resp_mysql_connections")+" / ("+ofMySQL("resp_mysql_max_connections")+" > 0))", "{{mysql}} {{instance}}").named(),
		stat("Wait for a lock", "Connections that wait for a lock of a row, a table or a table's definition now, on all servers.", unitNumber).
			now("sum("+ofMySQL("resp_mysql_lock_waits")+")", "waits").none("not seen"),
		stat("Longest statement", "How long the oldest statement of a client that runs now has been running.", unitSeconds).
			now("topk(1, "+ofMySQL("resp_mysql_longest_query_seconds")+")", "{{mysql}} {{instance}}").named().none("not seen"),
		stat("Oldest transaction", "Age of the oldest open transaction. One of minutes holds locks and keeps old rows from being cleared away.", unitSeconds).
			now("topk(1, "+ofMySQL("resp_mysql_oldest_transaction_seconds")+")", "{{mysql}} {{instance}}").named().none("not seen"),
	)
}

func (d *dashboard) poolStates() {
	connections := func(state string) string {
		return "sum by (app, pool, instance) (" + of("resp_pool_connections", `state="`+state+`"`) + ")"
	}
	d.line(7,
		graph("Connections by state", "What the connections of the chosen pools do, and how many they may be, added up over the pools that have a bound. Much idle is a pool that is too large; in_transaction that stays is an app that does something else between its statements.", unitNumber).
			query("sum by (state) ("+of("resp_pool_connections")+")", "{{state}}").stacked().
			painted("in_use", "blue").painted("idle", "green").painted("in_transaction", "orange").painted("leaked", "red").
			query("sum("+of("resp_pool_capacity")+")", "capacity").dashed("capacity", "text"),
		graph("Use of each pool", "Share of the pool's capacity that is not idle. Near 1 requests wait for a connection; above 1 the configured size is not what the app has.", unitRatio).
			query(of("resp_pool_utilization_ratio"), "{{app}} {{pool}} {{instance}}").limits("connection_pool").none("no pool has a size").to("resp-app", "The app in detail"),
		graph("Asleep in a transaction", "Connections that sleep in an open transaction, and those that have done so for too long. Leaked ones that grow in steps empty the pool in the end.", unitNumber).
			query(of("resp_pool_connections", `state=~"in_transaction|leaked"`), "{{state}} {{app}} {{pool}} {{instance}}").to("resp-exporter", "Healing"),
	)
	d.line(6,
		table("Pools now", "Each pool's connections by what they do. Capacity is size and max_overflow times the workers.", unitNumber).
			now("max by (app, pool, instance) ("+of("resp_pool_capacity")+")", "").
			now(connections("in_use"), "").now(connections("in_transaction"), "").now(connections("leaked"), "").now(connections("idle"), "").
			merged().arranged("Time", "Value #A", "capacity", "Value #B", "in use", "Value #C", "in transaction", "Value #D", "leaked", "Value #E", "idle").
			override("capacity", property{"noValue", "no bound"}).none("no pool is seen"),
	)
}

func (d *dashboard) poolWorkers() {
	d.line(7,
		graph("Connections of a worker", "Established connections to the database of the worker that has most, and of the one that has fewest. One worker far above the others leaks; all that grow together are a pool without a bound.", unitNumber).
			query("max by (app, component, instance) ("+of("resp_worker_connections", toMySQL)+")", "most {{app}} {{component}} {{instance}}").
			query("min by (app, component, instance) ("+of("resp_worker_connections", toMySQL)+")", "fewest {{app}} {{component}} {{instance}}").
			none("no worker is connected").columns(9).to("resp-workers", "Workers"),
		table("Workers with most connections", "The twenty workers that hold most connections to a database now.", unitNumber).
			now("topk(20, sum by (app, worker, component, instance) ("+of("resp_worker_connections", toMySQL)+"))", "").
			arranged("Time", "Value", "connections").none("no worker is connected").columns(9).to("resp-workers", "Workers"),
		graph("Age of that sample", "How old the connections of the workers are: they are looked at in the background. An age beyond a few minutes says that the exporter does not get to it.", unitSeconds).
			query(on("resp_worker_connections_sample_age_seconds"), "{{instance}}").none("no sample").columns(6),
	)
}

func (d *dashboard) mysqlConnections() {
	d.line(7,
		graph("Connections", "Open connections of each server, from everywhere, against its max_connections. The server refuses those beyond.", unitNumber).
			query(ofMySQL("resp_mysql_connections"), "{{mysql}} {{instance}}").
			query(ofMySQL("resp_mysql_max_connections"), "max {{mysql}} {{instance}}").dashedLike("^max ", "red"),
		graph("At work", "Connections that run something at this moment. More than the server has cores, for long, is a queue inside of the server.", unitNumber).
			query(ofMySQL("resp_mysql_threads_running"), "{{mysql}} {{instance}}"),
		graph("Statements", "Statements a second. A drop while requests go on is an app that cannot reach its database; a rise beyond that of the requests is a query in a loop.", unitRate).
			query(rate(ofMySQL("resp_mysql_queries_total")), "{{mysql}} {{instance}}").to("resp-app", "The app in detail"),
	)
}

func (d *dashboard) mysqlStatements() {
	d.line(7,
		graph("Mean time of a statement", "Time that statements took on average, on an axis of powers of ten. A mean near the limits is a server in distress; one that is ten times its usual value is worth a look long before.", unitSeconds).
			query(rate(ofMySQL("resp_mysql_query_seconds_total"))+" / ("+rate(ofMySQL("resp_mysql_queries_total"))+" > 0)", "{{mysql}} {{instance}}").
			decades().limits("query_time").none("the server does not add it up"),
		graph("Share of slow statements", "Share of the statements that took longer than the server's long_query_time.", unitRatio).
			query(rate(ofMySQL("resp_mysql_slow_queries_total"))+" / ("+rate(ofMySQL("resp_mysql_queries_total"))+" > 0)", "{{mysql}} {{instance}}").
			none("no statement"),
		graph("Slow statements", "Statements a second that took longer than the server's long_query_time. The server's slow log names them.", unitRate).
			query(rate(ofMySQL("resp_mysql_slow_queries_total")), "{{mysql}} {{instance}}"),
	)
}

func (d *dashboard) mysqlWaits() {
	d.line(7,
		graph("Lock waits and blockers", "Connections that wait for a lock, and the transactions at the root of those waits. Many that wait for one blocker: end that one, and all go on.", unitNumber).
			query(ofMySQL("resp_mysql_lock_waits"), "wait {{mysql}} {{instance}}").
			query(ofMySQL("resp_mysql_blocking_transactions"), "block {{mysql}} {{instance}}").none("not seen: no PROCESS right, or no answer"),
		graph("Longest statement over time", "How long the oldest running statement of a client has been running; 0 if there is none. A line that climbs is one statement that does not end.", unitSeconds).
			query(ofMySQL("resp_mysql_longest_query_seconds"), "{{mysql}} {{instance}}").
			limits("query_time").none("not seen: no PROCESS right, or no answer"),
		graph("Oldest transaction over time", "Age of the oldest open transaction; 0 if there is none. A line that climbs is one that nobody ends: a leaked connection, or a job that does too much at once.", unitSeconds).
			query(ofMySQL("resp_mysql_oldest_transaction_seconds"), "{{mysql}} {{instance}}").none("not seen: no PROCESS right, or no answer").to("resp-tasks", "Tasks"),
	)
}

func (d *dashboard) mysqlReach() {
	d.line(6,
		graph("Round trip", "Time of a ping to the server and back. It adds to every statement of the app; a rise is the network, or a server without CPU to spare.", unitSeconds).
			query(ofMySQL("resp_mysql_ping_seconds"), "{{mysql}} {{instance}}").to("resp-host", "Host"),
		timeline("Which address serves", "Whether the first address of the configuration serves, or a fallback. On a fallback, find out what ails the first one.").
			query(ofMySQL("resp_mysql_fallback"), "{{mysql}} {{instance}}").
			states("the first", "green", "fallback 1", "orange", "fallback 2", "orange", "fallback 3", "orange", "fallback 4", "orange"),
		table("Servers", "The server that answers, and how many connections it takes.", unitNumber).
			now("max by (mysql, instance, flavour, version) ("+ofMySQL("resp_mysql_info")+" * 0) + on (mysql, instance) group_left () max by (mysql, instance) ("+ofMySQL("resp_mysql_max_connections")+")", "").
			arranged("Time", "Value", "max connections").none("no server answers"),
		table("Not seen", "Why something of the databases or of the pools is missing. The doctor of the exporter names each cure.", unitPlain).
			now("max by (collector, reason, instance) ("+on("resp_collector_available", `collector=~"mysql|pool"`)+" == 0)", "").
			arranged("Time Value").none("all is seen").to("resp-exporter", "The exporter"),
	)
}
