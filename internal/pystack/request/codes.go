package request

import (
	"github.com/resp-exporter/resp-exporter/internal/pystack"
	"github.com/resp-exporter/resp-exporter/internal/pystack/object"
)

// Bounds of what is remembered of a process.
const (
	codesMost = 2048
	textsMost = 512
	firstArgs = 4 // arguments that are looked through in any function
)

// The variables that are read.
const (
	nameEnviron = iota
	nameEnv
	nameStartResponse
	nameContext
	nameStart
	nameSelf
	nameRule
	nameRequest
	nameScope
	nameReceive
	namesAll
)

// names returns the wanted variables' names in the order of their constants.
func names() [namesAll]string {
	return [namesAll]string{"environ", "env", "start_response", "ctx", "request_start", "self", "rule", "request", "scope", "receive"}
}

// code is what is known of a code object.
type code struct {
	code  *pystack.Code
	view  string // the function's name as a view
	role  role
	slots *[namesAll]object.Slots // nil: it has none that is read
}

// code returns what is known of a code object, never nil: its role, its view and the
// slots of its variables. They are looked up once; if that fails, it has no slots, and
// they are looked up again with the next look.
func (r *Reader) code(known *pystack.Code) *code {
	c := r.codes[known.Addr]
	if c != nil && c.code == known {
		return c
	}
	if len(r.codes) >= codesMost {
		clear(r.codes)
	}
	c = &code{code: known, role: roleOf(known.File, known.Name), view: label([]byte(known.Function))}
	all, most := names(), 0
	if c.role == plain {
		most = firstArgs
	}
	var slots [namesAll]object.Slots
	if !r.objects.Slots(known.Addr, most, all[:], slots[:]) {
		return c // read again with the next look
	}
	c.settle(&slots)
	r.codes[known.Addr] = c
	return c
}

// settle sets the role of a function from the names of its variables, and the slots of
// those variables if it has a role.
func (c *code) settle(slots *[namesAll]object.Slots) {
	has := func(name int) bool { return slots[name][0] >= 0 }
	if c.role == flask && (!has(nameContext) || !has(nameEnviron)) {
		c.role = plain
	}
	if c.role == plain {
		switch {
		case has(nameStartResponse) && (has(nameEnviron) || has(nameEnv)):
			c.role = wsgi
		case has(nameScope) && has(nameReceive):
			c.role = scoped
		}
	}
	if c.role != plain {
		c.slots = slots
	}
}

// local returns the address of the value of a variable of a frame; false if the code has
// no such variable, or the variable has no value or cannot be read.
func (r *Reader) local(frame uint64, c *code, name int) (uint64, bool) {
	if c.slots == nil || c.slots[name][0] < 0 {
		return 0, false
	}
	return r.objects.Local(frame, c.slots[name])
}
