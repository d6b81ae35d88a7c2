package fleet

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// The names of the shop on the broker. Other people's programs meet them.
const (
	StreamIntake = "coffee-intake" // orders dropped in by foreign programs
	StreamOrders = "coffee-orders" // accepted orders, one subject per class
	StreamBook   = "coffee-book"   // the truth: orders and stock
	StreamEvents = "coffee-events" // told from the book, for other programs

	BucketMachines = "coffee-machines"
	BucketSettings = "coffee-settings"
	BucketStock    = "coffee-stock"
	BucketValues   = "orders-values"
	KeyPending     = "orders.pending"

	SubjectRequests = "coffee.web.requests"
	// SubjectServers asks every server of a cluster that is here; any account may, the
	// server fills in which.
	SubjectServers = "$SYS.REQ.ACCOUNT.PING.STATZ"
	IntakeDurable  = "intake"
	ArchiveDurable = "archive" // of the events

	// AccountShop has the streams, at a broker with keys.
	AccountShop = "SHOP"
)

// Subject joins tokens into a subject. It is the only function that builds one,
// and it panics on anything that is not a token, an order id or one of the
// wildcards: text from outside has been checked before it comes here, so a
// panic is a mistake of ours that a test must find, never a customer's.
func Subject(tokens ...string) string {
	for i, t := range tokens {
		if t == "*" || t == ">" && i == len(tokens)-1 || IsToken(t) || isID(t) {
			continue
		}
		panic("fleet: not a subject token: " + clip(t))
	}
	return strings.Join(tokens, ".")
}

// IsToken reports whether s may stand in a subject, a key or a file name: 1 to
// 32 of a–z, 0–9 and -.
func IsToken(s string) bool {
	if len(s) < 1 || len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

// OrderSubject is where accepted orders of a class are stored.
func OrderSubject(c Class) string { return Subject("coffee", "orders", c.Bean, c.Milk) }

// MakerDurable names the consumer that all machines of a class share.
func MakerDurable(c Class) string { return "maker-" + c.Bean + "-" + c.Milk }

// EventSubject is where an event of an order is stored. slot is an Event's Slot.
func EventSubject(order, slot string) string { return Subject("coffee", "events", order, slot) }

// LiveSubject is where a machine tells what passes at an order in its hand.
func LiveSubject(machine, order, what string) string {
	return Subject("coffee", "live", machine, order, what)
}

// ActSubject is where an act stands in the book, on a leaf of it: of an order under
// its id. StateSubject is where an order's other states stand.
//
// A balance turns the leaf: the acts after it stand on the one that is named by its
// sequence, the first ones on leaf 0. So the last act is found among the acts since
// the last balance and not among all that there ever were.
func ActSubject(leaf uint64, what string) string {
	return Subject("coffee", "book", "new-"+strconv.FormatUint(leaf, 10), what)
}
func StateSubject(order string) string { return Subject("coffee", "book", "now", order) }

// DeskSubject is where a machine asks a desk.
func DeskSubject(machine, verb string) string { return Subject("coffee", "desk", machine, verb) }

// CommandSubject is where a machine hears commands. What a customer may say it hears
// apart, and pages may send no more: at CupSubject that his cup is there, at
// EnoughSubject that his drink, which is in hand, is to be stopped.
func CommandSubject(machine string) string { return Subject("coffee", "machines", machine, "cmd") }
func CupSubject(machine string) string     { return Subject("coffee", "machines", machine, "cup") }
func EnoughSubject(machine string) string  { return Subject("coffee", "machines", machine, "enough") }

// Lives is in a question to a process whether it lives, and nothing more; one with nothing
// in it is asked because another process wants the machine's name.
const Lives = "lives"

// ProcessSubject is where one process of a machine answers for as long as it lives.
func ProcessSubject(machine, nonce string) string {
	return Subject("coffee", "machines", machine, nonce)
}

// IsNonce reports whether s can be the nonce of a process: a token, and too long for
// a word.
func IsNonce(s string) bool { return len(s) >= 16 && IsToken(s) }

// reserved are the names of the shop's own roles: a machine of such a name would hear
// the answers that its connection waits for, and nobody could tell the two apart.
var reserved = []string{"admin", "archive", "article", "broker", "controller", "customer", "foreign", "guest", "hub", "machine", "monitor", "op", "operator", "shop", "stock", "sys", "web"}

// IsMachine reports whether a machine may be called so.
func IsMachine(s string) bool {
	return IsToken(s) && !slices.Contains(reserved, s) && !strings.HasPrefix(s, "cli-")
}

// ClassOfSubject reads the class out of an order subject.
func ClassOfSubject(subject string) (Class, bool) {
	t := strings.Split(subject, ".")
	if len(t) != 4 || t[0] != "coffee" || t[1] != "orders" || !IsToken(t[2]) || !IsToken(t[3]) {
		return Class{}, false
	}
	return Class{t[2], t[3]}, true
}

// BeanOfSubject reads the bean out of an intake subject. The bean may be any
// text that a foreign program could put there.
func BeanOfSubject(subject string) (string, bool) {
	return strings.CutPrefix(subject, "coffee.orders.")
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ParseID reads an order id: a ULID, 26 Crockford characters in any letter
// case, the first at most 7. It comes back in upper case.
func ParseID(s string) (string, error) {
	if up := strings.ToUpper(s); len(s) == 26 && isID(up) {
		return up, nil
	}
	return "", errors.New("must be a ULID: 26 of 0-9 and A-Z without I, L, O, U")
}

func isID(s string) bool {
	if len(s) != 26 || s[0] > '7' {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(crockford, s[i]) < 0 {
			return false
		}
	}
	return true
}

// SafeReply reports whether a service may answer to this subject: only to an
// inbox, or on the way that the broker opens for an answer to another account. A reply
// subject comes from outside; "$JS.ACK…" or "coffee.orders…" would make our answer act
// on the broker in our name.
func SafeReply(subject string) bool {
	return strings.HasPrefix(subject, "_INBOX") || strings.HasPrefix(subject, "_R_.")
}
