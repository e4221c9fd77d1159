package controlkey

import "time"

// Seal is for tests.
var Seal = seal

// Genuine reports whether a value is signed with a secret for an app, lately.
func Genuine(secret, app, text string) bool {
	_, ok := opened(secret, app, text, time.Now())
	return ok
}

// Expiry is how long a value lasts.
const Expiry = expiry
