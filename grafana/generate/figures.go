package main

import "fmt"

// The colors of key figures. A figure has the color of its limits; one without limits is
// blue; one that counts faults is green while there is none.

// judged adds a value per app in the color of its limits, as of a resource: green, orange
// from the warning limit on, red from the critical one on. An app without a limit is green.
func (p *panel) judged(value, legend, resource string) *panel {
	return p.ranked(value, legend, "app", ">=", func(severity string) string {
		return of("resp_app_threshold", fmt.Sprintf("resource=%q", resource), fmt.Sprintf("severity=%q", severity))
	})
}

// judgedEach adds a value of each app on each instance, in the color of its level.
func (p *panel) judgedEach(value, legend, resource string) *panel {
	return p.ranked(value, legend, "app, instance", ">=", func(severity string) string {
		return of("resp_app_threshold", fmt.Sprintf("resource=%q", resource), fmt.Sprintf("severity=%q", severity))
	})
}

// judgedOn adds a value of hosts and servers, in the color of its level; worse is ">=" or
// "<=".
func (p *panel) judgedOn(value, legend, worse, resource string) *panel {
	return p.ranked(value, legend, "instance", worse, func(severity string) string {
		return on("resp_threshold", fmt.Sprintf("resource=%q", resource), fmt.Sprintf("severity=%q", severity))
	})
}

// ranked adds a value in the color of the limits that have the same labels.
func (p *panel) ranked(value, legend, by, worse string, limit func(severity string) string) *panel {
	beyond := func(severity string) string {
		return "(" + value + ") " + worse + " on (" + by + ") group_left () max by (" + by + ") (" + limit(severity) + ")"
	}
	p.now("("+value+") unless ("+beyond("warning")+")", legend)
	p.now("("+beyond("warning")+") unless ("+beyond("critical")+")", legend)
	p.now(beyond("critical"), legend)
	return p.inTurn("green", "orange", "red")
}

// beyond adds a value that is green, and of another color where it meets a condition, such
// as "> 0".
func (p *panel) beyond(value, legend, condition, paint string) *panel {
	p.now("("+value+") unless ("+value+") "+condition, legend)
	p.now("("+value+") "+condition, legend)
	return p.inTurn("green", paint)
}

// faults adds a number of faults: green if it is 0.
func (p *panel) faults(value, legend, paint string) *panel {
	return p.beyond(value, legend, "> 0", paint)
}

// figure adds a value that is neither good nor bad.
func (p *panel) figure(value, legend string) *panel {
	return p.now(value, legend).inTurn("blue")
}

// inTurn sets the colors of the panel's queries, in their order.
func (p *panel) inTurn(paints ...string) *panel {
	for i, paint := range paints {
		p.override(p.Targets[i].RefID, property{"color", color{Mode: "fixed", FixedColor: asText(paint)}})
		p.FieldConfig.Overrides[len(p.FieldConfig.Overrides)-1].Matcher.ID = "byFrameRefID"
	}
	return p
}
