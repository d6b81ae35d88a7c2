package operators

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"barista/fleet"
)

// CodeTime is how long a one-time code is good, by a clock that nobody sets.
const CodeTime = 15 * time.Minute

// letters of a code: none that looks like another. 12 of 32 can't be guessed, so
// guesses need not be counted, and nobody can lock out a person who holds a code.
const (
	letters  = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	codeSize = 12
	sumSize  = sha256.Size
)

// ErrHave: there are operators already, so that nobody becomes the first.
var ErrHave = errors.New("the shop has operators already")

// First makes the code with which somebody becomes the first operator; an earlier
// one is not good any more. ErrHave: there is one.
func (s *Store) First() (string, error) {
	return s.invite("", func(r *roster) error {
		if len(r.Operators) > 0 {
			return ErrHave
		}
		return nil
	})
}

// Invite makes a code for somebody who shall become an operator. fleet.ErrConflict:
// there is one of that name.
func (s *Store) Invite(name string) (string, error) {
	return s.invite(name, func(r *roster) error {
		if _, there := r.find(name); there {
			return fmt.Errorf("operator %s is there already: %w", name, fleet.ErrConflict)
		}
		return nil
	})
}

// Renew makes a code for an operator who has forgotten the password; it stays good
// until the code is used. fleet.ErrNotFound: there is none of that name.
func (s *Store) Renew(name string) (string, error) {
	return s.invite(name, func(r *roster) error {
		invited := slices.ContainsFunc(r.Codes, func(c code) bool { return c.Name == name })
		if _, there := r.find(name); !there && !invited {
			return fmt.Errorf("operator %s: %w", name, fleet.ErrNotFound)
		}
		return nil
	})
}

func (s *Store) invite(name string, may func(*roster) error) (string, error) {
	text := newCode()
	err := s.change(func(r *roster) error {
		if err := may(r); err != nil {
			return err
		}
		boot, up := s.boot()
		r.Codes = slices.DeleteFunc(r.Codes, func(c code) bool { return c.Name == name })
		if len(r.Codes) >= maxOperators {
			return fmt.Errorf("%d codes wait to be used already", len(r.Codes))
		}
		r.Codes = append(r.Codes, code{Name: name, Sum: sumOf(text), Boot: boot, Upto: (up + CodeTime).Milliseconds()})
		return nil
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

// redeem gives the holder of a code a password, once.
func (s *Store) redeem(text, name, hash string) error {
	return s.change(func(r *roster) error {
		if !r.holds(text, name) {
			return fleet.ErrCode
		}
		return r.set(name, hash)
	})
}

// good reports whether a code is one now, without using it up.
func (s *Store) good(text, name string) error {
	r, err := s.load()
	if err != nil {
		return err
	}
	r.Codes = s.alive(r.Codes)
	if !r.holds(text, name) {
		return fleet.ErrCode
	}
	return nil
}

func (r *roster) holds(text, name string) bool {
	sum := []byte(sumOf(text))
	return slices.ContainsFunc(r.Codes, func(c code) bool {
		whose := c.Name == name || c.Name == "" && len(r.Operators) == 0
		return subtle.ConstantTimeCompare([]byte(c.Sum), sum) == 1 && whose
	})
}

// alive is those codes that are still good. Without a name of the boot they die with
// the time since, which begins anew then.
func (s *Store) alive(codes []code) []code {
	boot, up := s.boot()
	return slices.DeleteFunc(slices.Clone(codes), func(c code) bool {
		left := time.Duration(c.Upto)*time.Millisecond - up
		return c.Boot != boot || left <= 0 || left > CodeTime
	})
}

// newCode is a code as a person copies it: K7QH-98LM-P2XE.
func newCode() string {
	b := make([]byte, codeSize)
	_, _ = rand.Read(b) // never fails
	var out strings.Builder
	for i, x := range b {
		if i > 0 && i%4 == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(letters[x%32])
	}
	return out.String()
}

// sumOf is the hash of a code, however a person wrote it down.
func sumOf(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(text))
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
