package main

import "fmt"

func app() *dashboard {
	d := newDashboard("resp-app", "Responsiveness / App", "Where is time spent, and which requests fail?", varApp())
	d.appVerdict()
	d.row("Requests")
	d.appRequests()
	d.row("Time")
	d.appTime()
	d.row("By view, seen from outside")
	d.appViews()
	d.fold("By route, where the app reports routes", (*dashboard).appRoutes)
	d.fold("What the app reports itself: time before the app, requests that were cut off", (*dashboard).appReports)
	d.row("Error budget: the share of requests that may fail or be slow")
	d.appBudget()
	d.fold("What the app uses", func(d *dashboard) {
		d.appMemory()
		d.appCPU()
		d.appRest()
	})
	return d
}

// perApp returns the query of the sum by app and instance.
func perApp(expr string) string { return "sum by (app, instance) (" + expr + ")" }

// failed returns the query of the rate of 5xx responses, which is 0 if there are only
// other responses.
func failed(by string) string {
	all := fmt.Sprintf("sum by (%s) (%s)", by, rate(of("resp_http_requests_total")))
	return fmt.Sprintf(`(sum by (%s) (%s) or %s * 0)`, by, rate(of("resp_http_requests_total", `code=~"5.."`)), all)
}

func (d *dashboard) appVerdict() {
	mean := timeOf("app, instance") + " / (" + counted("app, instance") + " > 0)"
	d.line(4,
		stat("Verdict", "The exporter's verdict about the app: the worst level of its components. The overview shows which component changed first. It is not seen if its exporter does not answer.", unitPlain).
			now(seen("app, instance", of("resp_health_status", `component="overall"`)), "{{app}} {{instance}}").health().named().columns(4).to("resp-overview", "Overview"),
		stat("Requests now", "Answered requests per second. If there are none while the app is up, no request reaches it, or it does not report requests by StatsD.", unitRequest).
			figure(perApp(rate(of("resp_http_requests_total"))), "{{app}} {{instance}}").none("not reported"),
		stat("Error ratio now", "Share of the requests with a 5xx response. The table below lists the routes with most errors.", unitRatio).
			judgedEach(failed("app, instance")+" / ("+perApp(rate(of("resp_http_requests_total")))+" > 0)", "{{app}} {{instance}}", "error_rate").none("no requests"),
		stat("Mean time", "Mean duration of requests, from the time when a worker accepted them. Time in the accept queue is not included.", unitSeconds).
			judgedEach(mean, "{{app}} {{instance}}", "response_time").none("no requests"),
		stat("Slow requests", "Requests that took longer than slow_request, in the whole time range.", unitNumber).
			figure(perApp("increase("+of("resp_http_slow_requests_total")+"[$__range])"), "{{app}} {{instance}}").none("not reported"),
		stat("Up since", "Start time of the oldest master of the app. A recent time means a deployment, a crash or a manual restart.", unitAgo).
			figure(of("resp_app_start_time_seconds")+" * 1000", "{{app}} {{instance}}").none("not running"),
	)
}

func (d *dashboard) appRequests() {
	d.line(7,
		graph("Responses by status code", "Requests per second by status code of the response. If red grows while the rest shrinks, the app fails. If all shrink together, there is less traffic, or workers are blocked. The dashed line is all of them a day before.", unitRequest).
			query("sum by (code) ("+rate(of("resp_http_requests_total"))+")", "{{code}}").stacked().
			query("sum("+dayBefore(of("resp_http_requests_total"))+")", "a day before").dashed("a day before", "text").
			shaded("^2", "green").shaded("^3", "blue").shaded("^4", "orange").shaded("^5", "red").none("the app reports no requests"),
		graph("Error ratio over time", "Share of the requests with a 5xx response. A step at the time of a deployment is caused by that deployment.", unitRatio).
			query(failed("app, instance")+" / ("+perApp(rate(of("resp_http_requests_total")))+" > 0)", "{{app}} {{instance}}").
			limits("error_rate").upTo(0.1).none("no requests"),
		graph("Log messages", "Lines per second that the app's server logged, by level. Critical lines of gunicorn are workers that were killed because of their timeout.", unitRate).
			query("sum by (app, level, instance) ("+rate(of("resp_app_log_messages_total"))+")", "{{level}} {{app}} {{instance}}").none("the app reports no log lines"),
	)
	d.line(5,
		graph("Lost reports", "Reports per second that the app side could not send, because nobody reads its socket. The requests themselves are not slower.", unitRate).
			query("sum by (app, instance) ("+rate(of("resp_app_reports_lost_total"))+")", "{{app}} {{instance}}").none("the app keeps no memory files"),
		graph("Collections of cyclic garbage", "Runs per second of Python's collector of cyclic garbage in the app's workers. Many runs of generation 2 cost CPU; none at all, with memory that grows, means that it is switched off.", unitRate).
			query("sum by (app, generation, instance) ("+rate(of("resp_app_gc_collections_total"))+")", "generation {{generation}} {{app}} {{instance}}").none("the app keeps no memory files"),
	)
}

func (d *dashboard) appTime() {
	d.line(8,
		heatmap("Request duration", "Requests by duration, one column per point in time; darker means more requests. Two bands mean two kinds of requests. If a band moves up, all of these requests become slower.", unitSeconds).
			heat("sum by (le) ("+rate(of("resp_http_request_duration_seconds_bucket"))+")").none("the app reports no durations"),
		graph("Percentiles", "50, 95 and 99 % of the requests were faster than this. If p99 is far above a constant p50, some requests wait for something that others do not need.", unitSeconds).
			query(quantile("0.5", "app, instance"), "p50 {{app}} {{instance}}").query(quantile("0.95", "app, instance"), "p95 {{app}} {{instance}}").query(quantile("0.99", "app, instance"), "p99 {{app}} {{instance}}").
			none("no requests"),
		graph("Mean duration", "Mean duration of requests. The limits apply to this mean.", unitSeconds).
			query(timeOf("app, instance")+" / ("+counted("app, instance")+" > 0)", "{{app}} {{instance}}").
			limits("response_time").none("no requests"),
		graph("Share of slow requests", "Share of the requests that took longer than slow_request. If only a few routes are slow, it rises before the mean does.", unitRatio).
			query(perApp(rate(of("resp_http_slow_requests_total")))+" / ("+counted("app, instance")+" > 0)", "{{app}} {{instance}}").
			upTo(0.1).none("no requests"),
	)
}

func (d *dashboard) appViews() {
	const none = "no view is seen: see resp-exporter doctor"
	d.line(8,
		graph("Time by view", "Seconds of request threads per second, of the ten views with most: the mean number of requests in each view. Seen from outside, also without reports of the app.", unitNumber).
			query("topk(10, sum by (app, view) ("+rate(of("resp_view_seconds_total"))+"))", "{{app}} {{view}}").none(none),
		graph("Time by cause", "Seconds of request threads per second by what they do or wait for. If one cause grows while requests do not, it holds them up.", unitNumber).
			query("sum by (on) ("+rate(of("resp_worker_wait_seconds_total", `on!="idle"`))+")", "{{on}}").stacked().byWait().none("not sampled").to("resp-workers", "Workers"),
		table("Views by time and cause", "Where request threads spent most time in the range: the ten largest pairs of a view and what it did or waited for.", unitSeconds).
			now("topk(10, sum by (app, view, on) (increase("+of("resp_view_seconds_total", `on!="idle"`)+"[$__range])) > 0)", "").
			arranged("Time", "Value", "time", "on", "waits for").sized("app", 70).sized("waits for", 85).sized("time", 75).none(none),
	)
	d.line(6,
		graph("Oldest request", "Age of the oldest request that is in flight. A line that rises at 45 degrees is one request that does not end.", unitSeconds).
			query(of("resp_http_oldest_request_age_seconds"), "{{app}} {{instance}}").limits("response_time").none("not sampled").columns(4),
		graph("Requests in flight by view", "Requests in progress, by view. The dashed line is all of them, also those whose view cannot be read.", unitNumber).
			query("topk(10, sum by (app, view) ("+of("resp_view_requests_in_flight")+"))", "{{app}} {{view}}").
			query("sum by (app) ("+of("resp_http_requests_in_flight")+")", "all {{app}}").dashedLike("^all ", "text").none(none).columns(7),
		graph("Utilization", "Share of the request threads that have a request. The app saturates at 1: the next request waits.", unitRatio).
			query(of("resp_app_utilization_ratio"), "{{app}} {{instance}}").atMost(1).none("not sampled").to("resp-workers", "Workers").columns(4),
		graph("Saturation", "Requests per second at which all request threads would be busy, at the time that requests take now, and the rate now.", unitRequest).
			query(of("resp_app_saturation_requests_per_second"), "saturates {{app}} {{instance}}").query(perApp(rate(of("resp_http_requests_total"))), "now {{app}} {{instance}}").none("no requests"),
		graph("Wait to be accepted", "Time that a new connection waits in the accept queue before a worker takes it. The app does not log it; only its clients notice.", unitSeconds).
			query(of("resp_app_queue_wait_seconds"), "{{app}} {{instance}}").none("no queue, or no requests").columns(4),
	)
}

func (d *dashboard) appRoutes() {
	const routes, silent = `route!=""`, "no requests, or the app reports no routes"
	total := func(metric string, more ...string) string {
		return "sum by (app, method, route) (increase(" + of(metric, append(more, routes)...) + "[$__range]))"
	}
	either := func(part string) string {
		return "(" + total("resp_http_request_duration_seconds_"+part) + " or sum by (app, method, route) (histogram_" + part + "(increase(" + of("resp_http_request_duration_seconds", routes) + "[$__range]))))"
	}
	requests, took, count := total("resp_http_requests_total"), either("sum"), either("count")
	errors := total("resp_http_requests_total", `code=~"5.."`)
	longest, worst := "topk(10, "+took+" > 0)", "topk(10, "+errors+" > 0)"
	d.line(8,
		table("Routes by total time", "The ten routes on which workers spent most time in the range. Begin here when workers are busy. If there are many requests with a small mean, reduce their number; if there are few with a large mean, make them faster.", unitSeconds).
			now(longest, "").now(count+" and "+longest, "").now(took+" / ("+count+" > 0) and "+longest, "").
			merged().arranged("Time", "Value #A", "time", "Value #B", "requests", "Value #C", "mean").measured("requests", unitNumber).sized("app", 70).sized("method", 65).sized("route", 130).none(silent).columns(10),
		table("Routes by number of requests", "The ten routes with most requests in the time range. A new route here may be a client in a loop.", unitNumber).
			now("topk(10, "+requests+" > 0)", "").
			arranged("Time", "Value", "requests").sized("app", 70).sized("method", 65).sized("requests", 80).none(silent).columns(7),
		table("Routes by errors", "The ten routes with most 5xx responses in the time range, and their error ratio. A ratio close to 1 means a broken route; a small ratio on all routes means a common cause.", unitNumber).
			now(worst, "").now(errors+" / ("+requests+" > 0) and "+worst, "").
			merged().arranged("Time", "Value #A", "errors", "Value #B", "share").measured("share", unitRatio).sized("app", 70).sized("method", 65).none("no errors, or no routes are reported"),
	)
	d.line(7,
		graph("95th percentile by route", "The 95th percentile of the five slowest routes. If one route is far above the rest, the cause is in that route; if all rise together, they share a cause.", unitSeconds).
			query("topk(5, "+quantile("0.95", "app, route", routes)+")", "{{app}} {{route}}").
			limits("response_time").where("topk(5, "+quantile("0.95", "app, route", routes)+")").none(silent),
		graph("Requests by route", "Requests per second of the ten routes with most requests.", unitRequest).
			query("topk(10, sum by (app, route) ("+rate(of("resp_http_requests_total", routes))+"))", "{{app}} {{route}}").none(silent),
		graph("Busy workers by route", "Seconds of work per second, of the ten routes with most: the mean number of workers that are busy with the route.", unitNumber).
			query("topk(10, "+timeOf("app, route", routes)+")", "{{app}} {{route}}").none(silent).to("resp-workers", "Workers"),
	)
}

func (d *dashboard) appBudget() {
	const failing, slow = "instance_app:resp_http_errors:ratio_", "instance_app:resp_http_slow_requests:ratio_"
	d.line(7,
		stat("Remaining error budget", "Remaining part of the share of requests that may fail, over three days. Below 0 the objective was missed. A recording rule sets the budget: 1 % unless you changed it.", unitRatio).
			beyond("1 - "+of(failing+"rate3d")+" / "+of("instance_app:resp_http_error_budget:ratio"), "{{app}} {{instance}}", "< 0", "red").none("no requests").columns(6),
		graph("Errors against the budget", "Share of failed requests over one hour, six hours and three days, with the budget. Above the red line for one hour it pages a person. Above the budget for three days the objective is missed.", unitRatio).
			query(of(failing+"rate1h"), "1h {{app}} {{instance}}").query(of(failing+"rate6h"), "6h {{app}} {{instance}}").query(of(failing+"rate3d"), "3d {{app}} {{instance}}").
			budget().upTo(0.05).none("no requests"),
		graph("Slow requests against the budget", "Share of slow requests over 5 minutes, one hour and six hours, with the budget. Above the red line for one hour it pages a person.", unitRatio).
			query(of(slow+"rate5m"), "5m {{app}} {{instance}}").query(of(slow+"rate1h"), "1h {{app}} {{instance}}").query(of(slow+"rate6h"), "6h {{app}} {{instance}}").
			budget().upTo(0.05).none("no requests"),
	)
}

// budget adds the share that may fail, and how much of it over an hour pages; it returns p.
func (p *panel) budget() *panel {
	may := of("instance_app:resp_http_error_budget:ratio")
	p.query("max("+may+")", "budget").query("max(14.4 * "+may+")", "1h pages above")
	return p.dashed("budget", "text").dashed("1h pages above", "red")
}

func (d *dashboard) appMemory() {
	d.line(7,
		graph("Memory", "Memory of all processes of the app. rss counts shared pages once; uss is the memory that would be free if the app ended. If uss only rises, memory leaks.", unitBytes).
			query(of("resp_app_memory_bytes"), "{{kind}} {{app}} {{instance}}").to("resp-workers", "Workers"),
		graph("Memory utilization", "Memory in use, as a share of the control group's limit or, without one, of the host's memory. At 1 the kernel kills a process.", unitRatio).
			query(of("resp_app_memory_usage_ratio"), "{{app}} {{instance}}").limits("memory"),
		table("Memory limit", "The memory limit of each app: the limit of its control group, or the host's memory.", unitBytes).
			now("max by (app, instance) ("+of("resp_app_memory_limit_bytes")+")", "").arranged("Time", "Value", "limit").columns(6),
		graph("OOM kills", "Processes of the app's control group that the kernel killed because memory ran out. Any value above 0 means that the limit is too low, or that memory leaks.", unitNumber).
			query(gain(of("resp_app_oom_kills_total")), "{{app}} {{instance}}").none("no control group").columns(5),
	)
}

func (d *dashboard) appCPU() {
	d.line(7,
		graph("CPU utilization", "CPU time over the last minute, as a share of the control group's quota or, without one, of all cores. Close to 1, requests wait for CPU, and more workers do not help.", unitRatio).
			query(of("resp_app_cpu_usage_ratio"), "{{app}} {{instance}}").limits("cpu"),
		graph("CPU by mode", "CPU time of all processes of the app; 100 % is one core. Much system time and little user time means that it reads and writes more than it computes.", unitRatio).
			query("sum by (app, mode, instance) ("+rate(of("resp_app_cpu_seconds_total"))+")", "{{mode}} {{app}} {{instance}}"),
		graph("CPU throttled", "Time for which the kernel throttled the app's control group because it had used up its CPU quota, summed over its cores. Above 0 while the CPU is not busy, the quota is too small for bursts.", unitRatio).
			query(rate(of("resp_app_cpu_throttled_seconds_total")), "{{app}} {{instance}}").upTo(0.1).none("no CPU quota"),
	)
}

func (d *dashboard) appRest() {
	d.line(7,
		graph("Threads", "Threads of all processes of the app. A line that only rises means that threads leak.", unitNumber).
			query(of("resp_app_threads"), "{{app}} {{instance}}"),
		graph("Open files", "Open file descriptors of the process that is closest to its limit, as a share of the limit. At 1 it can open no file and accept no connection.", unitRatio).
			query(of("resp_app_open_fds")+" / ("+of("resp_app_max_fds")+" > 0)", "{{app}} {{instance}}").none("no permission to read").to("resp-workers", "Workers"),
		graph("Incidents", "New incidents of the app, by cause. The status page has the record of each: times, chain, workers that ended, and what healing did.", unitNumber).
			query("sum by (app, cause) ("+gain(of("resp_incidents_total"))+") > 0", "{{app}} {{cause}}").stacked().shaded(".", "red").none("no incident yet"),
		unseen("the apps and their requests", "memory|process|requests|statsd"),
	)
}

func (d *dashboard) appReports() {
	d.line(7,
		graph("Queue time", "Time that requests waited before the app began with them, from the header of the proxy in front of it: mean and 95th percentile. It includes the accept queue. If it grows while the response time does not, there are too few workers.", unitSeconds).
			query(timeOfQueue("sum")+" / ("+timeOfQueue("count")+" > 0)", "mean {{app}} {{instance}}").query(queueQuantile("0.95"), "p95 {{app}} {{instance}}").
			none("the app does not report it").to("resp-workers", "Workers"),
		graph("Requests cut off, by route", "Requests that the end of their worker cut off; their clients got no response. A single route here is the one that blocks, or that uses up the memory.", unitNumber).
			query("sum by (app, method, route, instance) ("+gain(of("resp_http_requests_killed_total"))+") > 0", "{{method}} {{route}} {{app}} {{instance}}").stacked().
			none("none was cut off, or workers keep no memory file").to("resp-workers", "Workers"),
	)
}

// timeOfQueue returns the query of the rate of a part of the queue time's histogram,
// classic or native.
func timeOfQueue(part string) string {
	classic, native := of("resp_http_queue_time_seconds_"+part), of("resp_http_queue_time_seconds")
	return "(" + perApp(rate(classic)) + " or " + perApp("histogram_"+part+"("+rate(native)+")") + ")"
}

func queueQuantile(q string) string {
	classic, native := of("resp_http_queue_time_seconds_bucket"), of("resp_http_queue_time_seconds")
	return "(histogram_quantile(" + q + ", sum by (le, app, instance) (" + rate(classic) + ")) or histogram_quantile(" + q + ", " + perApp(rate(native)) + "))"
}
