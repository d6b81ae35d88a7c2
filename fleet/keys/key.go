package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/nats-io/nkeys"

	"barista/fleet"
)

// Key proves who a connection is. Any goroutine may use it. However it is printed,
// it shows who it is and never its secret.
type Key struct {
	role, name string // may be empty in a file of another tool
	public     string
	jwt        string // of a cluster that others run
	// pair has the secret. Behind a function no verb of fmt finds it, not even in a copy.
	pair func() nkeys.KeyPair
}

// The ways in which a key may be of no use.
var (
	ErrLax    = errors.New("others may read it") // a file's mode
	ErrNoKey  = errors.New("there is no key")    // no such file
	ErrNotKey = errors.New("it is no key")       // what the file says
)

// New makes a key for one who has a role, in the words of package roles, and a name.
// Both are tokens.
func New(role, name string) (*Key, error) {
	if !fleet.IsToken(role) || !fleet.IsToken(name) {
		return nil, fmt.Errorf("a key is for a role and a name, each 1 to 32 of a-z, 0-9 and -; not for %q %q", role, name)
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return of(pair, role, name)
}

func of(pair nkeys.KeyPair, role, name string) (*Key, error) {
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotKey, err)
	}
	return &Key{role: role, name: name, public: public, pair: func() nkeys.KeyPair { return pair }}, nil
}

// Role is what the key is for, as its file says; empty where that says nothing.
func (k *Key) Role() string { return k.role }

// Name is whose key it is; empty where its file says nothing.
func (k *Key) Name() string { return k.name }

// Public is the half that everybody may know: U and 55 characters.
func (k *Key) Public() string { return k.public }

// JWT is what the people of a foreign cluster have given; empty for a key of ours.
func (k *Key) JWT() string { return k.jwt }

// Sign signs what a server wants signed.
func (k *Key) Sign(nonce []byte) ([]byte, error) { return k.pair().Sign(nonce) }

// Seed is the secret itself, for the one who signs without asking a Key: the broker
// on its link to a hub. It is a copy that can't be wiped; whoever asks for it shows it
// to nobody and keeps it nowhere else.
func (k *Key) Seed() (string, error) {
	seed, err := k.pair().Seed() // the pair's own bytes, not a copy: they are not cleared here
	if err != nil {
		return "", fmt.Errorf("%v was wiped", k)
	}
	return string(seed), nil
}

// Wipe forgets the secret; the key signs nothing from then on.
func (k *Key) Wipe() { k.pair().Wipe() }

// String is who the key is.
func (k *Key) String() string {
	if k == nil {
		return "no key"
	}
	return strings.TrimSpace(strings.Join([]string{k.role, k.name, k.public}, " "))
}

// Format prints String for every verb, so that none walks the fields.
func (k *Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// LogValue is String in a log.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// The limits of a file: a foreign JWT may be of some KiB.
const mostBytes = 32 << 10

// Parse reads a key out of a file's text: ours, a bare seed as other tools write
// it, or the credentials of a foreign cluster, a JWT and a seed. The errors are
// ErrNotKey with why, and repeat nothing of the text.
func Parse(text []byte) (*Key, error) {
	if len(text) > mostBytes {
		return nil, fmt.Errorf("%w: it is larger than %d KiB", ErrNotKey, mostBytes>>10)
	}
	if bytes.Contains(text, []byte("-----BEGIN")) {
		return parseCreds(text)
	}
	var role, name, public string
	var seed []byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		comment, is := bytes.CutPrefix(line, []byte("#"))
		switch {
		case len(line) == 0:
		case is:
			what, value, _ := strings.Cut(strings.TrimSpace(string(comment)), ": ")
			switch what {
			case "role":
				role, name, _ = strings.Cut(value, " ")
				if !fleet.IsToken(role) || !fleet.IsToken(name) {
					return nil, fmt.Errorf("%w: its line \"# role:\" does not say a role and a name", ErrNotKey)
				}
			case "public":
				public = value
			}
		case seed != nil:
			return nil, fmt.Errorf("%w: it has more than one line that is no comment", ErrNotKey)
		default:
			seed = line
		}
	}
	k, err := fromSeed(seed, role, name)
	if err == nil && public != "" && public != k.public {
		return nil, fmt.Errorf("%w: its line \"# public:\" is of another key than its seed", ErrNotKey)
	}
	return k, err
}

// fromSeed never lets the library's words out: they may quote what they read.
func fromSeed(seed []byte, role, name string) (*Key, error) {
	if len(seed) == 0 {
		return nil, fmt.Errorf("%w: there is no seed in it", ErrNotKey)
	}
	prefix, raw, err := nkeys.DecodeSeed(seed)
	clear(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: its seed is damaged, or is none", ErrNotKey)
	}
	if prefix != nkeys.PrefixByteUser {
		return nil, fmt.Errorf("%w of a user: a seed that begins with SU is wanted, this is the seed of: %s", ErrNotKey, prefix)
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, fmt.Errorf("%w: its seed is damaged, or is none", ErrNotKey)
	}
	return of(pair, role, name)
}

// parseCreds reads what foreign clusters hand out: blocks between lines of dashes,
// of which one is the user's JWT and one his seed.
func parseCreds(text []byte) (*Key, error) {
	var block string
	var jwt string
	var seed []byte
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		switch {
		case bytes.HasPrefix(line, []byte("-----BEGIN ")):
			block = strings.Trim(strings.TrimPrefix(string(line), "-----BEGIN "), "- ")
		case bytes.HasPrefix(line, []byte("---")): // three dashes and more end a block
			block = ""
		case len(line) == 0, block == "":
		case block == "NATS USER JWT":
			jwt += string(line)
		case block == "USER NKEY SEED" && seed == nil:
			seed = line
		}
	}
	if jwt == "" || strings.Count(jwt, ".") != 2 || strings.ContainsFunc(jwt, notJWT) {
		return nil, fmt.Errorf("%w: there is no JWT of a user in its credentials", ErrNotKey)
	}
	k, err := fromSeed(seed, "", "")
	if err == nil {
		k.jwt = jwt
	}
	return k, err
}

func notJWT(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.=", r))
}

// text is the key as its file has it. The caller clears it.
func (k *Key) text() ([]byte, error) {
	seed, err := k.pair().Seed()
	if err != nil {
		return nil, fmt.Errorf("%v was wiped", k)
	}
	// seed is the pair's own, not a copy
	t := make([]byte, 0, 512) // enough, so that no copy of the seed is left behind
	t = append(t, "# A secret key of the shop. Who has this text is who the next line says: show it to nobody.\n"...)
	if k.role != "" {
		t = fmt.Appendf(t, "# role: %s %s\n", k.role, k.name)
	}
	t = fmt.Appendf(t, "# public: %s\n", k.public)
	return append(append(t, seed...), '\n'), nil
}

// IsPublic reports whether a text is the public half of a user's key.
func IsPublic(s string) bool { return nkeys.IsValidPublicUserKey(s) }
