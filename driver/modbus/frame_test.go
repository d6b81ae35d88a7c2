package modbus

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func row(on ...int) []bool {
	list := make([]bool, 8)
	for _, i := range on {
		list[i] = true
	}
	return list
}

// The frames of public documents and projects, both ways.
func TestRequestVectors(t *testing.T) {
	all := make([]bool, 8)
	for i := range all {
		all[i] = true
	}
	for want, r := range map[string]Request{
		"01 05 00 00 FF 00 8C 3A":       On(1, 0),
		"01 05 00 00 00 00 CD CA":       Off(1, 0),
		"01 05 00 01 FF 00 DD FA":       On(1, 1),
		"01 05 00 01 00 00 9C 0A":       Off(1, 1),
		"01 05 00 FF FF 00 BC 0A":       {Address: 1, Function: WriteCoil, Start: 0xFF, Count: 1, Value: 0xFF00},
		"01 05 00 FF 00 00 FD FA":       {Address: 1, Function: WriteCoil, Start: 0xFF, Count: 1},
		"01 05 00 00 55 00 F2 9A":       {Address: 1, Function: WriteCoil, Count: 1, Value: 0x5500},
		"01 0F 00 00 00 08 01 00 FE 95": OffAll(1, 0, 8),
		"01 0F 00 00 00 08 01 FF BE D5": {Address: 1, Function: WriteCoils, Count: 8, Bits: all},
		"01 01 00 00 00 08 3D CC":       Read(1, ReadCoils, 0, 8),
		"01 02 00 00 00 08 79 CC":       Read(1, ReadInputs, 0, 8),
		"01 05 02 00 00 07 8D B0":       Flash(1, 0, 7),
		"01 05 02 01 00 1E 1D BA":       Flash(1, 1, 30),
		"00 05 00 FF 00 00 FC 2B":       {Function: WriteCoil, Start: 0xFF, Count: 1},
	} {
		if got := strings.ToUpper(hex.EncodeToString(r.Append(nil))); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%v: %s, want %s", r, got, want)
		}
		if r.Function == WriteCoil && r.Address != 0 { // its answer is its echo
			a, err := DecodeAnswer(r, unhex(t, want))
			if err != nil || strings.ToUpper(hex.EncodeToString(a.Append(nil))) != strings.ReplaceAll(want, " ", "") {
				t.Errorf("%s as an answer: %+v, %v", want, a, err)
			}
		}
		got, err := DecodeRequest(unhex(t, want))
		if diff := cmp.Diff(r, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", want, err, diff)
		}
	}
}

func TestAnswerVectors(t *testing.T) {
	for want, c := range map[string]struct {
		q Request
		a Answer
	}{
		"01 05 00 00 FF 00 8C 3A": {On(1, 0), Answer{Address: 1, Function: WriteCoil, Value: 0xFF00}},
		"01 0F 00 00 00 08 54 0D": {OffAll(1, 0, 8), Answer{Address: 1, Function: WriteCoils, Count: 8}},
		"01 01 01 00 51 88":       {Read(1, ReadCoils, 0, 8), Answer{Address: 1, Function: ReadCoils, Bits: row()}},
		"01 01 01 01 90 48":       {Read(1, ReadCoils, 0, 8), Answer{Address: 1, Function: ReadCoils, Bits: row(0)}},
		"01 85 02 C3 51":          {On(1, 200), Answer{Address: 1, Function: WriteCoil, Exception: 2}},
		"01 05 02 01 00 1E 1D BA": {Flash(1, 1, 30), Answer{Address: 1, Function: WriteCoil, Start: 0x201, Value: 30}},
	} {
		if got := strings.ToUpper(hex.EncodeToString(c.a.Append(nil))); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%v: %s, want %s", c.a, got, want)
		}
		got, err := DecodeAnswer(c.q, unhex(t, want))
		if diff := cmp.Diff(c.a, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", want, err, diff)
		}
	}
}

func TestBadFrames(t *testing.T) {
	for text, want := range map[string]error{
		"":                              errShort,
		"01 05 00 00 FF 00 8C":          errShort,
		"01 05 00 00 FF 00 8C 3B":       errCRC,
		"01 05 00 00 FF 00 3A 8C":       errCRC,
		"01 0F 00 00 00 08 01 00 FE 96": errCRC,
	} {
		if _, err := DecodeRequest(unhex(t, text)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	bad := func(b ...byte) []byte { return appendCRC(b, 0) }
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"another value":       {bad(1, 5, 0, 0, 0x12, 0), errBody},
		"no coils":            {bad(1, 1, 0, 0, 0, 0), errBody},
		"too many coils":      {bad(1, 1, 0, 0, 2, 0), errBody},
		"another function":    {bad(1, 6, 0, 0, 0, 1), errOther},
		"more than it says":   {bad(1, 5, 0, 0, 0, 0, 0), errLong},
		"flash for no time":   {bad(1, 5, 2, 0, 0, 0), errBody},
		"bits that are none":  {bad(1, 15, 0, 0, 0, 3, 1, 8), errBody},
		"bytes miscounted":    {bad(1, 15, 0, 0, 0, 3, 2, 0), errBody},
		"bytes missing":       {bad(1, 15, 0, 0, 0, 9, 2, 0), errShort},
		"longer than a frame": {make([]byte, 300), errLong},
	} {
		if _, err := DecodeRequest(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// An answer is found behind whatever stands before it, and only the one to this
// question.
func TestFind(t *testing.T) {
	q := Read(1, ReadCoils, 0, 8)
	right := unhex(t, "01 01 01 01 90 48")
	for name, before := range map[string]string{
		"nothing":                   "",
		"noise":                     "FF 00 01 01 01",
		"the adapter's echo":        "01 01 00 00 00 08 3D CC",
		"an older write's answer":   "01 05 00 00 FF 00 8C 3A",
		"another board":             "02 01 01 00 51 CC",
		"a damaged answer":          "01 01 01 00 51 89",
		"half of an answer, broken": "01 01 01",
	} {
		a, ok := find(q, append(unhex(t, before), right...))
		if !ok || !a.Bits[0] {
			t.Errorf("behind %s: %v %v", name, a, ok)
		}
	}
	if _, ok := find(Off(1, 0), unhex(t, "01 05 00 00 FF 00 8C 3A")); ok {
		t.Error("the answer to an on passes for that to an off")
	}
	if _, ok := find(Off(1, 0), OffAll(1, 0, 1).Append(nil)); ok {
		t.Error("the answer to the other form of off passes")
	}
	if a, ok := find(Flash(1, 7, 3), unhex(t, "01 85 02 C3 51")); !ok || a.Exception != 2 {
		t.Errorf("an exception: %v %v", a, ok)
	}
}

// What fills up the last byte is nobody's: a board of eight relays that was asked for
// three may send the others too.
func TestUnusedBits(t *testing.T) {
	q := Read(1, ReadCoils, 0, 3)
	for sent, want := range map[byte][]bool{0b101: {true, false, true}, 0b11111010: {false, true, false}, 0xFF: {true, true, true}, 0xF8: {false, false, false}} {
		b := appendCRC([]byte{1, 1, 1, sent}, 0)
		a, err := DecodeAnswer(q, b)
		if err != nil || !slices.Equal(a.Bits, want) {
			t.Errorf("%08b: %v, %v", sent, a.Bits, err)
		}
		if _, ok := find(q, append([]byte{0xFF}, b...)); !ok {
			t.Errorf("%08b is not found", sent)
		}
	}
}

func requests() *rapid.Generator[Request] {
	return rapid.Custom(func(t *rapid.T) Request {
		address := byte(rapid.IntRange(0, 247).Draw(t, "address"))
		coil := uint16(rapid.IntRange(0, 254).Draw(t, "coil"))
		count := uint16(rapid.IntRange(1, maxBits).Draw(t, "count"))
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return Off(address, coil)
		case 1:
			return On(address, coil)
		case 2:
			return Flash(address, coil, rapid.IntRange(1, maxTicks).Draw(t, "ticks"))
		case 3:
			return Read(address, ReadCoils, coil, count)
		case 4:
			return Read(address, ReadInputs, coil, count)
		}
		r := OffAll(address, coil, count)
		for i := range r.Bits {
			r.Bits[i] = rapid.Bool().Draw(t, "bit")
		}
		return r
	})
}

func TestRequestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := requests().Draw(t, "request")
		got, err := DecodeRequest(r.Append(nil))
		if diff := cmp.Diff(r, got); diff != "" || err != nil {
			t.Fatalf("%v %s", err, diff)
		}
	})
}

// Damage to one byte is always seen, whatever the frame.
func TestOneByteOfDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := requests().Draw(t, "request").Append(nil)
		b[rapid.IntRange(0, len(b)-1).Draw(t, "where")] ^= byte(rapid.IntRange(1, 255).Draw(t, "what"))
		if r, err := DecodeRequest(b); err == nil {
			t.Fatalf("passes as %v", r)
		}
	})
}

func TestNames(t *testing.T) {
	if d := 700 * time.Millisecond; Flash(1, 0, 7).String() != "board 1: coil 0 on for "+d.String() {
		t.Error(Flash(1, 0, 7))
	}
	toggle, _ := DecodeRequest(unhex(t, "01 05 00 00 55 00 F2 9A"))
	if !toggle.Toggles() || On(1, 1).Toggles() || Flash(1, 0, coilToggle).Toggles() {
		t.Error("toggle")
	}
	if on, is := (Request{Function: WriteCoil, Start: 0xFF, Value: 0xFF00}).All(); !on || !is {
		t.Error("all on")
	}
	if Exception(2).Error() != "the board refuses: it has no relay or contact of this number (exception 2)" || !strings.Contains(Exception(99).Error(), "99") {
		t.Error(Exception(2))
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, s := range []string{"010500 00FF008C3A", "010F0000000801 00FE95", "0101000000083DCC", "01050200 00078DB0", "000500FF0000FC2B"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRequest(b)
		if err != nil {
			return
		}
		if diff := cmp.Diff(b, r.Append(nil)); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzFindAnswer(f *testing.F) {
	for _, s := range []string{"01050000FF008C3A", "010101 005188", "018502C351", "010F00000008540D", "FF0101010190480101"} {
		f.Add(unhex(f, s), byte(0))
	}
	f.Fuzz(func(t *testing.T, b []byte, which byte) {
		if len(b) > maxAnswer {
			return
		}
		q := []Request{On(1, 0), Off(1, 3), Flash(1, 1, 30), OffAll(1, 0, 8), Read(1, ReadCoils, 0, 8), Read(1, ReadInputs, 0, 16)}[which%6]
		a, ok := find(q, b)
		if !ok {
			return
		}
		if again := a.Append(nil); !strings.Contains(string(b), string(again)) {
			t.Errorf("found % X, which is not in % X", again, b)
		}
		if a.Exception == 0 && len(a.Bits) != 0 && len(a.Bits) != int(q.Count) {
			t.Errorf("%d bits", len(a.Bits))
		}
	})
}

// Whatever comes, decoding 4 KiB of it costs less than 1 MiB.
func TestDecodingIsCheap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, fill := range map[string]func(i int) byte{
		"noise":        func(int) byte { return byte(rng.IntN(256)) },
		"zeroes":       func(int) byte { return 0 },
		"like a frame": func(i int) byte { return []byte{1, 1, 1, 0, 0x51, 0x88, 1, 0x85, 2, 0xC3, 0x51}[i%11] },
	} {
		b := make([]byte, 4<<10)
		for i := range b {
			b[i] = fill(i)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var got []byte
		for len(b) > 0 { // in pieces, as the bus reads
			n := min(len(b), 16)
			got = append(got, b[:n]...)
			b = b[n:]
			got = got[max(0, len(got)-maxAnswer):]
			_, _ = find(Read(1, ReadCoils, 0, 32), got)
			_, _ = DecodeRequest(got)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes of memory", name, n)
		}
	}
}
