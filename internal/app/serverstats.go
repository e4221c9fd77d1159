package app

import "github.com/prometheus/client_golang/prometheus"

var (
	webConnections = prometheus.NewDesc("resp_web_connections", "Open connections to the exporter's HTTP server.", nil, nil)
	webLimit       = prometheus.NewDesc("resp_web_connections_limit", "Maximum number of open connections; three quarters of it for one remote address.", nil, nil)
	webClosed      = prometheus.NewDesc("resp_web_connections_closed_total", "Connections closed because the limit was reached.", []string{"reason"}, nil)
	webCut         = prometheus.NewDesc("resp_web_responses_cut_total", "Responses that the exporter cut off or replaced by an error: too slow a client, too little memory, too large.", []string{"reason"}, nil)
	webRefused     = prometheus.NewDesc("resp_web_requests_refused_total", "Requests refused because of their host name, or because of --web.max-requests.", []string{"reason"}, nil)
)

// serverStats publishes how often the HTTP server's limits were reached.
type serverStats struct {
	*httpLimits

	scrapes func() uint64 // refused by --web.max-requests
}

// Describe implements [prometheus.Collector].
func (s *serverStats) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{webConnections, webLimit, webClosed, webCut, webRefused} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *serverStats) Collect(ch chan<- prometheus.Metric) {
	c := s.connections.Stats()
	ch <- prometheus.MustNewConstMetric(webConnections, prometheus.GaugeValue, float64(c.Open))
	ch <- prometheus.MustNewConstMetric(webLimit, prometheus.GaugeValue, float64(c.Limit))
	for reason, n := range c.Closed {
		ch <- prometheus.MustNewConstMetric(webClosed, prometheus.CounterValue, float64(n), reason)
	}
	for reason, n := range s.responses.Aborted() {
		ch <- prometheus.MustNewConstMetric(webCut, prometheus.CounterValue, float64(n), reason)
	}
	ch <- prometheus.MustNewConstMetric(webRefused, prometheus.CounterValue, float64(s.hosts.Refused()), "host")
	ch <- prometheus.MustNewConstMetric(webRefused, prometheus.CounterValue, float64(s.scrapes()), "scrapes")
}
