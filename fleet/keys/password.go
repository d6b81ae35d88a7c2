package keys

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// OpenPassword reads a password that a person carries to another program, or makes one
// where there is no file, of 130 bits and in a file with mode 0600. What comes back is its
// hash, another one at each call. Errors: ErrLax, ErrNotKey, each with the file and what to
// do.
func OpenPassword(path string) (hash string, err error) {
	text, err := readSecret(path)
	if errors.Is(err, ErrNoKey) {
		text = []byte(rand.Text() + "\n")
		err = create(path, text, 0o600)
	}
	if err != nil {
		return "", err
	}
	defer clear(text)
	// The broker compares at each connect, and a Pi takes a second for a costly hash. What
	// nobody has thought up needs none; a password of a person's own must be as long.
	word := bytes.TrimSpace(text)
	if len(word) < 20 || len(word) > 72 {
		return "", fmt.Errorf("%s: %w: a password of 20 to 72 bytes is needed; remove the file, and one is made", filepath.Clean(path), ErrNotKey)
	}
	b, err := bcrypt.GenerateFromPassword(word, bcrypt.MinCost+2)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(b), nil
}

// ReadPassword reads what somebody else has given, to come in at a program of his: one
// line, in a file that its owner alone may read. It is read for each use anew, so that it
// may be changed. Errors: ErrLax, ErrNotKey, or that there is no file; each with the file
// and what to do, and never with what it holds.
func ReadPassword(path string) (string, error) {
	text, err := readSecret(path)
	if errors.Is(err, ErrNoKey) {
		return "", fmt.Errorf("there is no password at %s: write it there, in a file of mode 0600", path)
	}
	if err != nil {
		return "", err
	}
	defer clear(text)
	line := bytes.TrimRight(text, "\r\n")
	acts := bytes.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError })
	if len(line) == 0 || len(line) > longestPassword || acts {
		return "", fmt.Errorf("%s holds no password, %w: one line of at most %d bytes is needed, and nothing else", path, ErrNotKey, longestPassword)
	}
	return string(line), nil
}

const longestPassword = 1 << 10
