package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"barista/fleet"
	"barista/fleet/keys"
	"barista/fleet/roles"
)

// someone is a member with his key.
type someone struct {
	roles.Member
	key nkeys.KeyPair
}

func member(t *testing.T, kind roles.Kind, name string, classes ...fleet.Class) someone {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return someone{roles.Member{Kind: kind, Name: name, Key: pub, Classes: classes}, key}
}

func textOf(t *testing.T, who ...someone) string {
	t.Helper()
	var table roles.Table
	for _, s := range who {
		table.Members = append(table.Members, s.Member)
	}
	text, err := table.Text()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// keyed opens a broker with keys.
func keyed(t *testing.T, cfg Config) *Broker {
	t.Helper()
	cfg.Name, cfg.Log = "test", slog.New(slog.DiscardHandler)
	if cfg.Store == "" {
		cfg.Store = t.TempDir()
	}
	b, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// dial connects somebody in memory, or over a socket by a URL. In memory a refusal is
// not heard: the pipe has no buffer, and each end waits for the other until its time is
// over.
func (s someone) dial(t *testing.T, b *Broker, url string, opts ...nats.Option) (*nats.Conn, error) {
	t.Helper()
	closed := make(chan struct{})
	opts = append([]nats.Option{
		nats.CustomInboxPrefix(s.Rights().Inbox), nats.Timeout(10 * time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
	}, opts...)
	if s.key != nil {
		opts = append(opts, nats.Nkey(s.Key, s.key.Sign))
	}
	if url == "" {
		opts = append(opts, nats.InProcessServer(b))
	}
	nc, err := nats.Connect(url, opts...)
	if err == nil {
		t.Cleanup(func() { nc.Close(); <-closed })
	}
	return nc, err
}

func (s someone) must(t *testing.T, b *Broker, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := s.dial(t, b, "", opts...)
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return nc
}

// desk answers what machines ask.
func desk(t *testing.T, nc *nats.Conn) {
	t.Helper()
	if _, err := nc.Subscribe("coffee.desk.*.*", func(m *nats.Msg) { _ = m.Respond([]byte(m.Subject)) }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func asks(nc *nats.Conn, machine string) error {
	_, err := nc.Request("coffee.desk."+machine+".take", nil, 5*time.Second)
	return err
}

// refused reports whether somebody may not send there.
func refused(t *testing.T, nc *nats.Conn, subject string) bool {
	t.Helper()
	if err := errors.Join(nc.Publish(subject, nil), nc.Flush()); err != nil {
		t.Fatal(err)
	}
	return nc.LastError() != nil && strings.Contains(nc.LastError().Error(), subject)
}

// within waits for what a broker does by itself.
func within(t *testing.T, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(what)
		}
	}
}

// TestReload: who is new is served at once, who is gone is cut off within 5 s, and
// nobody else notices.
func TestReload(t *testing.T) {
	arabica := fleet.Class{Bean: "arabica", Milk: "free"}
	shop, zoe, leo := member(t, roles.Controller, "controller"), member(t, roles.Machine, "zoe", arabica), member(t, roles.Machine, "leo", arabica)
	b := keyed(t, Config{Listen: "127.0.0.1:0", Accounts: textOf(t, shop, zoe)})
	ctl := shop.must(t, b)
	desk(t, ctl)
	here := zoe.must(t, b, nats.NoReconnect())
	commands := make(chan *nats.Msg, 100)
	if _, err := here.ChanSubscribe("coffee.machines.zoe.cmd", commands); err != nil {
		t.Fatal(err)
	}
	if err := asks(here, "zoe"); err != nil {
		t.Fatal(err)
	}
	if _, err := leo.dial(t, b, b.URL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("a machine that nobody has accepted: %v", err)
	}
	for n := range 20 {
		if err := b.Reload(textOf(t, shop, zoe, leo)); err != nil {
			t.Fatal(err)
		}
		there := leo.must(t, b, nats.NoReconnect())
		if err := asks(there, "leo"); err != nil {
			t.Fatalf("round %d: a new machine: %v", n, err)
		}
		if err := b.Reload(textOf(t, shop, zoe)); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "a revoked machine is cut off", there.IsClosed)
		if _, err := leo.dial(t, b, b.URL()); !errors.Is(err, nats.ErrAuthorization) {
			t.Fatalf("a revoked machine comes again: %v", err)
		}
		if err := errors.Join(asks(here, "zoe"), ctl.PublishRequest("coffee.machines.zoe.cmd", "_INBOX_controller.x", nil), ctl.Flush()); err != nil {
			t.Fatalf("round %d: who stays: %v", n, err)
		}
		select {
		case <-commands:
		case <-time.After(10 * time.Second):
			t.Fatalf("round %d: a command does not come", n)
		}
	}
	if !here.IsConnected() || here.Stats().Reconnects > 0 || ctl.Stats().Reconnects > 0 {
		t.Errorf("who stays allowed was cut off")
	}
	// Less than before: what is not allowed any more ends, and the connection stays.
	less := zoe
	less.Classes = nil
	if err := b.Reload(textOf(t, shop, less)); err != nil {
		t.Fatal(err)
	}
	if !refused(t, here, "$JS.API.CONSUMER.MSG.NEXT.coffee-orders.maker-arabica-free") {
		t.Errorf("a class that was taken away: %v", here.LastError())
	}
	if err := asks(here, "zoe"); err != nil || !here.IsConnected() {
		t.Error(err)
	}
	for what, text := range map[string]string{"no keys at all": "", "no users": "accounts { A {} }", "no text": "accounts {"} {
		if err := b.Reload(text); err == nil {
			t.Errorf("%s is taken", what)
		} else {
			t.Log(err)
		}
		if err := asks(here, "zoe"); err != nil {
			t.Errorf("after %s: %v", what, err)
		}
	}
}

// TestAcceptedAgain: a machine whose key was taken out by mistake is back by itself when it
// is in again.
func TestAcceptedAgain(t *testing.T) {
	shop, zoe := member(t, roles.Controller, "controller"), member(t, roles.Machine, "zoe")
	b := keyed(t, Config{Accounts: textOf(t, shop, zoe)})
	desk(t, shop.must(t, b))
	nc := zoe.must(t, b, nats.IgnoreAuthErrorAbort(), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond))
	for range 2 {
		if err := b.Reload(textOf(t, shop)); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "it is cut off", func() bool { return !nc.IsConnected() })
		if err := b.Reload(textOf(t, shop, zoe)); err != nil {
			t.Fatal(err)
		}
		within(t, 20*time.Second, "it is back at the desk", func() bool { return asks(nc, "zoe") == nil })
	}
}

// TestConnected: who is connected, and from where; over memory from nowhere.
func TestConnected(t *testing.T) {
	shop, zoe := member(t, roles.Controller, "controller"), member(t, roles.Machine, "zoe")
	b := keyed(t, Config{Listen: "127.0.0.1:0", Accounts: textOf(t, shop, zoe)})
	shop.must(t, b)
	zoe.must(t, b)
	far, err := zoe.dial(t, b, b.URL())
	if err != nil {
		t.Fatal(err)
	}
	if who, err := b.Connected(); err != nil || len(who) != 2 || who[zoe.Key] != "127.0.0.1" || who[shop.Key] != "" {
		t.Errorf("connected: %v %v", who, err)
	}
	far.Close()
	within(t, 5*time.Second, "it is gone", func() bool { who, err := b.Connected(); return err == nil && who[zoe.Key] == "" })
}

// TestLimits: one machine has few connections, and sends no large message.
func TestLimits(t *testing.T) {
	shop, zoe := member(t, roles.Controller, "controller"), member(t, roles.Machine, "zoe")
	b := keyed(t, Config{Listen: "127.0.0.1:0", Accounts: textOf(t, shop, zoe)})
	l := zoe.Rights().Limits
	for range l.Connections {
		zoe.must(t, b)
	}
	if _, err := zoe.dial(t, b, b.URL()); !errors.Is(err, nats.ErrMaxAccountConnectionsExceeded) {
		t.Errorf("one more connection: %v", err)
	}
	ctl := shop.must(t, b)
	if err := errors.Join(ctl.Publish("coffee.book.new-0.balance", make([]byte, 1<<20)), ctl.Flush()); err != nil || ctl.LastError() != nil {
		t.Errorf("a balance of 1 MiB: %v %v", err, ctl.LastError())
	}
	leo := member(t, roles.Machine, "leo")
	if err := b.Reload(textOf(t, shop, leo)); err != nil {
		t.Fatal(err)
	}
	// The client learns its bound soon after it is connected, and says no by itself from
	// then on. What the broker does is seen only by one that does not obey: the message is
	// written past the client, onto its line.
	var line wire
	nc, err := leo.dial(t, b, b.URL(), nats.NoReconnect(), nats.SetCustomDialer(&line))
	if err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "the client knows its bound", func() bool { _ = nc.Flush(); return nc.MaxPayload() == int64(l.Payload) })
	if err := nc.Publish("coffee.desk.leo.take", make([]byte, l.Payload+1)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("too large for the client: %v", err)
	}
	if _, err := fmt.Fprintf(line, "PUB coffee.desk.leo.take %d\r\n", l.Payload+1); err != nil {
		t.Fatal(err)
	}
	within(t, 30*time.Second, "who sends too much is cut off", nc.IsClosed)
}

// wire keeps the line that a client dialled.
type wire struct{ net.Conn }

func (w *wire) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	w.Conn = c
	return c, err
}

// TestHouse: a shop that gets keys finds its streams, messages and queues again, and
// so does one that loses them.
func TestHouse(t *testing.T) {
	store := t.TempDir()
	admin := member(t, roles.Admin, "admin")
	text := textOf(t, admin)
	// look opens the store and says what is in it.
	look := func(accounts string, do func(context.Context, jetstream.JetStream)) string {
		t.Helper()
		b, err := Open(context.Background(), Config{Name: "test", Store: store, Accounts: accounts, Ours: []string{"coffee-book"}})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		who := admin
		if accounts == "" {
			who.key = nil
		}
		nc, err := who.dial(t, b, "")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if do != nil {
			do(t.Context(), js)
		}
		st, err := js.Stream(t.Context(), "coffee-book")
		if err != nil {
			t.Fatalf("the book is not found: %v", err)
		}
		c, err := st.Consumer(t.Context(), "reader")
		if err != nil {
			t.Fatalf("its queue is not found: %v", err)
		}
		last, err := st.GetLastMsgForSubject(t.Context(), "coffee.book.b")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(st.CachedInfo().State.Msgs, " ", st.CachedInfo().State.LastSeq, " ", c.CachedInfo().AckFloor.Stream, " ", c.CachedInfo().NumPending, " ", string(last.Data))
	}
	was := look("", func(ctx context.Context, js jetstream.JetStream) {
		st, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "coffee-book", Subjects: []string{"coffee.book.>"}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := st.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"a", "b", "a", "b"} {
			if _, err := js.Publish(ctx, "coffee.book."+s, []byte("of "+s)); err != nil {
				t.Fatal(err)
			}
		}
		m, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.DoubleAck(ctx); err != nil {
			t.Fatal(err)
		}
	})
	if was != "4 4 1 3 of b" {
		t.Fatal(was)
	}
	// A start without keys that broke off: what it had lost comes along.
	kept := shadowOf(store)
	if err := kept.begin(); err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(lives(store), global, streamsFolder, "coffee-book", messagesFolder, "1.blk")
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		if got := look(text, nil); got != was {
			t.Errorf("round %d, with keys: %s, was %s", round, got, was)
		}
		if got := look("", nil); got != was {
			t.Errorf("round %d, without: %s, was %s", round, got, was)
		}
	}
	look(text, nil)
	if there(filepath.Join(lives(store), global, streamsFolder)) {
		t.Error("something is left in the folder of the shop without keys")
	}
	// Two shops in one store: nobody can know which is meant.
	second := filepath.Join(lives(store), global, streamsFolder, "coffee-book")
	if err := os.MkdirAll(second, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, accounts := range []string{text, ""} {
		if b, err := Open(context.Background(), Config{Name: "test", Store: store, Accounts: accounts}); err == nil {
			b.Close()
			t.Error("a store with two shops is opened")
		} else if !strings.Contains(err.Error(), "two shops") {
			t.Error(err)
		}
	}
	if err := os.Remove(second); err != nil { // nothing was put there, nothing taken away
		t.Error(err)
	}
	if got := look(text, nil); got != was {
		t.Error(got)
	}
}

// TestTLS: other computers come by TLS 1.3, with a key or with a certificate, and in
// no other way; this process's own roles need neither socket nor certificate.
func TestTLS(t *testing.T) {
	now := time.Now()
	ca, err := keys.NewCA("shop", now)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Server([]string{"127.0.0.1"}, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}
	shop, zoe, leo := member(t, roles.Controller, "controller"), member(t, roles.Machine, "zoe"), member(t, roles.Machine, "leo")
	cert := func(of *keys.CA, subject string) *keys.Pair {
		t.Helper()
		p, err := of.Client(subject, now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	other, err := keys.NewCA("another shop", now)
	if err != nil {
		t.Fatal(err)
	}
	url := func(b *Broker) string {
		u := b.URL()
		if !strings.HasPrefix(u, "tls://") {
			t.Errorf("the address is %s", u)
		}
		return "tls://127.0.0.1" + u[strings.LastIndexByte(u, ':'):]
	}
	speaks := func(own *keys.Pair) nats.Option { return nats.Secure(keys.ClientTLS(ca.Pool(), own)) }
	old := keys.ClientTLS(ca.Pool(), nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12

	t.Run("keys", func(t *testing.T) {
		b := keyed(t, Config{Listen: "0.0.0.0:0", Accounts: textOf(t, shop, zoe, leo), TLS: server})
		desk(t, shop.must(t, b)) // in memory, in the clear
		nc, err := zoe.dial(t, b, url(b), speaks(nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := asks(nc, "zoe"); err != nil {
			t.Error(err)
		}
		nobody := someone{Member: zoe.Member}
		for what, try := range map[string]func() error{
			"TLS 1.2": func() error { _, err := zoe.dial(t, b, url(b), nats.Secure(old)); return err },
			"an unknown authority": func() error {
				_, err := zoe.dial(t, b, url(b), nats.Secure(keys.ClientTLS(other.Pool(), nil)))
				return err
			},
			"no key":                func() error { _, err := nobody.dial(t, b, url(b), speaks(nil)); return err },
			"an unknown key":        func() error { _, err := member(t, roles.Machine, "zoe").dial(t, b, url(b), speaks(nil)); return err },
			"a certificate, no key": func() error { _, err := nobody.dial(t, b, url(b), speaks(cert(ca, "zoe.machine.shop"))); return err },
		} {
			if err := try(); err == nil {
				t.Errorf("%s is let in", what)
			}
		}
		if err := b.Reload(textOf(t, shop, zoe)); err != nil {
			t.Error(err)
		}
		if err := asks(nc, "zoe"); err != nil || nc.Stats().Reconnects > 0 {
			t.Errorf("after a reload: %v", err)
		}
	})
	t.Run("certificates", func(t *testing.T) {
		mutual := server.Clone()
		mutual.ClientCAs, mutual.ClientAuth = ca.Pool(), tls.RequireAndVerifyClientCert
		by := func(s someone, subject string) someone {
			return someone{Member: roles.Member{Kind: s.Kind, Name: s.Name, Subject: subject}}
		}
		zoe, lea := by(zoe, "zoe.machine.shop"), by(member(t, roles.Operator, "lea"), "lea.operator.shop")
		b := keyed(t, Config{Listen: "127.0.0.1:0", Accounts: textOf(t, shop, zoe, lea), TLS: mutual, MapCerts: true})
		ctl := shop.must(t, b) // in memory, by key
		desk(t, ctl)
		if _, err := ctl.Subscribe("coffee.controller.*", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
			t.Fatal(err)
		}
		machine, err := zoe.dial(t, b, url(b), speaks(cert(ca, zoe.Subject)))
		if err != nil {
			t.Fatal(err)
		}
		person, err := lea.dial(t, b, url(b), speaks(cert(ca, lea.Subject)))
		if err != nil {
			t.Fatal(err)
		}
		const settles = "coffee.controller.settle"
		settle := func() error { _, err := person.Request(settles, nil, 5*time.Second); return err }
		if err := errors.Join(asks(machine, "zoe"), settle()); err != nil {
			t.Error(err)
		}
		if !refused(t, person, "coffee.desk.zoe.take") || !refused(t, machine, settles) || !refused(t, machine, "coffee.desk.leo.take") {
			t.Error("one does what is another's")
		}
		for what, p := range map[string]*keys.Pair{"none": nil, "of nobody": cert(ca, "mia.machine.shop"), "of another shop": cert(other, zoe.Subject)} {
			if _, err := zoe.dial(t, b, url(b), speaks(p)); err == nil {
				t.Errorf("a certificate %s is let in", what)
			}
		}
		if nc, err := zoe.dial(t, b, url(b), speaks(cert(ca, lea.Subject)), nats.UserInfo(zoe.Subject, "")); err == nil && !refused(t, nc, "coffee.desk.zoe.take") {
			t.Error("another's name goes before the own certificate")
		}
		if err := b.Reload(textOf(t, shop, lea)); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "whose certificate is revoked is cut off", func() bool { return !machine.IsConnected() })
		if err := settle(); err != nil {
			t.Error(err)
		}
	})
	for what, cfg := range map[string]Config{
		"certificates that nobody demands": {TLS: server, MapCerts: true, Accounts: textOf(t, shop)},
		"the network without keys":         {Listen: "0.0.0.0:0", TLS: server},
		"the network without TLS":          {Listen: "0.0.0.0:0", Accounts: textOf(t, shop)},
		"accounts without anybody":         {Accounts: "accounts { SHOP { jetstream: enabled } }"},
	} {
		cfg.Name, cfg.Store = "test", filepath.Join(t.TempDir(), "s")
		if b, err := Open(context.Background(), cfg); err == nil {
			b.Close()
			t.Errorf("%s: opened", what)
		} else if _, bad := os.Stat(cfg.Store); !errors.Is(bad, fs.ErrNotExist) {
			t.Errorf("%s: something was made", what)
		} else {
			t.Log(err)
		}
	}
}

// TestOthersRevoked: an operator and a website whose keys are taken away are
// cut off within 5 s while they listen, hear nothing after it, and do not come again; the
// others of their kind notice nothing. One whose key is another one is let in by that.
func TestOthersRevoked(t *testing.T) {
	zoe := member(t, roles.Machine, "zoe")
	for _, kind := range []roles.Kind{roles.Operator, roles.Web} {
		one, two := member(t, kind, "one"), member(t, kind, "two")
		b := keyed(t, Config{Listen: "127.0.0.1:0", Accounts: textOf(t, zoe, one, two)})
		source, stays := zoe.must(t, b), two.must(t, b, nats.NoReconnect())
		here, err := one.dial(t, b, b.URL(), nats.NoReconnect())
		if err != nil {
			t.Fatal(kind, err)
		}
		hears := func(nc *nats.Conn) chan *nats.Msg {
			heard := make(chan *nats.Msg, 100)
			if _, err := nc.ChanSubscribe("coffee.live.*.*.*", heard); err != nil {
				t.Fatal(kind, err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(kind, err)
			}
			return heard
		}
		his, others := hears(here), hears(stays)
		if err := b.Reload(textOf(t, zoe, two)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		within(t, 5*time.Second, fmt.Sprint(kind, " is cut off"), here.IsClosed)
		t.Logf("%s: cut off after %v", kind, time.Since(began))
		if err := errors.Join(source.Publish("coffee.live.zoe.x.step", []byte("x")), source.Flush()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-others:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: another one hears nothing any more", kind)
		}
		if len(his) > 0 {
			t.Errorf("%s: heard after his key was taken away", kind)
		}
		if !stays.IsConnected() || stays.Stats().Reconnects > 0 {
			t.Errorf("%s: another one was cut off", kind)
		}
		if _, err := one.dial(t, b, b.URL()); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: comes again: %v", kind, err)
		}
		again := member(t, kind, "one")
		if err := b.Reload(textOf(t, zoe, two, again)); err != nil {
			t.Fatal(err)
		}
		if nc, err := again.dial(t, b, b.URL()); err != nil || !nc.IsConnected() {
			t.Errorf("%s: with another key: %v", kind, err)
		}
	}
}
