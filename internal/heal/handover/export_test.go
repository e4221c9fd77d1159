package handover

import "github.com/resp-exporter/resp-exporter/internal/heal/action"

// Hand makes the JSON for a program or a server.
func Hand(a action.Alert) ([]byte, error) { return Encode("r-1", "run_command", "command", a) }
