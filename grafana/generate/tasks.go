package main

// ofQueue is the legend of what each queue has.
const ofQueue = "{{app}} {{queue}} {{instance}}"

func tasks() *dashboard {
	d := newDashboard("resp-tasks", "Responsiveness / Tasks", "Do background tasks run, or do they pile up?", varApp())
	d.tasksVerdict()
	d.tasksNumbers()
	d.row("Each queue now")
	d.tasksQueues()
	d.row("What waits")
	d.tasksWaiting()
	d.row("Who works")
	d.tasksWorkers()
	d.row("What went wrong")
	d.tasksLost()
	d.row("The app that makes the tasks, and the Redis that keeps them")
	d.tasksAround()
	d.row("What is known of the queues")
	d.tasksSeen()
	return d
}

// worst is the queue, server or file system with the highest value.
func worst(selected string) string { return "topk(1, " + selected + ")" }

func (d *dashboard) tasksVerdict() {
	d.line(4,
		stat("Do tasks run?", "The exporter's verdict about the tasks of each app: whether they wait too long, have no worker, or were lost by one.", unitPlain).
			query(of("resp_health_status", `component="tasks"`), "{{app}} {{instance}}").health().named().none("no queue is configured").columns(8),
		timeline("Was it so before?", "That verdict over time, beside the verdict about the Redis servers. Tasks that turn with Redis are not the workers' fault.").
			query(on("resp_health_status", `app=~"$app|"`, `component=~"tasks|redis"`), "{{component}} {{app}} {{instance}}").health().to("resp-redis", "Redis and sessions"),
	)
}

func (d *dashboard) tasksNumbers() {
	d.line(4,
		stat("Longest wait", "The queue whose oldest task has waited longest.", unitSeconds).
			now(worst(of("resp_task_oldest_age_seconds")), ofQueue).named().none("nothing waits"),
		stat("Longest queue", "The queue with the most tasks that wait for a worker. Long and young is much work; short and old is nobody at work.", unitNumber).
			now(worst(of("resp_task_queue_length")), ofQueue).named().none("no queue is seen"),
		stat("Nobody serves", "Queues that have tasks and no worker, and how many tasks. They wait until somebody starts a worker.", unitNumber).
			now(of("resp_task_queue_length")+" > 0 and "+of("resp_task_workers")+" == 0", ofQueue).named().none("every queue is served"),
		stat("Failed anew", "The queue that gained most failed jobs in the time range. RQ only; Celery keeps none in its broker.", unitNumber).
			now(worst("("+of("resp_task_failed")+" - min_over_time("+of("resp_task_failed")+"[$__range]))"), ofQueue).named().none("no RQ queue"),
		stat("Orphaned", "The queue with the most jobs that were begun and that no worker works on any more. RQ only.", unitNumber).
			now(worst(of("resp_task_orphaned")), ofQueue).named().none("no RQ queue"),
		stat("Held longest", "How long the oldest unacknowledged message has been held by a Celery worker. Beyond the visibility timeout it is given to another worker too.", unitSeconds).
			now(worst(of("resp_task_unacked_oldest_age_seconds")), "{{app}} {{redis}} {{instance}}").named().none("none is held"),
	)
}

func (d *dashboard) tasksQueues() {
	each := func(metric string) string { return "max by (app, queue, instance) (" + of(metric) + ")" }
	d.line(7,
		table("Queues", "A line for each queue. Much that waits beside workers that run nothing is a worker that hangs or serves another queue. An empty cell is what the broker does not tell: of Celery what runs, fails and is orphaned.", unitNumber).
			now(each("resp_task_queue_length"), "").now(each("resp_task_workers"), "").now(each("resp_task_running"), "").
			now(each("resp_task_failed"), "").now(each("resp_task_orphaned"), "").
			merged().arranged("Time", "Value #A", "waiting", "Value #B", "workers", "Value #C", "running", "Value #D", "failed", "Value #E", "orphaned").
			none("not told").columns(15),
		table("Oldest waiting task of each queue", "How long the oldest task has waited, where one waits.", unitSeconds).
			now(each("resp_task_oldest_age_seconds"), "").arranged("Time", "Value", "waits for").none("nothing waits"),
	)
}

func (d *dashboard) tasksWaiting() {
	d.line(8,
		graph("Oldest waiting task", "How long the oldest task of each queue has waited. A line that climbs by one second a second is a queue that nobody takes from.", unitSeconds).
			query(of("resp_task_oldest_age_seconds"), ofQueue).limits("task_age").none("nothing waits").to("resp-redis", "Redis and sessions"),
		graph("Waiting tasks", "Tasks that wait for a worker. What climbs for hours comes in faster than the workers take it; what falls to zero in steps is worked off in batches.", unitNumber).
			query(of("resp_task_queue_length"), ofQueue).none("no queue is seen"),
		graph("Unacknowledged messages", "Messages that Celery workers hold: fetched ahead and, with acks_late, running. One number for all queues of a broker, the same for each app on it. Some that stay while no worker lives come back only after the visibility timeout.", unitNumber).
			query(of("resp_task_unacked"), "{{app}} {{redis}} {{instance}}").none("no Celery broker"),
	)
}

func (d *dashboard) tasksWorkers() {
	d.line(7,
		graph("Workers", "Workers of each queue: of RQ those on any host that give signs of life, of Celery the processes on this host. A step down is a worker that ended or was killed; a worker of several queues counts in each.", unitNumber).
			query(of("resp_task_workers"), ofQueue).none("no worker was seen").to("resp-host", "Host"),
		graph("Running jobs", "Jobs that a worker has begun and not finished. At the number of workers all of them are busy, and what comes now waits. RQ only; Celery does not tell its broker.", unitNumber).
			query(of("resp_task_running"), ofQueue).none("no RQ queue"),
		graph("Oldest sign of life", "Age of the oldest heartbeat among the RQ workers of each queue. A worker at rest gives one in 405 s, one at work in 30 s: beyond 420 s one hangs or was killed.", unitSeconds).
			query(of("resp_task_worker_heartbeat_age_seconds"), ofQueue).none("no RQ worker"),
	)
}

func (d *dashboard) tasksLost() {
	d.line(7,
		graph("Failed jobs", "Jobs that RQ keeps as failed, until their time is over or somebody clears them. A steep rise is a fault in the task or in what it calls.", unitNumber).
			query(of("resp_task_failed"), ofQueue).none("no RQ queue").to("resp-app", "The app in detail"),
		graph("Orphaned jobs", "Jobs that were begun and whose worker is gone: killed, out of memory, or on a host that went down. RQ moves them to the failed ones when a worker cleans up.", unitNumber).
			query(of("resp_task_orphaned"), ofQueue).none("no RQ queue").to("resp-host", "Host"),
		graph("Longest held message", "How long Celery workers have held the oldest unacknowledged message. A line that climbs past the visibility timeout, an hour by default, is a task that will be run twice.", unitSeconds).
			query(of("resp_task_unacked_oldest_age_seconds"), "{{app}} {{redis}} {{instance}}").none("none is held"),
	)
}

func (d *dashboard) tasksAround() {
	requests := "sum by (app, instance) (" + rate(of("resp_http_requests_total")) + ")"
	d.line(6,
		graph("Requests", "Answered requests a second. Tasks that pile up with the requests are more work; tasks that pile up without them are slower or fewer workers.", unitRequest).
			query(requests, "{{app}} {{instance}}").to("resp-app", "The app in detail"),
		graph("Response time", "Mean time of the app's requests. When it climbs together with the tasks, both wait for the same: the database, Redis or the host.", unitSeconds).
			query(timeOf("app, instance")+" / ("+counted("app, instance")+" > 0)", "{{app}} {{instance}}").
			limits("response_time").to("resp-app", "The app in detail"),
		graph("Redis round trip", "Time of a ping to each Redis. A slow one makes everybody slow who puts in or takes out a task.", unitSeconds).
			query(on("resp_redis_ping_seconds"), "{{redis}} {{instance}}").none("no Redis is configured").to("resp-redis", "Redis and sessions"),
		graph("Keys evicted by Redis", "Keys a second that a Redis threw out for want of memory. On the server that keeps the queues, jobs are among them and never run.", unitRate).
			query(rate(on("resp_redis_evicted_keys_total")), "{{redis}} {{instance}}").none("no Redis is configured").to("resp-redis", "Redis and sessions"),
	)
}

func (d *dashboard) tasksSeen() {
	d.line(5,
		timeline("Are the queues read?", "Whether the exporter saw all that it should of the queues. Where it did not, the numbers above are missing and not zero.").
			query("min by (instance) ("+on("resp_collector_available", `collector="tasks"`)+")", "{{instance}}").states("not all", "orange", "all", "green").to("resp-exporter", "The exporter and its healing"),
		graph("Left out", "Queues, started jobs and workers that were not looked at, as a bound was reached. What is counted above is then too low.", unitNumber).
			query("sum by (family, instance) ("+gain(on("resp_series_dropped_total", `family=~"task_.+"`))+")", "{{family}} {{instance}}").to("resp-exporter", "The exporter and its healing"),
	)
}
