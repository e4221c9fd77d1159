package main

func overview() *dashboard {
	d := newDashboard("resp-overview", "Responsiveness / Overview", "Is the app responsive now? If not, where is the time lost?", varApp())
	d.line(4,
		stat("Is it responsive?", "The exporter's verdict about each app: the worst level of its components. It changes only after several equal results in a row.", unitPlain).
			query(of("resp_health_status", `component="overall"`), "{{app}} {{instance}}").health().named().columns(5),
		timeline("Which component is at fault?", "The level of each component over time. Begin with the component that changed first.").
			query(of("resp_health_status", `component!="overall"`), "{{app}} {{component}} {{instance}}").health().columns(11).to("resp-app", "The app in detail"),
		table("Firing alerts", "Alerts of the shipped rules that currently fire.", unitPlain).
			now(`sum by (severity, alertname, app, instance) (ALERTS`+selector("", `alertname=~"Resp.+"`, `alertname!="RespWatchdog"`, `alertstate="firing"`)+`)`, "").
			arranged("Time Value").none("no alert fires").columns(8).to("resp-exporter", "The exporter and its healing"),
	)
	d.line(6,
		graph("Requests", "Answered requests per second.", unitRequest).
			query("sum by (app, instance) ("+rate(of("resp_http_requests_total"))+")", "{{app}} {{instance}}").to("resp-app", "The app in detail"),
		graph("Errors", "Share of the requests with a 5xx response.", unitRatio).
			query(`(sum by (app, instance) (`+rate(of("resp_http_requests_total", `code=~"5.."`))+`) or sum by (app, instance) (`+rate(of("resp_http_requests_total"))+`) * 0) / (sum by (app, instance) (`+rate(of("resp_http_requests_total"))+`) > 0)`, "{{app}} {{instance}}").
			limits("error_rate").to("resp-app", "The app in detail"),
		graph("Response time", "Mean and 95th percentile of the request duration. The limits apply to the mean.", unitSeconds).
			query(timeOf("app, instance")+" / ("+counted("app, instance")+" > 0)", "mean {{app}} {{instance}}").
			query(quantile("0.95", "app, instance"), "p95 {{app}} {{instance}}").
			limits("response_time").to("resp-app", "The app in detail"),
	)
	d.line(6,
		graph("Accept queue", "Connections that wait for a worker to accept them, at the listener with most of them. A request that waits here is in no log of the app.", unitNumber).
			query("max by (app, instance) ("+of("resp_listener_queue_length")+")", "{{app}} {{instance}}").
			limits("request_queue").to("resp-workers", "Workers"),
		graph("Busy workers", "Share of the workers that handle a request, including stuck ones. If all are busy, the accept queue fills.", unitRatio).
			query(`sum by (app, instance) (`+of("resp_app_workers", `state=~"busy|stuck"`)+`) / (sum by (app, instance) (`+of("resp_app_workers")+`) > 0)`, "{{app}} {{instance}}").
			atMost(1).to("resp-workers", "Workers"),
		graph("Waiting by cause", "Request threads that wait, by what they wait for, without idle ones. The cause that grows with the response time holds the requests up.", unitNumber).
			query("sum by (on) ("+rate(of("resp_worker_wait_seconds_total", lost))+")", "{{on}}").stacked().none("not sampled").to("resp-workers", "Workers"),
		graph("Connection pools", "Share of each pool's connections that are not idle: in use, in a transaction, or leaked.", unitRatio).
			query(of("resp_pool_utilization_ratio"), "{{app}} {{pool}} {{instance}}").
			limits("connection_pool").to("resp-database", "Database and pools"),
		graph("Cache hits", "Share of Redis lookups that found their key.", unitRatio).
			query("sum by (redis, instance) ("+rate(on("resp_redis_keyspace_hits_total"))+") / (sum by (redis, instance) ("+rate(on("resp_redis_keyspace_hits_total"))+" + "+rate(on("resp_redis_keyspace_misses_total"))+") > 0)", "{{redis}} {{instance}}").
			atMost(1).limits("cache_hit_rate").to("resp-redis", "Redis and sessions"),
	)
	d.line(5,
		graph("Statement time", "Mean duration of a statement on the database server, if the server records it, on a logarithmic axis.", unitSeconds).decades().
			query(rate(on("resp_mysql_query_seconds_total"))+" / ("+rate(on("resp_mysql_queries_total"))+" > 0)", "{{mysql}} {{instance}}").
			limits("query_time").to("resp-database", "Database and pools"),
		graph("Oldest waiting task", "How long the oldest task of each queue has waited for a worker.", unitSeconds).
			query(of("resp_task_oldest_age_seconds"), "{{app}} {{queue}} {{instance}}").
			limits("task_age").to("resp-tasks", "Tasks"),
		graph("Memory", "Memory of the host that is not available to new allocations, and memory of each app as a share of its limit.", unitRatio).
			query(on("resp_host_memory_usage_ratio"), "host {{instance}}").query(of("resp_app_memory_usage_ratio"), "{{app}} {{instance}}").
			atMost(1).limits("memory").to("resp-host", "Host"),
		graph("CPU", "CPU time of the host that was not idle, and that of each app as a share of its limit.", unitRatio).
			query(on("resp_host_cpu_usage_ratio"), "host {{instance}}").query(of("resp_app_cpu_usage_ratio"), "{{app}} {{instance}}").
			atMost(1).limits("cpu").to("resp-host", "Host"),
		graph("Disk", "Share of each file system's space that is used.", unitRatio).
			query(on("resp_disk_usage_ratio"), "{{mountpoint}} {{instance}}").
			atMost(1).limits("disk").to("resp-host", "Host"),
	)
	return d
}
