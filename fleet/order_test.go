package fleet_test

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"barista/fleet"
)

func decode(t testing.TB, body string) (fleet.Order, string) {
	t.Helper()
	o, err := fleet.DecodeOrder([]byte(body), nil)
	if err == nil {
		return o, ""
	}
	var fe *fleet.FieldError
	if !errors.As(err, &fe) {
		t.Fatalf("%T: %v", err, err)
	}
	return o, fe.Error()
}

// What the customer reads. The fixtures under testdata/wire say which orders are
// good and bad; this says in which words.
func TestDecodeOrderSaysWhatToMend(t *testing.T) {
	const order = `"name":"Q","size":"small","bean_type":"mixed","milk":"free"`
	for _, test := range []struct{ body, want string }{
		{``, "not an order: no JSON object"},
		{`null`, "not an order: must be a JSON object"},
		{`{` + order, "not an order: broken JSON"},
		{`{` + order + `}{}`, "not an order: something follows the JSON object"},
		{`{` + order + `,"name":"R"}`, `not an order: the key "name" is there twice`},
		{`{` + order + `,"` + strings.Repeat("k", 50) + `":1,"` + strings.Repeat("k", 50) + `":1}`, `not an order: the key "` + strings.Repeat("k", 32) + `…" is there twice`},
		{`{` + order + `,"x":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`, "not an order: nested deeper than 8"},
		{`{` + order + `,"x":"` + strings.Repeat("x", 4096) + `"}`, "not an order: 4164 bytes, at most 4096 are read"},
		{"{\"name\":\"\xff\"}", "not an order: must be UTF-8 text"},
		{`{"size":"small"}`, "name: is missing"},
		{`{` + strings.Replace(order, `"Q"`, `"  "`, 1) + `}`, "name: is empty"},
		{`{` + strings.Replace(order, `"Q"`, `"`+strings.Repeat("é", 41)+`"`, 1) + `}`, "name: has 41 characters, at most 40 are taken"},
		{`{` + strings.Replace(order, `"Q"`, `"Q\u001b"`, 1) + `}`, "name: has a control character (U+001B)"},
		{`{` + strings.Replace(order, `"Q"`, `" \u202e\u3164"`, 1) + `}`, "name: has no character that can be seen"},
		{`{` + strings.Replace(order, `"Q"`, `"<b>"`, 1) + `}`, "name: must not contain < or >"},
		{`{` + strings.Replace(order, `small`, `huge`, 1) + `}`, "size: must be small, medium or large"},
		{`{` + strings.Replace(order, `mixed`, `a.b`, 1) + `}`, "bean_type: must be the name of a bean: 1 to 32 of a-z, 0-9 and -"},
		{`{` + strings.Replace(order, `free`, `*`, 1) + `}`, "milk: must be the name of a milk: free, normal or soja"},
		{`{` + order + `,"sugar_count":4}`, "sugar_count: must be a whole number from 0 to 3"},
		{`{` + order + `,"id":"x"}`, "id: must be a ULID: 26 of 0-9 and A-Z without I, L, O, U"},
		{`{` + order + `,"id":""}`, "id: is empty; leave it out and the shop makes one"},
	} {
		if _, got := decode(t, test.body); got != test.want {
			t.Errorf("%.100s\n got %s\nwant %s", test.body, got, test.want)
		}
	}
}

func TestDecodeOrderNormalisesBeforeItCounts(t *testing.T) {
	body := `{"name":"` + strings.Repeat("e\u0301", 40) + `","size":"small","bean_type":"mixed","milk":"free"}`
	if _, got := decode(t, body); got != "name: has 80 characters, at most 40 are taken" {
		t.Error(got)
	}
	compose := func(s string) string { return strings.ReplaceAll(s, "e\u0301", "é") }
	o, err := fleet.DecodeOrder([]byte(body), compose)
	if err != nil || o.Name != strings.Repeat("é", 40) {
		t.Errorf("%q, %v", o.Name, err)
	}
}

func TestTheHashIsOfWhatWasOrdered(t *testing.T) {
	a, _ := decode(t, `{"id":"`+anID+`","size":"big","bean_type":"MIXED","milk":"none","name":" Quentin ","sugar_count":"1"}`)
	b, _ := decode(t, `{"sugar_count":1.0,"name":"Quentin","milk":"free","bean_type":"mixed","size":"large","tip":5}`)
	if a.Hash() != b.Hash() {
		t.Errorf("the same order in other words: %+v and %+v", a, b)
	}
	seen := map[string]string{a.Hash(): "the first"}
	for what, change := range map[string]func(*fleet.Order){
		"name": func(o *fleet.Order) { o.Name = "Ada" }, "size": func(o *fleet.Order) { o.Size = fleet.Small },
		"bean": func(o *fleet.Order) { o.Bean = "robusta" }, "milk": func(o *fleet.Order) { o.Milk = "soja" }, "sugar": func(o *fleet.Order) { o.Sugar = 2 },
	} {
		o := a
		change(&o)
		if other, same := seen[o.Hash()]; same {
			t.Errorf("another %s has the hash of %s", what, other)
		}
		seen[o.Hash()] = what
	}
}

func TestOrdersComeBackFromTheirEncoding(t *testing.T) {
	s := schema(t, "order")
	rapid.Check(t, func(t *rapid.T) {
		o := anyOrder(t)
		o.Name = strings.TrimSpace(o.Name)
		got, err := fleet.DecodeOrder(o.Encode(), nil)
		if d := cmp.Diff(o, got); err != nil || d != "" {
			t.Fatalf("%s: %v %s", o.Encode(), err, d)
		}
		if err := valid(s, o.Encode()); err != nil {
			t.Fatal(err)
		}
	})
}

// maxDecode bounds what decoding may allocate: 1 MiB per 4 KiB of message.
const maxDecode = 1 << 20

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestDecodeOrderIsFrugal(t *testing.T) {
	for name, body := range map[string]string{
		"many keys":    "{" + strings.Repeat(`"%":0,`, 680),
		"many objects": `{"a":[` + strings.Repeat("{},", 1300),
		"many lists":   `{"a":[` + strings.Repeat("[],", 1300),
		"deep":         strings.Repeat("[", 4096),
		"deep objects": strings.Repeat(`{"":`, 1024),
		"long text":    `{"a":"` + strings.Repeat("x", 4080) + `"}`,
		"escapes":      `{"a":"` + strings.Repeat(`\u00e9`, 680) + `"}`,
		"long number":  `{"a":` + strings.Repeat("9", 4000) + `}`,
		"large number": `{"sugar_count":1e999999}`,
		"too long":     strings.Repeat("[", 64<<20),
	} {
		for i := 0; strings.Contains(body, "%"); i++ { // no key twice
			body = strings.Replace(body, "%", string(rune('a'+i%26))+string(rune('a'+i/26)), 1)
		}
		b := []byte(body)
		if got := allocated(func() { _, _ = fleet.DecodeOrder(b, nil) }); got > maxDecode {
			t.Errorf("%s: %d bytes allocated for %d", name, got, len(b))
		}
	}
}

func FuzzDecodeOrder(f *testing.F) {
	s := schema(f, "order")
	for _, verdict := range []string{"good", "bad", "decoder-only"} {
		for _, b := range fixtures(f, "order", verdict) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		var o fleet.Order
		var err error
		if got := allocated(func() { o, err = fleet.DecodeOrder(b, nil) }); got > maxDecode {
			t.Errorf("%d bytes allocated for %d", got, len(b))
		}
		if !bytes.Equal(b, kept) {
			t.Error("the message was changed")
		}
		if err != nil {
			var fe *fleet.FieldError
			if !errors.As(err, &fe) || fe.Reason == "" {
				t.Errorf("%T: %v", err, err)
			}
			if msg := err.Error(); !utf8.ValidString(msg) || len(msg) > 200 || strings.ContainsAny(msg, "\n\r\x00\x1b") {
				t.Errorf("the error is not fit to be shown: %q", msg)
			}
			return
		}
		if o.ID == "" {
			o.ID = anID
		}
		again, err := fleet.DecodeOrder(o.Encode(), nil)
		if err != nil || again != o {
			t.Errorf("%+v comes back as %+v, %v", o, again, err)
		}
		if err := valid(s, o.Encode()); err != nil {
			t.Errorf("%s: %v", o.Encode(), err)
		}
		fleet.OrderSubject(o.Class()) // panics unless these are tokens
		fleet.EventSubject(o.ID, string(fleet.EvAccepted))
	})
}

// TestNameStaysAsItIs: what was taken once is taken again, to the byte: the queue and
// the book decode what the shop has decoded.
func TestNameStaysAsItIs(t *testing.T) {
	runes := []rune{'a', 'é', 'e', '\u0301', ' ', '\u00a0', '\u2800', '\u200c', '\u200d', '\u200e', '\u202e', '\ufe0f', '\ufe0e', '\u3164', '\u034f', '\u00ad', '❤', '👩', '🏴', '\U000e0067', '\U000e0062', '\U000e007f', '\U000e0100', '\uac00', '\u11a8'}
	rapid.Check(t, func(r *rapid.T) {
		o := fleet.Order{Name: string(rapid.SliceOfN(rapid.SampledFrom(runes), 0, 30).Draw(r, "name")), Size: fleet.Small, Bean: "mixed", Milk: "free"}
		once, err := fleet.DecodeOrder(o.Encode(), norm.NFC.String)
		if err != nil {
			return
		}
		for _, normal := range []func(string) string{nil, norm.NFC.String} {
			if twice, err := fleet.DecodeOrder(once.Encode(), normal); err != nil || twice != once {
				r.Fatalf("%+q became %+q: %v", once.Name, twice.Name, err)
			}
		}
	})
}
