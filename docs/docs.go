// Package docs holds the pages of the documentation that the exporter serves.
package docs

import _ "embed"

//go:embed runbooks.md
var runbooks string

// Runbooks returns docs/runbooks.md as it was at the build: one section per alert.
func Runbooks() string { return runbooks }
