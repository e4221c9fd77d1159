package actions

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

// Redact gives evidence as it may be written down: without the values of keys
// that sound secret, literals of statements and logins in addresses, and at most
// 64 KiB of it. What is no JSON is nothing.
func Redact(raw json.RawMessage) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if len(raw) == 0 || dec.Decode(&v) != nil {
		return nil
	}
	out, err := json.Marshal(redact("", v))
	if err != nil {
		return nil
	}
	if len(out) > maxEvidence {
		return json.RawMessage(`{"dropped":"more than 64 KiB"}`)
	}
	return out
}

func redact(key string, v any) any {
	if secretKey.MatchString(key) {
		return "<removed>"
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = redact(k, x)
		}
	case []any:
		for i, x := range v {
			v[i] = redact(key, x)
		}
	case string:
		if sqlKey.MatchString(key) {
			return sqlNumber.ReplaceAllString(sqlString.ReplaceAllString(v, "?"), "?")
		}
		return redactText(v)
	}
	return v
}

// redactText takes logins out of the addresses in a text.
func redactText(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	return dsnLogin.ReplaceAllString(userInfo.ReplaceAllString(s, "$1"), "$1(")
}
