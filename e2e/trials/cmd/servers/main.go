// Command servers starts an app under each server, Debian's and those of a
// directory, and compares what an exporter reports with what is so. Each
// comparison is a line of JSON in a file, which a later run with the same file
// continues with the servers that it lacks.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/resp-exporter/resp-exporter/e2e/trials/servers"
	"github.com/resp-exporter/resp-exporter/e2e/trials/trial"
)

func main() { trial.Main("servers", start) }

func start(ctx context.Context) error {
	var o servers.Options
	flag.StringVar(&o.Exporter, "exporter", "build/resp-exporter", "the exporter, of any version")
	flag.IntVar(&o.Parallel, "parallel", 2, "servers at the same time")
	flag.Uint64Var(&o.Seed, "seed", 1, "of everything that is random")
	dir := flag.String("servers", "", "virtual environment of Python with more servers; empty: Debian's only")
	only := flag.String("only", ".", "regular expression that picks servers by name")
	file := flag.String("json", "build/trials/servers.json", "a line a comparison; a file with lines of the same seed is continued")
	flag.Parse()
	pick, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	raw, err := open(*file, o.Seed)
	if err != nil {
		return err
	}
	places := []servers.Place{{}}
	if *dir != "" {
		abs, err := filepath.Abs(*dir) // the servers run elsewhere
		if err != nil {
			return err
		}
		places = append(places, servers.Place{Dir: abs})
	}
	for _, p := range places {
		var list []servers.Server
		for _, s := range servers.List(ctx, p) {
			if pick.MatchString(s.Name) && !raw.has(s) {
				list = append(list, s)
			}
		}
		o.Place = p
		err = errors.Join(err, servers.Run(ctx, o, list, raw.write))
	}
	err = errors.Join(err, raw.f.Close(), servers.Write(os.Stdout, raw.cells))
	for _, c := range raw.cells {
		if !c.OK {
			err = errors.Join(err, fmt.Errorf("%s (%s): %s: want %s, seen %s", c.Server, c.Version, c.Cell, c.Want, c.Seen))
		}
	}
	return err
}

// results is the file of raw results.
type results struct {
	f     *os.File
	seed  uint64
	cells []servers.Cell
}

// line is one result in the file.
type line struct {
	Seed uint64 `json:"seed"`
	servers.Cell
}

// open opens the file and reads the results of an earlier run, which must have
// the same seed.
func open(name string, seed uint64) (*results, error) {
	f, err := trial.OpenFile(name)
	if err != nil {
		return nil, err
	}
	r := &results{f: f, seed: seed}
	for s := bufio.NewScanner(f); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
		}
		if l.Seed != seed {
			return nil, errors.Join(fmt.Errorf("%s has results of seed %d", name, l.Seed), f.Close())
		}
		r.cells = append(r.cells, l.Cell)
	}
	return r, nil
}

// has reports whether there are results of the server.
func (r *results) has(s servers.Server) bool {
	for _, c := range r.cells {
		if c.Server == s.Name && c.Newest == s.Newest {
			return true
		}
	}
	return false
}

func (r *results) write(c servers.Cell) error {
	b, err := json.Marshal(line{r.seed, c})
	if err != nil {
		return err
	}
	r.cells = append(r.cells, c)
	_, err = r.f.Write(append(b, '\n'))
	return err
}
