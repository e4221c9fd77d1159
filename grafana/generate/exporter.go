package main

func itself() *dashboard {
	d := newDashboard("resp-exporter", "Responsiveness / Exporter and healing", "Does the exporter see, and what did healing do?")
	return d
}
