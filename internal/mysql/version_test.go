package mysql_test

import (
	"testing"

	"github.com/resp-exporter/resp-exporter/internal/mysql"
)

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]mysql.Version{
		"10.11.6-MariaDB-0+deb12u1":         {MariaDB: true, Major: 10, Minor: 11, Patch: 6},
		"5.5.5-10.4.1-MariaDB":              {MariaDB: true, Major: 10, Minor: 4, Patch: 1},
		"5.5.68-MariaDB":                    {MariaDB: true, Major: 5, Minor: 5, Patch: 68},
		"11.4.2-MariaDB-ubu2404-log":        {MariaDB: true, Major: 11, Minor: 4, Patch: 2},
		"8.0.36":                            {Major: 8, Minor: 0, Patch: 36},
		"8.0.36-28":                         {Major: 8, Minor: 0, Patch: 36},
		"8.4.0-0ubuntu1":                    {Major: 8, Minor: 4},
		"5.7.44-log":                        {Major: 5, Minor: 7, Patch: 44},
		"8.0.mysql_aurora.3.04.0":           {Major: 8},
		"5.5.5-MariaDB":                     {}, // a prefix and no version
		"":                                  {},
		"MariaDB":                           {},
		"ten.eleven":                        {},
		"10":                                {},
		" 8.0.36":                           {},
		"99999999999999999999.0.0":          {},
		"5.5.5-99999999999999999.0-MariaDB": {},
	} {
		got, err := mysql.ParseVersion(s)
		if got != want || (err == nil) != (want != mysql.Version{}) {
			t.Errorf("%q is %+v, %v; want %+v", s, got, err, want)
		}
	}
}

func TestVersionLess(t *testing.T) {
	sorted := []mysql.Version{{Major: 5, Minor: 7, Patch: 44}, {Major: 8, Minor: 0, Patch: 4}, {Major: 8, Minor: 0, Patch: 36}, {Major: 8, Minor: 4}, {Major: 10, Minor: 5}, {Major: 10, Minor: 11, Patch: 6}}
	for i, v := range sorted {
		for j, w := range sorted {
			if v.Less(w) != (i < j) {
				t.Errorf("%s less than %s is %t", v, w, v.Less(w))
			}
		}
	}
	v := mysql.Version{MariaDB: true, Major: 10, Minor: 11, Patch: 6}
	if v.String() != "10.11.6" || v.Flavour() != "mariadb" || (mysql.Version{}).Flavour() != "mysql" {
		t.Errorf("%s %s", v.Flavour(), v)
	}
}

// FuzzParseVersion: a parsed version is parsed again from its text, and an error has no
// version.
func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"10.11.6-MariaDB-0+deb12u1", "5.5.5-10.4.1-MariaDB", "8.0.36-28", "8", "", "-1.2.3", "1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := mysql.ParseVersion(s)
		if err != nil {
			if v != (mysql.Version{}) {
				t.Errorf("%q is %+v and %v", s, v, err)
			}
			return
		}
		text := v.String()
		if v.MariaDB {
			text += "-MariaDB"
		}
		// "5.5.5-MariaDB" alone would read as the prefix.
		if again, err := mysql.ParseVersion(text); text != "5.5.5-MariaDB" && (err != nil || again != v) {
			t.Errorf("%q is %+v, and reads back as %+v, %v", s, v, again, err)
		}
		if v.Less(v) || v.Major < 0 || v.Minor < 0 || v.Patch < 0 {
			t.Errorf("%q is %+v", s, v)
		}
	})
}
