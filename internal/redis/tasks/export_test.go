package tasks

import "time"

// JobOf returns the job of an entry among the started ones.
func JobOf(entry string) string { return jobOf(entry) }

// ParseTime reads one of RQ's times.
func ParseTime(s string) time.Time { return parseTime(s) }

// ParseWorker reads the fields of the entry of a worker of RQ.
func ParseWorker(fields []any) (RQWorker, bool) { return parseWorker(fields) }
