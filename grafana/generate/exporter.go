package main

// exporters leaves of a selected metric the series of targets that were an
// exporter within a day: up, scrape_* and what every Go program has are there
// for other jobs too, and of a target that does not answer nothing else is.
func exporters(selected string) string {
	return selected + " and on (job, instance) last_over_time(" + on("resp_exporter_build_info") + "[1d])"
}

func itself() *dashboard {
	d := newDashboard("resp-exporter", "Responsiveness / Exporter and healing", "Can the exporter read its sources, and what did healing do?")
	d.exporterVerdict()
	d.row("Collectors")
	d.exporterSees()
	d.exporterScrapes()
	d.row("Healing: mode, pauses and approvals")
	d.healState()
	d.healNow()
	d.row("Healing: actions")
	d.healRuns()
	d.healEffect()
	d.row("Healing: alerts received")
	d.healAlerts()
	d.row("Request reports (StatsD)")
	d.exporterStatsD()
	d.row("Resources of the exporter")
	d.exporterCost()
	return d
}

func (d *dashboard) exporterVerdict() {
	d.line(4,
		stat("Does it answer?", "Whether Prometheus can scrape each exporter. If it cannot, nothing is known about the apps on that host.", unitPlain).
			now(exporters(on("up")), ofHost).states("down", "red", "up", "green").named().none("no exporter within a day"),
		stat("Configuration", "Whether the last load of the configuration succeeded. If it was rejected, the old one stays in force.", unitPlain).
			now(on("resp_config_last_reload_successful"), ofHost).states("refused", "orange", "in force", "green").named(),
		stat("Healing mode", "The mode in force: enforce runs actions, dry_run only plans, off does nothing.", unitPlain).
			now("max by (mode, instance) ("+on("resp_heal_mode")+") == 1", "{{mode}} {{instance}}").onlyNames().none("no healing metrics"),
		stat("Needs a person", "Healing rules that have run all their steps, or must not continue, while the alert still fires.", unitPlain).
			now(on("resp_heal_needs_human")+" == 1", "{{rule}} {{instance}}").states("no", "green", "look", "red").named().none("no rule"),
		table("Not seen", "Collectors that cannot read all their sources, with the reason. Run `resp-exporter doctor` on the host for the remedy of each.", unitPlain).
			now("min by (collector, reason, instance) ("+on("resp_collector_available", `reason!="disabled"`)+") == 0", "").
			arranged("Time Value").none("nothing is missing").columns(8),
	)
}

func (d *dashboard) exporterSees() {
	d.line(8,
		timeline("Availability of collectors", "Orange means that values are missing on the other dashboards, completely or in part. Collectors that are switched off are not listed.").
			query("min by (collector, instance) ("+on("resp_collector_available", `reason!="disabled"`)+")", "{{collector}} {{instance}}").states("incomplete", "orange", "all", "green"),
		timeline("Success of collector reads", "A failed read returned nothing: an error or a timeout, not a missing permission.").
			query(on("resp_scrape_collector_success"), "{{collector}} {{instance}}").states("failed", "red", "worked", "green"),
		graph("Series dropped by limits", "Values beyond a limit on the number of series, by the series that they would have belonged to. They are counted under \"other\", or not at all: too many routes, workers or queues.", unitNumber).
			query("sum by (family, instance) ("+gain(on("resp_series_dropped_total"))+") > 0", "{{family}} {{instance}}").none("nothing was dropped"),
	)
}

func (d *dashboard) exporterScrapes() {
	d.line(7,
		graph("Scrape duration", "How long Prometheus waits for each exporter. Beyond its scrape_timeout, 10 s by default, the scrape is lost.", unitSeconds).
			query(exporters(on("scrape_duration_seconds")), ofHost),
		graph("Collector duration", "Duration of each collector's read. Collectors run in parallel, so the slowest one determines the scrape. Check this when a scrape is slow.", unitSeconds).
			query("max by (collector, instance) ("+on("resp_scrape_collector_duration_seconds")+")", "{{collector}} {{instance}}").listed("lastNotNull", "max").columns(9),
		graph("Samples per scrape", "Number of values in each scrape. A step down is a collector that can no longer read; a rise is a label with more and more values.", unitNumber).
			query(exporters(on("scrape_samples_scraped")), ofHost),
		graph("Abandoned reads", "Reads that hang in the kernel, for example on a dead network file system, and were abandoned. While a collector has two of them, it starts no new read.", unitNumber).
			query(on("resp_scrape_collector_left_behind")+" > 0", "{{collector}} {{instance}}").none("no read hangs"),
	)
}

func (d *dashboard) healState() {
	d.line(6,
		timeline("Mode", "The mode that was in force. Without its state directory healing is off, whatever the configuration says.").
			query("max by (mode, instance) ("+on("resp_heal_mode")+") == 1", "{{mode}} {{instance}}").states("no", "text", "in force", "blue").none("no healing metrics"),
		timeline("Paused by a person", "While healing is paused, alerts are accepted and no action runs. A pause of several hours was probably forgotten.").
			query(on("resp_heal_paused"), ofHost).states("not paused", "green", "paused", "orange").none("no healing metrics"),
		timeline("Suspended actions", "An action that failed too often is suspended for a while. It does not help in this case: find the cause.").
			query(on("resp_heal_breaker_open"), "{{action}} {{instance}}").states("ready", "green", "rests", "red").none("no action is configured"),
		timeline("Rules that call for a person", "Red until the alert is resolved, or a later run of the rule has helped.").
			query(on("resp_heal_needs_human"), "{{rule}} {{instance}}").states("no", "green", "look", "red").none("no rule has run"),
	)
}

func (d *dashboard) healNow() {
	d.line(6,
		graph("Runs in the queue", "Runs that wait in the queue. If the line does not return to zero within minutes, a run hangs, or there is a flood of alerts.", unitNumber).
			query(on("resp_heal_queue_length"), ofHost).none("no healing metrics"),
		graph("Plans that wait for approval", "Runs that wait until a person approves their plan, on the status page or through the API; each for at most ten minutes.", unitNumber).
			query(on("resp_heal_awaiting_approval"), "{{rule}} {{instance}}").none("no rule is configured"),
		table("Last success of each action", "When each action last ran and was verified.", unitAgo).
			now("max by (action, instance) ("+on("resp_heal_last_success_timestamp_seconds")+") * 1000", "").
			arranged("Time", "Value", "last helped").none("no action was verified yet"),
		graph("Journal", "Size of the journal, in which healing writes each decision before it acts. Old files are removed automatically; steady growth means that this does not work.", unitBytes).
			query(on("resp_heal_journal_bytes"), ofHost).none("no journal: no action can run"),
	)
}

func (d *dashboard) healRuns() {
	d.line(7,
		graph("Finished steps", "Steps of runs by action and result. verified means that it helped, step_failed and failed that it did not; cleared, refused and dry_run changed nothing.", unitNumber).
			query("sum by (action, result) ("+gain(on("resp_heal_runs_total"))+") > 0", "{{action}} {{result}}").stacked().none("none counted"),
		table("Steps in the time range", "How often each rule acted, and with which result. If the same rule is verified again and again, the cause is still there.", unitNumber).
			now("sum by (rule, action, result, instance) (increase("+on("resp_heal_runs_total")+"[$__range])) > 0", "").
			arranged("Time", "Value", "steps").none("none counted").columns(10),
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
	d.line(6,
		graph("Victims", "Connections, queries, workers, sessions and processes on which an action ran. More than one incident explains means that the plan is too broad.", unitNumber).
			query("sum by (action, instance) ("+gain(on("resp_heal_victims_total"))+") > 0", "{{action}} {{instance}}").stacked().none("none counted"),
		stat("Victims in the time range", "The same, in the time range.", unitNumber).
			now("sum by (action, instance) ("+gained("resp_heal_victims_total")+") > 0", "{{action}} {{instance}}").named().none("none counted").columns(5),
		stat("Steps that acted", "Steps in the time range that ran an action, whatever the result.", unitNumber).
			now("sum by (instance) ("+gained("resp_heal_run_duration_seconds_count")+")", ofHost).named().none("no healing metrics").columns(4),
		stat("Time from alert to end", "Time from the alert to the end of such a step: median and 95th percentile over the time range. Minutes mean a long queue, or a slow remedy.", unitSeconds).
			now(quantile("0.5"), "median "+ofHost).now(quantile("0.95"), "p95 "+ofHost).named().none("no step has acted").columns(6),
	)
}

func (d *dashboard) healAlerts() {
	d.line(7,
		graph("Alerts by decision", "Alerts received. queued means that a run was created; unmatched means that no rule matches; queue_full and unwritten were rejected and are sent again.", unitNumber).
			query("sum by (outcome) ("+gain(on("resp_heal_alerts_total"))+") > 0", "{{outcome}}").stacked().none("no alert received"),
		graph("Requests to the webhook", "Notifications of Alertmanager by status code of the response. Without any 202 no alert arrives; 401 is a wrong token, or an attack.", unitRequest).
			query("sum by (code, instance) ("+rate(on("resp_heal_webhook_requests_total"))+")", "{{code}} {{instance}}").none("no request"),
		stat("Alerts truncated by Alertmanager", "Alerts that Alertmanager cut off its notifications in the time range, because of its setting max_alerts. Healing never received them.", unitNumber).
			now("sum by (instance) (increase("+on("resp_heal_webhook_truncated_alerts_total")+"[$__range]))", ofHost).named().none("no healing metrics").columns(4),
	)
}

func (d *dashboard) exporterStatsD() {
	lost, taken := "sum by (instance) ("+rate(on("resp_statsd_packets_dropped_total"))+")", "sum by (instance) ("+rate(on("resp_statsd_packets_total"))+")"
	d.line(7,
		timeline("StatsD listeners", "Whether each configured address is open. Requests that are sent to a closed address are not counted.").
			query(on("resp_statsd_listening"), "{{listen}} {{instance}}").states("no", "red", "yes", "green").none("no StatsD address"),
		graph("Lines", "Lines received per second. malformed means that a sender uses another protocol; over_limit means that there are too many routes.", unitRate).
			query("sum by (outcome, instance) ("+rate(on("resp_statsd_lines_total"))+")", "{{outcome}} {{instance}}").none("no StatsD address"),
		graph("Lost datagrams", "Share of the datagrams that the kernel dropped because the socket's buffer was full. The request counts are too low by this share.", unitRatio).
			query(lost+" / ("+lost+" + "+taken+" > 0)", ofHost).atMost(1).none("no datagrams"),
		graph("Receive buffer", "Size of the receive buffers that the kernel granted to the open sockets. If datagrams are lost, net.core.rmem_max limits it.", unitBytes).
			query(on("resp_statsd_receive_buffer_bytes"), ofHost).none("no StatsD address"),
	)
}

func (d *dashboard) exporterCost() {
	d.line(6,
		graph("CPU", "CPU time of the exporter; 100 % is one core. More than a few percent means a very short scrape interval, or a host with very many processes.", unitRatio).
			query(exporters(rate(on("process_cpu_seconds_total"))), ofHost),
		graph("Memory", "Resident memory of the exporter, and its heap in use. Both stay level; a rise over days is a memory leak in the exporter.", unitBytes).
			query(exporters(on("process_resident_memory_bytes")), "resident "+ofHost).query(exporters(on("go_memstats_heap_inuse_bytes")), "heap "+ofHost),
		graph("Goroutines and files", "Goroutines and open files of the exporter. Both stay level; a rise together with abandoned reads means that something in the kernel hangs.", unitNumber).
			query(exporters(on("go_goroutines")), "goroutines "+ofHost).query(exporters(on("process_open_fds")), "files "+ofHost),
		table("Exporters", "Their versions, and when each last loaded its configuration.", unitPlain).
			now("max by (instance, version) ("+on("resp_exporter_build_info")+")", "").
			arranged("Time Value").columns(4),
		table("Configuration loaded", "When each exporter last loaded its configuration successfully.", unitAgo).
			now("max by (instance) ("+on("resp_config_last_reload_success_timestamp_seconds")+") * 1000", "").
			arranged("Time", "Value", "taken").columns(5),
	)
}
