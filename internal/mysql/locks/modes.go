package locks

import "strings"

const exclusive = "EXCLUSIVE"

// wanted returns the modes in which a statement, by its verb, may want the locks of its
// tables; nil if that is not known.
func wanted(verb string) []string {
	switch verb {
	case "SELECT FROM":
		return []string{"SHARED_READ"}
	case "INSERT INTO", "REPLACE INTO", "UPDATE", "DELETE FROM":
		return []string{"SHARED_WRITE"}
	case "ALTER TABLE", "DROP TABLE", "TRUNCATE TABLE", "RENAME TABLE", "CREATE INDEX ON", "DROP INDEX ON", "OPTIMIZE TABLE":
		return []string{exclusive}
	case "LOCK TABLES":
		return []string{"SHARED_READ_ONLY", "SHARED_NO_READ_WRITE"}
	}
	return nil
}

// objectModes returns the modes of the lock of one object, in the order of the rows and
// columns of the tables below.
func objectModes() []string {
	return []string{
		"SHARED", "SHARED_HIGH_PRIO", "SHARED_READ", "SHARED_WRITE", "SHARED_WRITE_LOW_PRIO", "SHARED_UPGRADABLE",
		"SHARED_READ_ONLY", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE", exclusive,
	}
}

// heldConflicts returns a row for each requested mode, with an x for each mode that
// blocks it while another connection holds it.
func heldConflicts() []string {
	return []string{
		".........x",
		".........x",
		"........xx",
		"......xxxx",
		"......xxxx",
		".....x.xxx",
		"...xx...xx",
		"...xxx.xxx",
		"..xxxxxxxx",
		"xxxxxxxxxx",
	}
}

// pendingConflicts returns a row for each requested mode, with an x for each mode that
// blocks it while another connection waits for it with priority.
func pendingConflicts() []string {
	return []string{
		".........x",
		"..........",
		"........xx",
		".......xxx",
		"......xxxx",
		".........x",
		"...x....xx",
		".........x",
		".........x",
		"..........",
	}
}

// conflicts reports whether the lock of another connection at the same place, held or still
// waited for (Pending), blocks the request want. Unknown modes conflict with nothing, nor
// do backup locks that are waited for.
func conflicts(want, other Lock) bool {
	switch want.Space {
	case "BACKUP":
		return !other.Pending && stops(other.Mode, want.Mode)
	case "GLOBAL", "COMMIT", "SCHEMA", "TABLESPACE", "BACKUP LOCK":
		return scopesConflict(want.Mode, other.Mode)
	}
	table := heldConflicts()
	if other.Pending {
		table = pendingConflicts()
	}
	row, column := -1, -1
	for i, m := range objectModes() {
		if m == want.Mode {
			row = i
		}
		if m == other.Mode {
			column = i
		}
	}
	return row >= 0 && column >= 0 && table[row][column] == 'x'
}

// scopesConflict reports whether two locks of a schema or of the whole server conflict:
// several may intend to change something in it, or several may want it not to change.
// Modes that are not known conflict with nothing.
func scopesConflict(a, b string) bool {
	known := func(m string) bool { return m == "INTENTION_EXCLUSIVE" || m == "SHARED" || m == exclusive }
	return known(a) && known(b) && (a != b || a == exclusive)
}

// stops reports whether a held backup lock of MariaDB blocks a wanted one; false for
// pairs that are not certain.
func stops(held, wanted string) bool {
	work, _ := strings.CutPrefix(wanted, "BACKUP_")
	switch work {
	case "DML", "TRANS_DML", "SYS_DML", "DDL":
		return held == "BACKUP_FTWRL1" || held == "BACKUP_FTWRL2" || work == "DDL" && held == "BACKUP_BLOCK_DDL"
	case "COMMIT":
		return held == "BACKUP_FTWRL2"
	case "FTWRL1":
		return held == "BACKUP_DML" || held == "BACKUP_TRANS_DML" || held == "BACKUP_SYS_DML" || held == "BACKUP_DDL"
	case "FTWRL2":
		return held == "BACKUP_COMMIT"
	}
	return false
}
