package main

func app() *dashboard {
	d := newDashboard("resp-app", "Responsiveness / App", "Where is time spent, and which requests fail?", varApp())
	return d
}
