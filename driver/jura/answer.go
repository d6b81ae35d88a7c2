package jura

import (
	"encoding/hex"
	"strings"
)

// words is a line of the machine's memory; the first one holds its counters.
type words [16]uint16

// inputBytes is the most that an ic: answer can have; machines send 2 or 3.
const inputBytes = 8

// inputBits is an ic: answer. A model's row says what the bits mean.
type inputBits struct {
	bytes [inputBytes]byte
	n     int
}

// parseType reads "ty:EF532M V02.03": the type is the first word, and selects
// the model's row; the rest is its firmware. Runs of spaces become one.
func parseType(line string) (whole string, ok bool) {
	text, is := strings.CutPrefix(line, "ty:")
	if !is || text == "" || len(text) > 32 || text[0] == ' ' {
		return "", false
	}
	for _, c := range []byte(text) {
		if !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == ' ' || c == '.' || c == '-') {
			return "", false
		}
	}
	return strings.Join(strings.Fields(text), " "), true
}

// typeOf is the type in a whole answer.
func typeOf(whole string) string {
	t, _, _ := strings.Cut(whole, " ")
	return t
}

// parseInputs reads "ic:D480": 2 to 8 bytes in hex. How many a model sends is
// always the same; the reader of two answers sees to that.
func parseInputs(line string) (in inputBits, ok bool) {
	text, is := strings.CutPrefix(line, "ic:")
	if !is || len(text) < 4 || len(text) > 2*inputBytes || !upperHex(text) {
		return in, false
	}
	in.n, _ = hex.Decode(in.bytes[:], []byte(text))
	return in, in.n == len(text)/2 && len(text)%2 == 0
}

// parseCounters reads "rt:" and 16 words of four hex digits.
func parseCounters(line string) (w words, ok bool) {
	text, is := strings.CutPrefix(line, "rt:")
	if !is || len(text) != 4*len(w) || !upperHex(text) {
		return w, false
	}
	var b [2 * len(w)]byte
	if _, err := hex.Decode(b[:], []byte(text)); err != nil {
		return w, false
	}
	for i := range w {
		w[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return w, true
}

func parseOK(line string) (struct{}, bool) { return struct{}{}, line == "ok:" }

// isAnswer tells a whole answer to another question from a damaged one.
func isAnswer(line string) bool {
	_, typ := parseType(line)
	_, in := parseInputs(line)
	_, rt := parseCounters(line)
	return typ || in || rt || line == "ok:"
}

// upperHex: machines write hex in capitals; anything else is noise.
func upperHex(s string) bool {
	for _, c := range []byte(s) {
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}
