package main

func workers() *dashboard {
	d := newDashboard("resp-workers", "Responsiveness / Workers", "Are there enough workers, and are they healthy?", varApp())
	d.workersVerdict()
	d.row("Number of workers")
	d.workersQueue()
	d.workersRefused()
	d.row("What workers wait for")
	d.workersWait()
	d.row("Restarts")
	d.workersLife()
	d.row("Memory of each worker")
	d.workersMemory()
	d.workersLeak()
	d.fold("Resources of each worker", (*dashboard).workersHold)
	return d
}

func (d *dashboard) workersVerdict() {
	busy := perApp(of("resp_app_workers", `state=~"busy|stuck"`)) + " / (" + perApp(of("resp_app_workers")) + " > 0)"
	d.line(4,
		stat("App up", "Whether the app has processes. It is not seen if its exporter does not answer.", unitPlain).
			now(seen("component, instance", on("resp_up", `component=~"app:($app)"`)), "{{component}} {{instance}}").states("down", "red", "up", "green").notSeen().named().columns(8),
		timeline("Levels of workers and accept queue", "The exporter's levels for workers and accept queue over time. If workers change first, something blocks them. If the queue changes while workers are idle, the app does not accept connections.").
			query(of("resp_health_status", `component=~"workers|request_queue"`), "{{component}} {{app}} {{instance}}").health().to("resp-overview", "Overview"),
	)
	d.line(3,
		stat("Busy workers now", "Share of the workers that handle a request, including stuck ones.", unitRatio).
			beyond(busy, "{{app}} {{instance}}", ">= 1", "orange").none("no worker"),
		stat("Stuck workers", "Workers that have been in one request for too long. If there is any, find out what they wait for.", unitNumber).
			faults(perApp(of("resp_app_workers", `state="stuck"`)), "{{app}} {{instance}}", "red").none("no worker"),
		stat("Accept queue length", "Connections that wait for a worker to accept them, at the listener with most of them.", unitNumber).
			judgedEach("max by (app, instance) ("+of("resp_listener_queue_length")+")", "{{app}} {{instance}}", "request_queue").none("no permission to read"),
		stat("Replaced workers in the range", "Workers that were replaced in the whole time range.", unitNumber).
			figure(perApp("increase("+of("resp_worker_restarts_total")+"[$__range])"), "{{app}} {{instance}}").none("no worker"),
	)
}

func (d *dashboard) workersQueue() {
	d.line(8,
		graph("Workers by state", "States of the workers, sampled at each scrape. A worker that waits for its database is busy too: check the dashboard of the database before you add workers.", unitNumber).
			query("sum by (state) ("+of("resp_app_workers")+")", "{{state}}").stacked().
			painted("idle", "green").painted("busy", "blue").painted("stuck", "red").painted("booting", "yellow").to("resp-database", "Database and pools"),
		graph("Accept queue", "Connections that wait for a worker, by listener. The user waits here, and the app does not log it.", unitNumber).
			query(of("resp_listener_queue_length"), "{{app}} {{listener}} {{instance}}").limits("request_queue").none("no permission to read"),
		graph("Accept queue utilization", "How full the accept queue is. At 1 the kernel refuses connections, or drops them so that clients retry after a second.", unitRatio).
			query(of("resp_listener_queue_length")+" / ("+of("resp_listener_queue_limit")+" > 0)", "{{app}} {{listener}} {{instance}}").none("no permission to read"),
	)
}

func (d *dashboard) workersRefused() {
	d.line(6,
		graph("Accept queue overflows", "Connections per second that found a full accept queue, and all connections that were dropped while listening. Above 0, users waited for a second or more, or were refused. The kernel counts per network namespace: apps that share one show the same value.", unitRate).
			query(rate(of("resp_listen_overflows_total")), "queue full {{app}} {{instance}}").query(rate(of("resp_listen_drops_total")), "dropped {{app}} {{instance}}").none("no permission to read"),
		graph("Busy workers over time", "Share of the workers that handle a request. If it stays at 1, the next request has to wait.", unitRatio).
			query(perApp(of("resp_app_workers", `state=~"busy|stuck"`))+" / ("+perApp(of("resp_app_workers"))+" > 0)", "{{app}} {{instance}}").atMost(1),
		table("Listeners", "Maximum number of waiting connections of each listener. With a small limit, a short delay causes refused connections.", unitNumber).
			now("max by (app, listener, instance) ("+of("resp_listener_queue_limit")+")", "").arranged("Time", "Value", "limit").sized("listener", 125).none("no permission to read"),
	)
}

func (d *dashboard) workersWait() {
	d.line(8,
		graph("Waiting by cause", "Request threads that wait, by what they wait for. The page names the lines, the connections and who holds them.", unitNumber).
			query("sum by (on) ("+rate(of("resp_worker_wait_seconds_total", lost))+")", "{{on}}").stacked().byWait().none("not sampled"),
		graph("Waiting by worker", "Request threads that wait, by worker, without idle ones. If one worker waits and others do not, its request differs from theirs.", unitNumber).
			query("sum by (app, worker, instance) ("+rate(of("resp_worker_wait_seconds_total", lost))+")", "{{app}} {{worker}} {{instance}}").none("not sampled"),
		graph("Event loop blocked", "Share of the time in which an event loop did not return to its poll. All requests of its worker wait meanwhile.", unitRatio).
			query(rate(of("resp_worker_loop_blocked_seconds_total")), "{{app}} {{worker}} {{instance}}").atMost(1).none("no event loop"),
	)
}

func (d *dashboard) workersLife() {
	d.line(7,
		graph("Replaced workers", "Workers that were replaced. A few one after another are normal (max_requests, a reload). Many at once, repeatedly, mean that they crash or are killed because of their timeout.", unitNumber).
			query(perApp(gain(of("resp_worker_restarts_total"))), "{{app}} {{instance}}").columns(5),
		graph("Ended workers", "How workers ended: recycled and exit are planned or the app's own; timeout, oom and signal cut their requests off. \"In a request\" counts the workers that had one when they ended.", unitNumber).
			query("sum by (reason) ("+gain(of("resp_worker_ends_total"))+")", "{{reason}}").
			query("sum ("+gain(of("resp_worker_ends_in_request_total"))+")", "in a request").painted("in a request", "red").none("no worker"),
		graph("Age of the workers", "Time since the start of the oldest and of the youngest worker of each app. If the youngest stays young, a worker cannot start.", unitSeconds).
			query("max by (app, instance) (time() - "+of("resp_worker_start_time_seconds")+")", "oldest {{app}} {{instance}}").
			query("min by (app, instance) (time() - "+of("resp_worker_start_time_seconds")+")", "youngest {{app}} {{instance}}"),
		graph("Heartbeat", "Time since each gunicorn worker last touched its heartbeat file. A sync worker does not do so during a request: gunicorn kills it when this reaches its timeout.", unitSeconds).
			query("max by (app, worker, instance) ("+of("resp_worker_heartbeat_age_seconds")+")", "{{app}} {{worker}} {{instance}}").none("gunicorn only").columns(7),
	)
}

func (d *dashboard) workersMemory() {
	d.line(8,
		graph("Memory by worker", "Resident memory of each worker. If one is far above the others, it had an expensive request; if all rise together, memory leaks.", unitBytes).
			query(of("resp_worker_memory_bytes", `kind="rss"`), "{{app}} {{worker}} {{instance}}").columns(8),
		graph("Smallest worker", "Private memory (uss) of the worker with least. A single expensive request does not change it: if it rises for hours, the app leaks memory.", unitBytes).
			query(`min by (app, instance) (`+of("resp_worker_memory_bytes", `kind="uss"`)+`)`, "{{app}} {{instance}}").none("no permission to read").columns(5),
		graph("Shared and private memory", "Memory of all workers by kind. pss divides shared pages among the processes that share them; uss would be free if the worker ended; swap is swapped out.", unitBytes).
			query("sum by (app, kind, instance) ("+of("resp_worker_memory_bytes", `kind!="rss"`)+")", "{{kind}} {{app}} {{instance}}").none("no permission to read"),
		graph("Age of the memory sample", "Age of pss, uss and swap, which are read in the background because reading them is expensive.", unitSeconds).
			query(of("resp_app_memory_sample_age_seconds"), "{{app}} {{instance}}").none("no permission to read").columns(5),
	)
}

// leaking returns the query of a metric for the workers that are suspected of a memory
// leak.
func leaking(metric string) string { return of(metric) + " and " + of("resp_leak_suspected") + " == 1" }

func (d *dashboard) workersLeak() {
	d.line(7,
		graph("Memory leak by worker", "How fast the memory of each worker that is suspected of a leak grows. A leak is told from warm-up, caches and traffic, which takes more than an hour.", unitByteRate).
			query(leaking("resp_leak_slope_bytes_per_second"), "{{app}} {{worker}} {{instance}}").none("no leak is suspected"),
		graph("Time until memory is full", "For each worker that is suspected of a leak, the time until it reaches its limit at this rate.", unitSeconds).
			query(leaking("resp_leak_seconds_to_limit"), "{{app}} {{worker}} {{instance}}").none("no leak is suspected"),
		graph("Memory leak by view", "The view whose requests the memory grows with, where that is beyond doubt.", unitByteRate).
			query(of("resp_leak_view_growth_bytes_per_second"), "{{app}} {{view}} {{instance}}").none("no view is named").to("resp-app", "The app in detail"),
	)
}

func (d *dashboard) workersHold() {
	d.line(8,
		graph("CPU by worker", "CPU time of each worker; 100 % is one core. One worker at 100 % while others are idle handles a request that computes.", unitRatio).
			query(rate(of("resp_worker_cpu_seconds_total")), "{{app}} {{worker}} {{instance}}"),
		graph("Open files by worker", "Open file descriptors of each worker: files, sockets, pipes. A line that only rises means that descriptors leak.", unitNumber).
			query(of("resp_worker_open_fds"), "{{app}} {{worker}} {{instance}}").none("no permission to read"),
		graph("Connections by worker", "Established connections of each worker to databases, caches and other servers. If one worker is far above the others, it leaks connections.", unitNumber).
			query(of("resp_worker_connections"), "{{app}} {{worker}} {{component}} {{instance}}").none("no permission to read").to("resp-database", "Database and pools"),
	)
	d.line(8,
		table("Processes by slot", "The process in each worker slot. The slot number stays when its process is replaced.", unitPlain).
			now("max by (app, worker, pid, instance) ("+of("resp_worker_info")+")", "").arranged("Time Value").none("no worker"),
		table("Apps", "The server of each app. A sync worker handles one request at a time: with few of them, a single slow route blocks all.", unitPlain).
			now("max by (app, server, worker_class, instance) ("+of("resp_app_info")+")", "").arranged("Time Value", "worker_class", "worker class").sized("worker class", 110).none("no app"),
		unseen("the workers and their queue", "listener|memory|pool|process|workers"),
	)
	d.line(6, suspected())
}

// suspected returns a table of the workers that are suspected of a leak.
func suspected() *panel {
	each := func(metric string) string { return "max by (app, worker, instance) (" + leaking(metric) + ")" }
	return table("Suspected leaks", "Workers that are suspected of a leak: what they lose a second and with each request, and the share of the growth that lasts by every model of it. Close to 100 % it is certain.", unitByteRate).
		now(each("resp_leak_slope_bytes_per_second"), "").now(each("resp_leak_bytes_per_request"), "").now(each("resp_leak_confidence_ratio"), "").
		merged().arranged("Time", "Value #A", "loses", "Value #B", "per request", "Value #C", "lasts").
		measured("per request", unitBytes).measured("lasts", unitRatio).override("per request", property{"noValue", "–"}).sized("worker", 60).none("no leak is suspected")
}
