package servers

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Write prints the cells as a table of Markdown, a server a row, with a numbered
// footnote for each cell that is wrong.
func Write(w io.Writer, cells []Cell) error {
	var b strings.Builder
	columns := Columns()
	fmt.Fprintf(&b, "| server | version | %s |\n|---|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	var notes []string
	for _, row := range rows(cells) {
		fmt.Fprintf(&b, "| %s | %s |", row[0].Server, row[0].Version)
		for _, column := range columns {
			text := "–"
			for _, c := range row {
				if c.Cell != column {
					continue
				}
				switch {
				case !c.OK:
					notes = append(notes, fmt.Sprintf("%d. %s: want %s; seen %s.", len(notes)+1, column, c.Want, c.Seen))
					text = fmt.Sprintf("wrong (%d)", len(notes))
				case c.Want == "none reported":
					text = c.Want
				default:
					text = "ok"
				}
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	if len(notes) > 0 {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(notes, "\n"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rows returns the cells by server, in the order of their names, Debian's first.
func rows(cells []Cell) [][]Cell {
	var out [][]Cell
	at := make(map[string]int)
	for _, c := range cells {
		key := c.Server + "\x00" + c.Version
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], c)
	}
	slices.SortStableFunc(out, func(a, b []Cell) int {
		return cmp.Or(strings.Compare(strings.ToLower(a[0].Server), strings.ToLower(b[0].Server)), strings.Compare(strconv.FormatBool(a[0].Newest), strconv.FormatBool(b[0].Newest)))
	})
	return out
}
