package main

import "fmt"

func app() *dashboard {
	d := newDashboard("resp-app", "Responsiveness / App", "Where is time spent, and which requests fail?", varApp())
	d.appVerdict()
	d.row("Requests")
	d.appRequests()
	d.row("Time")
	d.appTime()
	d.row("By route, where the app reports routes")
	d.appRoutes()
	d.row("Error budget: the share of requests that may fail or be slow")
	d.appBudget()
	d.row("What the app uses")
	d.appMemory()
	d.appCPU()
	d.appRest()
	return d
}

// perApp adds up all but app and instance.
func perApp(expr string) string { return "sum by (app, instance) (" + expr + ")" }

// failed is the rate of 5xx answers, and 0 where there are only others.
func failed(by string) string {
	all := fmt.Sprintf("sum by (%s) (%s)", by, rate(of("resp_http_requests_total")))
	return fmt.Sprintf(`(sum by (%s) (%s) or %s * 0)`, by, rate(of("resp_http_requests_total", `code=~"5.."`)), all)
}

func (d *dashboard) appVerdict() {
	mean := timeOf("app, instance") + " / (" + counted("app, instance") + " > 0)"
	d.line(4,
		stat("Verdict", "The exporter's own verdict about the app, the worst of its components. The overview says which one turned first.", unitPlain).
			query(of("resp_health_status", `component="overall"`), "{{app}} {{instance}}").health().named().columns(4).to("resp-overview", "Overview"),
		stat("Requests", "Answered requests a second. None at all while the app is up: nothing reaches it, or it does not report its requests by StatsD.", unitRequest).
			query(perApp(rate(of("resp_http_requests_total"))), "{{app}} {{instance}}").none("not reported"),
		stat("Errors", "Share of the requests that were answered with a 5xx code. Below are the routes that failed most.", unitRatio).
			query(failed("app, instance")+" / ("+perApp(rate(of("resp_http_requests_total")))+" > 0)", "{{app}} {{instance}}").none("no request"),
		stat("Mean time", "Time that requests took on average, from when a worker took them. Time in the accept queue comes before.", unitSeconds).
			query(mean, "{{app}} {{instance}}").none("no request"),
		stat("Slow requests", "Requests that took longer than slow_request, in the whole time range.", unitNumber).
			now(perApp("increase("+of("resp_http_slow_requests_total")+"[$__range])"), "{{app}} {{instance}}").none("not reported"),
		stat("Up since", "When the oldest master of the app started. A recent one: a deployment, a crash, or a hand.", unitAgo).
			query(of("resp_app_start_time_seconds")+" * 1000", "{{app}} {{instance}}").none("it is not running"),
	)
}

func (d *dashboard) appRequests() {
	d.line(7,
		graph("Answers by status code", "Requests a second by the status code of the answer. Red that appears while the rest shrinks is an app that fails; all that shrink together is less traffic, or workers that are held.", unitRequest).
			query("sum by (code) ("+rate(of("resp_http_requests_total"))+")", "{{code}}").stacked().
			shaded("^2", "green").shaded("^3", "blue").shaded("^4", "orange").shaded("^5", "red").none("the app reports no requests"),
		graph("Share of errors", "Share of the requests that were answered with a 5xx code. One step up at the time of a deployment is that deployment.", unitRatio).
			query(failed("app, instance")+" / ("+perApp(rate(of("resp_http_requests_total")))+" > 0)", "{{app}} {{instance}}").
			limits("error_rate").none("no request"),
		graph("Lines in the error log", "Lines that the app's server wrote to its log a second, by level. Critical ones from gunicorn are workers that were ended for their time-out.", unitRate).
			query("sum by (app, level, instance) ("+rate(of("resp_app_log_messages_total"))+")", "{{level}} {{app}} {{instance}}").none("the app reports no log lines"),
	)
}

func (d *dashboard) appTime() {
	d.line(8,
		heatmap("How long requests take", "Requests by the time they took: one column a moment, darker for more requests. Two bands are two kinds of requests; a band that moves up is all of them getting slower.", unitSeconds).
			heat("sum by (le) ("+rate(of("resp_http_request_duration_seconds_bucket"))+")").none("the app reports no durations"),
		graph("Percentiles", "Half, 95 and 99 of a hundred requests were quicker than that. A p99 far above a p50 that stays: some requests wait for something that others do not need.", unitSeconds).
			query(quantile("0.5", "app, instance"), "p50 {{app}} {{instance}}").query(quantile("0.95", "app, instance"), "p95 {{app}} {{instance}}").query(quantile("0.99", "app, instance"), "p99 {{app}} {{instance}}").
			none("no request"),
		graph("Mean time over time", "Time that requests took on average; the limits are for this mean.", unitSeconds).
			query(timeOf("app, instance")+" / ("+counted("app, instance")+" > 0)", "{{app}} {{instance}}").
			limits("response_time").none("no request"),
		graph("Share of slow requests", "Share of the requests that took longer than slow_request. It climbs before the mean does when few routes are slow.", unitRatio).
			query(perApp(rate(of("resp_http_slow_requests_total")))+" / ("+counted("app, instance")+" > 0)", "{{app}} {{instance}}").
			none("no request"),
	)
}

func (d *dashboard) appRoutes() {
	const routes, silent = `route!=""`, "no request, or the app reports no routes"
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
		table("Routes that took most time", "The ten routes on which workers spent most time in the range: where to begin when workers are busy. Many requests with a small mean are to be asked less often, few with a large mean are to be made quicker.", unitSeconds).
			now(longest, "").now(count+" and "+longest, "").now(took+" / ("+count+" > 0) and "+longest, "").
			merged().arranged("Time", "Value #A", "time", "Value #B", "requests", "Value #C", "mean").measured("requests", unitNumber).none(silent),
		table("Routes with most requests", "The ten routes that were asked most in the time range. One that is new here may be a client in a loop.", unitNumber).
			now("topk(10, "+requests+" > 0)", "").
			arranged("Time", "Value", "requests").none(silent).columns(7),
		table("Routes that failed", "The ten routes with most 5xx answers in the time range, and what share of their requests that is. A share near 1 is a route that is broken; a small one on all of them is something that they all use.", unitNumber).
			now(worst, "").now(errors+" / ("+requests+" > 0) and "+worst, "").
			merged().arranged("Time", "Value #A", "errors", "Value #B", "share").measured("share", unitRatio).none("no error, or no routes are reported"),
	)
	d.line(7,
		graph("95th percentile by route", "Of the five slowest routes, the time that 95 of a hundred requests stayed below. One route far above the rest has a cause of its own; all of them together share one.", unitSeconds).
			query("topk(5, "+quantile("0.95", "app, route", routes)+")", "{{app}} {{route}}").
			limits("response_time").none(silent),
		graph("Requests by route", "Requests a second to the ten routes that are asked most.", unitRequest).
			query("topk(10, sum by (app, route) ("+rate(of("resp_http_requests_total", routes))+"))", "{{app}} {{route}}").none(silent),
		graph("Time by route", "Seconds of work a second, of the ten routes that take most: as many workers as that are busy with the route on average.", unitNumber).
			query("topk(10, "+timeOf("app, route", routes)+")", "{{app}} {{route}}").none(silent).to("resp-workers", "Workers"),
	)
}

func (d *dashboard) appBudget() {
	const failing, slow = "instance_app:resp_http_errors:ratio_", "instance_app:resp_http_slow_requests:ratio_"
	d.line(7,
		stat("Budget that is left", "What is left of the share of requests that may fail, over three days. Below 0 the objective was missed. It is a recording rule that says how much may fail: 1 % unless you changed it.", unitRatio).
			query("1 - "+of(failing+"rate3d")+" / "+of("instance_app:resp_http_error_budget:ratio"), "{{app}} {{instance}}").none("no request").columns(6),
		graph("Errors against the budget", "Share of failed requests over an hour, six hours and three days, beside what may fail. An hour above the red line wakes somebody; three days above the budget miss the objective.", unitRatio).
			query(of(failing+"rate1h"), "1h {{app}} {{instance}}").query(of(failing+"rate6h"), "6h {{app}} {{instance}}").query(of(failing+"rate3d"), "3d {{app}} {{instance}}").
			budget().none("no request"),
		graph("Slow requests against the budget", "Share of slow requests over 5 minutes, an hour and six hours, beside what may be slow. An hour above the red line wakes somebody.", unitRatio).
			query(of(slow+"rate5m"), "5m {{app}} {{instance}}").query(of(slow+"rate1h"), "1h {{app}} {{instance}}").query(of(slow+"rate6h"), "6h {{app}} {{instance}}").
			budget().none("no request"),
	)
}

// budget draws what may fail, and how much of it over an hour pages.
func (p *panel) budget() *panel {
	may := of("instance_app:resp_http_error_budget:ratio")
	p.query("max("+may+")", "budget").query("max(14.4 * "+may+")", "1h wakes somebody from")
	return p.dashed("budget", "text").dashed("1h wakes somebody from", "red")
}

func (d *dashboard) appMemory() {
	d.line(7,
		graph("Memory", "Memory of all processes of the app. rss counts shared pages once; uss would be free again if the app ended. uss that only climbs is a leak.", unitBytes).
			query(of("resp_app_memory_bytes"), "{{kind}} {{app}} {{instance}}").to("resp-workers", "Workers"),
		graph("Memory of what it may use", "Memory in use, of the control group's limit or else of the host. At 1 the kernel ends a process.", unitRatio).
			query(of("resp_app_memory_usage_ratio"), "{{app}} {{instance}}").limits("memory"),
		table("What it may use", "How much memory each app may use: the limit of its control group, or the host's memory.", unitBytes).
			now("max by (app, instance) ("+of("resp_app_memory_limit_bytes")+")", "").arranged("Time", "Value", "limit").columns(5),
		graph("Processes killed for memory", "Processes of the app's control group that the kernel ended for want of memory. Any at all is a limit that is too low, or a leak.", unitNumber).
			query(gain(of("resp_app_oom_kills_total")), "{{app}} {{instance}}").none("no control group").columns(5),
	)
}

func (d *dashboard) appCPU() {
	d.line(7,
		graph("CPU of what it may use", "CPU that the app used over the last minute, of its control group's quota or else of all cores. Near 1 requests wait for CPU, and more workers make it no better.", unitRatio).
			query(of("resp_app_cpu_usage_ratio"), "{{app}} {{instance}}").limits("cpu"),
		graph("CPU by mode", "CPU time of all processes of the app; 100 % is one core. Much of system beside little of user: it reads and writes more than it computes.", unitRatio).
			query("sum by (app, mode, instance) ("+rate(of("resp_app_cpu_seconds_total"))+")", "{{mode}} {{app}} {{instance}}"),
		graph("Held back", "Time that the app's control group was held back for having used up its CPU quota, added up over its cores. Above 0 while the CPU seems idle: the quota is too small for bursts.", unitRatio).
			query(rate(of("resp_app_cpu_throttled_seconds_total")), "{{app}} {{instance}}").none("no CPU quota"),
	)
}

func (d *dashboard) appRest() {
	d.line(7,
		graph("Threads", "Threads of all processes of the app. A line that only climbs is a leak of threads.", unitNumber).
			query(of("resp_app_threads"), "{{app}} {{instance}}"),
		graph("Open files", "Open file descriptors of the process that is nearest to its limit, as a share of the limit. At 1 it can open no file and accept no connection.", unitRatio).
			query(of("resp_app_open_fds")+" / ("+of("resp_app_max_fds")+" > 0)", "{{app}} {{instance}}").none("no right to see them").to("resp-workers", "Workers"),
		unseen("the apps and their requests", "memory|process|requests|statsd"),
	)
}
