package dashboards

// Exceptions are the findings that are meant to be, each with its reason.
func Exceptions() []Exception {
	return []Exception{
		{Rule: "selector", Where: "annotation Worker restarts", Reason: "it is on every dashboard, of which some have no variable app, and names the app"},
	}
}
