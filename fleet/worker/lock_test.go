package worker_test

import (
	"slices"
	"sync"
	"testing"

	"barista/fleet"
	"barista/fleet/keys"
	"barista/fleet/queue"
	"barista/fleet/roles"
)

// lock is a table of roles with the keys of its members: a connection with the name of a
// machine comes as that machine, every other one as the shop's controller.
type lock struct {
	t     *testing.T
	mu    sync.Mutex // guards the following
	table roles.Table
	keys  map[string]*keys.Key // by name
}

func newLock(t *testing.T, machines []string) *lock {
	l := &lock{t: t, keys: map[string]*keys.Key{}}
	l.add(roles.Controller, string(roles.Controller))
	for _, m := range machines {
		l.add(roles.Machine, m)
	}
	return l
}

// add gives somebody a key, in the place of one that he had.
func (l *lock) add(kind roles.Kind, name string) {
	key, err := keys.New(string(kind), name)
	if err != nil {
		l.t.Fatal(err)
	}
	m := roles.Member{Kind: kind, Name: name, Key: key.Public()}
	if kind == roles.Machine {
		m.Classes = fleet.DefaultMenu().Classes()
	}
	l.remove(name)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[name], l.table.Members = key, append(l.table.Members, m)
}

func (l *lock) remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.table.Members = slices.DeleteFunc(l.table.Members, func(m roles.Member) bool { return m.Name == name })
}

func (l *lock) Accounts() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := l.table.Text()
	if err != nil {
		l.t.Error(err)
	}
	return text
}

func (l *lock) As(c queue.Config) queue.Config {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := l.keys[c.Name]
	if key == nil {
		key = l.keys[string(roles.Controller)]
	}
	c.Key, c.Inbox = key, roles.Member{Kind: roles.Kind(key.Role()), Name: key.Name()}.Rights().Inbox
	return c
}
