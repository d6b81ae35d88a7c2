package fleet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"barista/fleet"
)

var update = flag.Bool("update", false, "write the golden files anew")

const testdata = "../testdata"

// schema compiles one of the shop's schemas; the compiler also holds it against
// the schema of schemas.
func schema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join(testdata, "schemas", name+".v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// valid is the schema's verdict on a message; nil is good.
func valid(s *jsonschema.Schema, b []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// fixtures are the messages in a folder, by file name.
func fixtures(t testing.TB, kind, verdict string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testdata, "wire", kind, verdict, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s %s: %v", verdict, kind, err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = b
	}
	return out
}

// Whoever checks an order against the schema before sending it gets the same
// verdict as from the shop.
func TestOrderSchemaAndDecoderAgree(t *testing.T) {
	s := schema(t, "order")
	var golden strings.Builder
	good := fixtures(t, "order", "good")
	var names []string
	for name := range good {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b := good[name]
		o, err := fleet.DecodeOrder(b, nil)
		if err != nil {
			t.Errorf("good/%s: the decoder says %v", name, err)
		}
		if err := valid(s, b); err != nil {
			t.Errorf("good/%s: the schema says %v", name, err)
		}
		if o.ID == "" {
			o.ID = anID // as the controller makes one
		}
		if err := valid(s, o.Encode()); err != nil {
			t.Errorf("good/%s: as it is stored: %v", name, err)
		}
		fmt.Fprintf(&golden, "%-30s %s\n", name, o.Encode())
	}
	for name, b := range fixtures(t, "order", "bad") {
		_, err := fleet.DecodeOrder(b, nil)
		var fe *fleet.FieldError
		if !errors.As(err, &fe) {
			t.Errorf("bad/%s: the decoder says %v", name, err)
			continue
		}
		// The part before "--" is the field that is wrong.
		if field, _, _ := strings.Cut(name, "--"); field != fe.Field && (field != "whole" || fe.Field != "") {
			t.Errorf("bad/%s: the decoder blames %q: %v", name, fe.Field, err)
		}
		if valid(s, b) == nil {
			t.Errorf("bad/%s: the schema takes it, the decoder says %v", name, err)
		}
	}
	// Rules about bytes can't stand in a schema; its description says them.
	for name, b := range fixtures(t, "order", "decoder-only") {
		if o, err := fleet.DecodeOrder(b, nil); err == nil {
			t.Errorf("decoder-only/%s was taken as %+v", name, o)
		}
	}
	compare(t, filepath.Join(testdata, "wire", "order", "canonical.golden"), golden.String())
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (-update writes it)", err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-update writes it anew):\n%s", file, d)
	}
}

func TestAnswerAndEventFixtures(t *testing.T) {
	for _, kind := range []string{"answer", "event"} {
		s := schema(t, kind)
		for name, b := range fixtures(t, kind, "good") {
			if err := valid(s, b); err != nil {
				t.Errorf("%s/good/%s: %v", kind, name, err)
			}
			// Through Go and back it is the same message, but for fields to come.
			var v any = new(fleet.Answer)
			if kind == "event" {
				v = new(fleet.Event)
			}
			if err := json.Unmarshal(b, v); err != nil {
				t.Errorf("%s/good/%s: %v", kind, name, err)
				continue
			}
			again, err := json.Marshal(v)
			if err != nil {
				t.Errorf("%s/good/%s: %v", kind, name, err)
			}
			var was, is map[string]any
			if err := errors.Join(json.Unmarshal(b, &was), json.Unmarshal(again, &is)); err != nil {
				t.Error(err)
			}
			delete(was, "title")
			delete(was, "cup_ml")
			if d := cmp.Diff(was, is); d != "" {
				t.Errorf("%s/good/%s: %s", kind, name, d)
			}
		}
		for name, b := range fixtures(t, kind, "bad") {
			if valid(s, b) == nil {
				t.Errorf("%s/bad/%s is taken", kind, name)
			}
		}
	}
}

// Every answer that the shop's words can make is one by the schema.
func TestAnswersAreByTheSchema(t *testing.T) {
	s := schema(t, "answer")
	check := func(t interface{ Fatalf(string, ...any) }, a fleet.Answer) {
		b, err := json.Marshal(a)
		if err == nil {
			err = valid(s, b)
		}
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	}
	for _, verdict := range []string{"bad", "decoder-only"} {
		for _, b := range fixtures(t, "order", verdict) {
			_, err := fleet.DecodeOrder(b, nil)
			check(t, fleet.Invalid(err))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := anyID().Draw(t, "id")
		a := fleet.Success(id)
		if rapid.Bool().Draw(t, "success") {
			a.Position = rapid.IntRange(0, 300).Draw(t, "position")
			a.ETA = anyETA(t)
		} else {
			a = fleet.Sorry(id, rapid.SampledFrom([]string{fleet.CodeInvalid, fleet.CodeNotOnMenu, fleet.CodeOutOfStock,
				fleet.CodeQueueFull, fleet.CodeConflict, fleet.CodeUnavailable}).Draw(t, "code"), "%s", "no: "+rapid.String().Draw(t, "message"))
		}
		check(t, a)
	})
}

// Every event with the fields of its kind is one by the schema, and so is every
// end of every claim.
func TestEventsAreByTheSchema(t *testing.T) {
	s := schema(t, "event")
	check := func(t *rapid.T, e fleet.Event) {
		b, err := json.Marshal(e)
		if err == nil {
			err = valid(s, b)
		}
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	}
	perEpoch := []fleet.EventKind{fleet.EvClaimed, fleet.EvReleased, fleet.EvCup, fleet.EvBrewing, fleet.EvStep, fleet.EvEnd, fleet.EvUnknown, fleet.EvAgain, fleet.EvPercent}
	kinds := append([]fleet.EventKind{fleet.EvAccepted, fleet.EvRefused, fleet.EvServed, fleet.EvFailed, fleet.EvCancelled, fleet.EvExpired}, perEpoch...)
	rapid.Check(t, func(t *rapid.T) {
		e := fleet.Event{
			Order:   anyID().Draw(t, "order"),
			Kind:    rapid.SampledFrom(kinds).Draw(t, "kind"),
			At:      time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC(),
			Machine: rapid.StringMatching("([a-z0-9-]{1,32})?").Draw(t, "machine"),
			Outcome: rapid.SampledFrom([]fleet.Outcome{"", fleet.Made, fleet.Spoiled, fleet.Untouched, fleet.OutcomeUnknown}).Draw(t, "outcome"),
			Reason: fleet.Reason{
				Code: rapid.StringMatching("([a-z0-9_-]{1,32})?").Draw(t, "code"), Detail: rapid.String().Draw(t, "detail"),
				Quote: rapid.String().Draw(t, "quote"), Text: rapid.String().Draw(t, "reason"),
			},
			By:      rapid.String().Draw(t, "by"),
			Percent: rapid.IntRange(0, 100).Draw(t, "percent"),
		}
		if slices.Contains(perEpoch, e.Kind) || rapid.Bool().Draw(t, "with epoch") {
			e.Epoch = rapid.IntRange(1, 9).Draw(t, "epoch")
		}
		switch e.Kind {
		case fleet.EvStep:
			e.N, e.Of, e.Step = rapid.IntRange(1, 9).Draw(t, "n"), 9, "grind"
		case fleet.EvEnd:
			e.Seconds = rapid.Float64Range(0, 1e4).Draw(t, "seconds")
		case fleet.EvAccepted:
			o := anyOrder(t)
			e.What, e.Name, e.ETA = &o, o.Name, anyETA(t)
			e.Portion, _ = fleet.DefaultMenu().Portion(o)
		case fleet.EvRefused:
			if rapid.Bool().Draw(t, "poison") {
				e.Order = fleet.PoisonID(rapid.SampledFrom([]string{fleet.StreamIntake, fleet.StreamOrders}).Draw(t, "stream"), rapid.Uint64Range(1, maxPoisonSeq).Draw(t, "seq"))
				e.Payload = rapid.SliceOfN(rapid.Byte(), 0, 4096).Draw(t, "payload")
				e.Subject = "coffee.orders." + rapid.String().Draw(t, "subject")
			}
		}
		check(t, e)
		fleet.EventSubject(e.Order, e.Slot()) // panics unless it is a subject
	})
	rapid.Check(t, func(t *rapid.T) {
		o := anyOrder(t)
		portion, _ := fleet.DefaultMenu().Portion(o)
		c := fleet.Create(o, portion, fleet.Success(o.ID), "request")
		for range rapid.IntRange(0, 20).Draw(t, "steps") {
			c, _ = anyArrow(t).do(c)
			for _, e := range c.Events() {
				e.At = time.Unix(0, 0).UTC()
				check(t, e)
			}
		}
	})
}

// maxPoisonSeq is the last sequence whose poison id still is a token of 32
// characters: at a drop a millisecond, three years.
const maxPoisonSeq = 99_999_999_999

func anyID() *rapid.Generator[string] {
	return rapid.StringMatching("[0-7][0-9A-HJKMNP-TV-Z]{25}")
}

func anyETA(t *rapid.T) []int {
	if rapid.Bool().Draw(t, "nobody can say") {
		return nil
	}
	low := rapid.IntRange(0, 3600).Draw(t, "low")
	return []int{low, low + rapid.IntRange(0, 600).Draw(t, "range")}
}

// anyOrder is an order of the default menu.
func anyOrder(t *rapid.T) fleet.Order {
	m := fleet.DefaultMenu()
	return fleet.Order{
		ID:    anyID().Draw(t, "order id"),
		Name:  rapid.StringMatching(`[\pL\pN☕' ]{0,38}[\pL\pN]`).Filter(allSeen).Draw(t, "name"),
		Size:  rapid.SampledFrom(fleet.Sizes).Draw(t, "size"),
		Bean:  rapid.SampledFrom(m.Beans).Draw(t, "bean"),
		Milk:  rapid.SampledFrom(m.Milks).Draw(t, "milk"),
		Sugar: rapid.IntRange(0, fleet.MaxSugar).Draw(t, "sugar"),
	}
}

// allSeen: some letters are fillers, of which nothing is seen, and a name drops those.
func allSeen(name string) bool { return strings.IndexFunc(name, fleet.Ignorable) < 0 }
