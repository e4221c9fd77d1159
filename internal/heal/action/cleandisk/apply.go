package cleandisk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/resp-exporter/resp-exporter/internal/heal/action"
)

// Apply implements [action.Action]. It returns how many files were removed, with an error
// if none was, or the last one that could not be. Each directory is opened and read anew:
// the files must match still, and not be among the newest. Each file is checked again right
// before it is removed: nothing about it may have changed, and no other process may have it
// open. What has changed is passed over.
func (r *Action) Apply(ctx context.Context, p action.Plan) (done int, err error) {
	t, ok := p.Private.(*target)
	if !ok {
		return 0, action.ErrNotPlanned
	}
	m, err := r.mounts()
	if err != nil {
		return 0, err
	}
	var failed error
	for _, dir := range r.c.Directories {
		list := slices.DeleteFunc(slices.Clone(t.files), func(f file) bool { return f.dir != dir })
		n, err := r.removeAll(ctx, m, list, t.owner)
		if done += n; err != nil {
			failed = err
		}
	}
	if done == 0 && failed == nil {
		failed = errors.New("all files have changed since the plan, or other processes have opened them")
	}
	return done, failed
}

// removeAll removes those files of one directory that are unchanged and not in use, and
// returns how many. The error is why the directory cannot be used now (of reopen or matching),
// names the last file that could not be removed, or says how many were before ctx ended.
func (r *Action) removeAll(ctx context.Context, m *mounts, list []file, owner *uint32) (done int, failed error) {
	if len(list) == 0 {
		return 0, nil
	}
	d, err := r.reopen(m, list[0], owner)
	if err != nil {
		return 0, err
	}
	defer d.close()
	still, refused, err := r.matching(ctx, d, owner, r.now())
	switch {
	case err != nil:
		return 0, err
	case !refused.IsZero():
		return 0, refused
	}
	list = slices.DeleteFunc(list, func(f file) bool { return !slices.Contains(still, f) })
	for _, f := range list {
		if ctx.Err() != nil {
			return done, fmt.Errorf("%d of %d files of %s were removed: %w", done, len(list), f.dir, ctx.Err())
		}
		switch err := d.remove(f); {
		case err == nil:
			done++
		case !errors.Is(err, errChanged) && !errors.Is(err, errInUse):
			failed = fmt.Errorf("remove %q: %w", f.name, err)
		}
	}
	return done, failed
}

// reopen opens the directory of a file, which the caller closes. The error is a refusal if
// no file may be removed from it, errChanged if it is on another device than when the plan was
// made, else that of a call.
func (r *Action) reopen(m *mounts, f file, owner *uint32) (*directory, error) {
	if refused := m.checkLocal(f.dir); !refused.IsZero() {
		return nil, refused
	}
	d, refused, err := r.open(m, f.dir, owner)
	switch {
	case err != nil:
		return nil, err
	case !refused.IsZero():
		return nil, refused
	case d.stat.Dev != f.dev:
		d.close()
		return nil, errChanged
	}
	return d, nil
}

// Verify implements [action.Action]: Verified if the file system of the last victim's directory is
// below min_used, or half of the planned bytes are free again; Unchanged if not, if there is no
// victim, or one names no size or no directory of the settings; "" and an error if that directory
// cannot be used. It uses the public part of the plan only.
func (r *Action) Verify(_ context.Context, p action.Plan) (action.Outcome, error) {
	var total float64
	dir := ""
	for _, v := range p.Victims {
		n, err := strconv.ParseInt(v.Info["bytes"], 10, 64)
		if err != nil || n < 0 || !slices.Contains(r.c.Directories, v.Info["directory"]) {
			return action.Unchanged, nil
		}
		total, dir = total+float64(n), v.Info["directory"]
	}
	if dir == "" {
		return action.Unchanged, nil
	}
	m, err := r.mounts()
	if err != nil {
		return "", err
	}
	if refused := m.checkLocal(dir); !refused.IsZero() {
		return "", refused
	}
	owner, err := r.owner()
	if err != nil {
		return "", err
	}
	d, refused, err := r.open(m, dir, owner)
	switch {
	case err != nil:
		return "", err
	case !refused.IsZero():
		return "", refused
	}
	defer d.close()
	now, err := d.space()
	switch {
	case err != nil:
		return "", err
	case now.usage() < r.c.MinUsed, float64(now.used) <= p.Measure-minFreed*total && total > 0:
		return action.Verified, nil
	}
	return action.Unchanged, nil
}
