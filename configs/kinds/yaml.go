package kinds

import (
	"encoding/json"
	"regexp"
	"strings"
)

// plain is a text that YAML reads as that text, whatever stands around it.
var plain = regexp.MustCompile(`^(?:[A-Za-z/]|\.{1,2}/)[A-Za-z0-9/._-]*$`)

// YAML writes a text from outside, quoted unless it is plainly a word. YAML takes
// every string of JSON.
func YAML(s string) string {
	if s == "" {
		return ""
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan":
	default:
		if plain.MatchString(s) {
			return s
		}
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string is never an error
	return strings.TrimSuffix(b.String(), "\n")
}

// Split takes a list of words apart: blanks or commas stand between them.
func Split(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}
