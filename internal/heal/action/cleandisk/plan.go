package cleandisk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/config"
	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// found is what one look has found: the file system, and the files that may be removed.
type found struct {
	mount  mount
	space  space
	files  []file
	open   []*directory // on that file system
	match  []file       // the oldest that match, whether they are open or not
	number int          // of all that match
	inUse  int          // files that match and are open
	denied error
}

// target is the private part of a plan.
type target struct {
	files []file
	owner *uint32
}

// Plan implements [action.Action]. It is refused if a setting is missing or a directory cannot be
// used; else cleared if less than min_used of the file system is used; else refused if too many
// files match (max_fraction) or none may be removed. At most max_files and max_bytes are planned,
// the oldest files first. An unknown owner in the settings is an error.
func (r *Action) Plan(ctx context.Context, req action.PlanRequest) (action.Plan, error) {
	p := action.Plan{Action: config.ActionCleanDisk, Target: r.Target(req.Alert)}
	if r.c.MaxFiles < 1 || r.c.MaxBytes < 1 || r.c.MinAge < time.Hour || r.c.MaxFraction <= 0 || r.c.KeepNewest < 0 {
		p.Refused = action.Refuse(action.CodeSettingMissing, "min_age, of 1h or more, keep_newest, max_files, max_bytes and max_fraction are required")
		return p, nil
	}
	owner, err := r.owner()
	if err != nil {
		return action.Plan{}, err
	}
	x, refused, err := r.look(ctx, req.Alert.Labels["mountpoint"], owner)
	if err != nil {
		return action.Plan{}, err
	}
	if x.mount.point != "" {
		p.Target = "disk:" + x.mount.point
	}
	p.Measure = float64(x.space.used)
	switch {
	case !refused.IsZero():
		p.Refused = refused
		return p, nil
	case x.space.usage() < r.c.MinUsed:
		p.Cleared = true
		return p, nil
	}
	chosen := r.within(x.files)
	if p.Refused = x.nothing(len(chosen)); !p.Refused.IsZero() {
		return p, nil
	}
	total := int64(0)
	for _, f := range chosen {
		total += f.bytes
		p.Victims = append(p.Victims, victim(f))
	}
	p.Total, p.Private = len(chosen), &target{chosen, owner}
	p.Summary = fmt.Sprintf("remove %d of %d files that match, %.1f MiB in all, from %s, which is %.0f %% full", len(chosen), x.number, float64(total)/(1<<20), x.mount.point, 100*x.space.usage())
	return p, nil
}

// nothing returns why no file is left to remove; zero if chosen, the number of files to
// remove, is not 0.
func (x *found) nothing(chosen int) action.Refusal {
	switch {
	case chosen > 0:
		return action.Refusal{}
	case len(x.files) > 0:
		return action.Refuse(action.CodeOverBytes, "the oldest file that matches is larger than max_bytes")
	case x.denied != nil:
		return action.Refuse(action.CodeNotPermitted, "it cannot be checked whether another process has a file open: run the exporter as the owner of the files, or give it CAP_LEASE (%s)", x.denied)
	case x.inUse > 0:
		return action.Refuse(action.CodeFilesOpen, "%d files match, and other processes have all of them open", x.inUse)
	}
	return action.Refuse(action.CodeNoFiles, "no file matches that is old enough")
}

// victim returns a file as a plan shows it, with a digest by which it is known again.
func victim(f file) action.Victim {
	return action.Victim{
		Kind: "file", ID: f.name, Identity: action.Digest(f.dir, f.name, strconv.FormatUint(f.dev, 10), strconv.FormatUint(f.ino, 10), f.written.String(), strconv.FormatInt(f.bytes, 10)),
		Info: map[string]string{"directory": f.dir, "bytes": strconv.FormatInt(f.bytes, 10), "written": f.written.UTC().Format(time.RFC3339)},
	}
}

// look returns what it finds in the directories that are on the file system with a label,
// or in all if it is "". They must be on one file system: else, or if one cannot be used,
// it returns a refusal. It first finds the oldest files of all of them, and then those that
// no other process has open, at most twice max_files. The directories in x are closed
// again.
func (r *Action) look(ctx context.Context, label string, owner *uint32) (x found, refused action.Refusal, err error) {
	m, err := r.mounts()
	if err != nil {
		return x, action.Refusal{}, err
	}
	defer func() { x.close() }()
	for _, path := range r.c.Directories {
		if ctx.Err() != nil {
			return x, action.Refusal{}, ctx.Err()
		}
		if label != "" && !m.named(m.at(path), label) {
			continue
		}
		if refused := m.checkLocal(path); !refused.IsZero() {
			return x, refused, nil
		}
		if refused, err := r.lookAt(ctx, m, path, owner, &x); !refused.IsZero() || err != nil {
			return x, refused, err
		}
	}
	if len(x.open) == 0 {
		return x, action.Refuse(action.CodeOtherFileSystem, "no directory of the rule is on the file system of the alert"), nil
	}
	return x, action.Refusal{}, x.choose(ctx, 2*r.c.MaxFiles)
}

// choose adds to x.files the oldest of the matching files, until there are n that no other
// process has open. The error is that of ctx.
func (x *found) choose(ctx context.Context, n int) error {
	for _, f := range x.match {
		if len(x.files) >= n || ctx.Err() != nil {
			break
		}
		x.add(f)
	}
	return ctx.Err()
}

// close closes the directories.
func (x *found) close() {
	for _, d := range x.open {
		d.close()
	}
}

// lookAt adds to x one directory with its matching files, of which x keeps the
// maxCandidates oldest; no files below min_used. A refusal: it is not to be trusted, too
// many files match, or it is on another file system than its path says or than the
// directories before.
func (r *Action) lookAt(ctx context.Context, m *mounts, path string, owner *uint32, x *found) (refused action.Refusal, err error) {
	d, refused, err := r.open(m, path, owner)
	if err != nil || !refused.IsZero() {
		return refused, err
	}
	on, err := m.of(d)
	switch {
	case err != nil:
	case on.device != m.at(path).device || !isLocal(on.kind):
		refused = action.Refuse(action.CodeOtherFileSystem, "%s is on another file system than its path says", path)
	case len(x.open) > 0 && on.device != x.mount.device:
		refused = action.Refuse(action.CodeOtherFileSystem, "the directories are on several file systems, and the alert has no label mountpoint that names one")
	}
	if err != nil || !refused.IsZero() {
		d.close()
		return refused, err
	}
	if len(x.open) == 0 {
		x.mount = on
	}
	x.open = append(x.open, d)
	if x.space, err = d.space(); err != nil {
		return action.Refusal{}, err
	}
	if x.space.usage() < r.c.MinUsed {
		return action.Refusal{}, nil
	}
	list, refused, err := r.matching(ctx, d, owner, r.now())
	if err != nil || !refused.IsZero() {
		return refused, err
	}
	x.number += len(list)
	x.match = append(x.match, list...)
	slices.SortFunc(x.match, file.compare)
	x.match = slices.Clone(x.match[:min(len(x.match), maxCandidates)])
	return action.Refusal{}, nil
}

// add adds a file to x.files. It is counted in inUse if another process has it open, left
// out if it has changed; why the lease is denied otherwise is in x.denied.
func (x *found) add(f file) {
	i := slices.IndexFunc(x.open, func(d *directory) bool { return d.path == f.dir })
	fd, err := x.open[i].lease(f)
	switch {
	case err == nil:
		_ = unix.Close(fd)
		x.files = append(x.files, f)
	case errors.Is(err, errInUse):
		x.inUse++
	case !errors.Is(err, errChanged):
		x.denied = err
	}
}

// within returns the first of files, as many as max_files and max_bytes permit; none if the
// first one alone is larger.
func (r *Action) within(files []file) []file {
	n, total := 0, int64(0)
	for _, f := range files {
		if total += f.bytes; n == r.c.MaxFiles || total > int64(r.c.MaxBytes) {
			break
		}
		n++
	}
	return files[:n]
}
