package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"barista/fleet"
)

// proofLen is how much of the keyed hash an address carries: 16 bytes can't be
// guessed over a network, and 26 more characters still make a small QR code.
const proofLen = 16

var proofCode = base32.StdEncoding.WithPadding(base32.NoPadding)

// secret is the part of an order's address that only the customer was given:
// the order's id and a keyed hash of it.
func (w *Web) secret(id string) string {
	return id + "-" + w.proof(id)
}

func (w *Web) proof(id string) string {
	mac := hmac.New(sha256.New, w.Key)
	mac.Write([]byte(id))
	return proofCode.EncodeToString(mac.Sum(nil)[:proofLen])
}

// orderOf reads the order's id out of a secret; false for one that this shop
// never gave.
func (w *Web) orderOf(secret string) (id string, ok bool) {
	id, proof, found := strings.Cut(secret, "-")
	parsed, err := fleet.ParseID(id)
	if !found || err != nil || parsed != id {
		return "", false
	}
	return id, hmac.Equal([]byte(proof), []byte(w.proof(id)))
}

// pathOf is the address of an order's page.
func (w *Web) pathOf(id string) string { return "/orders/" + w.secret(id) }

// Key reads the key behind the addresses of orders' pages from a file, or makes
// one: it outlives a restart.
func Key(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 32 {
		return b, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("web key: %w", err)
	}
	b = make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	if err := renameio.WriteFile(path, b, 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return nil, fmt.Errorf("web key: %w", err)
	}
	return b, nil
}
