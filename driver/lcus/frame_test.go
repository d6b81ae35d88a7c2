package lcus

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The frames of public projects, both ways.
func TestVectors(t *testing.T) {
	for want, f := range map[string]Frame{
		"A00101A2": {1, true}, "A00100A1": {1, false},
		"A00201A3": {2, true}, "A00200A2": {2, false},
		"A00301A4": {3, true}, "A00300A3": {3, false},
		"A00401A5": {4, true}, "A00400A4": {4, false},
		"A00801A9": {8, true}, "A00800A8": {8, false},
	} {
		b := f.Append(nil)
		if got := strings.ToUpper(hex.EncodeToString(b)); got != want {
			t.Errorf("%v: %s, want %s", f, got, want)
		}
		if got, err := DecodeFrame(b); got != f || err != nil {
			t.Errorf("%s: %v %v", want, got, err)
		}
	}
}

func TestBadFrames(t *testing.T) {
	for text, want := range map[string]error{
		"A00101": errLength, "A00101A200": errLength, "A10101A3": errStart, "A00101A3": errSum,
		"A00901AA": errBody, "A00001A1": errBody, "A00102A3": errBody,
	} {
		b, _ := hex.DecodeString(text)
		if _, err := DecodeFrame(b); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func TestOneByteOfDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := Frame{rapid.IntRange(1, 8).Draw(t, "relay"), rapid.Bool().Draw(t, "on")}.Append(nil)
		b[rapid.IntRange(0, 3).Draw(t, "where")] ^= byte(rapid.IntRange(1, 255).Draw(t, "what"))
		if f, err := DecodeFrame(b); err == nil {
			t.Fatalf("passes as %v", f)
		}
	})
}

func TestAnswers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom([]Answers{AnswersText, AnswersBytes}).Draw(t, "dialect")
		want := rapid.SliceOfN(rapid.Bool(), 1, 8).Draw(t, "relays")
		b := a.AppendStates(nil, want)
		got, err := a.parse(b, len(want))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("%v %s", err, diff)
		}
		for n := range b {
			if _, err := a.parse(b[:n], len(want)); !errors.Is(err, errMore) {
				t.Fatalf("%q: %v", b[:n], err)
			}
		}
	})
	for _, text := range []string{"CH1:ON\r\nCH1:ON\r\n", "CH2:ON\r\n", "CH1:on\r\n", "CH1:ON\r\nCH2:OFF\r\nx", "CH1:  ON\r\n", "\x02", strings.Repeat("x", 300)} {
		if _, err := AnswersText.parse([]byte(text), 2); err == nil || errors.Is(err, errMore) && len(text) > 2 {
			t.Errorf("%q passes (%v)", text, err)
		}
	}
	for _, b := range [][]byte{{0, 2}, {0, 1, 1}} {
		if _, err := AnswersBytes.parse(b, 2); err == nil || errors.Is(err, errMore) {
			t.Errorf("% X: %v", b, err)
		}
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add([]byte{0xA0, 1, 1, 0xA2})
	f.Add([]byte{0xA0, 8, 0, 0xA8})
	f.Fuzz(func(t *testing.T, b []byte) {
		if x, err := DecodeFrame(b); err == nil && string(x.Append(nil)) != string(b) {
			t.Errorf("% X is taken for %v", b, x)
		}
	})
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("CH1: ON\r\nCH2:OFF\r\n"), 2, true)
	f.Add([]byte{0, 1, 0, 1}, 4, false)
	f.Fuzz(func(t *testing.T, b []byte, relays int, text bool) {
		if relays < 1 || relays > 8 || len(b) > maxAnswer+512 {
			return
		}
		a := AnswersBytes
		if text {
			a = AnswersText
		}
		if list, err := a.parse(b, relays); err == nil && len(list) != relays {
			t.Errorf("%d states of %d relays", len(list), relays)
		}
	})
}

// Whatever comes, decoding 4 KiB of it costs less than 1 MiB.
func TestDecodingIsCheap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, fill := range map[string]func(i int) byte{
		"noise":        func(int) byte { return byte(rng.IntN(256)) },
		"zeroes":       func(int) byte { return 0 },
		"like a frame": func(i int) byte { return "CH1: ON\r\n"[i%9] },
	} {
		b := make([]byte, 4<<10)
		for i := range b {
			b[i] = fill(i)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for n := range len(b) / 16 {
			_, _ = DecodeFrame(b[16*n : 16*n+4])
			for _, a := range []Answers{AnswersText, AnswersBytes} {
				_, _ = a.parse(b[16*n:min(len(b), 16*n+maxAnswer)], 8)
			}
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes of memory", name, n)
		}
	}
}
