package operators

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"

	"barista/fleet"
)

// What a password may be.
const (
	minPassword = 10  // characters
	maxPassword = 256 // bytes
)

// usual is what a hash costs: 19 MiB and about a third of a second on a Raspberry Pi 4,
// one at a time.
var usual = argon2id.Params{Memory: 19 << 10, Iterations: 3, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// The bounds of what a file may ask for: a harmed one must not eat the computer.
const (
	maxMemory     = 64 << 10 // KiB
	maxIterations = 8
	maxLanes      = 4
)

// checkHash refuses what is no hash, and one that costs too much to look at.
func checkHash(hash string) error {
	bad := errors.New("it is no argon2id hash within the bounds")
	if len(hash) > 256 {
		return bad
	}
	p, salt, key, err := argon2id.DecodeHash(hash)
	if err != nil || p.Memory < 8 || p.Memory > maxMemory || p.Iterations < 1 || p.Iterations > maxIterations || p.Parallelism < 1 || p.Parallelism > maxLanes ||
		len(salt) < 8 || len(salt) > 64 || len(key) < 16 || len(key) > 64 {
		return bad
	}
	if !strings.HasPrefix(hash, fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$", p.Memory, p.Iterations, p.Parallelism)) {
		return bad // there was more behind the figures
	}
	return nil
}

// hashOf hashes a password that somebody chose. It takes the memory of the cost.
func hashOf(name, password string, cost argon2id.Params) (string, error) {
	if !fleet.IsToken(name) {
		return "", errors.New("an operator's name is 1 to 32 of a-z, 0-9 and -")
	}
	password, err := tidy(password)
	if err != nil {
		return "", err
	}
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return "", fmt.Errorf("%w: give at least %d characters", fleet.ErrWeak, minPassword)
	case len(strings.ReplaceAll(strings.ToLower(password), name, "")) < minPassword/2:
		return "", fmt.Errorf("%w: it is little more than the name", fleet.ErrWeak)
	case strings.Count(password, password[:1]) == len(password):
		return "", fmt.Errorf("%w: it is one character over and over", fleet.ErrWeak)
	}
	return argon2id.CreateHash(password, &cost)
}

// tidy makes one of the ways in which keyboards write the same password.
func tidy(password string) (string, error) {
	if len(password) > maxPassword || !utf8.ValidString(password) || strings.ContainsFunc(password, unicode.IsControl) {
		return "", fmt.Errorf("%w: give %d characters to %d bytes, and no control characters", fleet.ErrWeak, minPassword, maxPassword)
	}
	return norm.NFC.String(password), nil
}

// decoy is the hash of a password that nobody has: comparing with it takes as long as
// with a real one.
func decoy(cost argon2id.Params) string {
	hash, err := argon2id.CreateHash(rand.Text(), &cost)
	if err != nil {
		panic(err) // the kernel has no random numbers
	}
	return hash
}

// fits reports whether a password is the one behind a hash.
func fits(password, hash string) bool {
	password, err := tidy(password)
	if err != nil {
		return false
	}
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	return ok && err == nil
}
