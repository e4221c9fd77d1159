package e2e_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// grafanaConfig returns a line for each data source that leads nowhere or scrapes at
// another pace, and dashboards that are not where they are looked for.
func grafanaConfig(c composed) (found []string) {
	var source struct {
		Datasources []struct {
			UID, URL string
			JSONData struct {
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	var provider struct {
		Providers []struct {
			Folder         string
			AllowUIUpdates bool `yaml:"allowUiUpdates"`
			Options        struct{ Path string }
		}
	}
	var scraped struct {
		Global struct {
			Interval string `yaml:"scrape_interval"`
		}
	}
	for service, into := range map[string]map[string]any{
		"grafana":    {"/etc/grafana/provisioning/datasources/prometheus.yml": &source, "/etc/grafana/provisioning/dashboards/resp-exporter.yml": &provider},
		"prometheus": {"/etc/prometheus/prometheus.yml": &scraped},
	} {
		for path, v := range into {
			b, err := os.ReadFile(c.hostPath(service, path))
			if err == nil {
				err = yaml.Unmarshal(b, v)
			}
			if err != nil {
				return []string{fmt.Sprintf("%s: %s: %v", service, path, err)}
			}
		}
	}
	if len(source.Datasources) != 1 || len(provider.Providers) != 1 {
		return []string{"want one data source and one provider"}
	}
	ds, dashboards := source.Datasources[0], provider.Providers[0]
	u, err := url.Parse(ds.URL)
	switch {
	case err != nil:
		found = append(found, err.Error())
	case c.project.Services[u.Hostname()].Name == "" || !strings.Contains(fmt.Sprint(c.project.Services[u.Hostname()].Ports), u.Port()):
		found = append(found, "nobody is at "+ds.URL)
	}
	if ds.UID != "prometheus" {
		found = append(found, "its uid is "+ds.UID+", not prometheus")
	}
	if ds.JSONData.TimeInterval != scraped.Global.Interval {
		found = append(found, fmt.Sprintf("the data source has %s, and Prometheus scrapes each %s", ds.JSONData.TimeInterval, scraped.Global.Interval))
	}
	if dashboards.AllowUIUpdates {
		found = append(found, "dashboards may be changed in the browser")
	}
	if files, _ := filepath.Glob(filepath.Join(c.hostPath("grafana", dashboards.Options.Path), "*.json")); len(files) == 0 || dashboards.Folder != "resp-exporter" {
		found = append(found, "no dashboards at "+dashboards.Options.Path+" for the folder "+dashboards.Folder)
	}
	return found
}
