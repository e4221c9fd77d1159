package main

import (
	"bytes"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/alecthomas/kingpin/v2"

	"github.com/resp-exporter/resp-exporter/internal/golden"
)

// manual is what the manual page and the completions of shells are made from: the
// commands and flags as the program parses them.
type manual struct {
	Help     string
	Flags    []manualFlag // of all commands
	Commands []manualCommand
}

// manualCommand is one command.
type manualCommand struct {
	Name, Help, Args string
	Flags            []manualFlag
}

// manualFlag is one flag without its dashes.
type manualFlag struct {
	Name, Help, Placeholder, Variable string

	Switch bool     // takes no value; --no-NAME switches it off
	Values []string // all that it can have, if they are few
	Path   string   // "file" or "directory"
}

// flagValues are the values of the flags that can have few.
var flagValues = map[string][]string{
	"output": {"text", "json"}, "log.level": {"debug", "info", "warn", "error"}, "log.format": {"logfmt", "json"},
}

// readManual returns the commands and flags.
func readManual() manual {
	k, _ := commandLine(&flags{}, io.Discard, io.Discard)
	model := k.Model()
	m := manual{Help: model.Help, Flags: manualFlags(model.Flags)}
	for _, c := range model.Commands {
		if c.Name == "help" || c.Hidden {
			continue
		}
		var args []string
		for _, a := range c.Args {
			args = append(args, strings.ToUpper(a.Name))
		}
		m.Commands = append(m.Commands, manualCommand{Name: c.Name, Help: c.Help, Args: strings.Join(args, " "), Flags: manualFlags(c.Flags)})
	}
	return m
}

func manualFlags(all []*kingpin.FlagModel) (out []manualFlag) {
	for _, f := range all {
		if f.Hidden {
			continue
		}
		flag := manualFlag{Name: f.Name, Help: f.Help, Switch: f.IsBoolFlag(), Variable: f.Envar, Values: flagValues[f.Name]}
		if !flag.Switch {
			flag.Placeholder = strings.ToUpper(f.Name[strings.LastIndexAny(f.Name, ".-")+1:])
			if len(f.Default) > 0 && f.Default[0] != "" {
				flag.Help = strings.TrimSuffix(flag.Help, ".") + ". Default: " + f.Default[0] + "."
			}
		}
		switch {
		case strings.HasSuffix(f.Name, ".file"):
			flag.Path = "file"
		case strings.HasPrefix(f.Name, "path.") || f.Name == "state.dir":
			flag.Path = "directory"
		}
		out = append(out, flag)
	}
	return out
}

// TestManual checks that the manual page and the completions of shells are those of the
// flags; -update writes them.
func TestManual(t *testing.T) {
	functions := template.FuncMap{
		"roff":  strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`).Replace,
		"shell": strings.NewReplacer("'", `'\''`).Replace,
		"zsh":   strings.NewReplacer("'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`).Replace,
		"join":  strings.Join,
		"first": func(s string) string { s, _, _ = strings.Cut(s, ". "); return strings.TrimSuffix(s, ".") },
		"short": func(s string) string { s, _, _ = strings.Cut(s, ", "); s, _, _ = strings.Cut(s, "; "); return s },
	}
	for name, file := range map[string]string{
		"page": "manual/resp-exporter.1", "bash": "completions/resp-exporter.bash",
		"zsh": "completions/_resp-exporter", "fish": "completions/resp-exporter.fish",
	} {
		t.Run(name, func(t *testing.T) {
			page, err := template.New(name + ".tmpl").Funcs(functions).ParseFiles("testdata/manual/" + name + ".tmpl")
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := page.Execute(&b, readManual()); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "../../../deploy/"+file, b.Bytes(), *updateGolden)
		})
	}
}

// TestManualValues checks that the values in the manual page and the completions are
// those that the flags accept, and that the commands are in them.
func TestManualValues(t *testing.T) {
	m := readManual()
	names := make([]string, 0, len(m.Commands))
	for _, c := range m.Commands {
		names = append(names, c.Name)
		for _, f := range slices.Concat(c.Flags, m.Flags) {
			if f.Values != nil {
				acceptsValues(t, c, f)
			}
		}
	}
	if !slices.Contains(names, "serve") || !slices.Contains(names, "doctor") {
		t.Errorf("commands %q", names)
	}
}

// acceptsValues checks that a flag of a command accepts its values, and no other one.
func acceptsValues(t *testing.T, c manualCommand, f manualFlag) {
	t.Helper()
	for _, value := range slices.Concat(f.Values, []string{"other"}) {
		args := []string{c.Name, "--" + f.Name + "=" + value}
		if c.Args != "" {
			args = append(args, "1")
		}
		if _, err := parseFlags(args, io.Discard, io.Discard); (err == nil) != slices.Contains(f.Values, value) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestCompletionOfBash completes command lines with bash itself.
func TestCompletionOfBash(t *testing.T) {
	for line, want := range map[string]string{
		"resp-exporter ch":                                 "check",
		"resp-exporter doctor --out":                       "--output",
		"resp-exporter doctor --output j":                  "json",
		"resp-exporter doctor --output = j":                "json", // bash splits at =
		"resp-exporter --config.file = /etc/hostn":         "/etc/hostname",
		"resp-exporter check --web.telem":                  "--web.telemetry-path",
		"resp-exporter --no-collector.my":                  "--no-collector.mysql",
		"resp-exporter check --url":                        "--url",
		"resp-exporter doctor --ur":                        "",
		"resp-exporter --config.file /etc/hostn":           "/etc/hostname",
		"resp-exporter --config.file /x doctor --output t": "text",
	} {
		script := `source ../../deploy/completions/resp-exporter.bash
COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$1; COMP_POINT=${#1}
_resp_exporter; echo "${COMPREPLY[*]}"`
		out, err := exec.CommandContext(t.Context(), "bash", "--norc", "-c", script, "bash", line).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q: %q, want %q (%v)", line, got, want, err)
		}
	}
}
