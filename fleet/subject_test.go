package fleet_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"barista/fleet"
)

func TestIsToken(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "arabica": true, "0": true, "-": true, "blue-mountain-2": true, strings.Repeat("a", 32): true,
		"": false, strings.Repeat("a", 33): false, "Arabica": false, "a.b": false, "a b": false, "*": false, ">": false,
		"a\n": false, "a\x00": false, "é": false, "a_b": false, "a/b": false, "..": false, "\u212a": false, "a․b": false,
	} {
		if fleet.IsToken(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

func TestParseID(t *testing.T) {
	for s, want := range map[string]string{
		anID: anID, strings.ToLower(anID): anID, "7" + strings.Repeat("Z", 25): "7" + strings.Repeat("Z", 25), strings.Repeat("0", 26): strings.Repeat("0", 26),
		"": "", anID[1:]: "", anID + "0": "", "8" + anID[1:]: "", anID[:25] + "U": "", anID[:25] + "i": "", anID[:25] + "L": "", anID[:25] + "o": "",
		anID[:25] + " ": "", anID[:25] + "\n": "", anID[:24] + "ſ": "", anID[:25] + "ſ": "", anID[:24] + "é": "", anID[:23] + ".>*": "",
	} {
		got, err := fleet.ParseID(s)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
}

func TestSubjects(t *testing.T) {
	class := fleet.Class{Bean: "blue-mountain", Milk: "soja"}
	for got, want := range map[string]string{
		fleet.OrderSubject(class): "coffee.orders.blue-mountain.soja",
		fleet.MakerDurable(class): "maker-blue-mountain-soja",
		fleet.EventSubject(anID, fleet.Event{Kind: fleet.EvStep, Epoch: 2, N: 3}.Slot()):       "coffee.events." + anID + ".step-2-3",
		fleet.EventSubject(anID, fleet.Event{Kind: fleet.EvEnd, Epoch: 2}.Slot()):              "coffee.events." + anID + ".end-2",
		fleet.LiveSubject("zoe", anID, fleet.Event{Kind: fleet.EvStep, Epoch: 2, N: 1}.Slot()): "coffee.live.zoe." + anID + ".step-2-1",
		fleet.ActSubject(0, anID):                 "coffee.book.new-0." + anID,
		fleet.StateSubject(anID):                  "coffee.book.now." + anID,
		fleet.DeskSubject("zoe", fleet.DeskFence): "coffee.desk.zoe.fence",
		fleet.EventSubject(fleet.PoisonID(fleet.StreamIntake, 17), string(fleet.EvRefused)): "coffee.events.poison-coffee-intake-17.refused",
		fleet.EventSubject(fleet.PoisonID(fleet.StreamIntake, maxPoisonSeq), "refused"):     "coffee.events.poison-coffee-intake-99999999999.refused",
		fleet.CommandSubject("zoe"):                  "coffee.machines.zoe.cmd",
		fleet.CupSubject("zoe"):                      "coffee.machines.zoe.cup",
		fleet.CordonKey("zoe"):                       "cordon.zoe",
		fleet.Subject("coffee", "stock", "*", "get"): "coffee.stock.*.get",
		fleet.Subject("coffee", ">"):                 "coffee.>",
	} {
		if got != want {
			t.Errorf("%s, wanted %s", got, want)
		}
	}
	if got, ok := fleet.ClassOfSubject("coffee.orders.blue-mountain.soja"); !ok || got != class {
		t.Errorf("%v %v", got, ok)
	}
	for _, s := range []string{"", "coffee.orders.arabica", "coffee.orders.arabica.free.x", "coffee.wake.arabica.free", "coffee.orders.*.free", "coffee.orders..free", "tea.orders.arabica.free"} {
		if got, ok := fleet.ClassOfSubject(s); ok {
			t.Errorf("%q is of class %v", s, got)
		}
	}
	for s, want := range map[string]string{"coffee.orders.arabica": "arabica", "coffee.orders.ARABICA get": "ARABICA get", "coffee.orders.": "", "coffee.wake.arabica": "-"} {
		if got, ok := fleet.BeanOfSubject(s); ok != (want != "-") || ok && got != want {
			t.Errorf("%q: bean %q, %v", s, got, ok)
		}
	}
	for s, want := range map[string]bool{"_INBOX.abc": true, "_INBOX_web.abc": true, "_INBOX_op.lea.x.y": true, "_R_.abc123.XyZ456": true, "_R_": false, "x._R_.y": false, "": false, "$JS.ACK.coffee-orders.x": false, "coffee.orders.arabica": false, "x_INBOX": false} {
		if fleet.SafeReply(s) != want {
			t.Errorf("reply to %q: %v", s, !want)
		}
	}
}

func TestSubjectPanicsOnForeignText(t *testing.T) {
	for _, tokens := range [][]string{
		{"coffee", "stock", "arabica.get"}, {"coffee", ""}, {"coffee", "a b"}, {"coffee", "x 0\r\n\r\nPUB y"}, {">", "coffee"},
		{"coffee", "a*"}, {"coffee", strings.ToLower(anID) + "0123456"}, {"coffee", "Arabica"}, {"coffee", fleet.PoisonID(fleet.StreamIntake, math.MaxUint64)},
	} {
		if s, panicked := build(tokens); !panicked {
			t.Errorf("%q became %q", tokens, s)
		}
	}
}

func build(tokens []string) (s string, panicked bool) {
	defer func() { panicked = recover() != nil }()
	return fleet.Subject(tokens...), false
}

func FuzzSubject(f *testing.F) {
	for _, s := range []string{"arabica", anID, strings.ToLower(anID), "a.b", "*", ">", "", "a b", "x\r\nPUB y 0\r\n", "\x00", "ſ", "é", "coffee.orders.arabica.free", "coffee.events.X.served"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		subject, panicked := build([]string{"coffee", s, "get"})
		_, idErr := fleet.ParseID(s)
		isID := idErr == nil && s == strings.ToUpper(s)
		if panicked != !(fleet.IsToken(s) || isID || s == "*") {
			t.Errorf("%q: panicked %v", s, panicked)
		}
		if !panicked && (strings.Count(subject, ".") != 2 || strings.ContainsAny(subject, " \t\r\n\x00") || len(subject) > 43) {
			t.Errorf("%q became %q", s, subject)
		}
		if fleet.IsToken(s) {
			for _, r := range s {
				if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-", r) {
					t.Errorf("%q is no token", s)
				}
			}
		}
		if id, err := fleet.ParseID(s); err == nil {
			if again, err := fleet.ParseID(id); err != nil || again != id || !strings.EqualFold(id, s) {
				t.Errorf("%q: %q, then %q, %v", s, id, again, err)
			}
		} else if err.Error() != "must be a ULID: 26 of 0-9 and A-Z without I, L, O, U" {
			t.Errorf("the error repeats foreign text: %v", err)
		}
		if c, ok := fleet.ClassOfSubject(s); ok && fleet.OrderSubject(c) != s {
			t.Errorf("%q is read as %v", s, c)
		}
		if bean, ok := fleet.BeanOfSubject(s); ok && "coffee.orders."+bean != s {
			t.Errorf("%q is read as bean %q", s, bean)
		}
	})
}

// TestMachineNames: no machine is called as a role of the shop, or as the connection
// of a verb.
func TestMachineNames(t *testing.T) {
	for name, want := range map[string]bool{"zoe": true, "controllers": true, "web-1": true, "controller": false, "stock": false, "web": false, "operator": false, "op": false, "hub": false, "admin": false, "article": false, "foreign": false, "monitor": false, "machine": false, "cli-0a1b": false, "a.b": false, "": false} {
		if fleet.IsMachine(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

// TestWindowSubjects: a web's rights are a part of an operator's, the two families of
// subjects keep them apart, and a controller hears all of them.
func TestWindowSubjects(t *testing.T) {
	web, operator := fleet.WindowSubjects(false), fleet.WindowSubjects(true)
	for _, s := range operator {
		tokens := strings.Split(s, ".")
		ofPages := len(tokens) == 3
		if slices.Contains(web, s) != ofPages || !ofPages && (len(tokens) != 4 || tokens[2] != "op") {
			t.Errorf("%s: a web asks there: %v", s, slices.Contains(web, s))
		}
	}
	for _, s := range web {
		if !slices.Contains(operator, s) {
			t.Errorf("a web asks on %s, an operator does not", s)
		}
	}
	for _, verb := range []string{fleet.WindowPut, fleet.WindowDelete, fleet.WindowGet, fleet.WindowAll, fleet.WindowStored} {
		if slices.Contains(web, fleet.WindowSubject(verb)) {
			t.Errorf("a web may %s", verb)
		}
	}
	if got := fleet.WindowServed(); !slices.Equal(got, []string{"coffee.window.*", "coffee.window.op.*"}) {
		t.Error(got)
	}
}
