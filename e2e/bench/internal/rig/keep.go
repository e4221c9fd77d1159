package rig

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Keep writes rows below a head as CSV, unless no file is named.
func Keep(name string, head []string, rows [][]string) error {
	if name == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("raw results: %w", err)
	}
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("raw results: %w", err)
	}
	return errors.Join(csv.NewWriter(f).WriteAll(append([][]string{head}, rows...)), f.Close())
}

// Decimal returns a figure with three decimals.
func Decimal(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
