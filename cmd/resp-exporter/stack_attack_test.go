package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/resp-exporter/resp-exporter/internal/pystack"
)

// hostileNames is a program with names of a megabyte and of control characters: of the process,
// of threads, of functions and of files; and with more threads than are read.
const hostileNames = `
import ctypes, os, sys, threading
libc = ctypes.CDLL(None)
libc.prctl(15, b'a"b)\n\x1b[2J', 0, 0, 0)
end = threading.Event()
def thread():
    libc.prctl(15, b'x") Z\ny{}=', 0, 0, 0)
    end.wait()
threading.stack_size(65536)
for _ in range(int(sys.argv[1])):
    threading.Thread(target=thread, daemon=True).start()
names = {}
text = "def f():\n  print(1, flush=True)\n  import sys; sys.stdin.read()\n"
exec(compile(text, '/x/"evil"\n\x1b]0;t\x07\u202e' + "F" * 1000000 + ".py", "exec"), names)
name = 'ev"il\n{}\x00\x1b[2J\u202e' + "A" * 1000000
names["f"].__code__ = names["f"].__code__.replace(co_name=name, co_qualname=name)
names["f"]()
`

// Whatever name a process and its parts have, the command ends, its output is bounded and
// has no control characters, and it says how many threads are left out.
func TestAttackStackNames(t *testing.T) {
	t.Parallel()
	const threads = pystack.MaxThreads + 50
	pid := strconv.Itoa(startPython(t, hostileNames, strconv.Itoa(threads)))
	var text, stderr bytes.Buffer
	if code := run([]string{"stack", pid}, &text, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	for line := range strings.Lines(text.String()) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) > 4000 || !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%d bytes: %.200q", len(line), line)
		}
	}
	if !strings.Contains(text.String(), "\n51 more threads are not read") {
		t.Errorf("it does not say what is left out: %.200q", text.String())
	}
	text.Reset()
	if code := run([]string{"stack", "--output=json", pid}, &text, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var r stackReport
	if err := json.Unmarshal(text.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Threads) != pystack.MaxThreads || r.Left != 51 {
		t.Errorf("%d threads, %d left out", len(r.Threads), r.Left)
	}
	for i := range r.Threads {
		for _, f := range r.Threads[i].Frames {
			if utf8.RuneCountInString(f.Function) > 300 || utf8.RuneCountInString(f.File) > 300 {
				t.Errorf("%d characters", utf8.RuneCountInString(f.Function+f.File))
			}
		}
	}
}
