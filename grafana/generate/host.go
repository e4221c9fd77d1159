package main

func host() *dashboard {
	d := newDashboard("resp-host", "Responsiveness / Host", "Is the host out of something?")
	return d
}
