package secret_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/reason"
	"github.com/resp-exporter/resp-exporter/internal/safefile"
	"github.com/resp-exporter/resp-exporter/internal/secret"
)

const stranger = 65534

// put writes a file in a directory where no other user can write, and returns its path.
func put(t *testing.T, text string, mode os.FileMode, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "secret-") //nolint:usetesting // t.TempDir is below /tmp, where all may write
	if err != nil {
		t.Fatalf("this test needs a directory in /var/lib: run it as root: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	name := filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(name, []byte(text), 0o600), os.Chown(name, uid, uid), os.Chmod(name, mode)); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestRead(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		uid  int
		want string
		err  error
	}{
		"a line":              {"s3cret\n", 0o600, 0, "s3cret", nil},
		"no line end":         {"s3cret", 0o400, 0, "s3cret", nil},
		"Windows' line end":   {"s3cret\r\n", 0o644, 0, "s3cret", nil},
		"a byte order mark":   {"\xef\xbb\xbfs3cret\n", 0o600, 0, "s3cret", nil},
		"spaces are its own":  {" a b \n", 0o600, 0, " a b ", nil},
		"two lines":           {"one\ntwo\n", 0o600, 0, "", secret.ErrLines},
		"an old Mac's lines":  {"one\rtwo", 0o600, 0, "", secret.ErrLines},
		"empty":               {"", 0o600, 0, "", secret.ErrEmpty},
		"a mark alone":        {"\xef\xbb\xbf\n", 0o600, 0, "", secret.ErrEmpty},
		"UTF-16":              {"\xff\xfes\x003\x00", 0o600, 0, "", secret.ErrText},
		"a zero byte":         {"a\x00b", 0o600, 0, "", secret.ErrText},
		"all may write":       {"s3cret", 0o666, 0, "", safefile.ErrMode},
		"a stranger's":        {"s3cret", 0o600, stranger, "", safefile.ErrOwner},
		"more than 4 KiB":     {strings.Repeat("x", 4097), 0o600, 0, "", safefile.ErrTooLarge},
		"a mark in the midst": {"a\ufeffb", 0o600, 0, "", secret.ErrText},
	} {
		t.Run(name, func(t *testing.T) {
			file := put(t, c.text, c.mode, c.uid)
			got, err := secret.Read(file)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("%q, %v, want %q, %v", got, err, c.want, c.err)
			}
			if err != nil && !strings.Contains(err.Error(), file) {
				t.Errorf("%q does not name the file", err)
			}
		})
	}
}

// An error has a reason and a remedy. The path is not in the published text, and in
// the remedy only after it is filled in.
func TestError(t *testing.T) {
	for name, c := range map[string]struct {
		file      string
		want      reason.Reason
		hasRemedy bool
	}{
		"empty":     {put(t, "", 0o600, 0), reason.Failed, true},
		"mode":      {put(t, "x", 0o666, 0), reason.Permission, true},
		"owner":     {put(t, "x", 0o600, stranger), reason.Permission, true},
		"not there": {put(t, "x", 0o600, 0) + "/none", reason.Failed, true},
		"none":      {"/var/lib/no-such-secret", reason.NotFound, false},
	} {
		_, err := secret.Read(c.file)
		e, ok := errors.AsType[*secret.Error](err)
		if !ok || e.Reason() != c.want || strings.Contains(e.Why(), c.file) || (e.Remedy() != "") != c.hasRemedy {
			t.Errorf("%s: %v, %+v", name, err, e)
			continue
		}
		if remedy := secret.RemedyWithPath(e.Remedy(), c.file); strings.Contains(remedy, c.file) != c.hasRemedy {
			t.Errorf("%s: %s", name, remedy)
		}
	}
	if got := secret.RemedyWithPath("GRANT FILE", "/x"); got != "GRANT FILE" {
		t.Error(got)
	}
}

func TestVersionOf(t *testing.T) {
	file := put(t, "x", 0o600, 0)
	before := secret.VersionOf(file)
	if before == (secret.Version{}) || secret.VersionOf("") != (secret.Version{}) || secret.VersionOf(file+"x") != (secret.Version{}) {
		t.Error(before)
	}
	if err := os.WriteFile(file, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	if secret.VersionOf(file) == before {
		t.Error("another content has the same version")
	}
}
