// Package reason names why something cannot be read or done: one small fixed set
// for files, the kernel, servers and collectors.
package reason

import (
	"errors"
	"io/fs"
)

// Reason is why something cannot be had.
type Reason string

// The reasons, as values of the label reason of resp_collector_available.
const (
	OK          Reason = "ok"          // nothing is missing
	Disabled    Reason = "disabled"    // switched off by flag or configuration
	Permission  Reason = "permission"  // the kernel, a file's mode or a server refuses
	Unsupported Reason = "unsupported" // this kernel or server has no such thing
	NotFound    Reason = "not_found"   // it does not exist, or nothing answers there
	InUse       Reason = "in_use"      // another process holds the address
	Untrusted   Reason = "untrusted"   // what is sent is dropped, because the sender may not report it
	Malformed   Reason = "malformed"   // what an app sends cannot be read; optional
	Misnamed    Reason = "misnamed"    // what an app sends names an app that is not watched; optional
	Busy        Reason = "busy"        // a server has no time or no connection left
	Timeout     Reason = "timeout"     // no answer in time
	Failed      Reason = "failed"      // anything else
)

// OfFile returns the reason of an error of package os: Permission or NotFound, Failed for
// any other.
func OfFile(err error) Reason {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Permission
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	default:
		return Failed
	}
}
