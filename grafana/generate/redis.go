package main

// The worker's connections to a server that is chosen, or to one of that kind
// that the configuration does not name.
const toRedis = `component=~"redis(:($redis))?"`

func redis() *dashboard {
	d := newDashboard("resp-redis", "Responsiveness / Redis and sessions", "Does the cache help, and do sessions accumulate?", varApp(), varRedis())
	d.redisVerdict()
	d.redisNumbers()
	d.row("Does the cache help?")
	d.redisLookups()
	d.row("Load and keys")
	d.redisLoad()
	d.row("Memory")
	d.redisMemory()
	d.row("Sessions")
	d.sessions()
	d.row("Clients")
	d.redisClients()
	d.fold("Connection to the server, and missing data", (*dashboard).redisReach)
	return d
}

// hitRatio returns the query of the share of lookups that found their key; it has no
// value without lookups.
func hitRatio() string {
	hits, misses := rate(ofRedis("resp_redis_keyspace_hits_total")), rate(ofRedis("resp_redis_keyspace_misses_total"))
	return hits + " / (" + hits + " + " + misses + " > 0)"
}

// memoryShare returns the query of the used share of maxmemory; it has no value where
// maxmemory is not set.
func memoryShare() string {
	return ofRedis("resp_redis_memory_bytes") + " / (" + ofRedis("resp_redis_maxmemory_bytes") + " > 0)"
}

// stored returns the selector of a metric of an app's sessions.
func stored(metric string) string { return metric + selector("app redis") }

func (d *dashboard) redisVerdict() {
	d.line(4,
		stat("Redis up", "Whether each Redis answers the exporter. If one does not, its cache, sessions and tasks are not available either.", unitPlain).
			now(seen("component, instance", on("resp_up", `component=~"redis:($redis)"`)), "{{component}} {{instance}}").states("down", "red", "up", "green").notSeen().named().none("no Redis is configured").columns(8),
		timeline("Levels of Redis and sessions", "The exporter's levels for Redis, and for the sessions of each app.").
			query(on("resp_health_status", `app=~"$app|"`, `component=~"redis|sessions"`), "{{component}} {{app}} {{instance}}").health().to("resp-overview", "Overview"),
	)
}

func (d *dashboard) redisNumbers() {
	d.line(3,
		stat("Lowest hit ratio", "The server with the smallest share of lookups that found their key. On a miss the app has to compute the value again.", unitRatio).
			judgedOn("bottomk(1, "+hitRatio()+")", "{{redis}} {{instance}}", "<=", "cache_hit_rate").named().none("no lookups"),
		stat("Fullest Redis by memory", "The server with the largest share of its maxmemory in use. When it is full, it evicts keys or refuses writes.", unitRatio).
			judgedOn("topk(1, "+memoryShare()+")", "{{redis}} {{instance}}", ">=", "memory").named().none("no limit"),
		stat("Evicted keys", "Keys that were evicted in the time range because memory was full. If sessions are among them, their users were logged out.", unitNumber).
			faults("sum(increase("+ofRedis("resp_redis_evicted_keys_total")+"[$__range]))", "keys", "orange"),
	)
	d.line(3,
		stat("Longest round trip", "Duration of a ping to the slowest server. Redis runs one command at a time, so a slow command delays all others. Orange above 0.1 s.", unitSeconds).
			beyond("topk(1, "+ofRedis("resp_redis_ping_seconds")+")", "{{redis}} {{instance}}", "> 0.1", "orange").named(),
		stat("Sessions in total", "Sessions of the selected apps, found by the last scan of the keys.", unitNumber).
			figure("sum("+stored("resp_sessions")+")", "sessions").none("no scan is complete"),
		stat("Sessions without expiry", "Sessions without an expiry. Only maxmemory limits their number, and they take space from keys that do expire.", unitNumber).
			faults("sum("+stored("resp_sessions_without_expiry")+")", "sessions", "orange").none("no scan is complete"),
	)
}

func (d *dashboard) redisLookups() {
	d.line(7,
		graph("Hit ratio", "Share of the lookups that found their key, of all clients of the server. Below the limits the cache is cold, too small, or its keys expire too soon.", unitRatio).
			query(hitRatio(), "{{redis}} {{instance}}").atMost(1).limits("cache_hit_rate").none("no lookups"),
		graph("Lookups", "Lookups per second that found their key, and those that did not. If misses rise together with hits, there is more work; if misses replace hits, the cache has lost its keys.", unitRate).
			query(rate(ofRedis("resp_redis_keyspace_hits_total")), "found {{redis}} {{instance}}").
			query(rate(ofRedis("resp_redis_keyspace_misses_total")), "not found {{redis}} {{instance}}").to("resp-app", "The app in detail"),
		graph("Evictions", "Keys per second that were evicted because memory had reached maxmemory. Together with a falling hit ratio: the cache is too small.", unitRate).
			query(rate(ofRedis("resp_redis_evicted_keys_total")), "{{redis}} {{instance}}"),
	)
}

func (d *dashboard) redisLoad() {
	d.line(7,
		graph("Commands", "Commands per second of all clients. If they rise more than the requests, the app sends them in a loop; if they drop to zero, it does not reach the server.", unitRate).
			query(rate(ofRedis("resp_redis_commands_total")), "{{redis}} {{instance}}").to("resp-app", "The app in detail").columns(5),
		graph("Network", "Bytes per second from and to the clients. If they rise while the commands do not, values have become larger.", unitByteRate).
			query(rate(ofRedis("resp_redis_received_bytes_total")), "received {{redis}} {{instance}}").
			query(rate(ofRedis("resp_redis_sent_bytes_total")), "sent {{redis}} {{instance}}").to("resp-host", "Host"),
		graph("Keys by database", "Keys of each database, and those of them that expire. If only the keys that do not expire rise, something stores them without a time to live.", unitNumber).
			query(ofRedis("resp_redis_keys"), "{{db}} {{redis}} {{instance}}").
			query(ofRedis("resp_redis_expiring_keys"), "expiring {{db}} {{redis}} {{instance}}").none("the server does not report it").columns(8),
		graph("Expired keys", "Keys per second that were removed because their time to live was over. A peak is many keys that were stored at the same time; misses follow.", unitRate).
			query(rate(ofRedis("resp_redis_expired_keys_total")), "{{redis}} {{instance}}").columns(5),
	)
}

func (d *dashboard) redisMemory() {
	d.line(7,
		graph("Memory in use", "Memory of data and buffers, and maxmemory if it is set. Without a limit, growth uses up the host's memory.", unitBytes).
			query(ofRedis("resp_redis_memory_bytes"), "{{redis}} {{instance}}").
			query(ofRedis("resp_redis_maxmemory_bytes"), "max {{redis}} {{instance}}").dashedLike("^max ", "red").to("resp-host", "Host"),
		graph("Share of maxmemory", "Memory in use as a share of maxmemory. A cache that evicts by design stays close to 1; a server with sessions and tasks must not.", unitRatio).
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
		graph("Sessions of each app", "Sessions found by the last scan of the keys. If the number only rises while there are not more users, clients such as robots or health checks create a session with each request.", unitNumber).
			query(stored("resp_sessions"), "{{app}} {{redis}} {{instance}}").none("no scan is complete"),
		graph("Sessions that live too long", "Sessions without an expiry, and those that expire later than the configured lifetime allows. Both should be 0.", unitNumber).
			query(stored("resp_sessions_without_expiry"), "without expiry {{app}} {{redis}} {{instance}}").
			query(stored("resp_sessions_over_lifetime"), "over lifetime {{app}} {{redis}} {{instance}}").none("no scan is complete").to("resp-exporter", "Healing"),
		graph("Memory of sessions", "Memory of an app's sessions: their number times the mean size of a sample. A rise without more sessions means that the app stores more in each.", unitBytes).
			query(stored("resp_session_bytes"), "{{app}} {{redis}} {{instance}}").none("no scan is complete"),
	)
	d.line(6,
		graph("Age of the last scan", "Time since the last full scan of the keys ended. Beyond an hour the values above are out of date: the server is slow, or the scan is refused.", unitSeconds).
			query(stored("resp_session_scan_age_seconds"), "{{app}} {{redis}} {{instance}}").none("no sessions are configured"),
		graph("Scan progress", "Share of the server's keys that the current scan has visited; 1 while no scan runs. A line that stays below 1 is a scan that waits for a busy server.", unitRatio).
			query(stored("resp_session_scan_coverage_ratio"), "{{app}} {{redis}} {{instance}}").atMost(1).none("no sessions are configured"),
	)
}

func (d *dashboard) redisClients() {
	d.line(7,
		graph("Connected clients", "Connections of all clients. A steady rise is an app that opens a new client for each request.", unitNumber).
			query(ofRedis("resp_redis_connected_clients"), "{{redis}} {{instance}}").columns(5),
		graph("Blocked clients", "Clients that wait in a blocking command. Idle task workers wait like this. If none is blocked, all of them work, or all are gone.", unitNumber).
			query(ofRedis("resp_redis_blocked_clients"), "{{redis}} {{instance}}").to("resp-tasks", "Tasks").columns(5),
		graph("Rejected connections", "Connections that the server refused because maxclients were open. Any value above 0 is an error in some client.", unitNumber).
			query(gain(ofRedis("resp_redis_rejected_connections_total")), "{{redis}} {{instance}}"),
		graph("Connections of a worker", "Established connections to Redis of the worker with most connections, and of the one with fewest. If one worker is far above the others, it leaks.", unitNumber).
			query("max by (app, component, instance) ("+of("resp_worker_connections", toRedis)+")", "most {{app}} {{component}} {{instance}}").
			query("min by (app, component, instance) ("+of("resp_worker_connections", toRedis)+")", "fewest {{app}} {{component}} {{instance}}").
			none("no worker is connected").to("resp-workers", "Workers").columns(8),
	)
}

func (d *dashboard) redisReach() {
	d.line(6,
		graph("Round trip", "Duration of a ping on an open connection; for a cluster that of the slowest master. Peaks are slow commands, KEYS or large scripts, or a host without free CPU.", unitSeconds).
			query(ofRedis("resp_redis_ping_seconds"), "{{redis}} {{instance}}").to("resp-host", "Host").columns(6),
		table("Servers", "The server that answers. If the app writes to a server with the role slave, it did not follow a failover.", unitPlain).
			now("max by (redis, instance, version, mode, role) ("+ofRedis("resp_redis_info")+")", "").
			arranged("Time Value").none("no server answers").columns(11),
		table("Missing data", "Reasons why values of Redis or of the sessions are missing. Run `resp-exporter doctor` on the host for the remedy of each.", unitPlain).
			now("max by (collector, reason, instance) ("+on("resp_collector_available", `collector=~"redis|sessions"`)+" == 0)", "").
			arranged("Time Value").none("nothing is missing").to("resp-exporter", "The exporter"),
	)
}
