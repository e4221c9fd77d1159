package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/resp-exporter/resp-exporter/internal/model"
)

// maxMissing bounds the sentences about one collector.
const maxMissing = 20

// lack returns why a collector is not available, in words or as its reason; "" if it is
// available, switched off or unknown.
func (e *evaluator) lack(collector string) string {
	reason := e.reason(collector)
	if reason == "" || reason == "ok" || reason == "disabled" {
		return ""
	}
	return cmp.Or(Missing(e.State, collector), string(reason))
}

// reason returns the reason of a collector, "ok" included; "" where it is unknown.
func (e *evaluator) reason(collector string) model.Reason {
	i := slices.IndexFunc(e.State.Collectors, func(x model.Collector) bool { return x.Name == collector })
	if i < 0 {
		return ""
	}
	return e.State.Collectors[i].Reason
}

// Missing returns the details of what a collector lacks that is not optional, without
// duplicates, at most maxMissing and how many more; "" if there is none.
func Missing(s *model.State, collector string) string {
	var list []string
	for i := range s.Lacks {
		if l := &s.Lacks[i]; l.Collector == collector && !l.Optional && l.Detail != "" && !slices.Contains(list, l.Detail) {
			list = append(list, l.Detail)
		}
	}
	if more := len(list) - maxMissing; more > 0 {
		list = append(list[:maxMissing], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, "; ")
}

// lackOf returns what the collector of a server's kind lacks of this server, if that is
// not optional; nil if nothing.
func (e *evaluator) lackOf(kind, name string) *model.Lack {
	i := slices.IndexFunc(e.State.Lacks, func(l model.Lack) bool {
		return l.Collector == kind && l.Of == kind+":"+name && !l.Optional
	})
	if i < 0 {
		return nil
	}
	return &e.State.Lacks[i]
}

// cannotRead adds a warning that what cannot be read, if its collector failed or, for the
// host and configured apps, lacks a permission. For any other reason it adds nothing.
func (e *evaluator) cannotRead(app, component, collector, what string) {
	reasons := []model.Reason{"failed", "timeout"}
	if app == "" || slices.Contains(e.Apps, app) {
		reasons = append(reasons, "permission")
	}
	if !slices.Contains(reasons, e.reason(collector)) {
		return
	}
	why := e.lack(collector)
	e.add(rule{
		Subject: Subject{App: app, Rule: component}, component: component, level: Warning, release: Warning,
		summary: what + " cannot be read: " + why,
	})
}
