package keys

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// EnvCredentials is where systemd says in which folder a unit's credentials are.
const EnvCredentials = "CREDENTIALS_DIRECTORY"

// Load reads a key from a file, which only its owner may read: mode 0600 or
// stricter. Errors: ErrNoKey, ErrLax, ErrNotKey, each with the file and what to do.
func Load(path string) (*Key, error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	return parseFile(path, text)
}

// LoadCredential reads a key that systemd gives the unit under a name.
func LoadCredential(name string) (*Key, error) {
	dir := os.Getenv(EnvCredentials)
	if dir == "" {
		return nil, fmt.Errorf("%w: systemd gives this process no credentials; name a file, or write LoadCredential=%s:FILE into the unit", ErrNoKey, name)
	}
	if name != filepath.Base(name) || !plain.MatchString(name) {
		return nil, fmt.Errorf("%q can't be the name of a credential", name)
	}
	return Load(filepath.Join(dir, name))
}

func parseFile(path string, text []byte) (*Key, error) {
	defer clear(text)
	k, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// readSecret reads a file that has none of the bits that others would read it by. A
// credential is in a folder of systemd, where nobody else comes in; where it opens the
// file to the unit's user by an access list, the mode shows that as the group's.
func readSecret(path string) ([]byte, error) {
	others := fs.FileMode(0o077)
	if dir := os.Getenv(EnvCredentials); dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		others = 0o037
	}
	if seedLike.MatchString(filepath.Base(path)) { // not repeated
		return nil, fmt.Errorf("%w: what was named is a secret itself, and not the file that has it; make another key, this one has been seen", ErrNotKey)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s", ErrNoKey, path)
	}
	if err != nil {
		return nil, fmt.Errorf("the key can't be read: %w", err)
	}
	defer f.Close()
	st, err := f.Stat() // of what was opened, whatever the name means by now
	switch {
	case err != nil:
		return nil, fmt.Errorf("the key can't be read: %w", err)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w: it is no plain file", path, ErrNotKey)
	case st.Mode().Perm()&others != 0:
		return nil, fmt.Errorf("%s is refused, %w (mode %04o): chmod 600 %s", path, ErrLax, st.Mode().Perm(), shellWord(path))
	}
	text := make([]byte, 0, mostBytes+1) // of a fixed place, so that no half copy is left behind
	for len(text) < cap(text) {
		n, err := f.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			clear(text)
			return nil, fmt.Errorf("the key can't be read: %w", err)
		}
	}
	return text, nil
}

var seedLike = regexp.MustCompile(`^S[A-Z][A-Z2-7]{56}$`)

var plain = regexp.MustCompile(`^[A-Za-z0-9_./+:@%-]+$`)

// shellWord is a path as one may type it.
func shellWord(path string) string {
	if plain.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// Save writes the key into a new file with mode 0600, and its folder with 0700 where
// there is none. A file that is there is never written over: it may be the only
// copy of another key.
func (k *Key) Save(path string) error {
	text, err := k.text()
	if err != nil {
		return err
	}
	defer clear(text)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save the key: %w", err)
	}
	return create(path, text, 0o600)
}

// create writes a new file, durably, or none.
func create(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already and is not written over (%w): give another name, or move it away", path, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("save %s: %w", path, err)
	}
	return syncFolder(path)
}

// syncFolder makes a new name in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open loads the key of a file, or makes it for that role and name where there is
// none.
func Open(path, role, name string) (*Key, error) {
	k, err := Load(path)
	if !errors.Is(err, ErrNoKey) {
		return k, err
	}
	if k, err = New(role, name); err != nil {
		return nil, err
	}
	return k, k.Save(path)
}
