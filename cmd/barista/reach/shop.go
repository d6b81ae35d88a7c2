// Package reach is how a verb or a role reaches its shop: it joins the rooms that ask
// over one connection, whatever the connection's key may see. With a key that sees the
// broker's streams they are read directly; with any other one a controller's window
// shows the shop (package window), and the answers are the same.
//
// It starts nothing and keeps nothing; whoever has the connection closes it.
package reach

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"barista/configs"
	"barista/fleet"
	"barista/fleet/alert"
	"barista/fleet/archive"
	"barista/fleet/client"
	"barista/fleet/controller"
	"barista/fleet/doctor"
	"barista/fleet/door"
	"barista/fleet/keys"
	"barista/fleet/ledger"
	"barista/fleet/presence"
	"barista/fleet/queue"
	"barista/fleet/roles"
	"barista/fleet/stock"
	"barista/fleet/web"
	"barista/fleet/window"
	"barista/machine"
)

// Shop is the shop behind a connection. through says that its key sees no stream.
func Shop(c *queue.Conn, through bool) client.Shop {
	r := c.Requester()
	p := client.Parts{Live: c.Events().FollowLive, Requester: r, Stock: stock.Remote(r), Controller: controller.Remote(r)}
	p.Dangerous = func(code string) bool { return machine.Dangerous(machine.Cause(code)) }
	var looked ledger.Looked
	if through {
		w := window.Remote(r)
		p.Book, p.Waiting, p.Settings, p.Machines, looked = w, w.Waiting, w, w.Machines, w
	} else {
		book := c.Book()
		p.Book, p.Waiting, p.Settings, p.Machines, looked = book, c.Orders().Waiting, c.Settings(), Seen(c, nil).Read, book
	}
	if c.Keyed() { // else there is no door: whoever reaches the broker may do everything
		p.Door = door.New(r)
	}
	p.Orders = func(ctx context.Context) ([]fleet.Entry, error) { return ledger.Read(ctx, looked) }
	return client.Shop{Parts: p}
}

// password is what is read from a file whenever it is needed; nil without a file. One that
// can't be read is said at the start, when somebody is there.
func password(file string) (func() (string, error), error) {
	if file == "" {
		return nil, nil
	}
	read := func() (string, error) { return keys.ReadPassword(file) }
	_, err := read()
	return read, err
}

// Archive opens where a file keeps events; Run of it writes.
func Archive(f *configs.Archive, log *slog.Logger) (*archive.Archive, error) {
	word, err := password(f.Password)
	if err != nil {
		return nil, fmt.Errorf("the database's password: %w", err)
	}
	return archive.Open(archive.Config{File: f.File, Postgres: f.Postgres, Password: word, KeepDays: f.KeepDays, Log: log.With("room", "archive")})
}

// Alerts tell, of the shop of that name, all that barista status says.
func Alerts(f *configs.Alerts, name string, s client.Shop, log *slog.Logger) (*alert.Alerts, error) {
	token, err := password(f.Token)
	if err != nil {
		return nil, fmt.Errorf("the token: %w", err)
	}
	cfg := alert.Config{Shop: name, Webhook: f.Webhook, Ntfy: f.Ntfy, Token: token, After: f.After, Quiet: alert.Hours(f.Quiet), Log: log.With("room", "alerts")}
	if m := f.Mail; m != nil {
		word, err := password(m.Password)
		if err != nil {
			return nil, fmt.Errorf("the mail server's password: %w", err)
		}
		cfg.Mail = &alert.Mail{Host: m.Host, Port: m.Port, From: m.From, To: m.To, User: m.User, Password: word}
	}
	return alert.New(cfg, func(ctx context.Context) (seen alert.Seen, err error) {
		st, err := s.Status(ctx)
		for _, w := range st.Wrong {
			one := alert.Wrong{Key: w.Key, Text: w.Text, Danger: w.Danger}
			if w.Danger {
				one.Key += " danger" // worse than what may have been told of it
			}
			seen.Wrong = append(seen.Wrong, one)
		}
		for _, n := range st.Next {
			seen.Next = append(seen.Next, n.Command)
		}
		return seen, err
	}), nil
}

// Service is what a connection of that name says of itself where it answers: the version
// as the program prints it, in which role, for which shop or machine. Names, and nothing
// of where things are or how one gets in.
func Service(f *configs.File, name string, isMachine bool, version string) queue.Service {
	s := queue.Service{Version: version, Metadata: map[string]string{"program": "barista", "program_version": version, "role": name}}
	if isMachine {
		s.Metadata["role"], s.Metadata["machine"] = string(roles.Machine), name
	}
	if f.Broker != nil || f.Controller != nil {
		s.Metadata["shop"] = filepath.Base(f.State)
	}
	if f.Broker != nil && f.Broker.Domain != "" {
		s.Metadata["site"] = f.Broker.Domain
	}
	return s
}

// Book is what a web reads of the book. through is as with Shop.
func Book(c *queue.Conn, through bool) web.Book {
	if through {
		return window.Remote(c.Requester())
	}
	return c.Book()
}

// Records is what the shop has written down. through is as with Shop.
func Records(c *queue.Conn, through bool) doctor.Parts {
	if through {
		w := window.Remote(c.Requester())
		return doctor.Parts{Book: w, Stored: w.Stored, Told: w.Told, Settings: w.AllSettings}
	}
	return doctor.Parts{Book: c.Book(), Stored: c.Orders().Stored, Told: c.Events().Told, Settings: c.AllSettings}
}

// Seen is what the machines of a fleet are seen by, with a key that sees the streams.
func Seen(c *queue.Conn, log *slog.Logger) presence.Parts {
	return presence.Parts{Fleet: c.Fleet(), Settings: c.Settings(), Now: c.Book().Now, Log: log}
}

// Window is what a controller shows of its shop: records by the process's one
// follower, machines by its roll.
func Window(c *queue.Conn, l *ledger.Ledger, roll *presence.Roll, log *slog.Logger) window.Parts {
	return window.Parts{
		Book: c.Book(), Follow: l.Follow, Roll: roll, Settings: c.Settings(), All: c.AllSettings, Waiting: c.Orders().Waiting,
		Stored: c.Orders().Stored, Told: c.Events().Told, Server: c.Server(), MaxPayload: c.MaxPayload, Log: log,
	}
}
