package image

import "testing"

func TestInUserSpace(t *testing.T) {
	const table = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:42 / /mnt/far rw,nosuid shared:9 master:2 - fuse.sshfs host:/srv rw,user_id=0
31 22 0:43 / /mnt/a\040-\040fuse.x rw - tmpfs tmpfs rw
32 22 0:44 / /sys/fs/fuse/connections rw - fusectl none rw
33 22 0:45 / /mnt/plain rw - fuse /dev/fuse rw
34 22 8:33 / /mnt/ntfs rw - fuseblk /dev/sdc1 rw
35 22 0:4 / /mnt/short rw
`
	for minor, want := range map[uint32]bool{42: true, 43: false, 44: false, 45: true, 4: false, 2: false} {
		if got := inUserSpace([]byte(table), 0, minor); got != want {
			t.Errorf("0:%d: %t", minor, got)
		}
	}
	if !inUserSpace([]byte(table), 8, 33) || inUserSpace([]byte(table), 8, 1) || inUserSpace(nil, 0, 0) {
		t.Error("8:33 is in user space, 8:1 is not")
	}
}
