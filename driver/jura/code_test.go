package jura

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// vectors are lines as they go over the wire with the low filler, from public
// captures and tables; the end of each is CR LF.
var vectors = map[string]string{
	"TY:":     "5B5F5F5F 5F7B5F5F 7B7B7F5B 5F7F5B5B 7B7B5B5B",
	"AN:01":   "5F5B5B5F 7B7F5B5F 7B7B7F5B 5B5B7F5B 5F5B7F5B 5F7F5B5B 7B7B5B5B",
	"AN:02":   "5F5B5B5F 7B7F5B5F 7B7B7F5B 5B5B7F5B 7B5B7F5B 5F7F5B5B 7B7B5B5B",
	"FN:07":   "7B5F5B5F 7B7F5B5F 7B7B7F5B 5B5B7F5B 7F5F7F5B 5F7F5B5B 7B7B5B5B",
	"FN:08":   "7B5F5B5F 7B7F5B5F 7B7B7F5B 5B5B7F5B 5B7B7F5B 5F7F5B5B 7B7B5B5B",
	"FN:01":   "7B5F5B5F 7B7F5B5F 7B7B7F5B 5B5B7F5B 5F5B7F5B 5F7F5B5B 7B7B5B5B",
	"FN:0D":   "7B5F5B5F 7B7F5B5F 7B7B7F5B 5B5B7F5B 5B5F5B5F 5F7F5B5B 7B7B5B5B",
	"FN:22":   "7B5F5B5F 7B7F5B5F 7B7B7F5B 7B5B7F5B 7B5B7F5B 5F7F5B5B 7B7B5B5B",
	"FA:04":   "7B5F5B5F 5F5B5B5F 7B7B7F5B 5B5B7F5B 5B5F7F5B 5F7F5B5B 7B7B5B5B",
	"FA:09":   "7B5F5B5F 5F5B5B5F 7B7B7F5B 5B5B7F5B 5F7B7F5B 5F7F5B5B 7B7B5B5B",
	"IC:":     "5F7B5B5F 7F5B5B5F 7B7B7F5B 5F7F5B5B 7B7B5B5B",
	"HZ:":     "5B7B5B5F 7B7B5F5F 7B7B7F5B 5F7F5B5B 7B7B5B5B",
	"CS:":     "7F5B5B5F 7F5B5F5F 7B7B7F5B 5F7F5B5B 7B7B5B5B",
	"RT:0000": "7B5B5F5F 5B5F5F5F 7B7B7F5B 5B5B7F5B 5B5B7F5B 5B5B7F5B 5B5B7F5B 5F7F5B5B 7B7B5B5B",
	"ok:":     "7F7F7B5F 7F7B7B5F 7B7B7F5B 5F7F5B5B 7B7B5B5B",
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func feed(raw []byte) (out []string) {
	var l Lines
	for _, b := range raw {
		if line, whole := l.Feed(b); whole {
			out = append(out, line)
		}
	}
	return out
}

func TestVectors(t *testing.T) {
	for text, raw := range vectors {
		want := unhex(t, raw)
		for _, f := range []Filler{LowFiller, HighFiller} {
			if f == HighFiller {
				for i := range want {
					want[i] |= 0x80
				}
			}
			if got := AppendLine(nil, text, f); !bytes.Equal(got, want) {
				t.Errorf("%s: %X, want %X", text, got, want)
			}
			if got := feed(want); len(got) != 1 || got[0] != text {
				t.Errorf("%X: %q, want %q", want, got, text)
			}
		}
	}
	// The one vector that is written out with the high filler.
	if got, want := AppendLine(nil, "AN:01", HighFiller), unhex(t, "DFDBDBDF FBFFDBDF FBFBFFDB DBDBFFDB DFDBFFDB DFFFDBDB FBFBDBDB"); !bytes.Equal(got, want) {
		t.Errorf("%X, want %X", got, want)
	}
}

func TestEveryByteBothWays(t *testing.T) {
	for c := range 256 {
		for noise := range 256 { // all that carries nothing may be anything
			raw := AppendByte(nil, byte(c), LowFiller)
			for i := range raw {
				raw[i] = raw[i]&0x24 | byte(noise)&^0x24
			}
			if got := Byte([4]byte(raw)); got != byte(c) {
				t.Fatalf("%02X in %X reads %02X", c, raw, got)
			}
		}
	}
}

func TestLinesAreStrict(t *testing.T) {
	raw := func(s string) (out []byte) {
		for _, c := range []byte(s) {
			out = AppendByte(out, c, LowFiller)
		}
		return out
	}
	for text, want := range map[string]string{
		"ok:\r\n":                         "ok:",
		"\r\n":                            "",
		"ok:\n":                           "none",
		"ok:\r":                           "none",
		"o\rk:\r\n":                       "none",
		"ok:\r\r\n":                       "none",
		"ok\x00:\r\n":                     "none",
		"ok\xc3:\r\n":                     "none",
		"o\tk:\r\n":                       "none",
		"ok:\nic:00\r\n":                  "ic:00",
		"o\x01k:\r\nic:00\r\n":            "ic:00",
		strings.Repeat("x", 128) + "\r\n": "none",
		strings.Repeat("x", 127) + "\r\n": strings.Repeat("x", 127),
	} {
		got := "none"
		if lines := feed(raw(text)); len(lines) > 0 {
			got = strings.Join(lines, "|")
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	// A byte that is lost shifts all that follows; a pause puts it right.
	var l Lines
	for _, b := range raw("ok:\r\n")[1:] {
		if line, whole := l.Feed(b); whole {
			t.Errorf("a line out of nothing: %q", line)
		}
	}
	l.Reset()
	got := ""
	for _, b := range raw("ok:\r\n") {
		if line, whole := l.Feed(b); whole {
			got = line
		}
	}
	if got != "ok:" {
		t.Errorf("after a pause: %q", got)
	}
}

func TestLinesBothWays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~]{0,120}`).Draw(t, "text")
		f := rapid.SampledFrom([]Filler{LowFiller, HighFiller}).Draw(t, "filler")
		if got := feed(AppendLine(nil, text, f)); len(got) != 1 || got[0] != text {
			t.Fatalf("%q came back as %q", text, got)
		}
	})
}

// FuzzLines: whatever comes, lines are short, clean text, and memory does not
// grow.
func FuzzLines(f *testing.F) {
	for text := range vectors {
		f.Add(AppendLine(nil, text, HighFiller))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l Lines
		for _, b := range raw {
			line, whole := l.Feed(b)
			if !whole && line != "" || len(line) >= longest {
				t.Fatalf("%q, whole %v", line, whole)
			}
			for _, c := range []byte(line) {
				if c < ' ' || c > '~' {
					t.Fatalf("%q is no text", line)
				}
			}
			if cap(l.text) > 2*longest {
				t.Fatalf("%d bytes kept", cap(l.text))
			}
		}
		l.Reset()
		for _, b := range AppendLine(nil, "ok:", LowFiller) {
			if line, whole := l.Feed(b); whole && line != "ok:" {
				t.Fatalf("%q after a pause", line)
			}
		}
	})
}

// Whatever comes, decoding 4 KiB of it costs less than 1 MiB.
func TestDecodingIsCheap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, fill := range map[string]func(i int) byte{
		"noise":        func(int) byte { return byte(rng.IntN(256)) },
		"zeroes":       func(int) byte { return 0 },
		"like a frame": func(i int) byte { return AppendLine(nil, "ic:1720", LowFiller)[i%36] },
	} {
		b := make([]byte, 4<<10)
		for i := range b {
			b[i] = fill(i)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, line := range feed(b) {
			_, _ = parseType(line)
			_, _ = parseInputs(line)
			_, _ = parseCounters(line)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes of memory", name, n)
		}
	}
}
