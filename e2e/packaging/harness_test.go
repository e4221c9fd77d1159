// Package packaging_test builds the packages and installs them.
package packaging_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newest is the version of the packages, and older that of the package before it.
const newest, older = "0.1.0", "0.0.9"

// built is a release.
type built struct{ dir, deb, rpm, name string } // name: the directory of the tarball, without its suffix

// rpmArch is how rpm calls the architectures of a release.
var rpmArch = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// build builds the release for this machine's architecture and unpacks its tarball.
func build(t *testing.T) built {
	t.Helper()
	b := built{dir: t.TempDir()}
	run(t, []string{"ARCHS=" + runtime.GOARCH, "BUILD_USER=builder@example", "SOURCE_DATE_EPOCH=1700000000"}, "../../tools/release/release.sh", newest, b.dir)
	b.name = filepath.Join(b.dir, "resp-exporter-"+newest+".linux-"+runtime.GOARCH)
	run(t, nil, "tar", "-C", b.dir, "-xzf", b.name+".tar.gz")
	b.deb = filepath.Join(b.dir, "resp-exporter_"+newest+"_"+runtime.GOARCH+".deb")
	b.rpm = filepath.Join(b.dir, "resp-exporter-"+newest+"-1."+rpmArch[runtime.GOARCH]+".rpm")
	return b
}

// before returns a package of an older version with another default configuration.
func before(t *testing.T, b built) string {
	t.Helper()
	dir, deb := filepath.Join(b.dir, older), filepath.Join(b.dir, "older.deb")
	run(t, nil, "dpkg-deb", "-R", b.deb, dir)
	for file, edit := range map[string]func(string) string{
		"DEBIAN/control":                      func(s string) string { return strings.Replace(s, "Version: "+newest, "Version: "+older, 1) },
		"etc/resp-exporter/resp-exporter.yml": func(string) string { return "# as in " + older + "\n" },
		"etc/default/resp-exporter":           func(s string) string { return s + "# as in " + older + "\n" },
	} {
		file = filepath.Join(dir, file)
		write(t, file, edit(read(t, file)))
	}
	run(t, nil, "dpkg-deb", "-Zgzip", "-z1", "-b", dir, deb)
	return deb
}

// run runs a program and returns what it wrote; it fails the test when the program does.
func run(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// exists reports whether a file is there.
func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// host is a minimal root directory of its own: dpkg, a shell, the programs that the
// package's scripts call, their libraries, and an empty list of packages.
type host struct{ root string }

// programs are those of a host, and the package of Debian that has each.
var programs = map[string]string{
	"/usr/bin/dpkg": "dpkg", "/usr/bin/dpkg-deb": "dpkg", "/usr/bin/dpkg-split": "dpkg", "/sbin/start-stop-daemon": "dpkg", "/sbin/ldconfig": "libc-bin",
	"/bin/tar": "tar", "/usr/bin/diff": "diffutils", "/bin/sh": "dash", "/bin/rm": "coreutils", "/usr/bin/getent": "libc-bin", "/usr/bin/kill": "procps",
	"/bin/bash": "bash", "/bin/cat": "coreutils", "/usr/bin/install": "coreutils", "/usr/bin/tee": "coreutils", "/usr/bin/openssl": "openssl", "/usr/bin/setpriv": "util-linux",
	"/usr/sbin/groupadd": "passwd", "/usr/sbin/useradd": "passwd", "/usr/sbin/nologin": "login",
}

// library matches a library in the output of ldd.
var library = regexp.MustCompile(`(/\S+) \(0x`)

func newHost(t *testing.T) host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test installs a package into a directory: run it as root")
	}
	h := host{root: t.TempDir()}
	if err := os.Chmod(h.root, 0o755); err != nil { //nolint:gosec // other users run programs in it
		t.Fatal(err)
	}
	for _, program := range slices.Sorted(maps.Keys(programs)) {
		if !exists(program) {
			t.Fatalf("%s is missing: apt-get install %s", program, programs[program])
		}
		h.copy(t, program)
		for _, m := range library.FindAllStringSubmatch(run(t, nil, "ldd", program), -1) {
			h.copy(t, m[1])
		}
	}
	for file, text := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/group": "root:x:0:\n", "/etc/shadow": "root:*:19000:0:99999:7:::\n", "/etc/gshadow": "root:*::\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\n", "/etc/login.defs": "SYS_UID_MAX 999\n",
		"/var/lib/dpkg/available": "", "/var/lib/dpkg/info/format": "1\n", "/var/lib/dpkg/updates/.keep": "", "/var/lib/dpkg/triggers/.keep": "",
		"/var/lib/dpkg/status": "Package: passwd\nStatus: install ok installed\nVersion: 1:4.13\nArchitecture: " + runtime.GOARCH + "\nMaintainer: Debian\nDescription: users\n\n",
	} {
		write(t, filepath.Join(h.root, file), text)
	}
	for _, dir := range []string{"updates", "triggers"} {
		_ = os.Remove(filepath.Join(h.root, "var/lib/dpkg", dir, ".keep"))
	}
	for dir, mode := range map[string]os.FileMode{"/dev": 0o755, "/tmp": 0o777} {
		if err := os.Mkdir(h.file(dir), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mknod(h.file("/dev/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil { //nolint:gosec // a small number
		t.Fatal(err)
	}
	return h
}

// copy copies a file of this machine to the same path of the host.
func (h host) copy(t *testing.T, file string) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, h.file(file), read(t, file))
	if err := os.Chmod(h.file(file), info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
}

// file returns a path of the host as one of this machine.
func (h host) file(path string) string { return filepath.Join(h.root, path) }

// install installs a package there; a changed configuration file is kept, as a person
// would answer.
func (h host) install(t *testing.T, deb string) {
	t.Helper()
	write(t, h.file("/tmp/package.deb"), read(t, deb))
	h.dpkg(t, "--force-confdef", "--force-confold", "--install", "/tmp/package.deb")
}

// dpkg runs dpkg there.
func (h host) dpkg(t *testing.T, args ...string) {
	t.Helper()
	run(t, []string{"DEBIAN_FRONTEND=noninteractive", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "chroot", append([]string{h.root, "dpkg"}, args...)...)
}

// user returns the uid and gid of the service's user there.
func (h host) user(t *testing.T) (uid, gid int) {
	t.Helper()
	for line := range strings.Lines(read(t, h.file("/etc/passwd"))) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if f[0] != "resp-exporter" {
			continue
		}
		if _, err := fmt.Sscan(f[2]+" "+f[3], &uid, &gid); err != nil {
			t.Fatal(err)
		}
		if f[6] != "/usr/sbin/nologin" || uid == 0 || uid > 999 {
			t.Errorf("the user: %s", line)
		}
	}
	if uid == 0 {
		t.Fatal("no user resp-exporter")
	}
	return uid, gid
}
