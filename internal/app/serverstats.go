package app

import "github.com/prometheus/client_golang/prometheus"

var (
	webConnections = prometheus.NewDesc("resp_web_connections", "Connections to the exporter's HTTP server that are open.", nil, nil)
	webLimit       = prometheus.NewDesc("resp_web_connections_limit", "The most connections that may be open at once; three quarters of it for one remote address.", nil, nil)
	webClosed      = prometheus.NewDesc("resp_web_connections_closed_total", "Connections that were closed because there were too many.", []string{"reason"}, nil)
	webCut         = prometheus.NewDesc("resp_web_responses_cut_total", "Responses that did not reach their client whole.", []string{"reason"}, nil)
	webRefused     = prometheus.NewDesc("resp_web_requests_refused_total", "Requests that were refused: by a host name that is not the exporter's, or beyond --web.max-requests.", []string{"reason"}, nil)
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
