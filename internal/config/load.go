package config

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/config/address"
	"github.com/resp-exporter/resp-exporter/internal/config/schema"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

// maxFile is the largest configuration file, in bytes.
const maxFile = 1 << 20

// Load reads a configuration: the defaults, over them the YAML document of r, over that the
// environment (of the form "NAME=value", as [os.Environ] gives). The result passes
// [Config.Check]. Unknown keys and unknown RESPONSIVENESS_ variables are refused.
//
// The error joins every fault that was found, one a line, up to a hundred:
// "name:12: apps[0].match.cmdlin: unknown key; expected one of …" or
// `environment: RESPONSIVENESS_CPU_WARNING_THRESHOLD="x": expected …`.
func Load(r io.Reader, name string, env []string) (Config, error) {
	data, err := safefile.ReadAll(r, maxFile)
	if errors.Is(err, safefile.ErrTooLarge) {
		return Config{}, schema.Fault{Got: "larger than 1 MiB", Want: "less"}.In(name)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read %s: %w", name, err)
	}
	return load(data, name, env)
}

// LoadFile loads the regular file at path as [Load] does; with an empty path it uses the
// defaults and the environment. It refuses a file that everybody can write if the
// exporter is root: who writes the file chooses what root runs.
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

// FileNotes returns sentences that warn of an owner, other than root and the exporter's
// user, and of a mode by which group or others could change the configuration file; nil if
// there is nothing to warn of, path is "" or the file is not found. It refuses nothing.
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
	d := schema.NewDecoder()
	d.Document(data, &c)
	report(d, c.valueProblems())
	environment(d, env, &c)
	report(d, c.orderProblems())
	if err := d.Err(name); err != nil {
		return Config{}, err
	}
	for i := range c.Apps {
		// Readers compare it with the listeners of the kernel as text.
		if m := &c.Apps[i].Match; m.Listen != "" {
			l, ok := address.ParseListen(m.Listen)
			if !ok {
				return Config{}, fmt.Errorf("%s: apps[%d].match.listen: expected %s", name, i, schema.Wanted[Match]("listen"))
			}
			m.Listen = l.String()
		}
	}
	return c, nil
}

// report adds problems to the faults of d, with the lines of the file, unless a fault for
// the same value is there already.
func report(d *schema.Decoder, ps []problem) {
	found := make([]schema.Fault, len(ps))
	for i, p := range ps {
		found[i] = schema.Fault{Path: p.path, Got: p.got, Want: p.want}
	}
	d.Check(found)
}
