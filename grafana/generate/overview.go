package main

// ofComponents selects what is of the chosen apps, and of hosts and servers.
const ofComponents = `app=~"$app|"`

func overview() *dashboard {
	d := newDashboard("resp-overview", "Responsiveness / Overview", "Is the app responsive now? If not, where is the time lost?", varApp())
	d.overviewVerdict()
	d.overviewWhere()
	d.overviewRequests()
	d.overviewWaits()
	d.fold("Database, tasks and host", (*dashboard).overviewBelow)
	return d
}

func (d *dashboard) overviewVerdict() {
	// Names of apps have no prefix: tiles are narrow.
	up := `label_replace(` + on("resp_up", `component=~"app:($app)|mysql:.+|redis:.+"`) + `, "part", "$1", "component", "(?:app:)?(.+)")`
	before := `label_replace(last_over_time(` + on("resp_up", `component=~"app:($app)|mysql:.+|redis:.+"`) + `[1h]), "part", "$1", "component", "(?:app:)?(.+)")`
	requests := "sum by (app) (" + rate(of("resp_http_requests_total")) + ")"
	d.line(4,
		stat("Is the app responsive?", "The exporter's verdict about each app: the worst level of its components, the three worst apps first. It changes only after several equal results in a row. An app is not seen if its exporter does not answer.", unitPlain).
			now("topk(3, "+seen("app", of("resp_health_status", `component="overall"`))+")", "{{app}}").health().named().columns(6),
		stat("App, database and Redis up", "Whether each app, database and Redis answers, the three worst ones.", unitPlain).
			now("bottomk(3, min by (part) ("+up+") or min by (part) ("+before+") * 0 - 1)", "{{part}}").states("down", "red", "up", "green").notSeen().named().none("nothing is seen").columns(6).leads("resp-database", "Database and pools"),
		stat("Error ratio", "Share of the requests with a 5xx response, of the app with most.", unitRatio).
			judged("topk(1, "+failed("app")+" / ("+requests+" > 0))", "{{app}}", "error_rate").none("no requests seen").columns(3).leads("resp-app", "The app in detail"),
		stat("p95 duration", "95 % of the requests took less than this, of the app where it is highest.", unitSeconds).
			judged("topk(1, "+quantile("0.95", "app")+" >= 0)", "{{app}}", "response_time").none("no requests seen").leads("resp-app", "The app in detail"),
		stat("Client wait", "Time that a new connection waits until a worker accepts it, of the app where it is longest. The app does not log it.", unitSeconds).
			judged("topk(1, max by (app) ("+of("resp_app_queue_wait_seconds")+"))", "{{app}}", "response_time").none("no queue seen").leads("resp-workers", "Workers"),
		stat("Requests/s", "Answered requests per second, of all selected apps.", unitRequest).
			now("sum("+rate(of("resp_http_requests_total"))+")", "requests").painted("requests", "blue").none("not reported").columns(3).leads("resp-app", "The app in detail"),
	)
}

func (d *dashboard) overviewWhere() {
	d.line(7,
		timeline("Components over time", "The level of each component: the worst of the selected apps, hosts and servers. Begin with the component that changed first.").
			query("max by (component) ("+on("resp_health_status", ofComponents, `component!="overall"`)+")", "{{component}}").health().columns(11).to("resp-app", "The app in detail"),
		firing(selector("", ofComponents)).columns(13).to("resp-exporter", "The exporter and its healing"),
	)
}

func (d *dashboard) overviewRequests() {
	requests := "sum by (app) (" + rate(of("resp_http_requests_total")) + ")"
	d.line(6,
		graph("Requests", "Answered requests per second, of the six apps with most. The dashed line is all of them a day before.", unitRequest).
			query("topk(6, "+requests+")", "{{app}}").
			query("sum("+dayBefore(of("resp_http_requests_total"))+")", "a day before").dashed("a day before", "text").to("resp-app", "The app in detail"),
		graph("Errors", "Share of the requests with a 5xx response, of the six apps with most.", unitRatio).
			query("topk(6, "+failed("app")+" / ("+requests+" > 0))", "{{app}}").
			upTo(0.1).limits("error_rate").to("resp-app", "The app in detail"),
		graph("Response time", "95th percentile of the request duration, of the six slowest apps. The limits apply to the mean.", unitSeconds).
			query("topk(6, "+timeOf("app")+" / ("+counted("app")+" > 0))", "mean {{app}}").
			query("topk(6, "+quantile("0.95", "app")+")", "p95 {{app}}").
			limits("response_time").to("resp-app", "The app in detail"),
		graph("Waiting by cause", "Request threads that wait, by what they wait for, without idle ones. The cause that grows with the response time holds the requests up.", unitNumber).
			query("sum by (on) ("+rate(of("resp_worker_wait_seconds_total", lost))+")", "{{on}}").stacked().byWait().none("not sampled").to("resp-workers", "Workers"),
	)
}

func (d *dashboard) overviewWaits() {
	d.line(6,
		timeline("Cause", "The one cause that holds an app up, from what its threads wait for and who holds it. Empty while no app is held up.").
			query("max by (app, cause) ("+of("resp_bottleneck")+") == 1", "{{app}}: {{cause}}").states("", "text", "held up", "red").none("no app is seen held up").columns(8).to("resp-workers", "Workers"),
		graph("Busy workers", "Share of the workers that handle a request, including stuck ones, of the six busiest apps. If all are busy, the accept queue fills.", unitRatio).
			query(`topk(6, sum by (app) (`+of("resp_app_workers", `state=~"busy|stuck"`)+`) / (sum by (app) (`+of("resp_app_workers")+`) > 0))`, "{{app}}").
			atMost(1).to("resp-workers", "Workers"),
		graph("Accept queue", "Connections that wait for a worker to accept them, of the six apps with most. The app does not log this wait.", unitNumber).
			query("topk(6, max by (app) ("+of("resp_listener_queue_length")+"))", "{{app}}").
			limits("request_queue").to("resp-workers", "Workers"),
		graph("Pools in use", "Share of the connections that are not idle, of the six fullest pools.", unitRatio).
			query("topk(6, max by (app, pool) ("+of("resp_pool_utilization_ratio")+"))", "{{app}} {{pool}}").
			limits("connection_pool").to("resp-database", "Database and pools"),
		graph("Cache hits", "Share of Redis lookups that found their key, of the six servers with the fewest.", unitRatio).
			query("bottomk(6, sum by (redis) ("+rate(on("resp_redis_keyspace_hits_total"))+") / (sum by (redis) ("+rate(on("resp_redis_keyspace_hits_total"))+" + "+rate(on("resp_redis_keyspace_misses_total"))+") > 0))", "{{redis}}").
			atMost(1).limits("cache_hit_rate").to("resp-redis", "Redis and sessions"),
	)
}

func (d *dashboard) overviewBelow() {
	d.line(8,
		graph("Statement time", "Mean duration of a statement on the slowest six servers, if the server records it.", unitSeconds).
			query("topk(6, max by (mysql) ("+rate(on("resp_mysql_query_seconds_total"))+" / ("+rate(on("resp_mysql_queries_total"))+" > 0)))", "{{mysql}}").
			limits("query_time").to("resp-database", "Database and pools"),
		graph("Oldest waiting task", "How long the oldest task has waited for a worker, of the six queues where that is longest.", unitSeconds).
			query("topk(6, max by (app, queue) ("+of("resp_task_oldest_age_seconds")+"))", "{{app}} {{queue}}").
			limits("task_age").to("resp-tasks", "Tasks"),
		graph("Memory", "Memory that is not available to new allocations, of the fullest six hosts, and memory of the six apps closest to their limit.", unitRatio).
			query("topk(6, "+on("resp_host_memory_usage_ratio")+")", "host {{instance}}").query("topk(6, max by (app) ("+of("resp_app_memory_usage_ratio")+"))", "{{app}}").
			atMost(1).limits("memory").to("resp-host", "Host"),
		graph("CPU", "CPU time that was not idle, of the busiest six hosts, and of the six apps closest to their limit.", unitRatio).
			query("topk(6, "+on("resp_host_cpu_usage_ratio")+")", "host {{instance}}").query("topk(6, max by (app) ("+of("resp_app_cpu_usage_ratio")+"))", "{{app}}").
			atMost(1).limits("cpu").to("resp-host", "Host"),
		graph("Disk", "Share of the space that is used, of the fullest six file systems.", unitRatio).
			query("topk(6, "+on("resp_disk_usage_ratio")+")", "{{mountpoint}} {{instance}}").
			atMost(1).limits("disk").to("resp-host", "Host"),
	)
}
