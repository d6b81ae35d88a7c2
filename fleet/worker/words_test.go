package worker

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"barista/fleet/words"
	"barista/machine"
)

var update = flag.Bool("update", false, "write ../../machine/FAULTS.md anew")

// codes lists the codes that a package declares: its string constants of the type
// Cause, or whose names begin with Code or Found.
func codes(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			of, _ := spec.Type.(*ast.Ident)
			for i, v := range spec.Values {
				lit, ok := v.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING || !(of != nil && of.Name == "Cause" || strings.HasPrefix(spec.Names[i].Name, "Code") || strings.HasPrefix(spec.Names[i].Name, "Found")) {
					continue
				}
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, s)
			}
			return true
		})
	}
	return out
}

// Every code that a machine or the shop can give has a sentence for each reader
// in each language, and no catalogue has one for nobody.
func TestEveryCauseHasWords(t *testing.T) {
	causes, shop := codes(t, "../../machine"), codes(t, "..")
	if len(causes) < len(machine.Faults)+20 || len(shop) < 15 {
		t.Fatalf("found %d causes and %d codes of the shop: the test is blind", len(causes), len(shop))
	}
	for _, f := range machine.Faults {
		if !slices.Contains(causes, string(f.Cause)) {
			t.Errorf("%s is no constant of its type", f.Cause)
		}
	}
	all := append(causes, shop...)
	readers := map[string]func(lang, code string) string{"operator": words.Operator, "customer": words.Customer}
	for _, lang := range words.Languages {
		for _, code := range all {
			for reader, say := range readers {
				if s := say(lang, code); !strings.HasSuffix(s, ".") || strings.ContainsAny(s, "<>%") {
					t.Errorf("%s, %s, %s: %q is no sentence", code, reader, lang, s)
				}
			}
		}
		for _, code := range all {
			if s := words.Now(lang, code); s == "" || len(strings.Fields(s)) > 4 || len([]rune(s)) > 24 || strings.ContainsAny(s, "<>%.:") {
				t.Errorf("%s in %s: %q is not in three words what a customer reads beside what can't be had", code, lang, s)
			}
		}
		for _, code := range words.Codes(lang) {
			if !slices.Contains(all, code) {
				t.Errorf("%s has words in %s, and nobody says it", code, lang)
			}
		}
		for _, m := range []machine.Mend{machine.Clear, machine.Fill, machine.Again, machine.Restart} {
			if words.Reaction(lang, string(m)) == "" || words.Who(lang, string(m)) == "" {
				t.Errorf("%s has no words in %s", m, lang)
			}
		}
	}
	for _, code := range all {
		for reader, say := range readers {
			if say("en", code) == say("fr", code) {
				t.Errorf("%s, %s: the French is the English", code, reader)
			}
		}
	}
}

// A machine's reason as foreign readers and the person at a screen have it.
func TestReasonInWords(t *testing.T) {
	for _, c := range []struct {
		r    machine.Reason
		want string
	}{
		{machine.Reason{}, ""},
		{machine.Reason{Code: "no-grind", Detail: "0.1 g of 9.0 g"}, "no-grind: The grinder turns and nothing comes: jammed, or the hopper is empty. (0.1 g of 9.0 g)"},
		{machine.Reason{Code: "door"}, "door: The door is open."},
		{machine.Reason{Code: "sensor", Detail: "tank", Quote: "i/o timeout"}, "sensor: A sensor can't say. (tank: i/o timeout)"},
		{machine.Reason{Code: "guard", Quote: "pump: gone"}, "guard: The guard has switched everything off. (pump: gone)"},
		{machine.Reason{Quote: "no-flow: an old journal's whole sentence."}, "no-flow: an old journal's whole sentence."},
		{machine.Reason{Code: "of-a-later-version", Detail: "3 W"}, "of-a-later-version (3 W)"},
	} {
		got := reasonOf(c.r)
		if got.Text != c.want || got.Code != c.r.Code || got.Detail != c.r.Detail || got.Quote != c.r.Quote {
			t.Errorf("%+v: %+v, want %q", c.r, got, c.want)
		}
	}
}

// TestFaultPage prints the table as the page that people read; -update writes
// it anew.
func TestFaultPage(t *testing.T) {
	var page strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&page, format+"\n", args...) }
	say("# Faults")
	say("")
	say("Printed from the table in fault.go and the words in fleet/words by `go test ./fleet/worker -run TestFaultPage -update`;")
	say("each row has a test in this folder. `barista faults` prints the same at the machine.")
	say("")
	say("The word is the code that a claim, an event and the presence of a machine carry, and what")
	say("`barista status`, `barista machine ls` and `barista why` begin a reason with.")
	say("The reaction begins within 50 ms of the reading that shows the fault,")
	say("while anything is on. A sensor that can't say is a fault itself, never a default.")
	say("")
	say("| Word | Seen by | The drink, at worst | Then |")
	say("|---|---|---|---|")
	for _, f := range machine.Faults {
		say("| [%s](#%s) | %s | %s | %s |", f.Cause, f.Cause, f.Detect, f.Outcome, f.Mend)
	}
	var night []string
	for _, f := range machine.Faults {
		if machine.Dangerous(f.Cause) {
			night = append(night, string(f.Cause))
		}
	}
	say("")
	say("Alerts call in their quiet hours too for what may go on with everything told to be off:")
	say("%s; and for a word that is none of these.", strings.Join(night, ", "))
	say("")
	say("## Who ends it")
	for _, m := range []machine.Mend{machine.Clear, machine.Fill, machine.Again, machine.Restart} {
		mend := string(m)
		say("")
		say("**%s** — %s %s", m, words.Reaction("en", mend), words.Who("en", mend))
		say("*%s %s*", words.Reaction("fr", mend), words.Who("fr", mend))
	}
	say("")
	say("## What people are told")
	for _, f := range machine.Faults {
		code := string(f.Cause)
		say("")
		say("### %s", f.Cause)
		say("")
		say("- operator: %s", words.Operator("en", code))
		say("- *opérateur : %s*", words.Operator("fr", code))
		say("- customer: %s", words.Customer("en", code))
		say("- *client : %s*", words.Customer("fr", code))
		if f.Lacks != "" {
			say("- shown as lacking: %s", f.Lacks)
		}
	}
	const file = "../../machine/FAULTS.md"
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(b), page.String()); d != "" {
		t.Error(d)
	}
}
