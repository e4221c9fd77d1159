package proc

import (
	"slices"
	"testing"
)

func TestParseOwner(t *testing.T) {
	t.Parallel()
	const status = "Name:\tx\nUid:\t1\t33\t1\t1\nGid:\t1\t34\t1\t1\nFDSize:\t64\nGroups:\t4 24 \nVmRSS:\t1 kB\n"
	uid, gid, groups, err := parseOwner([]byte(status))
	if uid != 33 || gid != 34 || !slices.Equal(groups, []uint32{4, 24}) || err != nil {
		t.Errorf("%d %d %v %v", uid, gid, groups, err)
	}
	for _, bad := range []string{"", "Uid:\t1\t2\t3\t4\n", "Uid:\t1\tx\t3\t4\nGid:\t1\t2\t3\t4\n", "Uid:\t1\t2\t3\t4\nGid:\t1\t99999999999\t3\t4\n", "Uid:\t1\t2\t3\t4\nGid:\t1\t2\t3\t4\nGroups:\t-1\n"} {
		if uid, gid, _, err := parseOwner([]byte(bad)); err == nil {
			t.Errorf("%q gives %d %d", bad, uid, gid)
		}
	}
}

// Whatever is in the file, nobody becomes root by it that the file does not say.
func FuzzParseOwner(f *testing.F) {
	f.Add([]byte("Uid:\t1\t2\t3\t4\nGid:\t1\t2\t3\t4\nGroups:\t\n"))
	f.Add([]byte("Uid: 0 0 0 0\nGid:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		uid, gid, groups, err := parseOwner(b)
		if err != nil && (uid != 0 || gid != 0 || groups != nil) {
			t.Errorf("an owner beside an error: %d %d %v", uid, gid, groups)
		}
	})
}
