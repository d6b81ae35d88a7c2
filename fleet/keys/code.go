package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nats-io/nkeys"

	"barista/fleet"
)

// Code is an invitation, as a person carries it to the computer that is to join a
// shop: a secret, by which the shop knows the guest, and the front of the fingerprint
// of the shop's CA, by which the guest knows the shop. Whoever has read it may knock
// in the guest's place until it was used or its time is over; whether he is let in is
// decided by a person, who sees what he calls himself.
type Code struct {
	secret [codeSecret]byte
	ca     [codeCA]byte
}

// The lengths of a code's parts, in bytes. The secret is guessed in 2^79 tries, each of
// which has to ask the shop; another CA with the same 16 bytes costs 2^128.
const (
	codeSecret = 10
	codeCA     = 16
	codeCheck  = 1 // of 256 slips of the finger one is not noticed here; the shop notices it
)

// crockford has no letter that is mistaken for a digit.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// ErrNotCode: a text is no code, or not all of one.
var ErrNotCode = errors.New("that is no code of a shop")

// NewCode makes an invitation to the shop of a CA, by the fingerprint of it.
func NewCode(fingerprint string) (Code, error) {
	var c Code
	b, err := hex.DecodeString(fingerprint)
	if err != nil || len(b) < codeCA {
		return c, errors.New("keys: that is no fingerprint")
	}
	copy(c.ca[:], b)
	rand.Read(c.secret[:]) // never fails
	return c, nil
}

// ParseCode reads a code as a person types it: in any letter case, with or without
// dashes and blanks, O for 0, I and L for 1. The error is ErrNotCode.
func ParseCode(text string) (Code, error) {
	var c Code
	text = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text))
	b, err := crockford.DecodeString(text)
	if err != nil || len(b) != codeSecret+codeCA+codeCheck || crockford.EncodeToString(b) != text {
		return c, ErrNotCode
	}
	copy(c.secret[:], b)
	copy(c.ca[:], b[codeSecret:])
	if b[codeSecret+codeCA] != c.check() {
		return Code{}, ErrNotCode
	}
	return c, nil
}

func (c Code) check() byte {
	sum := sha256.Sum256(append(c.secret[:], c.ca[:]...))
	return sum[0]
}

// Text is the code for a person: eleven groups of four. It is a secret as long as the
// invitation stands.
func (c Code) Text() string {
	b := append(append(c.secret[:], c.ca[:]...), c.check())
	s := crockford.EncodeToString(b)
	var out strings.Builder
	for i := 0; i < len(s); i += 4 {
		if i > 0 {
			out.WriteByte('-')
		}
		out.WriteString(s[i:min(i+4, len(s))])
	}
	return out.String()
}

// Fingerprint is the front of that of the shop's CA, as Pinned takes it.
func (c Code) Fingerprint() string { return hex.EncodeToString(c.ca[:]) }

// Key is who the guest is until he is let in: the same key on both sides.
func (c Code) Key(role, name string) (*Key, error) {
	seed := sha256.Sum256(append([]byte("barista invitation\n"), c.secret[:]...))
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, seed[:])
	if err != nil {
		return nil, err
	}
	return of(pair, role, name)
}

// Format prints nothing of it, whatever the verb: a code is a secret.
func (c Code) Format(f fmt.State, _ rune) { io.WriteString(f, "a code") }

// As is the same key for another role and name: of a guest who was let in.
func (k *Key) As(role, name string) (*Key, error) {
	if !fleet.IsToken(role) || !fleet.IsToken(name) {
		return nil, fmt.Errorf("a key is for a role and a name, not for %.40q %.40q", role, name)
	}
	return of(k.pair(), role, name)
}
