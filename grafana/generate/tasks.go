package main

func tasks() *dashboard {
	d := newDashboard("resp-tasks", "Responsiveness / Tasks", "Do background tasks run, or do they pile up?", varApp())
	return d
}
