package door

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-json-experiment/json"
	"github.com/google/renameio/v2"

	"barista/fleet"
	"barista/fleet/roles"
)

// list is the members' file.
type list struct {
	Version int            `json:"version"`
	Members []fleet.Member `json:"members"`
}

const version = 1

// load reads the members of a file; none where there is no file. It holds no secret,
// but whoever can write it lets himself in.
func load(path string) ([]fleet.Member, error) {
	f, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("members: %w", err)
	}
	if f.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("members: others may write %s, and who can write it lets himself in: chmod 600 %s", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("members: %w", err)
	}
	l, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("members: %s: %w: put it back from a copy, or remove it and invite everybody anew", path, err)
	}
	return l.Members, nil
}

func decode(b []byte) (l list, err error) {
	if err := json.Unmarshal(b, &l, json.RejectUnknownMembers(true)); err != nil {
		return list{}, err
	}
	if l.Version != version {
		return list{}, fmt.Errorf("it is of version %d, and this program knows %d", l.Version, version)
	}
	t := roles.Table{}
	for _, m := range l.Members {
		if !mayBeInvited(roles.Kind(m.Kind)) {
			return list{}, fmt.Errorf("a %.20q is no member of this file", m.Kind)
		}
		t.Members = append(t.Members, roles.Member{Kind: roles.Kind(m.Kind), Name: m.Name, Key: m.Key})
	}
	if len(t.Members) > 0 {
		err = t.Check()
	}
	return l, err
}

func save(path string, members []fleet.Member) error {
	b, err := json.Marshal(list{version, members})
	if err != nil {
		return fmt.Errorf("members: %w", err)
	}
	var out bytes.Buffer
	out.Write(b)
	out.WriteByte('\n')
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("members: %w", err)
	}
	if err := renameio.WriteFile(path, out.Bytes(), 0o600, renameio.WithTempDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("members: %w", err)
	}
	return nil
}
