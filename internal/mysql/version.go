package mysql

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Version is a server's flavour and version. The two flavours count on their
// own: MariaDB 10 is not newer than MySQL 8, so compare within one flavour.
type Version struct {
	MariaDB             bool
	Major, Minor, Patch int
}

// errVersion is the error for text without a version.
var errVersion = errors.New("unknown version of MySQL or MariaDB")

var versionForm = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?`)

// replicationPrefix is put before its version by MariaDB 10 in places where
// old replicas would stumble over a two-digit number.
const replicationPrefix = "5.5.5-"

// ParseVersion returns the version in the result of VERSION(), such as
// "10.11.6-MariaDB-0+deb12u1", "5.5.5-10.4.1-MariaDB" or "8.0.36-28". Any other text is
// an error.
func ParseVersion(s string) (Version, error) {
	mariadb := strings.Contains(strings.ToLower(s), "mariadb")
	if mariadb {
		s = strings.TrimPrefix(s, replicationPrefix)
	}
	m := versionForm.FindStringSubmatch(s)
	if m == nil {
		return Version{}, errVersion
	}
	v := Version{MariaDB: mariadb}
	for i, to := range []*int{&v.Major, &v.Minor, &v.Patch} {
		*to, _ = strconv.Atoi(m[i+1]) // at most four digits, or none
	}
	return v, nil
}

// Less reports whether v's number is lower than w's, part by part: 10.5 is lower than
// 10.11. The flavours are not compared.
func (v Version) Less(w Version) bool {
	switch {
	case v.Major != w.Major:
		return v.Major < w.Major
	case v.Minor != w.Minor:
		return v.Minor < w.Minor
	default:
		return v.Patch < w.Patch
	}
}

// has reports whether a server of this version has what came with version mariadb of
// MariaDB and with version mysql of MySQL.
func (v Version) has(mariadb, mysql Version) bool {
	if v.MariaDB {
		return !v.Less(mariadb)
	}
	return !v.Less(mysql)
}

// Flavour returns "mariadb" or "mysql".
func (v Version) Flavour() string {
	if v.MariaDB {
		return "mariadb"
	}
	return "mysql"
}

// String returns the number alone, such as "10.11.6".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }
