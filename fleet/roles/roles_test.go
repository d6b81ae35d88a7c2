package roles_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"barista/fleet"
	"barista/fleet/roles"
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
	good := roles.Member{Kind: roles.Machine, Name: "zoe", Key: key}
	for what, change := range map[string]func(*roles.Member){
		"a wildcard":             func(m *roles.Member) { m.Name = "*" },
		"a wildcard's end":       func(m *roles.Member) { m.Name = ">" },
		"no name":                func(m *roles.Member) { m.Name = "" },
		"two tokens":             func(m *roles.Member) { m.Name = "zoe.leo" },
		"a brace":                func(m *roles.Member) { m.Name = "zoe}" },
		"a line":                 func(m *roles.Member) { m.Name = "zoe\n}" },
		"a role's name":          func(m *roles.Member) { m.Name = "controller" },
		"the inbox of operators": func(m *roles.Member) { m.Name = "op" },
		"a run's name":           func(m *roles.Member) { m.Name = "cli-1" },
		"an unknown role":        func(m *roles.Member) { m.Kind = "boss" },
		"a role with a line":     func(m *roles.Member) { m.Kind = "x\n}" },
		"who comes without key":  func(m *roles.Member) { m.Kind = roles.Foreign },
		"no key":                 func(m *roles.Member) { m.Key = "" },
		"both":                   func(m *roles.Member) { m.Subject = "CN=zoe" },
		"a short key":            func(m *roles.Member) { m.Key = key[:55] },
		"a small key":            func(m *roles.Member) { m.Key = strings.ToLower(key) },
		"an account's key":       func(m *roles.Member) { m.Key = "A" + key[1:] },
		"a key with a brace":     func(m *roles.Member) { m.Key = key[:55] + "}" },
		"a quote in a subject":   func(m *roles.Member) { m.Key, m.Subject = "", `CN="zoe"` },
		"a line in a subject":    func(m *roles.Member) { m.Key, m.Subject = "", "CN=zoe\n" },
		"an escape in a subject": func(m *roles.Member) { m.Key, m.Subject = "", `CN=zoe\, leo` },
		"the keyless user":       func(m *roles.Member) { m.Key, m.Subject = "", "foreign" },
		"a class of wildcards":   func(m *roles.Member) { m.Classes = []fleet.Class{{Bean: "*", Milk: "free"}} },
		"an operator's classes": func(m *roles.Member) {
			m.Kind, m.Classes = roles.Operator, []fleet.Class{{Bean: "arabica", Milk: "free"}}
		},
		"an operator of two": func(m *roles.Member) { m.Kind, m.Name = roles.Operator, "lea.max" },
	} {
		m := good
		change(&m)
		text, err := roles.Table{Members: []roles.Member{m}}.Text()
		if err == nil || text != "" {
			t.Errorf("%s: %v, text of %d bytes", what, err, len(text))
		} else if strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%s: the error has a line of its own: %q", what, err)
		}
	}
	if _, err := (roles.Table{Members: []roles.Member{good}}).Text(); err != nil {
		t.Error(err)
	}
	if _, err := (roles.Table{Foreign: true}).Text(); err == nil {
		t.Error("a table without members: everybody would be let in")
	}
	twice := roles.Member{Kind: roles.Operator, Name: "lea", Key: key}
	if _, err := (roles.Table{Members: []roles.Member{good, twice}}).Text(); err == nil || !strings.Contains(err.Error(), "machine zoe and operator lea") {
		t.Errorf("one key for two: %v", err)
	}
}

// The text is of the members, not of their order: else a reload would have something to
// change where nothing has changed.
func TestTextIsOfTheMembers(t *testing.T) {
	var ms []roles.Member
	for _, k := range []roles.Kind{roles.Web, roles.Machine, roles.Operator, roles.Controller, roles.Machine} {
		_, key := newKey(t)
		ms = append(ms, roles.Member{Kind: k, Name: []string{"a", "b", "c", "d", "e"}[len(ms)], Key: key})
	}
	one, err := roles.Table{Members: ms}.Text()
	if err != nil {
		t.Fatal(err)
	}
	ms[0], ms[4], ms[1], ms[2] = ms[4], ms[0], ms[2], ms[1]
	if two, err := (roles.Table{Members: ms}).Text(); one != two || err != nil {
		t.Errorf("another order, another text (%v)", err)
	}
}
