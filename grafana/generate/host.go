package main

import "fmt"

// Legends of what each host, each file system and each app has.
const (
	ofHost  = "{{instance}}"
	ofMount = "{{mountpoint}} {{instance}}"
	ofApp   = "{{app}} {{instance}}"
)

func host() *dashboard {
	d := newDashboard("resp-host", "Responsiveness / Host", "Is the host out of something?")
	d.hostVerdict()
	d.hostNumbers()
	d.row("Processors")
	d.hostCPU()
	d.row("Memory")
	d.hostMemory()
	d.row("Disks")
	d.hostDisks()
	d.row("What each app takes of it")
	d.hostApps()
	d.row("What the kernel did to the apps")
	d.hostForce()
	return d
}

// waiting is the share of time in which some, or all (full), tasks of the host
// that could have run waited for a resource.
func waiting(resource, kind string) string {
	return rate(on("resp_pressure_waiting_seconds_total", fmt.Sprintf("resource=%q", resource), fmt.Sprintf("kind=%q", kind)))
}

// ahead is how full file systems will be if they go on as in the last six
// hours.
func ahead(seconds int) string {
	return fmt.Sprintf("clamp_min(predict_linear(%s[6h], %d), 0)", on("resp_disk_usage_ratio"), seconds)
}

const hour = 60 * 60

func (d *dashboard) hostVerdict() {
	d.line(4,
		stat("Is the host well?", "The exporter's verdict about each host: the worst of its memory, processors and disks.", unitPlain).
			query("max by (instance) ("+on("resp_health_status", `app=""`, `component=~"memory|cpu|disk"`)+")", ofHost).health().named().columns(6),
		timeline("What is it out of?", "The verdict about memory, processors and disks over time. An app that turned after one of them did is a victim or the cause; further down is what each takes.").
			query(on("resp_health_status", `app=""`, `component=~"memory|cpu|disk"`), "{{component}} {{instance}}").health().to("resp-overview", "Overview"),
		stat("Full within a day", "File systems that are used by more than 60 % and, at the pace of the last six hours, full within a day: how full they will be then.", unitRatio).
			now(ahead(24*hour)+" > 1 and "+on("resp_disk_usage_ratio")+" > 0.6", ofMount).named().none("no file system").columns(6),
	)
}

func (d *dashboard) hostNumbers() {
	d.line(3,
		stat("Processors", "The host whose processors were busiest in the last minute.", unitRatio).
			now(worst(on("resp_host_cpu_usage_ratio")), ofHost).named(),
		stat("Wait for a processor", "The host where work waited longest for a processor: share of the time of the last minutes.", unitRatio).
			now(worst(waiting("cpu", "some")), ofHost).named().none("no pressure figures"),
		stat("Memory", "The host with the largest share of its memory taken.", unitRatio).
			now(worst(on("resp_host_memory_usage_ratio")), ofHost).named(),
		stat("Wait for memory", "The host where work waited longest for memory. Anything that lasts means that memory is short, however much of it seems free.", unitRatio).
			now(worst(waiting("memory", "some")), ofHost).named().none("no pressure figures"),
		stat("Fullest disk", "The file system with the largest share of its space used.", unitRatio).
			now(worst(on("resp_disk_usage_ratio")), ofMount).named(),
		stat("Wait for a disk", "The host where work waited longest for reads and writes.", unitRatio).
			now(worst(waiting("io", "some")), ofHost).named().none("no pressure figures"),
	)
}

func (d *dashboard) hostCPU() {
	d.line(7,
		graph("Processors in use", "CPU time that was not idle, over a minute. High alone is no fault: it is one when work waits at the same time, on the right.", unitRatio).
			query(on("resp_host_cpu_usage_ratio"), ofHost).atMost(1).limits("cpu"),
		graph("Work that waits for a processor", "Share of the time in which some task could have run and had no processor. Above 60 % together with busy processors the host is too small for its load.", unitRatio).
			query(waiting("cpu", "some"), ofHost).atMost(1).none("no pressure figures"),
		graph("CPU of the apps", "CPU of each app in what it may use: its control group's quota, or all cores. An app near 1 beside idle processors is held back by its quota.", unitRatio).
			query(on("resp_app_cpu_usage_ratio"), ofApp).limits("cpu").to("resp-app", "The app in detail"),
	)
}

func (d *dashboard) hostMemory() {
	d.line(7,
		graph("Memory in use", "Share of memory that is not available to new work; what the kernel only keeps as a cache does count as available.", unitRatio).
			query(on("resp_host_memory_usage_ratio"), ofHost).atMost(1).limits("memory"),
		graph("Work that waits for memory", "Share of the time in which some, or all, tasks waited for memory: for swap, or for pages that were thrown out a moment ago. Beyond 10 % everything on the host is slow.", unitRatio).
			query(waiting("memory", "some"), "some "+ofHost).query(waiting("memory", "full"), "all "+ofHost).atMost(1).none("no pressure figures"),
		graph("Memory of the apps", "Memory of each app in what it may use: its control group's limit, or the host's memory. At 1 of a control group's limit the kernel kills a process of the app.", unitRatio).
			query(on("resp_app_memory_usage_ratio"), ofApp).atMost(1).limits("memory").to("resp-workers", "Workers"),
	)
}

func (d *dashboard) hostDisks() {
	d.line(7,
		graph("Space in use", "Share of each file system's space that is used. At 1 databases stop, and logs and uploads fail.", unitRatio).
			query(on("resp_disk_usage_ratio"), ofMount).atMost(1).limits("disk"),
		graph("In a day", "How full each file system will be in 24 hours if it goes on as in the last six. Above the limits there is a day left to act; a line that jumps up and down is a file that comes and goes.", unitRatio).
			query(ahead(24*hour), ofMount).limits("disk"),
		graph("Work that waits for a disk", "Share of the time in which some, or all, tasks waited for reads and writes. Beside a slow database it is the disk and not the query.", unitRatio).
			query(waiting("io", "some"), "some "+ofHost).query(waiting("io", "full"), "all "+ofHost).atMost(1).none("no pressure figures").to("resp-database", "Database and pools"),
		table("File systems", "How full each is, and will be at the pace of the last six hours.", unitRatio).
			now("max by (mountpoint, instance) ("+on("resp_disk_usage_ratio")+")", "").
			now("max by (mountpoint, instance) ("+ahead(6*hour)+")", "").now("max by (mountpoint, instance) ("+ahead(24*hour)+")", "").
			merged().arranged("Time", "Value #A", "now", "Value #B", "in 6 hours", "Value #C", "in a day"),
	)
}

func (d *dashboard) hostApps() {
	d.line(7,
		graph("CPU time of each app", "CPU time that all processes of each app take, one above the other; 100 % is one core. Who grew when the host got busy?", unitRatio).
			query("sum by (app, instance) ("+rate(on("resp_app_cpu_seconds_total"))+")", ofApp).stacked().to("resp-app", "The app in detail"),
		graph("Memory of each app", "Memory of each app, one above the other, with each shared page divided among those that share it. One that only climbs leaks.", unitBytes).
			query("sum by (app, instance) ("+on("resp_app_memory_bytes", `kind="pss"`)+")", ofApp).stacked().to("resp-workers", "Workers"),
		graph("Swapped out", "Memory of each app that is in swap. Not a fault by itself; it is when it grows while work waits for memory.", unitBytes).
			query("sum by (app, instance) ("+on("resp_app_memory_bytes", `kind="swap"`)+")", ofApp).stacked().to("resp-workers", "Workers"),
		table("Apps now", "Memory of each app, and how much it may take: the limit of its control group, or the host's memory.", unitBytes).
			now("max by (app, instance) (last_over_time("+on("resp_app_memory_bytes", `kind="pss"`)+"[5m]))", "").
			now("max by (app, instance) ("+on("resp_app_memory_limit_bytes")+")", "").
			merged().arranged("Time", "Value #A", "memory", "Value #B", "may take"),
	)
}

func (d *dashboard) hostForce() {
	d.line(6,
		graph("Held back", "Time in each second that an app's control group was held back for having used up its CPU quota. Requests stand still meanwhile, though the processors may be idle.", unitRatio).
			query(rate(on("resp_app_cpu_throttled_seconds_total")), ofApp).none("no app has a quota").to("resp-app", "The app in detail"),
		graph("Killed for want of memory", "Processes of an app's control group that the kernel killed because memory had run out. Each is a worker with its requests, or the master itself.", unitNumber).
			query(gain(on("resp_app_oom_kills_total")), ofApp).none("no control group is seen").to("resp-workers", "Workers"),
		stat("Killed in all", "The same, in the time range.", unitNumber).
			now("sum by (app, instance) (increase("+on("resp_app_oom_kills_total")+"[$__range]))", ofApp).named().none("no control group is seen").columns(6),
	)
}
