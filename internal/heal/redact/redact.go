// Package redact removes secrets and literals of statements from what is written
// down or shown.
package redact

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

var (
	secretKey = regexp.MustCompile(`(?i)(passw|secret|token|dsn|credential|authori[sz]ation|cookie|private_key)`)
	sqlKey    = regexp.MustCompile(`(?i)^(sql|query|statement|info|stmt)$`)
	userInfo  = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/@\s]*@`)
	dsnLogin  = regexp.MustCompile(`\S+@(tcp|unix)\(`)
	sqlString = regexp.MustCompile(`'(?:[^'\\]|\\.|'')*'?|"(?:[^"\\]|\\.|"")*"?`)
	sqlNumber = regexp.MustCompile(`\b(?:0x[0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?)\b`)
)

// JSON returns evidence for the journal: without the values of keys that sound secret,
// literals of statements and logins in addresses. If it has more than limit bytes, it is an
// object with a note. nil: raw is empty, or no JSON.
func JSON(raw json.RawMessage, limit int) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if len(raw) == 0 || dec.Decode(&v) != nil {
		return nil
	}
	out, err := json.Marshal(value("", v))
	if err != nil {
		return nil
	}
	if len(out) > limit {
		return json.RawMessage(`{"dropped":"more than 64 KiB"}`)
	}
	return out
}

// value returns a value without secrets: "<removed>" if its key is that of a secret; a text
// whose key is that of a statement without its literals, any other text without the logins
// in its addresses. It changes maps and lists in place.
func value(key string, v any) any {
	if secretKey.MatchString(key) {
		return "<removed>"
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = value(k, x)
		}
	case []any:
		for i, x := range v {
			v[i] = value(key, x)
		}
	case string:
		if sqlKey.MatchString(key) {
			return sqlNumber.ReplaceAllString(sqlString.ReplaceAllString(v, "?"), "?")
		}
		return Text(v)
	}
	return v
}

// Text returns a text without the logins in its addresses.
func Text(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	return dsnLogin.ReplaceAllString(userInfo.ReplaceAllString(s, "$1"), "$1(")
}
