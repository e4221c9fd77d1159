package safefile_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/resp-exporter/resp-exporter/internal/safefile"
)

const stranger = 65534

// base returns a directory of this user, below one where no other user can write.
func base(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "safefile-") //nolint:usetesting // t.TempDir is below /tmp, where all may write
	if err != nil {
		t.Fatalf("this test needs a directory in /var/lib: run it as root: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func put(t *testing.T, name, text string, mode os.FileMode, uid int) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	own(t, name, mode, uid)
	return name
}

func own(t *testing.T, name string, mode os.FileMode, uid int) {
	t.Helper()
	if err := errors.Join(os.Chown(name, uid, uid), os.Chmod(name, mode)); err != nil {
		t.Fatal(err)
	}
}

func dir(t *testing.T, name string, mode os.FileMode, uid int) string {
	t.Helper()
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	own(t, name, mode, uid)
	return name
}

func link(t *testing.T, to, name string, uid int) string {
	t.Helper()
	if err := errors.Join(os.Symlink(to, name), os.Lchown(name, uid, uid)); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRead(t *testing.T) {
	at := base(t)
	good := put(t, at+"/good", "12\n", 0o644, 0)
	theirs := dir(t, at+"/theirs", 0o755, stranger)
	sticky := dir(t, at+"/sticky", 0o777|os.ModeSticky, 0)
	shared := dir(t, at+"/shared", 0o777, 0)
	fifo := at + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	twice := put(t, at+"/twice", "1", 0o600, 0)
	if err := os.Link(twice, theirs+"/twice"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path   string
		policy safefile.Policy
		want   error
	}{
		"a plain file":                         {good, safefile.Policy{}, nil},
		"no such file":                         {at + "/none", safefile.Policy{}, os.ErrNotExist},
		"no such directory":                    {at + "/none/x", safefile.Policy{}, os.ErrNotExist},
		"a link of ours":                       {link(t, "good", at+"/ours", 0), safefile.Policy{}, nil},
		"links of a mounted secret":            {link(t, "ours", at+"/chain", 0), safefile.Policy{}, nil},
		"a path with dots":                     {at + "/theirs/../good", safefile.Policy{}, nil},
		"a stranger's link in his directory":   {link(t, good, theirs+"/a", stranger), safefile.Policy{}, safefile.ErrLink},
		"root's link in his directory":         {link(t, good, theirs+"/b", 0), safefile.Policy{}, safefile.ErrLink},
		"a stranger's link in a sticky one":    {link(t, good, sticky+"/a", stranger), safefile.Policy{}, safefile.ErrLink},
		"our link in a sticky one":             {link(t, good, sticky+"/b", 0), safefile.Policy{}, nil},
		"our link where all may write":         {link(t, good, shared+"/b", 0), safefile.Policy{}, safefile.ErrLink},
		"a link to his directory":              {link(t, at, theirs+"/dir", stranger) + "/good", safefile.Policy{}, safefile.ErrLink},
		"a link to a device":                   {link(t, "/dev/zero", at+"/zero", 0), safefile.Policy{}, safefile.ErrNotRegular},
		"a device":                             {"/dev/zero", safefile.Policy{}, safefile.ErrNotRegular},
		"a FIFO":                               {fifo, safefile.Policy{}, safefile.ErrNotRegular},
		"a directory":                          {at, safefile.Policy{}, safefile.ErrNotRegular},
		"a loop of links":                      {link(t, "loop", at+"/loop", 0), safefile.Policy{}, unix.ELOOP},
		"too large":                            {put(t, at+"/large", strings.Repeat("x", 65), 0o600, 0), safefile.Policy{MaxBytes: 64}, safefile.ErrTooLarge},
		"a stranger's file":                    {put(t, theirs+"/file", "1", 0o644, stranger), safefile.Policy{}, safefile.ErrOwner},
		"his file where he is trusted":         {theirs + "/file", safefile.Policy{Owners: []uint32{stranger}}, nil},
		"his file whose content is a claim":    {theirs + "/file", safefile.Policy{AnyOwner: true}, nil},
		"his link where he is trusted":         {link(t, "file", theirs+"/c", stranger), safefile.Policy{Owners: []uint32{stranger}}, nil},
		"a file that all may write":            {put(t, at+"/open", "1", 0o666, 0), safefile.Policy{}, safefile.ErrMode},
		"a file that a group may write":        {put(t, at+"/group", "1", 0o660, 0), safefile.Policy{}, safefile.ErrMode},
		"our file under a name that he made":   {theirs + "/twice", safefile.Policy{}, safefile.ErrHardLink},
		"the administrator's, a stranger's":    {theirs + "/a", safefile.Policy{Administrator: true}, nil},
		"the administrator's, of a group":      {at + "/group", safefile.Policy{Administrator: true}, nil},
		"the administrator's, of everybody":    {at + "/open", safefile.Policy{Administrator: true}, safefile.ErrMode},
		"the administrator's FIFO":             {fifo, safefile.Policy{Administrator: true}, safefile.ErrNotRegular},
		"a file that says it is empty (/proc)": {"/proc/self/stat", safefile.Policy{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan error, 1)
			go func() {
				_, err := safefile.Read(c.path, c.policy)
				done <- err
			}()
			select {
			case err := <-done:
				if !errors.Is(err, c.want) {
					t.Errorf("Read(%s): %v, want %v", c.path, err, c.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Read waits")
			}
		})
	}
}

func TestOpenRoot(t *testing.T) {
	at := base(t)
	theirs := dir(t, at+"/theirs", 0o755, stranger)
	shared := dir(t, at+"/shared", 0o777, 0)
	sticky := dir(t, at+"/sticky", 0o777|os.ModeSticky, 0)
	ours := dir(t, at+"/ours", 0o700, 0)
	for name, c := range map[string]struct {
		path string
		ok   bool
	}{
		"ours":                          {ours, true},
		"a link of ours":                {link(t, ours, at+"/link", 0), true},
		"ours in a sticky directory":    {dir(t, sticky+"/ours", 0o700, 0), true},
		"his":                           {theirs, false},
		"his in a sticky directory":     {dir(t, sticky+"/his", 0o700, stranger), false},
		"ours where all may write":      {dir(t, shared+"/ours", 0o700, 0), false},
		"ours below his":                {dir(t, theirs+"/ours", 0o700, 0), false},
		"his link in a sticky one":      {link(t, ours, sticky+"/link", stranger), false},
		"ours, in which all may write":  {dir(t, at+"/open", 0o777, 0), false},
		"ours, in which a group writes": {dir(t, at+"/group", 0o770, 0), false},
		"a file":                        {put(t, at+"/file", "", 0o600, 0), false},
		"none":                          {at + "/none", false},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := safefile.OpenRoot(c.path)
			if (err == nil) != c.ok {
				t.Fatalf("OpenRoot(%s): %v", c.path, err)
			}
			if err == nil {
				if err := root.WriteFile("x", []byte("1"), 0o600); err != nil {
					t.Error(err)
				}
				_ = root.Close()
			}
		})
	}
}

// A directory is created only where no other user can change its path.
func TestMakeRoot(t *testing.T) {
	at := base(t)
	theirs := dir(t, at+"/theirs", 0o755, stranger)
	sticky := dir(t, at+"/sticky", 0o777|os.ModeSticky, 0)
	ours := dir(t, at+"/ours", 0o700, 0)
	private := dir(t, at+"/private", 0o700, 0)
	dir(t, private+"/resp", 0o755, 0)
	for name, c := range map[string]struct {
		path string
		ok   bool
	}{
		"new":                                    {at + "/new", true},
		"new in a sticky directory":              {sticky + "/new", true},
		"there":                                  {ours, true},
		"as systemd makes it for a dynamic user": {link(t, "private/resp", at+"/resp", 0), true},
		"new in his":                             {theirs + "/new", false},
		"new behind his link":                    {link(t, ours, sticky+"/way", stranger) + "/new", false},
		"his link to nowhere":                    {link(t, ours+"/none", sticky+"/none", stranger), false},
		"below a parent that is not there":       {at + "/none/new", false},
		"a file":                                 {put(t, at+"/file", "", 0o600, 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := safefile.MakeRoot(c.path)
			if (err == nil) != c.ok {
				t.Fatalf("MakeRoot(%s): %v", c.path, err)
			}
			if err == nil {
				_ = root.Close()
				return
			}
			for _, path := range []string{c.path, ours + "/new", ours + "/none"} {
				if info, err := os.Stat(path); err == nil && info.IsDir() && path != ours {
					t.Errorf("%s was made", path)
				}
			}
		})
	}
}

func TestClosed(t *testing.T) {
	at := base(t)
	theirs := dir(t, at+"/theirs", 0o755, stranger)
	for path, ok := range map[string]bool{at + "/new.sock": true, theirs + "/new.sock": false, "/tmp/new.sock": false, theirs + "/../x": false} {
		if err := safefile.Closed(path); (err == nil) != ok {
			t.Errorf("Closed(%s): %v", path, err)
		}
	}
}
