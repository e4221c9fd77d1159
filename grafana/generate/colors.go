package main

// The colors that texts have, or stand on, are those of which both themes have enough
// contrast: Grafana writes white on a state, and its green and orange are too bright for
// that. Lines and bars have the usual ones.

// quiet is the color of the text for no value: it is no reason to look.
const quiet = "#808088"

// asText returns the color of a figure: a darker one where there is one, else the same.
func asText(paint string) string {
	switch paint {
	case "green":
		return "semi-dark-green"
	case "orange":
		return "dark-orange"
	}
	return paint
}

// asState returns the color behind the name of a state: a darker one if there is one.
func asState(paint string) string {
	switch paint {
	case "green":
		return "dark-green"
	case "orange":
		return "#E05A00"
	case "red", "purple", "blue":
		return "semi-dark-" + paint
	}
	return paint
}

// state returns the color of a state as the panel shows it: behind a text, or as a bar.
func (p *panel) state(paint string) string {
	if p.Type == "state-timeline" {
		return paint
	}
	return asState(paint)
}
