package main

// exporters leaves of a selected metric the series of targets that were an
// exporter within a day: up, scrape_* and what every Go program has are there
// for other jobs too, and of a target that does not answer nothing else is.
func exporters(selected string) string {
	return selected + " and on (job, instance) last_over_time(" + on("resp_exporter_build_info") + "[1d])"
}

func itself() *dashboard {
	d := newDashboard("resp-exporter", "Responsiveness / Exporter and healing", "Does the exporter see, and what did healing do?")
	d.exporterVerdict()
	d.row("What it sees")
	d.exporterSees()
	d.exporterScrapes()
	d.row("Healing: may it act, and does it wait for a person?")
	d.healState()
	d.healNow()
	d.row("Healing: what was done")
	d.healRuns()
	d.healEffect()
	d.row("Healing: what came in")
	d.healAlerts()
	d.row("Reports of requests (StatsD)")
	d.exporterStatsD()
	d.row("What the exporter itself takes")
	d.exporterCost()
	return d
}

func (d *dashboard) exporterVerdict() {
	d.line(4,
		stat("Does it answer?", "Whether Prometheus gets an answer from each exporter. While it gets none, nothing is known of the apps there.", unitPlain).
			now(exporters(on("up")), ofHost).states("down", "red", "up", "green").named().none("no exporter within a day"),
		stat("Its configuration", "Whether the last load of the configuration worked. A refused one leaves the old one in force.", unitPlain).
			now(on("resp_config_last_reload_successful"), ofHost).states("refused", "orange", "in force", "green").named(),
		stat("Mode of healing", "Which mode is in force: enforce acts, dry_run only plans, off does nothing.", unitPlain).
			now("max by (mode, instance) ("+on("resp_heal_mode")+") == 1", "{{mode}} {{instance}}").onlyNames().none("healing is not seen"),
		stat("Needs a person", "Rules of healing that tried all their steps, or may not go on; what they shall heal is still ill.", unitPlain).
			now(on("resp_heal_needs_human")+" == 1", "{{rule}} {{instance}}").states("no", "green", "look", "red").named().none("nobody is called"),
		table("Not seen", "Collectors that do not give all they should, and why. `resp-exporter doctor` on the host names the cure of each.", unitPlain).
			now("min by (collector, reason, instance) ("+on("resp_collector_available", `reason!="disabled"`)+") == 0", "").
			arranged("Time Value").none("all is seen").columns(8),
	)
}

func (d *dashboard) exporterSees() {
	d.line(8,
		timeline("Does each collector see all it should?", "Over time: what is orange is missing on the other dashboards, in whole or in part. A collector that is switched off is left out.").
			query("min by (collector, instance) ("+on("resp_collector_available", `reason!="disabled"`)+")", "{{collector}} {{instance}}").states("not all", "orange", "all", "green"),
		timeline("Did each read work?", "A read that failed gave nothing at all: a fault or a time that ran out, not a right that is missing.").
			query(on("resp_scrape_collector_success"), "{{collector}} {{instance}}").states("failed", "red", "worked", "green"),
		graph("Events without a series of their own", "What a bound on the number of series kept apart, by what it would have been part of. It is counted under other, or not at all: too many routes, workers or queues.", unitNumber).
			query("sum by (family, instance) ("+gain(on("resp_series_dropped_total"))+") > 0", "{{family}} {{instance}}").none("nothing was dropped"),
	)
}

func (d *dashboard) exporterScrapes() {
	d.line(7,
		graph("Time of a scrape", "How long Prometheus waits for each exporter. Beyond its scrape_timeout, 10 s by default, it takes nothing.", unitSeconds).
			query(exporters(on("scrape_duration_seconds")), ofHost),
		graph("Time of each collector", "How long each read took; they run side by side, so that the slowest one makes the scrape. Look here when a scrape is slow.", unitSeconds).
			query("max by (collector, instance) ("+on("resp_scrape_collector_duration_seconds")+")", "{{collector}} {{instance}}").listed("lastNotNull", "max").columns(9),
		graph("Samples of a scrape", "How many values each scrape gives. A step down is a collector that no longer sees; one that climbs is a label that grows.", unitNumber).
			query(exporters(on("scrape_samples_scraped")), ofHost),
		graph("Reads left behind", "Reads that hang in the kernel, a dead network file system for example, and were given up. At two of a collector none is begun any more.", unitNumber).
			query(on("resp_scrape_collector_left_behind")+" > 0", "{{collector}} {{instance}}").none("no read hangs"),
	)
}

func (d *dashboard) healState() {
	d.line(6,
		timeline("Mode", "Which mode was in force. Without its state directory healing is off, whatever is configured.").
			query("max by (mode, instance) ("+on("resp_heal_mode")+") == 1", "{{mode}} {{instance}}").states("no", "text", "in force", "blue").none("healing is not seen"),
		timeline("Paused by a person", "While healing is paused alerts are taken and nothing is done. A pause of hours is mostly a forgotten one.").
			query(on("resp_heal_paused"), ofHost).states("not paused", "green", "paused", "orange").none("healing is not seen"),
		timeline("Actions that rest", "An action that failed too often is not run for a while. What it did does not help here: look at the cause.").
			query(on("resp_heal_breaker_open"), "{{action}} {{instance}}").states("ready", "green", "rests", "red").none("no action is configured"),
		timeline("Rules that call for a person", "Red until the alert is resolved, or a later run of the rule helped.").
			query(on("resp_heal_needs_human"), "{{rule}} {{instance}}").states("no", "green", "look", "red").none("no rule has run"),
	)
}

func (d *dashboard) healNow() {
	d.line(6,
		graph("Runs that wait", "Runs that wait to begin. A line that does not come back to zero within minutes is a run that hangs, or a storm of alerts.", unitNumber).
			query(on("resp_heal_queue_length"), ofHost).none("healing is not seen"),
		table("When an action last helped", "The last time that each action was applied and seen to have helped.", unitAgo).
			now("max by (action, instance) ("+on("resp_heal_last_success_timestamp_seconds")+") * 1000", "").
			arranged("Time", "Value", "last helped").none("none has helped yet"),
		graph("Journal", "Size of the files in which healing writes what it decides before it acts. It is cut by itself; growth without end means that it cannot be.", unitBytes).
			query(on("resp_heal_journal_bytes"), ofHost).none("no journal: nothing may be done"),
	)
}

func (d *dashboard) healRuns() {
	d.line(7,
		graph("Steps that ended", "Steps of runs by action and how they ended. verified helped, step_failed and failed did not; cleared, refused and dry_run touched nothing.", unitNumber).
			query("sum by (action, result) ("+gain(on("resp_heal_runs_total"))+") > 0", "{{action}} {{result}}").stacked().none("none counted"),
		table("Steps in the time range", "How often each rule acted, and how that ended. The same rule verified again and again means that the cause is still there.", unitNumber).
			now("sum by (rule, action, result, instance) (increase("+on("resp_heal_runs_total")+"[$__range])) > 0", "").
			arranged("Time", "Value", "steps").none("none counted").columns(10),
		graph("Held back by a guard", "Alerts and runs that a guard kept from acting. cooldown and lease are as it should be; budget, fleet and breaker say that something larger is wrong.", unitNumber).
			query("sum by (guard) ("+gain(on("resp_heal_blocked_total"))+") > 0", "{{guard}}").stacked().none("nothing was held back"),
	)
}

func (d *dashboard) healEffect() {
	gained := func(metric string) string { return "increase(" + on(metric) + "[$__range])" }
	// Without a run in the range a quantile is not a number, and is left out.
	quantile := func(q string) string {
		return "histogram_quantile(" + q + ", sum by (le, instance) (" + gained("resp_heal_run_duration_seconds_bucket") + ")) >= 0"
	}
	d.line(6,
		graph("What was touched", "Connections, queries, workers, sessions and processes that an action was applied to. A number beyond what one incident explains is a plan that is too wide.", unitNumber).
			query("sum by (action, instance) ("+gain(on("resp_heal_victims_total"))+") > 0", "{{action}} {{instance}}").stacked().none("none counted"),
		stat("Touched", "The same, in the time range.", unitNumber).
			now("sum by (action, instance) ("+gained("resp_heal_victims_total")+") > 0", "{{action}} {{instance}}").named().none("none counted").columns(5),
		stat("Steps that acted", "Steps in the time range that did something, whatever came of it.", unitNumber).
			now("sum by (instance) ("+gained("resp_heal_run_duration_seconds_count")+")", ofHost).named().none("healing is not seen").columns(4),
		stat("From alert to end", "How long it took from the alert to the end of such a step: median and 95th percentile over the time range. Minutes are a queue that is long, or a cure that is slow.", unitSeconds).
			now(quantile("0.5"), "median "+ofHost).now(quantile("0.95"), "p95 "+ofHost).named().none("no step has acted").columns(6),
	)
}

func (d *dashboard) healAlerts() {
	d.line(7,
		graph("Alerts by what was decided", "Alerts received; queued began a run. unmatched has no rule; queue_full and unwritten were refused and come again.", unitNumber).
			query("sum by (outcome) ("+gain(on("resp_heal_alerts_total"))+") > 0", "{{outcome}}").stacked().none("no alert came"),
		graph("Requests to the webhook", "Notifications of Alertmanager by the status code of the answer. Without any 202 no alert arrives; 401 is a wrong token, or somebody who tries.", unitRequest).
			query("sum by (code, instance) ("+rate(on("resp_heal_webhook_requests_total"))+")", "{{code}} {{instance}}").none("no request came"),
		stat("Left out by Alertmanager", "Alerts that it cut off its notifications in the time range, by its setting max_alerts. Healing never heard of them.", unitNumber).
			now("sum by (instance) (increase("+on("resp_heal_webhook_truncated_alerts_total")+"[$__range]))", ofHost).named().none("healing is not seen").columns(4),
	)
}

func (d *dashboard) exporterStatsD() {
	lost, taken := "sum by (instance) ("+rate(on("resp_statsd_packets_dropped_total"))+")", "sum by (instance) ("+rate(on("resp_statsd_packets_total"))+")"
	d.line(7,
		timeline("Is it listened?", "Whether each configured address is open. Of a closed one no request is counted.").
			query(on("resp_statsd_listening"), "{{listen}} {{instance}}").states("no", "red", "yes", "green").none("no StatsD address"),
		graph("Lines", "Reported lines a second. malformed is a sender that speaks something else; over_limit has too many routes to be told apart.", unitRate).
			query("sum by (outcome, instance) ("+rate(on("resp_statsd_lines_total"))+")", "{{outcome}} {{instance}}").none("no StatsD address"),
		graph("Lost datagrams", "Share of the datagrams that the kernel dropped, as the socket's buffer was full. Requests are counted too low by as much.", unitRatio).
			query(lost+" / ("+lost+" + "+taken+" > 0)", ofHost).atMost(1).none("no datagram came"),
		graph("Receive buffer", "What the kernel granted to the open sockets for datagrams that were not read yet. Where some are lost, net.core.rmem_max is what bounds it.", unitBytes).
			query(on("resp_statsd_receive_buffer_bytes"), ofHost).none("no StatsD address"),
	)
}

func (d *dashboard) exporterCost() {
	d.line(6,
		graph("CPU", "CPU time of the exporter; 100 % is one core. More than a few percent is a scrape interval that is too short, or a host with very many processes.", unitRatio).
			query(exporters(rate(on("process_cpu_seconds_total"))), ofHost),
		graph("Memory", "Resident memory of the exporter, and the part that is its heap in use. It stays level; what climbs for days is a leak of the exporter.", unitBytes).
			query(exporters(on("process_resident_memory_bytes")), "resident "+ofHost).query(exporters(on("go_memstats_heap_inuse_bytes")), "heap "+ofHost),
		graph("Goroutines and files", "What the exporter has open. Both are level; a climb together with reads left behind is something that hangs below it.", unitNumber).
			query(exporters(on("go_goroutines")), "goroutines "+ofHost).query(exporters(on("process_open_fds")), "files "+ofHost),
		table("Exporters", "Their versions, and when each last took its configuration.", unitPlain).
			now("max by (instance, version) ("+on("resp_exporter_build_info")+")", "").
			arranged("Time Value").columns(4),
		table("Configuration taken", "When each exporter last loaded its configuration without a fault.", unitAgo).
			now("max by (instance) ("+on("resp_config_last_reload_success_timestamp_seconds")+") * 1000", "").
			arranged("Time", "Value", "taken").columns(5),
	)
}
