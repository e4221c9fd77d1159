package rules

import (
	"encoding/json"
	"time"
)

// Notification returns what Alertmanager posts about one alert that fires: version 4 of its
// payload.
func Notification(labels, annotations map[string]string, started time.Time) ([]byte, error) {
	return json.Marshal(map[string]any{"version": "4", "status": "firing", "alerts": []any{map[string]any{
		"status": "firing", "labels": labels, "annotations": annotations, "startsAt": started.UTC(), "endsAt": "0001-01-01T00:00:00Z",
	}}})
}
