package fleet_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"barista/fleet"
)

func TestDoses(t *testing.T) {
	m := fleet.DefaultMenu()
	for _, test := range []struct {
		order fleet.Order
		want  fleet.Items // nil: not on the menu
	}{
		{fleet.Order{Size: fleet.Small, Bean: "arabica", Milk: "free"}, fleet.Items{"arabica": 9}},
		{fleet.Order{Size: fleet.Medium, Bean: "robusta", Milk: "normal", Sugar: 2}, fleet.Items{"robusta": 17, "milk-normal": 60, "sugar": 2}},
		{fleet.Order{Size: fleet.Large, Bean: "mixed", Milk: "soja"}, fleet.Items{"mixed": 30, "milk-soja": 90}},
		{fleet.Order{Size: fleet.Large, Bean: "liberica", Milk: "free"}, nil},
		{fleet.Order{Size: fleet.Large, Bean: "mixed", Milk: "oat"}, nil},
		{fleet.Order{Size: "huge", Bean: "mixed", Milk: "free"}, nil},
	} {
		got, ok := m.Portion(test.order)
		if d := cmp.Diff(test.want, got); d != "" || ok != (test.want != nil) {
			t.Errorf("%+v: %v %s", test.order, ok, d)
		}
	}
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	if n := len(m.Classes()); n != 9 {
		t.Errorf("%d classes", n)
	}
	if d := cmp.Diff([]string{"arabica", "robusta", "mixed", "milk-normal", "milk-soja", "sugar"}, m.Items()); d != "" {
		t.Error(d)
	}
}

func TestAMenuSaysAllItsProblems(t *testing.T) {
	_, err := fleet.ParseMenu([]byte(`{"beans":["arabica","Arabica","arabica","sugar","a b","milk-x"],"milks":["free","free","x","` + strings.Repeat("m", 28) + `"],
		"sizes":{"huge":{"grams":9,"water_ml":40},"small":{"grams":0,"milk_ml":251,"water_ml":9}}}`))
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{
		`bean "Arabica": 1 to 32`, "bean arabica: the name is taken", "bean sugar: the name is taken", `bean "a b": 1 to 32`, "milk free: the name is taken",
		"milk x: the name is taken", `milk "mmm`, `size "huge": must be small, medium or large`, `size "small": grams must be 1 to 60`, `size "small": milk_ml must be 0 to 250`, `size "small": water_ml must be 10 to 400`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not said: %s\nin: %v", want, err)
		}
	}
	_, err = fleet.ParseMenu([]byte(`{"beans":["a","a-b"],"milks":["b-c","c"],"sizes":{"small":{"grams":9,"water_ml":40}}}`))
	if err == nil || !strings.Contains(err.Error(), "a/b-c and a-b/c would share the queue maker-a-b-c") {
		t.Errorf("two classes with one queue: %v", err)
	}
	for _, s := range []string{`{}`, `[]`, `null`, ``, `{"beans":"arabica"}`, `{"beans":["a"],"milks":["free"],"sizes":{}}`, `{"beans":["a"],"milks":["free"],"sizes":{"small":{"grams":9.5,"water_ml":40}}}`} {
		if _, err := fleet.ParseMenu([]byte(s)); err == nil {
			t.Errorf("%s was taken", s)
		}
	}
}

// A menu that was taken makes only subjects, names and items that are allowed,
// and none of them twice.
func FuzzParseMenu(f *testing.F) {
	b, err := json.Marshal(fleet.DefaultMenu())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, s := range []string{`{"beans":["a","a-b"],"milks":["b-c","c"],"sizes":{"small":{"grams":9,"water_ml":40}}}`, `{"beans":["milk-x"],"milks":["x"],"sizes":{"small":{"grams":9,"water_ml":40}}}`, `{"beans":[">"]}`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := fleet.ParseMenu(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if m2, err := fleet.ParseMenu(again); err != nil || !cmp.Equal(m, m2) {
			t.Errorf("%s: %v", again, err)
		}
		once := func(what string, names []string) {
			slices.Sort(names)
			if n := len(slices.Compact(slices.Clone(names))); n != len(names) {
				t.Errorf("%s: one is there twice: %v", what, names)
			}
		}
		once("items", m.Items())
		for _, item := range m.Items() {
			if !fleet.IsToken(item) {
				t.Errorf("item %q", item)
			}
		}
		var subjects, durables []string
		for _, c := range m.Classes() {
			subjects = append(subjects, fleet.OrderSubject(c))
			durables = append(durables, fleet.MakerDurable(c))
			for size := range m.Sizes {
				doses, ok := m.Portion(fleet.Order{Size: size, Bean: c.Bean, Milk: c.Milk, Sugar: 1})
				if !ok || doses[c.Bean] < 1 || doses[fleet.ItemSugar] != 1 {
					t.Errorf("%s %s takes %v", size, c, doses)
				}
				for item := range doses {
					if !slices.Contains(m.Items(), item) {
						t.Errorf("%s %s takes %s, which is no item of the menu", size, c, item)
					}
				}
			}
		}
		once("subjects", subjects)
		once("queues", durables)
	})
}
