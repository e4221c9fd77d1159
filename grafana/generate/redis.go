package main

// The worker's connections to a server that is chosen, or to one of that kind
// that the configuration does not name.
const toRedis = `component=~"redis(:($redis))?"`

func redis() *dashboard {
	d := newDashboard("resp-redis", "Responsiveness / Redis and sessions", "Does the cache help, and do sessions pile up?", varApp(), varRedis())
	d.redisVerdict()
	d.redisNumbers()
	d.row("Does the cache help?")
	d.redisLookups()
	d.row("Memory")
	d.redisMemory()
	d.row("Sessions")
	d.sessions()
	d.row("Clients")
	d.redisClients()
	d.row("The way to the server, and what is known of it")
	d.redisReach()
	return d
}

// hitRatio is the share of lookups that found their key; none is no value.
func hitRatio() string {
	hits, misses := rate(ofRedis("resp_redis_keyspace_hits_total")), rate(ofRedis("resp_redis_keyspace_misses_total"))
	return hits + " / (" + hits + " + " + misses + " > 0)"
}

// memoryShare has a value only where maxmemory is set.
func memoryShare() string {
	return ofRedis("resp_redis_memory_bytes") + " / (" + ofRedis("resp_redis_maxmemory_bytes") + " > 0)"
}

// stored selects a metric of an app's sessions.
func stored(metric string) string { return metric + selector("app redis") }

func (d *dashboard) redisVerdict() {
	d.line(4,
		stat("Does it answer?", "Whether each Redis answers the exporter. While one does not, neither its cache nor its sessions and tasks are there.", unitPlain).
			query(on("resp_up", `component=~"redis:($redis)"`), "{{component}} {{instance}}").states("down", "red", "up", "green").named().none("no Redis is configured").columns(8),
		timeline("How it is judged", "The exporter's verdict about Redis, and about the sessions of each app.").
			query(on("resp_health_status", `app=~"$app|"`, `component=~"redis|sessions"`), "{{component}} {{app}} {{instance}}").health().to("resp-overview", "Overview"),
	)
}

func (d *dashboard) redisNumbers() {
	d.line(3,
		stat("Lowest hit ratio", "The server with the smallest share of lookups that found their key. What is not found the app makes anew.", unitRatio).
			now("bottomk(1, "+hitRatio()+")", "{{redis}} {{instance}}").named().none("no lookups"),
		stat("Fullest server", "The server with the largest share of its maxmemory in use. When it is full, keys are thrown out or writes are refused.", unitRatio).
			now("topk(1, "+memoryShare()+")", "{{redis}} {{instance}}").named().none("no limit"),
		stat("Evicted", "Keys that were thrown out in the time range because memory was full. Sessions may be among them: their users were logged out.", unitNumber).
			now("sum(increase("+ofRedis("resp_redis_evicted_keys_total")+"[$__range]))", "keys"),
		stat("Longest round trip", "Time of a ping to the slowest server. Redis does one thing at a time: a slow command makes everybody wait.", unitSeconds).
			now("topk(1, "+ofRedis("resp_redis_ping_seconds")+")", "{{redis}} {{instance}}").named(),
		stat("Sessions in all", "Sessions of the chosen apps, as the last walk over the keys found them.", unitNumber).
			now("sum("+stored("resp_sessions")+")", "sessions").none("no walk has ended"),
		stat("Without expiry", "Sessions that never end. Nothing but memory bounds them, and they keep keys that do expire from their place.", unitNumber).
			now("sum("+stored("resp_sessions_without_expiry")+")", "sessions").none("no walk has ended"),
	)
}

func (d *dashboard) redisLookups() {
	d.line(7,
		graph("Hit ratio", "Share of the lookups that found their key, of all users of the server. Below the limits the cache is cold, too small, or its keys end too soon.", unitRatio).
			query(hitRatio(), "{{redis}} {{instance}}").atMost(1).limits("cache_hit_rate").none("no lookups"),
		graph("Lookups", "Lookups a second that found their key, and those that did not. Misses that rise with the hits are new work; misses that take their place are a cache that lost its keys.", unitRate).
			query(rate(ofRedis("resp_redis_keyspace_hits_total")), "found {{redis}} {{instance}}").
			query(rate(ofRedis("resp_redis_keyspace_misses_total")), "not found {{redis}} {{instance}}").to("resp-app", "The app in detail"),
		graph("Evictions", "Keys a second that were thrown out because memory had reached maxmemory. Beside a falling hit ratio: the cache is too small.", unitRate).
			query(rate(ofRedis("resp_redis_evicted_keys_total")), "{{redis}} {{instance}}"),
	)
}

func (d *dashboard) redisMemory() {
	d.line(7,
		graph("Memory in use", "Memory of data and buffers, against maxmemory where that is set. Without a limit, what grows here takes the host's memory.", unitBytes).
			query(ofRedis("resp_redis_memory_bytes"), "{{redis}} {{instance}}").
			query(ofRedis("resp_redis_maxmemory_bytes"), "max {{redis}} {{instance}}").dashedLike("^max ", "red").to("resp-host", "Host"),
		graph("Share of maxmemory", "Memory in use of what the server may take. A cache that evicts by design stays near 1; a store of sessions and tasks must not.", unitRatio).
			query(memoryShare(), "{{redis}} {{instance}}").limits("memory").none("no limit"),
		table("Memory now", "Memory in use of each server, and its limit.", unitBytes).
			now("max by (redis, instance) ("+ofRedis("resp_redis_memory_bytes")+")", "").
			now("max by (redis, instance) ("+ofRedis("resp_redis_maxmemory_bytes")+")", "").
			merged().arranged("Time", "Value #A", "in use", "Value", "in use", "Value #B", "maxmemory").
			override("maxmemory", property{"noValue", "no limit"}),
	)
}

func (d *dashboard) sessions() {
	d.line(7,
		graph("Sessions of each app", "Sessions that the last walk over the keys found. A number that only rises, with no more users, is sessions that nobody ends: robots, or a health check that gets one each time.", unitNumber).
			query(stored("resp_sessions"), "{{app}} {{redis}} {{instance}}").none("no walk has ended"),
		graph("Sessions that live too long", "Sessions that never expire, and those that expire later than the configured lifetime allows. Either should be 0.", unitNumber).
			query(stored("resp_sessions_without_expiry"), "without expiry {{app}} {{redis}} {{instance}}").
			query(stored("resp_sessions_over_lifetime"), "over lifetime {{app}} {{redis}} {{instance}}").none("no walk has ended").to("resp-exporter", "Healing"),
		graph("Memory of sessions", "Memory that the sessions of an app take: their number times the mean of a sample. A rise without more sessions is an app that puts more into each.", unitBytes).
			query(stored("resp_session_bytes"), "{{app}} {{redis}} {{instance}}").none("no walk has ended"),
	)
	d.line(6,
		graph("Age of the count", "Time since the last full walk over the keys ended. Beyond an hour the numbers above say little: the server is slow, or the walk is refused.", unitSeconds).
			query(stored("resp_session_scan_age_seconds"), "{{app}} {{redis}} {{instance}}").none("no sessions are configured"),
		graph("The walk under way", "Share of the server's keys that the walk under way has seen; 1 while none is. A line that stays in between is a walk that waits for a busy server.", unitRatio).
			query(stored("resp_session_scan_coverage_ratio"), "{{app}} {{redis}} {{instance}}").atMost(1).none("no sessions are configured"),
	)
}

func (d *dashboard) redisClients() {
	d.line(7,
		graph("Connected clients", "Connections of all clients. One that climbs without end is an app that opens a client for each request.", unitNumber).
			query(ofRedis("resp_redis_connected_clients"), "{{redis}} {{instance}}"),
		graph("Blocked clients", "Clients that wait in a blocking command. Task workers at rest wait like this; none of them blocked means that all work, or that all are gone.", unitNumber).
			query(ofRedis("resp_redis_blocked_clients"), "{{redis}} {{instance}}").to("resp-tasks", "Tasks"),
		graph("Connections of a worker", "Established connections to Redis of the worker that has most, and of the one that has fewest. One worker far above the others leaks.", unitNumber).
			query("max by (app, component, instance) ("+of("resp_worker_connections", toRedis)+")", "most {{app}} {{component}} {{instance}}").
			query("min by (app, component, instance) ("+of("resp_worker_connections", toRedis)+")", "fewest {{app}} {{component}} {{instance}}").
			none("no worker is connected").to("resp-workers", "Workers"),
	)
}

func (d *dashboard) redisReach() {
	d.line(6,
		graph("Round trip", "Time of a ping on a connection that stands; of a cluster the slowest master's. Peaks are slow commands, KEYS or large scripts, or a host without CPU to spare.", unitSeconds).
			query(ofRedis("resp_redis_ping_seconds"), "{{redis}} {{instance}}").to("resp-host", "Host"),
		table("Servers", "The server that answers. A role of slave where the app writes is a failover that it did not follow.", unitPlain).
			now("max by (redis, instance, version, mode, role) ("+ofRedis("resp_redis_info")+")", "").
			arranged("Time Value").none("no server answers"),
		table("Not seen", "Why something of Redis or of the sessions is missing. The doctor of the exporter names each cure.", unitPlain).
			now("max by (collector, reason, instance) ("+on("resp_collector_available", `collector=~"redis|sessions"`)+" == 0)", "").
			arranged("Time Value").none("all is seen").to("resp-exporter", "The exporter"),
	)
}
