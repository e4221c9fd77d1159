package main

import "fmt"

// Legends of what each host, each file system and each app has.
const (
	ofHost  = "{{instance}}"
	ofMount = "{{mountpoint}} {{instance}}"
	ofApp   = "{{app}} {{instance}}"
)

func host() *dashboard {
	d := newDashboard("resp-host", "Responsiveness / Host", "Does the host run out of a resource?")
	d.hostVerdict()
	d.hostNumbers()
	d.row("CPU")
	d.hostCPU()
	d.row("Memory")
	d.hostMemory()
	d.row("Disks")
	d.hostDisks()
	d.row("Use by each app")
	d.hostApps()
	d.row("Interventions of the kernel")
	d.hostForce()
	return d
}

// waiting returns the query of the share of time in which some, or all (full), runnable
// tasks of the host waited for a resource.
func waiting(resource, kind string) string {
	return rate(on("resp_pressure_waiting_seconds_total", fmt.Sprintf("resource=%q", resource), fmt.Sprintf("kind=%q", kind)))
}

// ahead returns the query of the forecast usage of file systems, from the last six hours,
// at most 1.5: a file that is created now does not mean 1000 %. It has no value with less
// than an hour of samples, because minutes do not predict a day.
func ahead(seconds int) string {
	used := on("resp_disk_usage_ratio")
	return fmt.Sprintf("clamp(predict_linear(%s[6h], %d), 0, 1.5) and %[1]s and count_over_time(%[1]s[5h] offset 1h) > 0", used, seconds)
}

const noForecast = "no forecast yet: it needs an hour of samples"

const hour = 60 * 60

func (d *dashboard) hostVerdict() {
	d.line(4,
		stat("Host verdict", "The exporter's verdict about each host: the worst level of its memory, CPU and disks.", unitPlain).
			now(seen("instance", on("resp_health_status", `app=""`, `component=~"memory|cpu|disk"`)), ofHost).health().named().columns(6),
		timeline("Levels of memory, CPU and disks", "The levels of memory, CPU and disks over time. If an app changed after one of them, it is a victim or the cause; the rows below show the use by each app.").
			query(on("resp_health_status", `app=""`, `component=~"memory|cpu|disk"`), "{{component}} {{instance}}").health().to("resp-overview", "Overview"),
		stat("Full within a day", "File systems that are more than 60 % full and, at the rate of the last six hours, completely full within a day: their predicted use. A forecast needs an hour of samples.", unitRatio).
			now("("+ahead(24*hour)+") > 1 and "+on("resp_disk_usage_ratio")+" > 0.6", ofMount).inTurn("red").named().none("none is expected").columns(6),
	)
}

func (d *dashboard) hostNumbers() {
	d.line(3,
		stat("CPU", "The host with the highest CPU use in the last minute.", unitRatio).
			judgedOn(worst(on("resp_host_cpu_usage_ratio")), ofHost, ">=", "cpu").named(),
		stat("CPU pressure", "The host where tasks waited longest for a CPU: share of the time of the last minutes. Orange above 60 %.", unitRatio).
			beyond(worst(waiting("cpu", "some")), ofHost, "> 0.6", "orange").named().rounded().none("no pressure data"),
		stat("Memory", "The host with the largest share of its memory in use.", unitRatio).
			judgedOn(worst(on("resp_host_memory_usage_ratio")), ofHost, ">=", "memory").named(),
	)
	d.line(3,
		stat("Memory pressure", "The host where tasks waited longest for memory. A value that stays above 0 means that memory is short, even if some is free. Orange above 10 %.", unitRatio).
			beyond(worst(waiting("memory", "some")), ofHost, "> 0.1", "orange").named().rounded().none("no pressure data"),
		stat("Fullest disk", "The file system with the largest share of its space used.", unitRatio).
			judgedOn(worst(on("resp_disk_usage_ratio")), ofMount, ">=", "disk").named(),
		stat("Disk pressure", "The host where tasks waited longest for reads and writes.", unitRatio).
			figure(worst(waiting("io", "some")), ofHost).named().rounded().none("no pressure data"),
	)
}

func (d *dashboard) hostCPU() {
	d.line(7,
		graph("CPU in use", "CPU time that was not idle, over a minute. A high value alone is not a fault. It is one if tasks wait at the same time (next panel).", unitRatio).
			query(on("resp_host_cpu_usage_ratio"), ofHost).atMost(1).limits("cpu"),
		graph("CPU pressure (waiting tasks)", "Share of the time in which at least one task was ready to run and waited for a CPU. Above 60 % with busy CPUs, the host is too small for its load.", unitRatio).
			query(waiting("cpu", "some"), ofHost).atMost(1).none("no pressure data"),
		graph("CPU of the apps", "CPU of each app, as a share of its control group's quota or of all cores. An app close to 1 while CPUs are idle is throttled by its quota.", unitRatio).
			query(on("resp_app_cpu_usage_ratio"), ofApp).limits("cpu").to("resp-app", "The app in detail"),
	)
}

func (d *dashboard) hostMemory() {
	d.line(7,
		graph("Memory in use", "Share of memory that is not available to new allocations. The kernel's reclaimable caches count as available.", unitRatio).
			query(on("resp_host_memory_usage_ratio"), ofHost).atMost(1).limits("memory"),
		graph("Memory pressure (waiting tasks)", "Share of the time in which some, or all, tasks waited for memory: for swap, or for pages that were evicted a moment ago. Above 10 % everything on the host is slow.", unitRatio).
			query(waiting("memory", "some"), "some "+ofHost).query(waiting("memory", "full"), "all "+ofHost).atMost(1).none("no pressure data"),
		graph("Memory of the apps", "Memory of each app, as a share of its control group's limit or of the host's memory. At 1 of a control group's limit the kernel kills a process of the app.", unitRatio).
			query(on("resp_app_memory_usage_ratio"), ofApp).atMost(1).limits("memory").to("resp-workers", "Workers"),
	)
}

func (d *dashboard) hostDisks() {
	d.line(7,
		graph("Space in use", "Share of each file system's space that is used. At 1 databases stop, and logs and uploads fail.", unitRatio).
			query(on("resp_disk_usage_ratio"), ofMount).atMost(1).limits("disk"),
		graph("Predicted in 24 hours", "Predicted use of each file system in 24 hours, at the rate of the last six; from an hour of samples on. Above the limits you have one day left to act. A line that jumps up and down is a file that is created and removed repeatedly.", unitRatio).
			query(ahead(24*hour), ofMount).limits("disk").where(ahead(24*hour)).none(noForecast),
		graph("Disk pressure over time", "Share of the time in which some, or all, tasks waited for reads and writes. If the database is slow at the same time, the disk is the cause, not the query.", unitRatio).
			query(waiting("io", "some"), "some "+ofHost).query(waiting("io", "full"), "all "+ofHost).atMost(1).none("no pressure data").to("resp-database", "Database and pools"),
	)
	d.line(6,
		table("File systems", "Current use of each file system, and its predicted use at the rate of the last six hours.", unitRatio).
			now("max by (mountpoint, instance) ("+on("resp_disk_usage_ratio")+")", "").
			now("max by (mountpoint, instance) ("+ahead(6*hour)+")", "").now("max by (mountpoint, instance) ("+ahead(24*hour)+")", "").
			merged().arranged("Time", "Value #A", "now", "Value #B", "in 6 hours", "Value #C", "in a day").
			override("in 6 hours", property{"noValue", "not yet"}).override("in a day", property{"noValue", "not yet"}),
	)
}

func (d *dashboard) hostApps() {
	d.line(7,
		graph("CPU time of each app", "CPU time of all processes of each app, stacked; 100 % is one core. Check which app grew when the host became busy.", unitRatio).
			query("sum by (app, instance) ("+rate(on("resp_app_cpu_seconds_total"))+")", ofApp).stacked().to("resp-app", "The app in detail"),
		graph("Memory of each app", "Memory of each app, stacked, with each shared page divided among the processes that share it. An app that only rises leaks memory.", unitBytes).
			query("sum by (app, instance) ("+on("resp_app_memory_bytes", `kind="pss"`)+")", ofApp).stacked().to("resp-workers", "Workers"),
		graph("Swapped out", "Memory of each app that is in swap. This alone is not a fault. It is one if it grows while tasks wait for memory.", unitBytes).
			query("sum by (app, instance) ("+on("resp_app_memory_bytes", `kind="swap"`)+")", ofApp).stacked().to("resp-workers", "Workers"),
		table("Apps now", "Memory of each app, and its limit: the limit of its control group, or the host's memory.", unitBytes).
			now("max by (app, instance) (last_over_time("+on("resp_app_memory_bytes", `kind="pss"`)+"[5m]))", "").
			now("max by (app, instance) ("+on("resp_app_memory_limit_bytes")+")", "").
			merged().arranged("Time", "Value #A", "memory", "Value #B", "limit").sized("app", 120).columns(8),
	)
}

func (d *dashboard) hostForce() {
	d.line(6,
		graph("CPU throttled", "Time per second for which the kernel throttled an app's control group because it had used up its CPU quota. Requests do not progress during this time, although CPUs may be idle.", unitRatio).
			query(rate(on("resp_app_cpu_throttled_seconds_total")), ofApp).upTo(0.1).none("no app has a quota").to("resp-app", "The app in detail"),
		graph("OOM kills over time", "Processes of an app's control group that the kernel killed because memory ran out. Each is a worker with its requests, or the master itself.", unitNumber).
			query(gain(on("resp_app_oom_kills_total")), ofApp).none("no control group").to("resp-workers", "Workers"),
		stat("OOM kills in total", "The same, in the time range.", unitNumber).
			faults("sum by (instance) (increase("+on("resp_app_oom_kills_total")+"[$__range]))", ofHost, "red").named().none("no control group").columns(6),
	)
}
