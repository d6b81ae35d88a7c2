package operators

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"barista/fleet"
)

// FileName is the store's in the state folder of a shop.
const FileName = "operators.json"

const (
	version      = 1
	maxOperators = 64
	maxFile      = 64 << 10 // bytes
	lockTime     = 5 * time.Second
)

// Store is the file of operators. The service reads it again when it changed, so that
// what a verb wrote counts at once.
type Store struct {
	path string
	boot func() (id string, up time.Duration)

	mu   sync.Mutex // guards what follows
	info fs.FileInfo
	last roster
}

// NewStore uses the file of that name in a folder, which it makes at the first change.
// boot names the kernel's boot and the time since, see guard.SinceBoot.
func NewStore(folder string, boot func() (id string, up time.Duration)) *Store {
	return &Store{path: filepath.Join(folder, FileName), boot: boot}
}

// roster is what stands in the file.
type roster struct {
	Version   int     `json:"version"`
	Operators []login `json:"operators"`
	Codes     []code  `json:"codes,omitempty"`
}

// login is one operator.
type login struct {
	Name string    `json:"name"`
	Hash string    `json:"hash"` // of the password, with its parameters and salt
	Made time.Time `json:"made"` // when the password was set
}

// code is a one-time code that was given to a person.
type code struct {
	Name string `json:"name"`    // whom it lets in; "": whoever becomes the first operator
	Sum  string `json:"sum"`     // SHA-256, in hex
	Boot string `json:"boot"`    // it dies with this boot of the kernel
	Upto int64  `json:"upto_ms"` // and this long after its begin
}

// decode reads a file of operators. It takes nothing that encode would not write, but
// for the white space.
func decode(b []byte) (roster, error) {
	var r roster
	if len(b) > maxFile {
		return r, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	if err := json.Unmarshal(b, &r, json.RejectUnknownMembers(true)); err != nil {
		return roster{}, errors.New("it is no list of operators") // the error would quote it
	}
	switch {
	case r.Version != version:
		return roster{}, fmt.Errorf("it is of version %d, and this program knows %d", r.Version, version)
	case len(r.Operators) > maxOperators || len(r.Codes) > maxOperators:
		return roster{}, fmt.Errorf("it holds more than %d operators or codes", maxOperators)
	}
	seen := map[string]bool{}
	for i, o := range r.Operators {
		if !fleet.IsToken(o.Name) || seen[o.Name] {
			return roster{}, fmt.Errorf("operator %d has no name, or another one's", i+1)
		}
		if err := checkHash(o.Hash); err != nil {
			return roster{}, fmt.Errorf("the password of %s: %w", o.Name, err)
		}
		seen[o.Name] = true
	}
	seen = map[string]bool{}
	for i, c := range r.Codes {
		sum, err := hex.DecodeString(c.Sum)
		if c.Name != "" && !fleet.IsToken(c.Name) || seen[c.Name] || err != nil || len(sum) != sumSize || len(c.Boot) > 64 || c.Upto < 0 {
			return roster{}, fmt.Errorf("code %d is none", i+1)
		}
		seen[c.Name] = true
	}
	return r, nil
}

func encode(r roster) ([]byte, error) {
	r.Version = version
	return json.Marshal(r, jsontext.WithIndent("  "), json.FormatNilSliceAsNull(false))
}

// load is what stands in the file now; an empty roster where there is none yet.
func (s *Store) load() (roster, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		s.info, s.last = nil, roster{}
		return roster{}, nil
	}
	if err == nil && s.info != nil && os.SameFile(info, s.info) && info.ModTime().Equal(s.info.ModTime()) && info.Size() == s.info.Size() && info.Mode() == s.info.Mode() {
		return s.last, nil
	}
	var r roster
	if err == nil {
		r, info, err = s.read()
	}
	if err != nil {
		return roster{}, fmt.Errorf("the operators' logins, %s, can't be used: %w", s.path, err)
	}
	s.info, s.last = info, r
	return r, nil
}

// read reads the file, and refuses one that others may read or write.
func (s *Store) read() (roster, fs.FileInfo, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return roster{}, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return roster{}, nil, err
	}
	if info.Mode().Perm()&0o077 != 0 || !info.Mode().IsRegular() {
		return roster{}, nil, fmt.Errorf("others may read it or write to it (mode %04o): chmod 600 %s", info.Mode().Perm(), s.path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return roster{}, nil, err
	}
	r, err := decode(b)
	if err != nil {
		err = fmt.Errorf("%w; take it away, and the operators begin anew with a code of this computer", err)
	}
	return r, info, err
}

// change writes what f makes of the roster: one process at a time, whole or not at
// all. An error of f changes nothing, and is returned as it is.
func (s *Store) change(f func(*roster) error) error {
	release, err := s.lock()
	if err != nil {
		return err
	}
	defer release()
	r, err := s.load()
	if err != nil {
		return err
	}
	r.Operators, r.Codes = slices.Clone(r.Operators), s.alive(r.Codes)
	if err := f(&r); err != nil {
		return err
	}
	b, err := encode(r)
	if err == nil {
		_, err = decode(b) // never write what can't be read
	}
	if err == nil {
		err = s.write(b)
	}
	if err != nil {
		return fmt.Errorf("the operators' logins, %s, can't be kept: %w; nothing was changed", s.path, err)
	}
	return nil
}

func (s *Store) lock() (release func(), err error) {
	l := flock.New(s.path+".lock", flock.SetPermissions(0o600))
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	if _, err := l.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		if ctx.Err() != nil {
			err = errors.New("another process holds its lock")
		}
		return nil, fmt.Errorf("the operators' logins, %s, can't be changed: %w; nothing was changed", s.path, err)
	}
	s.give(l.Path())
	return func() { _ = l.Close() }, nil
}

func (s *Store) write(b []byte) error {
	p, err := renameio.NewPendingFile(s.path, renameio.WithTempDir(filepath.Dir(s.path)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer func() { _ = p.Cleanup() }()
	if _, err := p.Write(b); err != nil {
		return err
	}
	s.give(p.Name())
	return p.CloseAtomicallyReplace()
}

// give leaves a file to the owner of its folder: what root writes by a verb, the
// service must be able to read. A failure shows when the service reads.
func (s *Store) give(path string) {
	info, err := os.Stat(filepath.Dir(s.path))
	if err != nil || os.Geteuid() != 0 {
		return
	}
	if st, is := info.Sys().(*syscall.Stat_t); is && st.Uid != 0 {
		_ = os.Lchown(path, int(st.Uid), int(st.Gid))
	}
}

// find is an operator by name.
func (r roster) find(name string) (login, bool) {
	i := slices.IndexFunc(r.Operators, func(o login) bool { return o.Name == name })
	if i < 0 {
		return login{}, false
	}
	return r.Operators[i], true
}

// Entry is an operator as the list shows one.
type Entry struct {
	Name    string    `json:"name"`
	Made    time.Time `json:"made,omitzero"` // when the password was set; zero: none was yet
	Invited bool      `json:"invited"`       // a code for the name waits to be used
}

// List is everybody who is an operator or was invited, by name.
func (s *Store) List() ([]Entry, error) {
	r, err := s.load()
	if err != nil {
		return nil, err
	}
	by := map[string]Entry{}
	for _, o := range r.Operators {
		by[o.Name] = Entry{Name: o.Name, Made: o.Made}
	}
	for _, c := range s.alive(r.Codes) {
		if c.Name != "" {
			e := by[c.Name]
			e.Name, e.Invited = c.Name, true
			by[c.Name] = e
		}
	}
	list := []Entry{}
	for _, e := range by {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Set gives an operator a password, or makes one of that name. It takes the time of
// one password. The errors are fleet.ErrWeak and those of the file.
func (s *Store) Set(name, password string) error {
	hash, err := hashOf(name, password, usual)
	if err != nil {
		return err
	}
	return s.change(func(r *roster) error { return r.set(name, hash) })
}

// set puts in a login; a code for the name has become useless.
func (r *roster) set(name, hash string) error {
	o := login{Name: name, Hash: hash, Made: time.Now().UTC().Truncate(time.Second)}
	r.Codes = slices.DeleteFunc(r.Codes, func(c code) bool { return c.Name == name || c.Name == "" })
	if i := slices.IndexFunc(r.Operators, func(o login) bool { return o.Name == name }); i >= 0 {
		r.Operators[i] = o
		return nil
	}
	if len(r.Operators) >= maxOperators {
		return fmt.Errorf("there are %d operators already: remove one first", maxOperators)
	}
	r.Operators = append(r.Operators, o)
	return nil
}

// Remove takes an operator, or who was only invited, off the list; sessions under that
// name end. fleet.ErrNotFound: there is none.
func (s *Store) Remove(name string) error {
	return s.change(func(r *roster) error {
		before := len(r.Operators) + len(r.Codes)
		r.Operators = slices.DeleteFunc(r.Operators, func(o login) bool { return o.Name == name })
		r.Codes = slices.DeleteFunc(r.Codes, func(c code) bool { return c.Name == name })
		if len(r.Operators)+len(r.Codes) == before {
			return fmt.Errorf("operator %s: %w", name, fleet.ErrNotFound)
		}
		return nil
	})
}
