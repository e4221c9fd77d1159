package chains

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// party is a request, by its app and tag, at the step in which it waits or holds.
type party struct{ app, tag, step string }

// want is the chain that a case must show.
type want struct {
	victims  []party
	root     party  // without a tag: no request
	user     string // of the root's connection, where it is no worker's
	peer     string // of the root, where it is neither
	client   string // the address of the root's connection begins with that, where it has no user
	kind     string // "": any
	deadlock bool
	plusLine int // the line of the victims is that many after their notes
}

// Case is one chain that is made.
type Case struct {
	Name  string
	make  func(ctx context.Context, r *rig) ([]want, error)
	local bool // blog reaches the database by its UNIX socket
	mute  bool // the database does not know which process has a connection
}

// step is one request of a case.
type step struct {
	party

	view, steps string
}

// at returns the party of an app's request with a tag, at a place.
func at(app, tag, where string) party { return party{app, tag, where} }

// making returns the make of a case that only sends requests, one after the other.
func making(w want, steps ...step) func(context.Context, *rig) ([]want, error) {
	return func(ctx context.Context, r *rig) ([]want, error) {
		for _, s := range steps {
			if err := r.call(ctx, s.app, s.tag, s.view, r.fill(s.steps), s.step); err != nil {
				return nil, err
			}
		}
		return []want{w}, nil
	}
}

// fill replaces the ports in steps.
func (r *rig) fill(steps string) string {
	_, port, _ := strings.Cut(r.silent.Addr().String(), ":")
	return strings.NewReplacer("SILENT", port, "BLOG", r.apps["blog"]).Replace(steps)
}

// shell runs statements as a client that is no worker, and holds its connection.
func (r *rig) shell(ctx context.Context, statements ...string) (*sql.Conn, error) {
	c, err := r.root.Conn(ctx)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = c.Raw(func(any) error { return sql.ErrConnDone }); _ = c.Close() })
	for _, s := range statements {
		if _, err := c.ExecContext(ctx, s); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// foreign returns the make of a case in which a shell holds something.
func foreign(w want, statements []string, steps ...step) func(context.Context, *rig) ([]want, error) {
	return func(ctx context.Context, r *rig) ([]want, error) {
		if _, err := r.shell(ctx, statements...); err != nil {
			return nil, err
		}
		return making(w, steps...)(ctx, r)
	}
}

// Cases returns all cases.
func Cases() []Case {
	shop := func(tag, where, view, steps string) step { return step{at("shop", tag, where), view, steps} }
	blog := func(tag, where, view, steps string) step { return step{at("blog", tag, where), view, steps} }
	holds := []string{"USE trial", "BEGIN", "UPDATE things SET n = n + 1 WHERE id = 1"}
	return []Case{
		{Name: "row", make: making(want{victims: []party{at("shop", "v", "row")}, root: at("shop", "h", "sleep"), kind: "row"},
			shop("h", "sleep", "a", "row:1,sleep:60"), shop("v", "row", "b", "row:1"))},
		{Name: "row, two victims, the root waits for an upstream", make: making(want{victims: []party{at("shop", "v", "row"), at("shop", "w", "row")}, root: at("shop", "h", "up"), kind: "row"},
			shop("h", "up", "a", "row:1,up:SILENT"), shop("v", "row", "b", "row:1"), shop("w", "row", "c", "row:1"))},
		{Name: "row, depth 2", make: making(want{victims: []party{at("shop", "v", "row")}, root: at("shop", "h", "sleep")},
			shop("h", "sleep", "a", "row:1,sleep:60"), shop("m", "row", "b", "row:2,row:1"), shop("v", "row", "c", "row:2"))},
		{Name: "row, depth 3", make: making(want{victims: []party{at("shop", "v", "row")}, root: at("shop", "h", "sleep")},
			shop("h", "sleep", "a", "row:1,sleep:60"), shop("m", "row", "b", "row:2,row:1"), shop("n", "row", "c", "row:3,row:2"), shop("v", "row", "d", "row:3"))},
		{Name: "row, over two apps", make: making(want{victims: []party{at("blog", "v", "row")}, root: at("shop", "h", "sleep")},
			shop("h", "sleep", "a", "row:1,sleep:60"), blog("v", "row", "b", "row:1"))},
		{Name: "row, over two apps, the other way", make: making(want{victims: []party{at("shop", "v", "row")}, root: at("blog", "h", "sleep")},
			blog("h", "sleep", "a", "row:1,sleep:60"), shop("v", "row", "b", "row:1"))},
		{Name: "row, by a UNIX socket", local: true, make: making(want{victims: []party{at("shop", "v", "row")}, root: at("blog", "h", "sleep")},
			blog("h", "sleep", "a", "row:1,sleep:60"), shop("v", "row", "b", "row:1"))},
		{Name: "row, by a UNIX socket, without performance_schema", local: true, mute: true, make: making(want{victims: []party{at("shop", "v", "row")}, root: at("blog", "h", "sleep")},
			blog("h", "sleep", "a", "row:1,sleep:60"), shop("v", "row", "b", "row:1"))},
		{Name: "row, two by a UNIX socket, without performance_schema", local: true, mute: true, make: making(want{victims: []party{at("blog", "w", "row"), at("shop", "v", "row")}, root: at("blog", "h", "sleep")},
			blog("h", "sleep", "a", "row:1,sleep:60"), shop("v", "row", "b", "row:1"), blog("w", "row", "c", "row:1"))},
		{Name: "upstream app that waits for a row", make: making(want{victims: []party{at("shop", "v", "call")}, root: at("shop", "h", "sleep")},
			shop("h", "sleep", "a", "row:1,sleep:60"), shop("v", "call", "c", "call:http://BLOG/b?tag=m|steps=row:1"))},
		{Name: "upstream app that sleeps", make: making(want{victims: []party{at("shop", "v", "call")}, root: at("blog", "m", "sleep")},
			shop("v", "call", "c", "call:http://BLOG/b?tag=m|steps=sleep:60"))},
		{Name: "silent upstream", make: making(want{victims: []party{at("shop", "v", "up")}, peer: "SILENT"},
			shop("v", "up", "c", "up:SILENT"))},
		{Name: "row, held by a shell", make: foreign(want{victims: []party{at("shop", "v", "row")}, user: "root", kind: "row"}, holds, shop("v", "row", "b", "row:1"))},
		{Name: "row, held by a shell, two apps", make: foreign(want{victims: []party{at("shop", "v", "row"), at("blog", "w", "row")}, user: "root"}, holds,
			shop("v", "row", "b", "row:1"), blog("w", "row", "c", "row:1"))},
		{Name: "tables, locked by a worker", make: making(want{victims: []party{at("shop", "v", "row")}, root: at("shop", "h", "sleep")},
			shop("h", "sleep", "a", "tables:1,sleep:60"), shop("v", "row", "b", "row:1"))},
		{Name: "tables, locked by a shell", make: foreign(want{victims: []party{at("shop", "v", "row")}, user: "root"}, []string{"USE trial", "LOCK TABLES things WRITE"}, shop("v", "row", "b", "row:1"))},
		{Name: "global read lock", make: foreign(want{victims: []party{at("shop", "v", "row")}, user: "root"}, []string{"FLUSH TABLES WITH READ LOCK"}, shop("v", "row", "b", "row:1"))},
		{Name: "metadata lock", make: metadata},
		{Name: "transaction kept after the request", make: kept},
		// All others get the error BUSY: who runs it waits alone.
		{Name: "script of a worker", make: making(want{victims: []party{at("shop", "h", "lua")}, peer: "redis:cache", kind: "script"},
			shop("h", "lua", "a", "lua:50"), shop("v", "get", "b", "get:1"))},
		{Name: "slow command of another client", make: slowCommand},
		{Name: "slow command of a worker", make: making(want{victims: []party{at("shop", "v", "get"), at("blog", "w", "get")}, root: at("shop", "h", "slow"), kind: "slow_command"},
			shop("h", "slow", "a", "slow:45"), shop("v", "get", "b", "get:1"), blog("w", "get", "c", "get:1"))},
		{Name: "script of a worker, for which all wait", make: longScript},
		{Name: "GIL", make: gil},
		{Name: "lock of the process", make: making(want{victims: []party{at("blog", "v", "mutex")}, root: at("blog", "h", "sleep")},
			blog("h", "sleep", "a", "mutex:1,sleep:60"), blog("v", "mutex", "b", "mutex:1"))},
		{Name: "lock of the process, whose holder waits for a row", make: making(want{victims: []party{at("blog", "v", "mutex")}, root: at("shop", "h", "sleep")},
			shop("h", "sleep", "a", "row:1,sleep:60"), blog("m", "row", "b", "mutex:1,row:1"), blog("v", "mutex", "c", "mutex:1"))},
		{Name: "deadlock of a row and a lock of the process", make: making(want{victims: []party{at("blog", "v", "mutex")}, deadlock: true},
			blog("w", "sleep", "a", "mutex:1,sleep:3,row:1"), blog("v", "mutex", "b", "row:1,mutex:1"))},
		{Name: "two chains", make: twoChains},
	}
}

// metadata starts a statement that waits for an ALTER that waits for a transaction, and
// returns the expected chain.
func metadata(ctx context.Context, r *rig) ([]want, error) {
	if err := r.call(ctx, "shop", "h", "a", "read:1,sleep:60", "sleep"); err != nil {
		return nil, err
	}
	c, err := r.shell(ctx, "SET lock_wait_timeout=100")
	if err != nil {
		return nil, err
	}
	r.calls.Go(func() { _, _ = c.ExecContext(ctx, "ALTER TABLE trial.things ADD COLUMN m INT") })
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var n int
		err := r.root.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata%'").Scan(&n)
		if n > 0 {
			break
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return nil, fmt.Errorf("the ALTER does not wait: %w", err)
		}
	}
	return making(want{victims: []party{at("shop", "v", "read")}, root: at("shop", "h", "sleep"), kind: "metadata"},
		step{at("shop", "v", "read"), "b", "read:2"})(ctx, r)
}

// kept leaves a connection in its transaction after a request, and returns the expected
// chain.
func kept(ctx context.Context, r *rig) ([]want, error) {
	if err := r.get(ctx, "shop", "/a?tag=h&steps=row:1,keep:1"); err != nil {
		return nil, err
	}
	return making(want{victims: []party{at("blog", "v", "row")}, root: at("shop", "h", "keep")}, step{at("blog", "v", "row"), "b", "row:1"})(ctx, r)
}

// slowCommand sends a command that blocks all others, and returns the expected chain.
func slowCommand(ctx context.Context, r *rig) ([]want, error) {
	r.calls.Go(func() { _ = r.redisDo("DEBUG SLEEP 40") })
	return making(want{victims: []party{at("shop", "v", "get")}, client: "127.0.0.1:"}, step{at("shop", "v", "get"), "b", "get:1"})(ctx, r)
}

// longScript runs a script during which the server answers no client, not even with BUSY,
// and returns the expected chain.
func longScript(ctx context.Context, r *rig) ([]want, error) {
	if err := r.redisDo("CONFIG SET busy-reply-threshold 0"); err != nil {
		return nil, err
	}
	return making(want{victims: []party{at("shop", "v", "get")}, root: at("blog", "h", "lua")},
		step{at("blog", "h", "lua"), "a", "lua:45"}, step{at("shop", "v", "get"), "b", "get:1"})(ctx, r)
}

// gil makes a thread hold the GIL, and returns the expected chain.
func gil(ctx context.Context, r *rig) ([]want, error) {
	return making(want{victims: []party{at("shop", "v", "gil")}, root: at("shop", "v", "hold"), kind: "gil", plusLine: 1},
		step{at("shop", "v", "gil"), "a", "gil:25"})(ctx, r)
}

// twoChains builds two chains at the same time, and returns them.
func twoChains(ctx context.Context, r *rig) ([]want, error) {
	first, err := making(want{victims: []party{at("shop", "v", "row")}, root: at("shop", "h", "sleep")},
		step{at("shop", "h", "sleep"), "a", "row:1,sleep:60"}, step{at("shop", "v", "row"), "b", "row:1"})(ctx, r)
	if err != nil {
		return nil, err
	}
	second, err := making(want{victims: []party{at("blog", "w", "row")}, root: at("blog", "i", "sleep")},
		step{at("blog", "i", "sleep"), "c", "row:2,sleep:60"}, step{at("blog", "w", "row"), "d", "row:2"})(ctx, r)
	return append(first, second...), err
}
