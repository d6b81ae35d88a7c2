package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

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
	if err := b.reload(opts); err != nil {
		return fmt.Errorf("broker: the accounts are not changed: %w", err)
	}
	b.cfg = next
	if err := b.cutLinks(before, opts); err != nil || !anew {
		return err
	}
	// The services that a new account imports are dead until the reload after the one
	// that brought it (nats-server 2.15.2): whoever asks hears that nobody is there.
	if opts, err = next.options(); err == nil {
		err = b.reload(opts)
	}
	if err != nil {
		return fmt.Errorf("broker: who is new can't be heard until the next change: %w", err)
	}
	return nil
}

// reload has the server take other options. To find out what is new it compares old and
// new users with all that hangs on them, and by a service that is imported it comes to the
// accounts at work and reads their counters while clients count (nats-server 2.15.2). It
// looks no further than the first difference: a user who comes first in its order, is
// another one each time, and is nobody, since his key is none that could be proved.
func (b *Broker) reload(opts *server.Options) error {
	opts.Nkeys = append(opts.Nkeys, &server.NkeyUser{Nkey: "!" + rand.Text()})
	return b.srv.ReloadOptions(opts)
}

// cutLinks ends the links of sites that have lost a key: a reload looks at clients only
// (nats-server 2.15.2). A site that has another key comes again at once.
func (b *Broker) cutLinks(before, after *server.Options) error {
	lost := map[string]bool{} // accounts
	for _, u := range before.Nkeys {
		if !slices.ContainsFunc(after.Nkeys, func(n *server.NkeyUser) bool { return n.Nkey == u.Nkey }) {
			lost[u.Account.Name] = true
		}
	}
	links, err := b.srv.Leafz(nil)
	if err != nil {
		return fmt.Errorf("broker: the links of sites can't be looked at: who has lost his key may still be linked: %w", err)
	}
	for _, l := range links.Leafs {
		if !l.IsSpoke && lost[l.Account] {
			_ = b.srv.DisconnectClientByID(l.ID) // else it is gone by itself
		}
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

// Connected are the users who are connected now, by public key or certificate's subject,
// each with the address of one of his connections; "" for one in memory.
func (b *Broker) Connected() (map[string]string, error) {
	z, err := b.srv.Connz(&server.ConnzOptions{Username: true, Limit: 1 << 20})
	if err != nil {
		return nil, fmt.Errorf("broker: who is connected can't be read: %w", err)
	}
	out := map[string]string{}
	for _, c := range z.Conns {
		ip := c.IP
		if net.ParseIP(ip) == nil {
			ip = ""
		}
		if c.AuthorizedUser != "" && out[c.AuthorizedUser] == "" {
			out[c.AuthorizedUser] = ip
		}
	}
	return out, nil
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
