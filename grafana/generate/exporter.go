package main

// exporters returns the query of a selected metric, limited to targets that were an
// exporter within the last day: other jobs have up, scrape_* and the metrics of every Go
// program too, and a target that does not answer has no others.
func exporters(selected string) string {
	return selected + " and on (job, instance) last_over_time(" + on("resp_exporter_build_info") + "[1d])"
}

func itself() *dashboard {
	d := newDashboard("resp-exporter", "Responsiveness / Exporter and healing", "Can the exporter read its sources, and what did healing do?")
	d.exporterVerdict()
	d.row("Collectors")
	d.exporterSees()
	d.row("Healing: mode, pauses and approvals")
	d.healState()
	d.healNow()
	d.row("Healing: actions")
	d.healRuns()
	d.healEffect()
	d.fold("Scrapes: duration, size and abandoned reads", (*dashboard).exporterScrapes)
	d.fold("Healing: alerts received", (*dashboard).healAlerts)
	d.fold("Healing: requests to apps by their control files", (*dashboard).healAsked)
	d.fold("Healing: alerts relayed to other hosts", (*dashboard).healRelay)
	d.fold("Sampling of workers, and history", (*dashboard).exporterSampling)
	d.fold("Request reports (StatsD)", (*dashboard).exporterStatsD)
	d.fold("HTTP server and files of the exporter", (*dashboard).exporterServer)
	d.fold("Resources of the exporter", (*dashboard).exporterCost)
	return d
}

func (d *dashboard) exporterVerdict() {
	d.line(4,
		stat("Exporter up", "Whether Prometheus can scrape each exporter. If it cannot, nothing is known about the apps on that host.", unitPlain).
			now(exporters(on("up")), ofHost).states("down", "red", "up", "green").named().none("no exporter within a day"),
		stat("Configuration in force", "Whether the last load of the configuration succeeded. If it was rejected, the old one stays in force.", unitPlain).
			now(on("resp_config_last_reload_successful"), ofHost).states("refused", "orange", "in force", "green").named(),
		stat("Healing mode", "The mode in force: enforce runs actions, dry_run only plans, off does nothing.", unitPlain).
			now("max by (instance) (2 * "+on("resp_heal_mode", `mode="enforce"`)+" or "+on("resp_heal_mode", `mode="dry_run"`)+")", ofHost).states("off", "text", "dry_run", "blue", "enforce", "green").named().none("no healing metrics"),
		stat("Rules that need a person", "Healing rules that have run all their steps, or must not continue, while the alert still fires.", unitPlain).
			now(on("resp_heal_needs_human")+" == 1", "{{rule}} {{instance}}").states("no", "green", "act now", "red").named().none("none reported"),
	)
	d.line(7,
		table("Missing data", "Collectors that cannot read all their sources, with the reason. Run `resp-exporter doctor` on the host for the remedy of each.", unitPlain).
			now("min by (collector, reason, instance) ("+on("resp_collector_available", `reason!="disabled"`)+") == 0", "").
			arranged("Time Value").none("no exporter reports that it misses data"),
	)
}

func (d *dashboard) exporterSees() {
	d.line(11,
		timeline("Availability of collectors", "Orange means that values of one of the exporters are missing on the other dashboards, completely or in part. Collectors that are switched off are not listed.").
			query("min by (collector) ("+on("resp_collector_available", `reason!="disabled"`)+")", "{{collector}}").pages(40).states("incomplete", "orange", "all", "green"),
		timeline("Success of collector reads", "A failed read of one of the exporters returned nothing: an error or a timeout, not a missing permission.").
			query("min by (collector) ("+on("resp_scrape_collector_success")+")", "{{collector}}").pages(40).states("failed", "red", "worked", "green"),
		graph("Series dropped by limits", "Values beyond a limit on the number of series, by the series that they would have belonged to. They are counted under \"other\", or not at all: too many routes, workers or queues.", unitNumber).
			query("sum by (family) ("+gain(on("resp_series_dropped_total"))+") > 0", "{{family}}").none("no drops are reported"),
	)
}

func (d *dashboard) exporterScrapes() {
	d.line(7,
		graph("Scrape duration", "How long Prometheus waits for each exporter. Beyond its scrape_timeout, 10 s by default, the scrape is lost.", unitSeconds).
			query(exporters(on("scrape_duration_seconds")), ofHost),
		graph("Collector duration", "Duration of each collector's read. Collectors run in parallel, so the slowest one determines the scrape. Check this when a scrape is slow.", unitSeconds).
			query("max by (collector) ("+on("resp_scrape_collector_duration_seconds")+")", "{{collector}}").listed("lastNotNull", "max").columns(9),
		graph("Samples per scrape", "Number of values in each scrape. A step down is a collector that can no longer read; a rise is a label with more and more values.", unitNumber).
			query(exporters(on("scrape_samples_scraped")), ofHost),
		graph("Abandoned reads", "Reads that hang in the kernel, for example on a dead network file system, and were abandoned. While a collector has two of them, it starts no new read.", unitNumber).
			query(on("resp_scrape_collector_left_behind")+" > 0", "{{collector}} {{instance}}").none("no read hangs"),
	)
}

func (d *dashboard) healState() {
	d.line(6,
		timeline("Healing mode over time", "The mode that was in force. Without its state directory healing is off, whatever the configuration says.").
			query("max by (mode, instance) ("+on("resp_heal_mode")+") == 1", "{{mode}} {{instance}}").states("no", "text", "in force", "blue").none("no healing metrics"),
		timeline("Healing paused", "While healing is paused, alerts are accepted and no action runs. A pause of several hours was probably forgotten.").
			query(on("resp_heal_paused"), ofHost).states("not paused", "green", "paused", "orange").none("no healing metrics"),
		timeline("Suspended actions", "An action that failed too often is suspended for a while. It does not help in this case: find the cause.").
			query("max by (action) ("+on("resp_heal_breaker_open")+")", "{{action}}").states("ready", "green", "suspended", "red").none("no action is configured"),
		timeline("Rules that need a person, over time", "Red until the alert is resolved, or a later run for the same alert has helped.").
			query("max by (rule) ("+on("resp_heal_needs_human")+")", "{{rule}}").states("no", "green", "act now", "red").none("no rule has run"),
	)
}

func (d *dashboard) healNow() {
	d.line(8,
		graph("Runs in the queue", "Runs that wait in the queue. If the line does not return to zero within minutes, a run hangs, or there is a flood of alerts.", unitNumber).
			query(on("resp_heal_queue_length"), ofHost).none("no healing metrics"),
		graph("Plans that wait for approval", "Runs that wait until a person approves their plan, on the status page or through the API; each for at most ten minutes.", unitNumber).
			query(on("resp_heal_awaiting_approval"), "{{rule}} {{instance}}").none("no rule is configured"),
		table("Last success of each action", "When each action last ran and was verified, on any of the hosts.", unitPlain).
			now("max by (action) ("+on("resp_heal_last_success_timestamp_seconds")+") * 1000", "").
			arranged("Time", "Value", "last success").measured("last success", unitAgo).sized("last success", 145).none("no action was verified yet").columns(7),
		graph("Journal size", "Size of the journal, in which healing writes each decision before it acts. Old files are removed automatically; steady growth means that this does not work.", unitBytes).
			query(on("resp_heal_journal_bytes"), ofHost).none("no journal: no action can run"),
	)
}

func (d *dashboard) healAsked() {
	d.line(7,
		graph("Share of requests to shed", "Share of its requests that an app is asked to shed, by the action throttle; 0 if it follows a target instead. An app that sheds none has no line.", unitRatio).
			query(on("resp_heal_throttle_ratio"), "{{app}} {{instance}}").none("no app is asked to shed requests").columns(8),
		graph("Requests that were shed", "Requests that apps answered with 503 because of a throttle, by the priority of their route. Those of high priority are shed last.", unitNumber).
			query("sum by (app, priority, instance) ("+gain(on("resp_http_requests_shed_total"))+") > 0", "{{priority}} {{app}} {{instance}}").none("none was shed").columns(8),
		graph("Control files and keys that failed", "Control files of apps that could not be written or removed: while they fail, throttle, collect_garbage and others are unavailable. Keys that could not be written to the Redis of healing.control: workers on other hosts do not do what is asked.", unitNumber).
			query(gain(on("resp_heal_control_failures_total")), "files "+ofHost).query("sum by (instance) ("+gain(on("resp_heal_control_key_writes_total", `outcome="failed"`))+")", "keys "+ofHost).none("no healing metrics").columns(8),
	)
	d.line(5,
		graph("Temporary settings", "Temporary settings of actions that are in force, such as a worker more of scale_workers. GET /api/v1/runs has them as holds, with their time. One that stays up after its alert has ended is not set back.", unitNumber).
			query("sum by (action, instance) ("+on("resp_heal_holds")+")", "{{action}} {{instance}}").none("no action with a temporary setting is configured").columns(12),
		graph("Storm of the fleet", "Time until an action may begin again, after too few exporters of the fleet were healthy. Each exporter knows of a storm when it last requested an action. Blocked by a guard has what was stopped, as fleet.", unitSeconds).
			query(on("resp_heal_storm_seconds"), ofHost).none("no coordination is configured").columns(12),
	)
}

func (d *dashboard) healRelay() {
	const none = "no relay is configured"
	d.line(7,
		timeline("Relay reaches its Redis", "Whether the last call to the Redis of healing.relay succeeded. While it does not, alerts about other hosts are refused with 503, and Alertmanager sends them again.").
			query(on("resp_heal_relay_up"), "{{instance}}").states("not reached", "red", "reached", "green").none(none).columns(6),
		graph("Alerts about other hosts", "Alerts that this exporter received about other hosts, by what became of them. lost were not acknowledged within an hour; unregistered are about hosts without an exporter.", unitNumber).
			query("sum by (outcome, instance) ("+gain(on("resp_heal_relay_alerts_total"))+") > 0", "{{outcome}} {{instance}}").none("none relayed").columns(6),
		graph("Relayed alerts that wait", "Relayed alerts that the exporter of their host has not acknowledged yet. A line that stays up is a host whose exporter does not answer.", unitNumber).
			query(on("resp_heal_relay_waiting"), ofHost).none(none).columns(6),
		graph("Entries from other exporters", "Entries on the stream of this exporter, by what became of them. forged, stale and misaddressed are refused: another token, a wrong clock, or somebody else who writes to the Redis.", unitNumber).
			query("sum by (outcome, instance) ("+gain(on("resp_heal_relay_entries_total"))+") > 0", "{{outcome}} {{instance}}").none("none received").columns(6),
	)
}

func (d *dashboard) healRuns() {
	d.line(7,
		graph("Finished steps", "Steps of runs by action and result. verified means that it helped, step_failed and failed that it did not; cleared, refused and dry_run changed nothing.", unitNumber).
			query("sum by (action, result) ("+gain(on("resp_heal_runs_total"))+") > 0", "{{action}} {{result}}").stacked().
			shaded("verified$", "green").shaded("cleared$", "blue").shaded("dry_run$", "text").shaded("refused$", "orange").shaded("failed$", "red").none("none counted").columns(8),
		table("Steps in the time range", "How often each rule acted, and with which result. If the same rule is verified again and again, the cause is still there.", unitNumber).
			now("sum by (rule, action, result, instance) (increase("+on("resp_heal_runs_total")+"[$__range])) > 0", "").
			arranged("Time", "Value", "steps").none("none counted").sized("action", 185).sized("rule", 105).sized("steps", 60).columns(11),
		graph("Blocked by a guard", "Alerts and runs that a guard blocked. cooldown and lease are normal; budget, fleet and breaker point to a larger problem.", unitNumber).
			query("sum by (guard) ("+gain(on("resp_heal_blocked_total"))+") > 0", "{{guard}}").stacked().none("nothing was blocked"),
	)
}

func (d *dashboard) healEffect() {
	gained := func(metric string) string { return "increase(" + on(metric) + "[$__range])" }
	// Without a run in the range a quantile is not a number, and is left out.
	quantile := func(q string) string {
		return "histogram_quantile(" + q + ", sum by (le, instance) (" + gained("resp_heal_run_duration_seconds_bucket") + ")) >= 0"
	}
	d.line(7,
		graph("Ended by actions", "Connections, queries, workers, sessions and processes on which an action ran. More than one incident explains means that the plan is too broad.", unitCount).
			query("sum by (action) ("+gain(on("resp_heal_victims_total"))+") > 0", "{{action}}").stacked().none("none counted"),
		table("Ended in the time range", "The same, in the time range.", unitCount).
			now("sum by (action) ("+gained("resp_heal_victims_total")+") > 0", "").arranged("Time", "Value", "ended").sized("ended", 75).none("none counted").columns(6),
		stat("Steps that acted", "Steps in the time range that ran an action, whatever the result.", unitNumber).
			figure("sum by (instance) ("+gained("resp_heal_run_duration_seconds_count")+")", ofHost).named().none("no healing metrics").columns(4),
		stat("Time from alert to end", "Time from the alert to the end of such a step: median and 95th percentile over the time range. Minutes mean a long queue, or a slow remedy.", unitSeconds).
			now(quantile("0.5"), "median "+ofHost).now(quantile("0.95"), "p95 "+ofHost).inTurn("blue", "blue").named().none("no step has acted").columns(6),
	)
}

func (d *dashboard) healAlerts() {
	d.line(7,
		graph("Alerts by decision", "Alerts received. queued means that a run was created; unmatched means that no rule matches; queue_full and unwritten were rejected and are sent again.", unitNumber).
			query("sum by (outcome) ("+gain(on("resp_heal_alerts_total"))+") > 0", "{{outcome}}").stacked().none("no alert received"),
		graph("Requests to the webhook", "Notifications of Alertmanager by status code of the response. Without any 202 no alert arrives; 401 is a wrong token, or an attack.", unitRequest).
			query("sum by (code, instance) ("+rate(on("resp_heal_webhook_requests_total"))+")", "{{code}} {{instance}}").none("no request"),
		stat("Truncated alerts", "Alerts that Alertmanager cut off its notifications in the time range, because of its setting max_alerts. Healing never received them.", unitNumber).
			faults("sum by (instance) (increase("+on("resp_heal_webhook_truncated_alerts_total")+"[$__range]))", ofHost, "orange").named().none("no healing metrics").columns(4),
	)
}

func (d *dashboard) exporterStatsD() {
	lost, taken := "sum by (instance) ("+rate(on("resp_statsd_packets_dropped_total"))+")", "sum by (instance) ("+rate(on("resp_statsd_packets_total"))+")"
	d.line(7,
		timeline("StatsD listeners", "Whether each configured address is open. Requests that are sent to a closed address are not counted.").
			query("min by (short) ("+shortened(on("resp_statsd_listening"), "listen")+")", "{{short}}").states("no", "red", "yes", "green").none("no StatsD address").columns(9),
		graph("StatsD lines", "Lines received per second. malformed means that a sender uses another protocol; over_limit means that there are too many routes.", unitRate).
			query("sum by (outcome, instance) ("+rate(on("resp_statsd_lines_total"))+")", "{{outcome}} {{instance}}").none("no StatsD address"),
		graph("StatsD datagrams lost", "Share of the datagrams that the kernel dropped because the socket's buffer was full. The request counts are too low by this share.", unitRatio).
			query(lost+" / ("+lost+" + "+taken+" > 0)", ofHost).atMost(1).none("no datagrams"),
		graph("StatsD receive buffer", "Size of the receive buffers that the kernel granted to the open sockets. If datagrams are lost, net.core.rmem_max limits it.", unitBytes).
			query(on("resp_statsd_receive_buffer_bytes"), ofHost).none("no StatsD address"),
	)
}

func (d *dashboard) exporterSampling() {
	d.line(6,
		graph("Sampling rate", "Samples per second of what the workers do, of the user whose workers are sampled least often. It falls by itself to stay within a hundredth of a core.", unitNumber).
			query(on("resp_waits_rate_hertz"), ofHost).none("not sampled"),
		graph("CPU of sampling", "CPU time of sampling and of reading stacks; 100 % is one core.", unitRatio).
			query(rate(on("resp_waits_cpu_seconds_total")), ofHost).upTo(0.01).none("not sampled"),
		graph("Stacks by outcome", "Stacks of Python per second, by outcome. torn ones changed while they were read, running ones could not be proven; unsupported and permission are interpreters that cannot be read; beyond are threads of processes with more than 512.", unitRate).
			query("sum by (outcome) ("+rate(on("resp_stacks_total"))+")", "{{outcome}}").stacked().none("not sampled"),
		graph("Size of the history", "Size of the samples of requests of the last hour, which are in the state directory, or in memory where that cannot be written. It is bounded by diagnosis.history.max_bytes.", unitBytes).
			query("sum by (instance) ("+on("resp_history_bytes")+")", ofHost).none("no history"),
	)
}

func (d *dashboard) exporterCost() {
	d.line(6,
		graph("Exporter CPU", "CPU time of the exporter; 100 % is one core. More than a few percent means a very short scrape interval, or a host with very many processes.", unitRatio).
			query(exporters(rate(on("process_cpu_seconds_total"))), ofHost).upTo(0.1),
		graph("Exporter memory", "Resident memory of the exporter, and its heap in use. Both stay level; a rise over days is a memory leak in the exporter.", unitBytes).
			query(exporters(on("process_resident_memory_bytes")), "resident "+ofHost).query(exporters(on("go_memstats_heap_inuse_bytes")), "heap "+ofHost),
		graph("Goroutines and files", "Goroutines and open files of the exporter. Both stay level; a rise together with abandoned reads means that something in the kernel hangs.", unitNumber).
			query(exporters(on("go_goroutines")), "goroutines "+ofHost).query(exporters(on("process_open_fds")), "files "+ofHost),
		table("Exporters", "Their versions, and when each last loaded its configuration.", unitPlain).
			now("max by (instance, version) ("+on("resp_exporter_build_info")+")", "").
			arranged("Time Value").columns(4),
		table("Configuration loaded", "When each exporter last loaded its configuration successfully.", unitPlain).
			now("max by (instance) ("+on("resp_config_last_reload_success_timestamp_seconds")+") * 1000", "").
			arranged("Time", "Value", "loaded").measured("loaded", unitAgo).sized("loaded", 115).columns(5),
	)
}

func (d *dashboard) exporterServer() {
	d.line(7,
		graph("Open connections", "Open connections to the HTTP server of each exporter, and their limit. At the limit the oldest idle ones are closed, and then new ones are refused.", unitNumber).
			query(on("resp_web_connections"), ofHost).query(on("resp_web_connections_limit"), "limit "+ofHost).dashedLike("^limit ", "red"),
		graph("Closed connections, by reason", "Connections that were closed because there were too many: idle, slow or refused. Many are a client that opens connections in a loop, or an attack.", unitNumber).
			query("sum by (reason, instance) ("+gain(on("resp_web_connections_closed_total"))+")", "{{reason}} {{instance}}"),
		graph("Refused and cut off", "Requests that were refused: for another host name, or more scrapes at once than are allowed. Responses that did not reach their client: slow, memory, too_large.", unitNumber).
			query("sum by (reason) ("+gain(on("resp_web_requests_refused_total"))+")", "refused: {{reason}}").
			query("sum by (reason) ("+gain(on("resp_web_responses_cut_total"))+")", "cut: {{reason}}"),
		graph("Faults of the history's files", "Faults of the files of the history in the state directory, by kind. Repeated faults are a disk that fails, or is full.", unitNumber).
			query("sum by (kind, instance) ("+gain(on("resp_history_faults_total"))+")", "{{kind}} {{instance}}").none("no state directory"),
	)
}
