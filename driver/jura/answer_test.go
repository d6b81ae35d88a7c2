package jura

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	for line, want := range map[string]string{
		"ty:EF532M V02.03":              "EF532M V02.03",
		"ty:E30   MASK 3":               "E30 MASK 3",
		"ty:PIM V01.01":                 "PIM V01.01",
		"ty:":                           "",
		"ty: EF532M":                    "",
		"ty:ef532m":                     "",
		"ty:EF532M\x7f":                 "",
		"TY:EF532M":                     "",
		"ok:":                           "",
		"ty:" + strings.Repeat("A", 33): "",
		"ty:EF532M V02.03;":             "",
	} {
		if got, ok := parseType(line); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", line, got, ok)
		}
	}
	for line, want := range map[string]string{
		"ic:9701": "9701", "ic:0301EE": "0301EE", "ic:0000000000000000": "0000000000000000",
		"ic:": "", "ic:97": "", "ic:970": "", "ic:97011": "", "ic:97g1": "", "ic:97ab": "", "ic:000000000000000000": "", "rt:9701": "", "IC:9701": "", "ic:9701 ": "",
	} {
		got, ok := parseInputs(line)
		if text := fmt.Sprintf("%X", got.bytes[:got.n]); ok != (want != "") || ok && text != want {
			t.Errorf("%q: %s, %v", line, text, ok)
		}
	}
	line := "rt:0001000200030004000500060007000800090010001100120013FFFF00150016"
	w, ok := parseCounters(line)
	if !ok || w[0] != 1 || w[9] != 0x10 || w[13] != 0xFFFF || w[15] != 0x16 {
		t.Errorf("%v, %v", w, ok)
	}
	for _, bad := range []string{line[:len(line)-1], line + "0", "re" + line[2:], strings.ToLower(line), line[:20] + " " + line[21:], "rt:"} {
		if w, ok := parseCounters(bad); ok {
			t.Errorf("%q: %v", bad, w)
		}
	}
	for line, want := range map[string]bool{"ok:": true, "ok": false, "OK:": false, "ok: ": false, "": false} {
		if _, ok := parseOK(line); ok != want {
			t.Errorf("%q: %v", line, ok)
		}
	}
}

// FuzzAnswers: what is accepted is exactly one spelling.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"ty:EF532M V02.03", "ic:9701", "ic:0301EE", "ok:", "rt:33DA01B1000C0640AA1116B301180000000000001E02007100150000000009D5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if whole, ok := parseType(line); ok && (whole == "" || typeOf(whole) == "" || len(whole) > 32) {
			t.Fatalf("%q: %q", line, whole)
		}
		if in, ok := parseInputs(line); ok && "ic:"+strings.ToUpper(hex.EncodeToString(in.bytes[:in.n])) != line {
			t.Fatalf("%q: %v", line, in)
		}
		if w, ok := parseCounters(line); ok {
			text := "rt:"
			for _, x := range w {
				text += fmt.Sprintf("%04X", x)
			}
			if text != line {
				t.Fatalf("%q: %v", line, w)
			}
		}
	})
}
