package main

func database() *dashboard {
	d := newDashboard("resp-database", "Responsiveness / Database and pools", "Is the database the cause, or the pool that leads to it?", varApp(), varMySQL())
	return d
}
