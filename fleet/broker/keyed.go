package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"

	"barista/fleet"
)

// Reload puts another text of accounts in force. Who is not in it any more, or has
// another key, is cut off at once; what somebody may not do any more ends, and his
// connection stays; everybody else notices nothing, but an answer that is under way
// just then may be lost, so that who asked knows nothing.
//
// A broker can't get keys, lose them, or begin to let in who has none while it runs.
func (b *Broker) Reload(accounts string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if (b.cfg.Accounts == "") != (accounts == "") {
		return errors.New("broker: whether it has keys is decided when it starts: start it anew")
	}
	before, err := b.cfg.options()
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	next := b.cfg
	next.Accounts = accounts
	opts, err := next.options()
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	known := names(before.Accounts)
	anew := false
	for name := range names(opts.Accounts) {
		anew = anew || !known[name]
	}
	if err := b.srv.ReloadOptions(opts); err != nil {
		return fmt.Errorf("broker: the accounts are not changed: %w", err)
	}
	b.cfg = next
	if !anew {
		return nil
	}
	// The services that a new account imports are dead until the reload after the one
	// that brought it (nats-server 2.15.2): whoever asks hears that nobody is there.
	if opts, err = next.options(); err == nil {
		err = b.srv.ReloadOptions(opts)
	}
	if err != nil {
		return fmt.Errorf("broker: who is new can't be heard until the next change: %w", err)
	}
	return nil
}

func names(accounts []*server.Account) map[string]bool {
	out := map[string]bool{}
	for _, a := range accounts {
		out[a.Name] = true
	}
	return out
}

// Disconnect cuts off every connection of a user, by public key or certificate's
// subject, and says how many there were. He may come again if the accounts still
// know him. Links over the leaf port are not cut.
func (b *Broker) Disconnect(user string) (int, error) {
	z, err := b.srv.Connz(&server.ConnzOptions{Username: true, User: user, Limit: 1 << 20})
	if err != nil {
		return 0, fmt.Errorf("broker: who is connected can't be read: %w", err)
	}
	n := 0
	for _, c := range z.Conns {
		if b.srv.DisconnectClientByID(c.Cid) == nil {
			n++
		}
	}
	return n, nil
}

// house moves the streams of a store to the account that the shop is in now: the server
// keeps each account in a folder of its name, and says nothing of the others.
func (c Config) house() error {
	from, to := global, fleet.AccountShop
	if c.Accounts == "" {
		from, to = to, from
	}
	from, to = filepath.Join(lives(c.Store), from), filepath.Join(lives(c.Store), to)
	old, err := folders(filepath.Join(from, streamsFolder))
	if err != nil || len(old) == 0 {
		return err
	}
	now, err := folders(filepath.Join(to, streamsFolder))
	if err != nil {
		return err
	}
	if len(now) > 0 {
		return fmt.Errorf("there are two shops in it, one made with keys and one without: %s and %s; nothing was changed: move the one that is not this shop's out of the store", from, to)
	}
	if err := removeEmpty(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// global is the account of a server without accounts.
const global = "$G"

// removeEmpty removes a folder with nothing but folders in it.
func removeEmpty(dir string) error {
	list, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		if err == nil && e.IsDir() {
			err = removeEmpty(filepath.Join(dir, e.Name()))
		}
	}
	if err != nil {
		return err
	}
	return os.Remove(dir)
}
