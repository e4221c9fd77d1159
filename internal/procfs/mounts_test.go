package procfs

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inNamespace starts a shell in new namespaces, and returns its pid when it has run setup.
func inNamespace(t *testing.T, setup string, unshare ...string) int {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes namespaces: run it as root")
	}
	cmd := exec.CommandContext(t.Context(), "unshare", append(unshare, "sh", "-ec", setup+"\necho ready\nexec sleep 600")...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd.Process.Pid
}

// What is mounted is the administrator's in each mount namespace but those of user
// namespaces below the exporter's.
func TestMountedByOurs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pid  int
		want bool
	}{
		"the same":                    {os.Getpid(), true},
		"another":                     {inNamespace(t, "", "-m"), true},
		"another of a user namespace": {inNamespace(t, "", "-m", "-U", "-r"), false},
		"of a user namespace alone":   {inNamespace(t, "", "-U"), true},
		"of no process":               {0, false},
	} {
		if got := MountedByOurs("/proc", c.pid); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The check takes a mount by its number from the table of the process.
func TestMountsCheck(t *testing.T) {
	t.Parallel()
	pid := inNamespace(t, "mount -t tmpfs -o mode=755 none /mnt", "-m")
	theirs, err := MountsOf("/proc", pid)
	ours, err2 := MountsOf("/proc", os.Getpid())
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	at := func(name string) int {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return int(f.Fd())
	}
	inside, outside := at(New("/proc").Path(pid, "root/mnt")), at("/")
	if err := theirs.Check(inside); err != nil {
		t.Errorf("a mount of its table: %v", err)
	}
	if err := ours.Check(outside); err != nil {
		t.Errorf("a mount of our table: %v", err)
	}
	for _, name := range []string{"/proc/kmsg", "/proc/self", "/sys/kernel"} {
		fd, err := OpenRetry(name, unix.O_PATH|unix.O_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		if err := ours.Check(fd); !errors.Is(err, ErrMount) {
			t.Errorf("%s: %v", name, err)
		}
		_ = unix.Close(fd)
	}
	if err := ours.Check(inside); !errors.Is(err, ErrMount) {
		t.Errorf("a mount of another table: %v", err)
	}
	id, err := mountOf(inside)
	if err != nil || theirs.Type(id) != "tmpfs" {
		t.Errorf("mount %d is %q (%v)", id, theirs.Type(id), err)
	}
	for kind, refused := range map[string]bool{
		"fuse": true, "fuse.sshfs": true, "fuseblk": true, "autofs": true, "fusectl": false, "ext4": false, "overlay": false, "nfs4": false,
		"proc": true, "sysfs": true, "tracefs": true, "debugfs": true, "securityfs": true, "configfs": true, "cgroup": true, "cgroup2": true,
		"bpf": true, "efivarfs": true, "pstore": true, "mqueue": true, "devtmpfs": true,
	} {
		table := Mounts{[]byte(strings.ReplaceAll(string(theirs.table), " - tmpfs none", " - "+kind+" none"))}
		if err := table.Check(inside); errors.Is(err, ErrMount) != refused {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// A line that is cut is not one of the table.
func TestMountsType(t *testing.T) {
	t.Parallel()
	m := Mounts{[]byte("36 35 98:0 / /mnt\\040- rw shared:1 - ext4 /dev/a rw\n361 1 0:1 / /proc rw - proc proc rw\n7 1 0:2 / /x rw - tmpf")}
	for id, want := range map[uint64]string{36: "ext4", 361: "proc", 7: "", 3: ""} {
		if got := m.Type(id); got != want {
			t.Errorf("%d: %q, want %q", id, got, want)
		}
	}
}
