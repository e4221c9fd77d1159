package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"gopkg.in/yaml.v3"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// maxFile is the largest configuration file, in bytes.
const maxFile = 1 << 20

// Load reads a configuration: the defaults, over them the YAML document of r,
// over that the environment (of the form "NAME=value", as [os.Environ] gives).
// The result passes [Config.Check]. Unknown keys and unknown RESPONSIVENESS_
// variables are refused.
//
// The error joins every fault that was found, one a line, up to a hundred:
// "name:12: apps[0].match.cmdlin: unknown key; expected one of …" or
// `environment: RESPONSIVENESS_CPU_WARNING_THRESHOLD="x": expected …`.
func Load(r io.Reader, name string, env []string) (Config, error) {
	data, err := safefile.ReadAll(r, maxFile)
	if errors.Is(err, safefile.ErrTooLarge) {
		return Config{}, fault{problem: problem{got: "larger than 1 MiB", want: "less"}}.in(name)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read %s: %w", name, err)
	}
	return load(data, name, env)
}

// LoadFile is [Load] of the regular file at path; with an empty path it is the
// defaults and the environment. A file to which everybody can write is refused
// when the exporter is root: who writes it chooses what root runs.
func LoadFile(path string, env []string) (Config, error) {
	if path == "" {
		return load(nil, "defaults", env)
	}
	f, err := safefile.Open(path, safefile.Policy{MaxBytes: maxFile, Administrator: true})
	if errors.Is(err, safefile.ErrNotRegular) {
		return Config{}, fmt.Errorf("configuration: %s is not a regular file", path)
	}
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	defer func() { _ = f.Close() }()
	return Load(f, path, env)
}

// FileNotes returns what an administrator should know about the owner and the
// mode of the configuration file, in sentences; nothing is refused for it.
func FileNotes(path string) []string {
	var st unix.Stat_t
	if path == "" || unix.Stat(path, &st) != nil {
		return nil
	}
	var out []string
	if st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid()) {
		out = append(out, fmt.Sprintf("its owner is user id %d, who can change what the exporter does", st.Uid))
	}
	if st.Mode&0o022 != 0 {
		out = append(out, fmt.Sprintf("others can write to it (mode %04o)", st.Mode&0o7777))
	}
	return out
}

func load(data []byte, name string, env []string) (Config, error) {
	c := Default()
	d := newDecoder()
	d.document(data, &c)
	d.problems(c.valueProblems())
	d.environment(env, &c)
	d.problems(c.orderProblems())
	if len(d.faults) > 0 {
		return Config{}, join(name, d.faults)
	}
	for i := range c.Apps {
		// Readers compare it with the listeners of the kernel as text.
		if m := &c.Apps[i].Match; m.Listen != "" {
			l, err := ParseListen(m.Listen)
			if err != nil {
				return Config{}, fmt.Errorf("%s: apps[%d].match.listen: %w", name, i, err)
			}
			m.Listen = l.String()
		}
	}
	return c, nil
}

// document reads the one document of the file into c.
func (d *decoder) document(data []byte, c *Config) {
	if f, bad := textFault(data); bad {
		d.faults = append(d.faults, f)
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			d.faults = append(d.faults, syntaxFault(err, data))
		}
		return
	}
	if len(doc.Content) > 0 {
		d.config(doc.Content[0], c)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		d.fault(second.Line, problem{got: "a second document", want: "one document"})
	case !errors.Is(err, io.EOF):
		d.faults = append(d.faults, syntaxFault(err, data))
	}
}

// textFault returns the fault of a file that is not text: bytes that are not
// UTF-8, control characters. The parser would name no line for it.
func textFault(data []byte) (fault, bool) {
	line := 1
	for rest := bytes.TrimPrefix(data, []byte("\ufeff")); len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			return fault{problem: problem{got: "bytes that are not UTF-8", want: "UTF-8"}, line: line}, true
		case r == '\n':
			line++
		case r < ' ' && r != '\t' && r != '\r', r >= 0x7f && r < 0xa0 && r != 0x85, r == 0xfeff, r == 0xfffe, r == 0xffff:
			return fault{problem: problem{got: fmt.Sprintf("the control character %U", r), want: "text"}, line: line}, true
		}
		rest = rest[n:]
	}
	return fault{}, false
}

var (
	syntaxLine = regexp.MustCompile(`^line ([0-9]+): `)
	// The library counts lines from 0 in these.
	fromZero = regexp.MustCompile(`^did not find expected ('-' indicator|key$|',' or)`)
	// This one comes without a line wherever it stands.
	noLine = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
)

// syntaxFault returns the fault for the parser's error. Its line is where the
// parser gave up, or where the block begins that it could not read.
func syntaxFault(err error, data []byte) fault {
	s := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1 // the library names no line if it is the first
	if m := syntaxLine.FindStringSubmatch(s); m != nil {
		s = s[len(m[0]):]
		line, _ = strconv.Atoi(m[1]) // digits, and never more than the file has lines
	}
	if fromZero.MatchString(s) {
		line++
	}
	if m := noLine.FindStringSubmatch(s); m != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
	}
	last := 1 + bytes.Count(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	return fault{problem: problem{got: "not YAML: " + oneLine(s)}, line: min(line, last)}
}
