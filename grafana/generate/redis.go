package main

func redis() *dashboard {
	d := newDashboard("resp-redis", "Responsiveness / Redis and sessions", "Does the cache help, and do sessions pile up?", varApp(), varRedis())
	return d
}
