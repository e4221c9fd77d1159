package main

func fleet() *dashboard {
	d := newDashboard("resp-fleet", "Responsiveness / Fleet", "Which hosts and apps need attention, and which are not seen?", varApp())
	d.fleetNumbers()
	d.row("Worst first")
	d.fleetApps()
	d.row("What holds apps up, and what fires")
	d.fleetCauses()
	d.row("Exporters")
	d.fleetExporters()
	d.row("Actions across hosts")
	d.fleetActions()
	return d
}

// verdicts returns the selector of the verdict on each app of each host.
func verdicts() string { return of("resp_health_status", `component="overall"`) }

func (d *dashboard) fleetNumbers() {
	count := func(title, description, expr, paint string) *panel {
		return stat(title, description, unitNumber).now(expr, title).painted(title, asText(paint)).none("0")
	}
	d.line(3,
		count("Apps critical", "Apps, one per host, whose verdict is critical.", "count("+verdicts()+" == 2)", "red"),
		count("Apps with a warning", "Apps, one per host, whose verdict is a warning.", "count("+verdicts()+" == 1)", "orange"),
		count("Apps healthy", "Apps, one per host, whose verdict is healthy.", "count("+verdicts()+" == 0)", "green"),
		count("Apps not seen", "Apps that were seen in the last hour and are not any more: their exporter does not answer.", "count(("+seen("app, instance", verdicts())+") == -1)", "purple"),
		count("Exporters down", "Exporters that Prometheus cannot scrape.", "count("+exporters(on("up")+" == 0")+")", "red"),
		count("Need a person", "Healing rules that have run all their steps while the alert still fires.", "count("+on("resp_heal_needs_human")+" == 1)", "red"),
	)
}

func (d *dashboard) fleetApps() {
	p := table("Apps that are not healthy", "The twenty apps with the worst verdict, and those that are not seen: 95th percentile, error ratio, wait of a new client and busy workers beside it. The host leads to its overview.", unitPlain)
	bad := "(" + seen("app, instance", verdicts()) + ") != 0"
	with := func(expr string) string { return "(" + expr + ") and on (app, instance) (" + bad + ")" }
	requests := "sum by (app, instance) (" + rate(of("resp_http_requests_total")) + ")"
	p.now("topk(20, "+bad+")", "").
		now(with(quantile("0.95", "app, instance")+" >= 0"), "").
		now(with(failed("app, instance")+" / ("+requests+" > 0)"), "").
		now(with("max by (app, instance) ("+of("resp_app_queue_wait_seconds")+")"), "").
		now(with("max by (app, instance) ("+of("resp_app_utilization_ratio")+")"), "").
		merged().arranged("Time", "Value #A", "verdict", "Value #B", "p95", "Value #C", "errors", "Value #D", "wait", "Value #E", "busy").
		measured("p95", unitSeconds).measured("errors", unitRatio).measured("wait", unitSeconds).measured("busy", unitRatio).
		none("every app is healthy")
	levels := map[string]shown{
		"-1": {Text: "not seen", Color: asState("purple")}, "0": {Text: "healthy", Color: asState("green"), Index: 1},
		"1": {Text: "warning", Color: asState("orange"), Index: 2}, "2": {Text: "critical", Color: asState("red"), Index: 3},
	}
	p.override("verdict", property{"mappings", []mapping{{Type: "value", Options: levels}}}, property{"custom.cellOptions", map[string]string{"type": "color-background", "mode": "basic"}}, property{"custom.width", 90})
	for _, column := range []string{"app", "p95", "errors", "wait", "busy"} {
		p.override(column, property{"noValue", "–"})
	}
	p.override("instance", property{"links", []panelLink{{Title: "Overview of this host", URL: "/d/resp-overview?${__url_time_range}&var-datasource=${datasource}&var-instance=${__value.raw}"}}})
	p.Options.(map[string]any)["sortBy"] = []map[string]any{{"displayName": "verdict", "desc": true}}
	d.line(9,
		p.columns(14),
		timeline("Verdicts over time", "The verdict of the twenty worst apps of the range, one line per app and host.").
			query("topk(20, max by (app, instance) ("+verdicts()+") > 0)", "{{app}} {{instance}}").health().none("every app is healthy").to("resp-overview", "Overview"),
	)
}

func (d *dashboard) fleetCauses() {
	d.line(8,
		graph("Apps held up, by cause", "Number of apps that are held up, by cause. One cause on many hosts at once is one fault that they share: a database, a Redis, another service.", unitNumber).
			query("count by (cause) ("+of("resp_bottleneck")+" == 1)", "{{cause}}").stacked().shaded(".", "red").none("no app is seen held up").columns(8),
		firing(selector("", ofComponents)).columns(16).to("resp-exporter", "The exporter and its healing"),
	)
}

func (d *dashboard) fleetExporters() {
	d.line(7,
		table("Exporters that do not answer", "Exporters of the last day that Prometheus cannot scrape now. Nothing is known about the apps of these hosts.", unitPlain).
			now(exporters(on("up")+" == 0"), "").arranged("Time Value").none("all answer"),
		table("Versions", "Number of exporters of each version.", unitNumber).
			now("count by (version) ("+on("resp_exporter_build_info")+")", "").arranged("Time", "Value", "exporters").none("no exporter"),
		table("Missing data, by reason", "Number of exporters whose collectors cannot read all their sources, by reason.", unitNumber).
			now("count by (collector, reason) ("+on("resp_collector_available", `reason!="disabled"`)+" == 0)", "").arranged("Time", "Value", "exporters").none("nothing is reported missing").to("resp-exporter", "The exporter and its healing"),
		graph("Apps", "Number of apps that are watched, and the number of hosts.", unitNumber).
			query("count("+verdicts()+")", "apps").query("count("+on("resp_exporter_build_info")+")", "hosts"),
	)
}

func (d *dashboard) fleetActions() {
	d.line(7,
		graph("Finished steps of all hosts", "Steps of healing runs by result. Many at once on many hosts are a fault that they share.", unitNumber).
			query("sum by (result) ("+gain(on("resp_heal_runs_total"))+") > 0", "{{result}}").stacked().
			painted("verified", "green").painted("step_failed", "red").painted("failed", "red").painted("refused", "orange").none("none counted"),
		table("Steps by rule in the range", "The twenty rules with most steps on all hosts, by result.", unitNumber).sized("action", 185).
			now("topk(20, sum by (rule, action, result) (increase("+on("resp_heal_runs_total")+"[$__range])) > 0)", "").arranged("Time", "Value", "steps").none("none counted").columns(10),
		table("Hosts with most actions", "The twenty hosts on which healing acted most in the range.", unitNumber).
			now("topk(20, sum by (instance) (increase("+on("resp_heal_run_duration_seconds_count")+"[$__range])) > 0)", "").arranged("Time", "Value", "steps").none("none counted"),
	)
}
