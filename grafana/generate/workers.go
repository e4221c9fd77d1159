package main

func workers() *dashboard {
	d := newDashboard("resp-workers", "Responsiveness / Workers", "Are there enough workers, and are they well?", varApp())
	d.workersVerdict()
	d.row("Enough of them?")
	d.workersQueue()
	d.workersRefused()
	d.row("Do they stay?")
	d.workersLife()
	d.row("Memory of each worker")
	d.workersMemory()
	d.row("What each worker holds")
	d.workersHold()
	return d
}

func (d *dashboard) workersVerdict() {
	busy := perApp(of("resp_app_workers", `state=~"busy|stuck"`)) + " / (" + perApp(of("resp_app_workers")) + " > 0)"
	d.line(4,
		stat("Is the app up?", "Whether processes of the app are there.", unitPlain).
			query(on("resp_up", `component=~"app:($app)"`), "{{component}} {{instance}}").states("down", "red", "up", "green").named().columns(5),
		timeline("How workers and queue are judged", "The exporter's verdict about workers and accept queue over time. Workers that turn first are held by something; a queue that turns while workers are idle is an app that does not accept.").
			query(of("resp_health_status", `component=~"workers|request_queue"`), "{{component}} {{app}} {{instance}}").health().columns(9).to("resp-overview", "Overview"),
		stat("Busy", "Share of the workers that are in a request, stuck ones included.", unitRatio).
			query(busy, "{{app}} {{instance}}").none("no worker is seen"),
		stat("Stuck", "Workers that have been in one request for too long. Anything but 0 wants a look at what they wait for.", unitNumber).
			query(perApp(of("resp_app_workers", `state="stuck"`)), "{{app}} {{instance}}").none("no worker is seen"),
		stat("Wait in the queue", "Connections that wait for a worker to accept them, at the listener where most do.", unitNumber).
			query("max by (app, instance) ("+of("resp_listener_queue_length")+")", "{{app}} {{instance}}").none("no right to see it"),
		stat("Restarts", "Workers that took the place of another in the whole time range.", unitNumber).
			now(perApp("increase("+of("resp_worker_restarts_total")+"[$__range])"), "{{app}} {{instance}}").none("no worker is seen"),
	)
}

func (d *dashboard) workersQueue() {
	d.line(8,
		graph("Workers by state", "What the workers do, as looked at in each scrape. A worker that waits for its database is busy too: see the database's dashboard before you add workers.", unitNumber).
			query("sum by (state) ("+of("resp_app_workers")+")", "{{state}}").stacked().
			painted("idle", "green").painted("busy", "blue").painted("stuck", "red").painted("booting", "yellow").to("resp-database", "Database and pools"),
		graph("Accept queue", "Connections that wait for a worker, by listener. What waits here is slow for its user and in no log of the app.", unitNumber).
			query(of("resp_listener_queue_length"), "{{app}} {{listener}} {{instance}}").limits("request_queue").none("no right to see it"),
		graph("Queue of its limit", "How full the accept queue is. At 1 the kernel refuses connections, or drops them so that clients try again after a second.", unitRatio).
			query(of("resp_listener_queue_length")+" / ("+of("resp_listener_queue_limit")+" > 0)", "{{app}} {{listener}} {{instance}}").none("no right to see it"),
	)
}

func (d *dashboard) workersRefused() {
	d.line(6,
		graph("Connections refused", "Connections that found a full accept queue, and all that were dropped while listening, a second. Anything above 0 is users who waited for a second and more, or were turned away. The counters are of the app's network namespace: apps that share it show the same.", unitRate).
			query(rate(of("resp_listen_overflows_total")), "queue full {{app}} {{instance}}").query(rate(of("resp_listen_drops_total")), "dropped {{app}} {{instance}}").none("no right to see them"),
		graph("Busy share over time", "Share of the workers that are in a request. For long at 1: the next request waits.", unitRatio).
			query(perApp(of("resp_app_workers", `state=~"busy|stuck"`))+" / ("+perApp(of("resp_app_workers"))+" > 0)", "{{app}} {{instance}}").atMost(1),
		table("Listeners", "How many connections may wait at each listener. A small number turns a short hiccup into refused connections.", unitNumber).
			now("max by (app, listener, instance) ("+of("resp_listener_queue_limit")+")", "").arranged("Time", "Value", "limit").none("no right to see it"),
	)
}

func (d *dashboard) workersLife() {
	d.line(7,
		graph("Replaced workers", "Workers that took the place of another. A few in turn: max_requests, a reload. Many at once, again and again: they crash, or are ended for their time-out.", unitNumber).
			query(perApp(gain(of("resp_worker_restarts_total"))), "{{app}} {{instance}}"),
		graph("Age of the workers", "How long ago the oldest and the youngest worker of each app started. A youngest that stays young is a worker that cannot start.", unitSeconds).
			query("max by (app, instance) (time() - "+of("resp_worker_start_time_seconds")+")", "oldest {{app}} {{instance}}").
			query("min by (app, instance) (time() - "+of("resp_worker_start_time_seconds")+")", "youngest {{app}} {{instance}}"),
		graph("Heartbeat", "How long ago each gunicorn worker last touched its heartbeat file. A sync worker does not during a request: gunicorn ends it when this reaches its time-out.", unitSeconds).
			query("max by (app, worker, instance) ("+of("resp_worker_heartbeat_age_seconds")+")", "{{app}} {{worker}} {{instance}}").none("only gunicorn has one"),
	)
}

func (d *dashboard) workersMemory() {
	d.line(8,
		graph("Memory by worker", "Resident memory of each worker. One that leaves the others behind had a costly request; all that climb together leak.", unitBytes).
			query(of("resp_worker_memory_bytes", `kind="rss"`), "{{app}} {{worker}} {{instance}}"),
		graph("The smallest worker", "Memory of the worker that has least, own pages only (uss). A single costly request does not move it: if it climbs for hours, the app leaks.", unitBytes).
			query(`min by (app, instance) (`+of("resp_worker_memory_bytes", `kind="uss"`)+`)`, "{{app}} {{instance}}").none("no right to see it"),
		graph("Shared and own", "Memory of all workers by kind: pss divides shared pages among those who share them, uss is what would be free if the worker ended. swap is what the kernel has already put away.", unitBytes).
			query("sum by (app, kind, instance) ("+of("resp_worker_memory_bytes", `kind!="rss"`)+")", "{{kind}} {{app}} {{instance}}").none("no right to see it"),
		graph("Age of that sample", "How old pss, uss and swap are: reading them is costly, so that it is done in the background.", unitSeconds).
			query(of("resp_app_memory_sample_age_seconds"), "{{app}} {{instance}}").none("no right to see it"),
	)
}

func (d *dashboard) workersHold() {
	d.line(8,
		graph("CPU by worker", "CPU time of each worker; 100 % is one core. One worker at 100 % while others are idle is a request that computes.", unitRatio).
			query(rate(of("resp_worker_cpu_seconds_total")), "{{app}} {{worker}} {{instance}}"),
		graph("Open files by worker", "Open file descriptors of each worker: files, sockets, pipes. A line that only climbs is a leak.", unitNumber).
			query(of("resp_worker_open_fds"), "{{app}} {{worker}} {{instance}}").none("no right to see them"),
		graph("Connections by worker", "Established connections of each worker to databases, caches and others. One far above the rest leaks connections.", unitNumber).
			query(of("resp_worker_connections"), "{{app}} {{worker}} {{component}} {{instance}}").none("no right to see them").to("resp-database", "Database and pools"),
	)
	d.line(6,
		table("Who is where", "The process in each worker slot. The number of a slot stays when its process is replaced.", unitPlain).
			now("max by (app, worker, pid, instance) ("+of("resp_worker_info")+")", "").arranged("Time Value").none("no worker is seen"),
		table("Apps", "What runs each app. A sync worker does one request at a time: with few of them, a single slow route holds all.", unitPlain).
			now("max by (app, server, worker_class, instance) ("+of("resp_app_info")+")", "").arranged("Time Value", "worker_class", "worker class").none("no app is seen"),
		unseen("the workers and their queue", "listener|memory|pool|process|workers"),
	)
}
