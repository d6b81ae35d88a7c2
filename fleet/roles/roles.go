// Package roles is the one table of who may do what on a shop's broker. From it
// come the accounts of the embedded broker, the text for a server or cluster of
// somebody else, the page RIGHTS.md and the tests.
//
// The wall is the account. Only SHOP sees JetStream, and each key in it is worth as
// much as the admin's: who may ask JetStream anything may have the answer sent to any
// subject of his account, and an empty answer is an order to purge. So machines, the
// web, operators, monitors and programs without a key live in accounts of their own,
// and what they need of SHOP is imported one subject at a time, as services of which no
// answer can go astray there. The permissions of a user are the second wall, inside
// his account.
//
// A Table is plain data: who belongs to a shop, with the public halves of their keys.
// Nothing here connects, keeps a secret, starts or stops.
package roles

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"barista/fleet"
)

// Kind is a role.
type Kind string

// The roles.
const (
	Machine    Kind = "machine"    // one machine, by its id
	Controller Kind = "controller" // decides: controller, desk, stock, settings
	Stock      Kind = "stock"      // the stock, where it is a process of its own
	Web        Kind = "web"        // the pages
	Operator   Kind = "operator"   // a person
	Monitor    Kind = "monitor"    // sees how it goes and changes nothing
	Archive    Kind = "archive"    // keeps the events, where that is a process of its own
	Hub        Kind = "hub"        // a site's link to the hub, by the site's name
	Admin      Kind = "admin"      // may all: makes and removes streams
	Article    Kind = "article"    // the programs of the public article, by their own key
	Foreign    Kind = "foreign"    // whoever comes without a key
	Guest      Kind = "guest"      // has an invitation, and knocks; by the invitation's id
	// HomeAssistant comes over MQTT, by its name and a password: over MQTT nobody can
	// prove a key.
	HomeAssistant Kind = "homeassistant"
)

// Member is who belongs to a shop, and how he is known.
type Member struct {
	Kind Kind
	Name string // a machine's id, a person, a site; of the others any token
	Key  string // his public nkey, U…; empty with Subject
	// Subject is that of his certificate as the broker writes it (CN=leo,O=Cafe), or a
	// DNS name in it, at a broker that knows its users by certificate.
	Subject string
	// Password is the hash (bcrypt) of HomeAssistant's, which has neither key nor subject.
	Password string
	Classes  []fleet.Class // that a machine serves; it can pull no other
}

// Table is a shop's members.
type Table struct {
	Members []Member
	// Foreign lets in who has no key: to order, to drop orders in as the article does,
	// and to ask what is left.
	Foreign bool
	// Sites are those of which the broker has something, whether or not they have a key
	// now: without its account nobody could read it. Those of the members need not be in it.
	Sites []string
}

// Limits bound an account as a whole; 0 is no bound of ours.
type Limits struct {
	Connections   int
	Subscriptions int
	Payload       int // bytes of a message that is published in it
	// Of an account with streams of its own, beside SHOP and sites.
	Store, Memory      int // bytes
	Streams, Consumers int
}

// Rights are what one member may do.
type Rights struct {
	Account   string   // a machine's, a guest's and a site's is its own; the others share that of their kind
	Publish   []string // subjects
	Subscribe []string // subjects, his inboxes among them
	Responses bool     // he answers requests, within a minute
	// Inbox is the prefix of his inboxes, without the last dot. An operator's is that of
	// the person; each run adds a token of its own.
	Inbox  string
	Leaf   bool   // he comes over the leaf port and nowhere else; the others never do
	MQTT   bool   // the same of MQTT
	Limits Limits // of the account
}

// Rights are a member's, whether or not Check would let him into a table.
func (m Member) Rights() Rights {
	r := Rights{Account: m.account(), Inbox: m.inbox(), Leaf: m.Kind == Hub, MQTT: m.Kind == HomeAssistant, Limits: limits[m.Kind]}
	own := permissions[m.Kind]
	r.Responses = own.responses
	if m.Kind != Hub && m.Kind != Admin && m.Kind != HomeAssistant {
		r.Subscribe = append(r.Subscribe, r.Inbox+".>")
	}
	for _, s := range own.publish {
		r.Publish = append(r.Publish, m.own(s))
	}
	for _, s := range own.subscribe {
		r.Subscribe = append(r.Subscribe, m.own(s))
	}
	for _, o := range offers {
		if !slices.Contains(o.to, m.Kind) {
			continue
		}
		list := &r.Publish
		if o.stream {
			list = &r.Subscribe
		}
		for _, s := range o.seen(m) {
			if !slices.Contains(*list, s) {
				*list = append(*list, s)
			}
		}
	}
	return r
}

func (m Member) account() string {
	switch m.Kind {
	case Machine:
		return accountOf(m.Name)
	case Guest:
		return "G_" + m.Name
	case Hub:
		return "S_" + m.Name
	case Web, Operator, Monitor, Archive, Foreign, HomeAssistant:
		return strings.ToUpper(string(m.Kind))
	}
	return fleet.AccountShop
}

// accountSystem is the server's own. Nobody has a key of it.
const accountSystem = "SYS"

func accountOf(machine string) string { return "M_" + machine }

func (m Member) inbox() string {
	switch {
	case m.Kind == Machine:
		return "_INBOX_" + m.Name
	case m.Kind == Operator:
		return "_INBOX_op." + m.Name
	case m.Kind == Foreign, m.Kind == Article:
		return "_INBOX" // the client's own
	case m.Name == string(m.Kind):
		return "_INBOX_" + m.Name
	}
	return "_INBOX_" + string(m.Kind) + "-" + m.Name
}

// pulls are the classes of which a member may take orders: those that it serves, and the
// care of itself.
func (m Member) pulls() []fleet.Class {
	if m.Kind != Machine {
		return nil
	}
	return append(slices.Clip(m.Classes), fleet.CareClass(m.Name))
}

// own puts the member's name into a subject of the table.
func (m Member) own(subject string) string { return strings.ReplaceAll(subject, "<name>", m.Name) }

// Check says all that is wrong with a table, for the person who wrote it. Text has no
// text for one that is wrong.
func (t Table) Check() error {
	var errs []error
	if len(t.Members) == 0 {
		errs = append(errs, errors.New("nobody has a key: a broker without users lets everybody in"))
	}
	seen := map[string]Member{}
	for _, m := range t.Members {
		if err := m.check(); err != nil {
			errs = append(errs, fmt.Errorf("%s %.40q: %w", shown(m.Kind), m.Name, err))
			continue
		}
		if other, twice := seen[m.id()]; twice {
			errs = append(errs, fmt.Errorf("%s %s and %s %s are known by the same %s: give each one his own", other.Kind, other.Name, m.Kind, m.Name, m.id()))
		}
		seen[m.id()] = m
	}
	for _, s := range t.Sites {
		if !fleet.IsToken(s) {
			errs = append(errs, fmt.Errorf("%.40q is no name of a site: 1 to 32 of a-z, 0-9 and -", s))
		}
	}
	return errors.Join(errs...)
}

// shown is a kind as it may be shown, whatever it is.
func shown(k Kind) string {
	if _, known := permissions[k]; known {
		return string(k)
	}
	return fmt.Sprintf("role %.20q", string(k))
}

// id is what the broker knows the member by.
func (m Member) id() string {
	switch {
	case m.Key != "":
		return m.Key
	case m.Kind == HomeAssistant:
		return m.Name
	}
	return m.Subject
}

func (m Member) check() error {
	var why []string
	say := func(format string, v ...any) { why = append(why, fmt.Sprintf(format, v...)) }
	switch _, known := permissions[m.Kind]; {
	case !known || m.Kind == Foreign:
		say("there is no such role for a member")
	case m.Kind == Machine && !fleet.IsMachine(m.Name):
		say("no machine can be called so: 1 to 32 of a-z, 0-9 and -, and no name of a role")
	case !fleet.IsToken(m.Name):
		say("the name must be 1 to 32 of a-z, 0-9 and -")
	}
	why = append(why, m.proof()...)
	if len(m.Classes) > 0 && m.Kind != Machine {
		say("only machines serve classes")
	}
	for _, c := range m.Classes {
		if !fleet.IsToken(c.Bean) || !fleet.IsToken(c.Milk) {
			say("%.40q, %.40q is no class", c.Bean, c.Milk)
		}
	}
	if len(why) == 0 {
		return nil
	}
	return errors.New(strings.Join(why, "; "))
}

// proof says what is wrong with how the member is known.
func (m Member) proof() (why []string) {
	say := func(format string, v ...any) { why = append(why, fmt.Sprintf(format, v...)) }
	switch {
	case m.Kind == HomeAssistant:
		if m.Key != "" || m.Subject != "" || !bcrypted.MatchString(m.Password) {
			say("is known by the hash of a password, and by nothing else")
		}
		return why
	case m.Password != "":
		say("only Home Assistant is known by a password")
	case (m.Key == "") == (m.Subject == ""):
		say("needs a key or a certificate's subject, and one of them only")
	case m.Key != "" && !isKey(m.Key):
		say("%.60q is no public key of a user: 56 letters and digits, the first a U", m.Key)
	case m.Subject != "" && !isSubject(m.Subject):
		say("%.60q is no certificate's subject that can be written down: printable, without quotes and backslashes, at most 256 bytes, and not the word foreign", m.Subject)
	}
	return why
}

// bcrypted is the form of a hash by bcrypt.
var bcrypted = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// isKey looks at the form only: the broker looks at the checksum too.
func isKey(s string) bool {
	return len(s) == 56 && s[0] == 'U' && !strings.ContainsFunc(s, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= '2' && r <= '7') })
}

func isSubject(s string) bool {
	return len(s) <= 256 && s != string(Foreign) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == '"' || r == '\\' || r == unicode.ReplacementChar })
}
