package main

func workers() *dashboard {
	d := newDashboard("resp-workers", "Responsiveness / Workers", "Are there enough workers, and are they well?", varApp())
	return d
}
