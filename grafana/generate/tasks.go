package main

// ofQueue is the legend of what each queue has.
const ofQueue = "{{app}} {{queue}} {{instance}}"

func tasks() *dashboard {
	d := newDashboard("resp-tasks", "Responsiveness / Tasks", "Do background tasks run, or do they accumulate?", varApp())
	d.tasksVerdict()
	d.tasksNumbers()
	d.row("Each queue now")
	d.tasksQueues()
	d.row("Waiting tasks and messages")
	d.tasksWaiting()
	d.row("Task workers")
	d.tasksWorkers()
	d.row("Failed and lost tasks")
	d.tasksLost()
	d.row("The app that enqueues the tasks, and the Redis that stores them")
	d.tasksAround()
	d.fold("Background tasks inside the app, where it reports them", (*dashboard).tasksInside)
	d.fold("Completeness of the data", (*dashboard).tasksSeen)
	return d
}

// worst returns the query of the queue, server or file system with the highest value.
func worst(selected string) string { return "topk(1, " + selected + ")" }

func (d *dashboard) tasksVerdict() {
	d.line(4,
		stat("Verdict about tasks", "The exporter's level for the tasks of each app: whether they wait too long, have no worker, or lost their worker.", unitPlain).
			now(seen("app, instance", of("resp_health_status", `component="tasks"`)), "{{app}} {{instance}}").health().named().none("no queue is configured").columns(8),
		timeline("Levels of tasks and Redis", "The same level over time, with that of the Redis servers. If both change together, Redis is the cause, not the workers.").
			query(on("resp_health_status", `app=~"$app|"`, `component=~"tasks|redis"`), "{{component}} {{app}} {{instance}}").health().to("resp-redis", "Redis and sessions"),
	)
}

func (d *dashboard) tasksNumbers() {
	d.line(3,
		stat("Longest wait", "The queue whose oldest task has waited longest.", unitSeconds).
			judgedEach(worst(of("resp_task_oldest_age_seconds")), ofQueue, "task_age").named().none("no task waits"),
		stat("Longest queue", "The queue with the most tasks that wait for a worker. A long queue with a young oldest task means much work; a short queue with an old one means that no worker takes tasks.", unitNumber).
			figure(worst(of("resp_task_queue_length")), ofQueue).named().none("no queue"),
		stat("Queues without a worker", "Queues that have tasks and no worker, and the number of tasks. They wait until somebody starts a worker.", unitNumber).
			now(of("resp_task_queue_length")+" > 0 and "+of("resp_task_workers")+" == 0", ofQueue).inTurn("red").named().none("every queue is served"),
	)
	d.line(3,
		stat("New failed jobs", "The queue with the most new failed jobs in the time range. RQ only; Celery stores none in its broker.", unitNumber).
			faults(worst("("+of("resp_task_failed")+" - min_over_time("+of("resp_task_failed")+"[$__range]))"), ofQueue, "orange").named().none("no RQ queue"),
		stat("Orphaned jobs now", "The queue with the most jobs that were started and that no worker works on any more. RQ only.", unitNumber).
			faults(worst(of("resp_task_orphaned")), ofQueue, "orange").named().none("no RQ queue"),
		stat("Oldest unacknowledged message", "How long a Celery worker has held the oldest unacknowledged message. Beyond the visibility timeout it is delivered to another worker too.", unitSeconds).
			figure(worst(of("resp_task_unacked_oldest_age_seconds")), "{{app}} {{redis}} {{instance}}").named().none("no message is held"),
	)
}

func (d *dashboard) tasksQueues() {
	each := func(metric string) string { return "max by (app, queue, instance) (" + of(metric) + ")" }
	d.line(7,
		table("Queues", "One line per queue. Many waiting tasks with workers that run nothing mean that a worker hangs or serves another queue. A cell is empty if the broker does not have the value: for Celery running, failed and orphaned.", unitNumber).
			now(each("resp_task_queue_length"), "").now(each("resp_task_workers"), "").now(each("resp_task_running"), "").
			now(each("resp_task_failed"), "").now(each("resp_task_orphaned"), "").
			merged().arranged("Time", "Value #A", "waiting", "Value #B", "workers", "Value #C", "running", "Value #D", "failed", "Value #E", "orphaned").
			none("not available").columns(15),
		table("Oldest waiting task of each queue", "How long the oldest task has waited, for queues with waiting tasks.", unitSeconds).
			now(each("resp_task_oldest_age_seconds"), "").arranged("Time", "Value", "waits for").none("no task waits"),
	)
}

func (d *dashboard) tasksWaiting() {
	d.line(8,
		graph("Oldest waiting task", "How long the oldest task of each queue has waited. A line that rises by one second per second is a queue that no worker takes from.", unitSeconds).
			query(of("resp_task_oldest_age_seconds"), ofQueue).limits("task_age").none("no task waits").to("resp-redis", "Redis and sessions"),
		graph("Waiting tasks", "Tasks that wait for a worker. A rise over hours means that tasks arrive faster than workers take them; a fall to zero in steps means that they are processed in batches.", unitNumber).
			query(of("resp_task_queue_length"), ofQueue).none("no queue"),
		graph("Unacknowledged messages", "Messages that Celery workers hold: prefetched ones and, with acks_late, running ones. It is one number for all queues of a broker, and the same for each app on it. If no worker is alive, they come back only after the visibility timeout.", unitNumber).
			query(of("resp_task_unacked"), "{{app}} {{redis}} {{instance}}").none("no Celery broker"),
	)
}

func (d *dashboard) tasksWorkers() {
	d.line(7,
		graph("Workers", "Workers of each queue: for RQ those on any host with a current heartbeat, for Celery the processes on this host. A step down is a worker that ended or was killed; a worker of several queues counts in each.", unitNumber).
			query(of("resp_task_workers"), ofQueue).none("no worker").to("resp-host", "Host"),
		graph("Running jobs", "Jobs that a worker has started and not finished. If it equals the number of workers, all of them are busy, and new jobs wait. RQ only; Celery does not report it to its broker.", unitNumber).
			query(of("resp_task_running"), ofQueue).none("no RQ queue"),
		graph("Worker heartbeat age", "Age of the oldest heartbeat among the RQ workers of each queue. An idle worker sends one every 405 s, a busy one every 30 s. Beyond 420 s a worker hangs or was killed.", unitSeconds).
			query(of("resp_task_worker_heartbeat_age_seconds"), ofQueue).none("no RQ worker"),
	)
}

func (d *dashboard) tasksLost() {
	d.line(7,
		graph("Failed jobs", "Jobs that RQ stores as failed, until they expire or somebody removes them. A steep rise is a fault in the task or in a service that it calls.", unitNumber).
			query(of("resp_task_failed"), ofQueue).none("no RQ queue").to("resp-app", "The app in detail"),
		graph("Orphaned jobs", "Jobs that were started and whose worker is gone: killed, out of memory, or on a host that went down. RQ moves them to the failed ones when a worker cleans up.", unitNumber).
			query(of("resp_task_orphaned"), ofQueue).none("no RQ queue").to("resp-host", "Host"),
		graph("Age of the oldest unacknowledged message", "How long Celery workers have held the oldest unacknowledged message. If it exceeds the visibility timeout, one hour by default, the task will run twice.", unitSeconds).
			query(of("resp_task_unacked_oldest_age_seconds"), "{{app}} {{redis}} {{instance}}").none("no message is held"),
	)
}

func (d *dashboard) tasksAround() {
	requests := "sum by (app, instance) (" + rate(of("resp_http_requests_total")) + ")"
	d.line(6,
		graph("Requests", "Answered requests per second. If tasks accumulate together with more requests, there is more work. If they accumulate without more requests, workers are slower or fewer. The dashed line is all of them a day before.", unitRequest).
			query(requests, "{{app}} {{instance}}").
			query("sum("+dayBefore(of("resp_http_requests_total"))+")", "a day before").dashed("a day before", "text").to("resp-app", "The app in detail"),
		graph("Response time", "Mean duration of the app's requests. If it rises together with the waiting tasks, both wait for the same resource: the database, Redis or the host.", unitSeconds).
			query(timeOf("app, instance")+" / ("+counted("app, instance")+" > 0)", "{{app}} {{instance}}").
			limits("response_time").to("resp-app", "The app in detail"),
		graph("Redis round trip", "Duration of a ping to each Redis. A slow one delays every client that enqueues or takes a task.", unitSeconds).
			query(on("resp_redis_ping_seconds"), "{{redis}} {{instance}}").none("no Redis is configured").to("resp-redis", "Redis and sessions"),
		graph("Keys evicted by Redis", "Keys per second that Redis evicted because its memory was full. On the server with the queues, jobs are among them and never run.", unitRate).
			query(rate(on("resp_redis_evicted_keys_total")), "{{redis}} {{instance}}").none("no Redis is configured").to("resp-redis", "Redis and sessions"),
	)
}

func (d *dashboard) tasksSeen() {
	d.line(5,
		timeline("Availability of the task collector", "Whether the exporter could read all queues. If not, the values above are missing, not zero.").
			query("min by (instance) ("+on("resp_collector_available", `collector="tasks"`)+")", "{{instance}}").states("incomplete", "orange", "all", "green").to("resp-exporter", "The exporter and its healing"),
		graph("Dropped by limits", "Queues, started jobs and workers that were not read because a limit was reached. The numbers above are then too low.", unitNumber).
			query("sum by (family, instance) ("+gain(on("resp_series_dropped_total", `family=~"task_.+"`))+")", "{{family}} {{instance}}").to("resp-exporter", "The exporter and its healing"),
	)
}

// tasksInside adds the panels of background tasks that run in threads of the app's
// workers.
func (d *dashboard) tasksInside() {
	const by, name = "app, task, instance", "{{task}} {{app}} {{instance}}"
	d.line(7,
		graph("Runs of tasks", "Runs of the background tasks inside the app, by outcome. If a task that runs regularly has none any more, its thread has ended.", unitNumber).
			query("sum by (app, task, outcome, instance) ("+gain(of("resp_task_runs_total"))+")", "{{outcome}} "+name).none("the app reports no task").columns(9),
		graph("Share of failed runs", "Share of the runs of each task that failed. Close to 1, the task has stopped to work, though it still runs.", unitRatio).
			query("sum by ("+by+") ("+rate(of("resp_task_runs_total", `outcome="failed"`))+") / (sum by ("+by+") ("+rate(of("resp_task_runs_total"))+") > 0)", name).
			atMost(1).none("the app reports no task").to("resp-app", "The app in detail").columns(8),
		graph("Restarts of tasks", "Restarts of a background task after a failure. A task that restarts again and again does not do its work.", unitNumber).
			query("sum by ("+by+") ("+gain(of("resp_task_restarts_total"))+")", name).none("no restart, or workers keep no memory file"),
	)
	d.line(6,
		graph("Tasks that run now", "Workers that run the task now. A task that stays at 1 for longer than its period hangs, or has too much to do.", unitNumber).
			query(of("resp_task_executing"), name).none("the app reports no task"),
		graph("Last sign of life", "Time since a running task began or last reported its progress. A line that rises by one second a second is a task that does nothing any more, or reports no progress.", unitSeconds).
			query(of("resp_task_heartbeat_age_seconds"), name).none("no task of the app runs"),
	)
}
