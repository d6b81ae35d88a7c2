package roles

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nkeys"

	"barista/fleet"
)

func newKey(t testing.TB) (nkeys.KeyPair, string) {
	t.Helper()
	k, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return k, pub
}

// Nothing that somebody could call himself reaches the server's language unlooked at.
func TestNamesAreChecked(t *testing.T) {
	_, key := newKey(t)
	good := Member{Kind: Machine, Name: "zoe", Key: key}
	for what, change := range map[string]func(*Member){
		"a wildcard":             func(m *Member) { m.Name = "*" },
		"a wildcard's end":       func(m *Member) { m.Name = ">" },
		"no name":                func(m *Member) { m.Name = "" },
		"two tokens":             func(m *Member) { m.Name = "zoe.leo" },
		"a brace":                func(m *Member) { m.Name = "zoe}" },
		"a line":                 func(m *Member) { m.Name = "zoe\n}" },
		"a role's name":          func(m *Member) { m.Name = "controller" },
		"the inbox of operators": func(m *Member) { m.Name = "op" },
		"a run's name":           func(m *Member) { m.Name = "cli-1" },
		"an unknown role":        func(m *Member) { m.Kind = "boss" },
		"a role with a line":     func(m *Member) { m.Kind = "x\n}" },
		"who comes without key":  func(m *Member) { m.Kind = Foreign },
		"no key":                 func(m *Member) { m.Key = "" },
		"both":                   func(m *Member) { m.Subject = "CN=zoe" },
		"a short key":            func(m *Member) { m.Key = key[:55] },
		"a small key":            func(m *Member) { m.Key = strings.ToLower(key) },
		"an account's key":       func(m *Member) { m.Key = "A" + key[1:] },
		"a key with a brace":     func(m *Member) { m.Key = key[:55] + "}" },
		"a quote in a subject":   func(m *Member) { m.Key, m.Subject = "", `CN="zoe"` },
		"a line in a subject":    func(m *Member) { m.Key, m.Subject = "", "CN=zoe\n" },
		"an escape in a subject": func(m *Member) { m.Key, m.Subject = "", `CN=zoe\, leo` },
		"the keyless user":       func(m *Member) { m.Key, m.Subject = "", "foreign" },
		"a class of wildcards":   func(m *Member) { m.Classes = []fleet.Class{{Bean: "*", Milk: "free"}} },
		"an operator's classes": func(m *Member) {
			m.Kind, m.Classes = Operator, []fleet.Class{{Bean: "arabica", Milk: "free"}}
		},
		"an operator of two": func(m *Member) { m.Kind, m.Name = Operator, "lea.max" },
	} {
		m := good
		change(&m)
		text, err := Table{Members: []Member{m}}.Text()
		if err == nil || text != "" {
			t.Errorf("%s: %v, text of %d bytes", what, err, len(text))
		} else if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%s: the error has a line of its own: %q", what, err)
		}
	}
	if _, err := (Table{Members: []Member{good}}).Text(); err != nil {
		t.Error(err)
	}
	if _, err := (Table{Foreign: true}).Text(); err == nil {
		t.Error("a table without members: everybody would be let in")
	}
	twice := Member{Kind: Operator, Name: "lea", Key: key}
	if _, err := (Table{Members: []Member{good, twice}}).Text(); err == nil || !strings.Contains(err.Error(), "machine zoe and operator lea") {
		t.Errorf("one key for two: %v", err)
	}
}

// The text is of the members, not of their order: else a reload would have something to
// change where nothing has changed.
func TestTextIsOfTheMembers(t *testing.T) {
	var ms []Member
	for _, k := range []Kind{Web, Machine, Operator, Controller, Machine} {
		_, key := newKey(t)
		ms = append(ms, Member{Kind: k, Name: []string{"a", "b", "c", "d", "e"}[len(ms)], Key: key})
	}
	one, err := Table{Members: ms}.Text()
	if err != nil {
		t.Fatal(err)
	}
	ms[0], ms[4], ms[1], ms[2] = ms[4], ms[0], ms[2], ms[1]
	if two, err := (Table{Members: ms}).Text(); one != two || err != nil {
		t.Errorf("another order, another text (%v)", err)
	}
}

var update = flag.Bool("update", false, "write RIGHTS.md anew")

// The page is what the code does.
func TestPage(t *testing.T) {
	const file = "RIGHTS.md"
	if *update {
		if err := os.WriteFile(file, []byte(Page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	had, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(had), Page()); d != "" {
		t.Errorf("%s is not what the table says; look at it, then go test ./fleet/roles -run TestPage -update:\n%s", file, d)
	}
}
