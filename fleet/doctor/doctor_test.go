package doctor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/doctor"
	"barista/fleet/queue"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}

func parts(c *queue.Conn) doctor.Parts {
	return doctor.Parts{Book: c.Book(), Stored: c.Orders().Stored, Told: c.Events().Told, Settings: c.AllSettings}
}

func idN(n int) string { return fmt.Sprintf("01JD%022d", n) }

// accept puts an accepted order into the book and, with a message, into the queue.
func accept(t *testing.T, c *queue.Conn, n int, last uint64, message bool) fleet.Entry {
	t.Helper()
	o := fleet.Order{ID: idN(n), Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: "free"}
	e := fleet.Entry{Claim: fleet.Create(o, fleet.Items{"arabica": 9}, fleet.Success(o.ID), "web")}
	var err error
	if e.Revision, err = c.Book().Act(t.Context(), fleet.Record{IsClaim: true, Entry: e}, last); err != nil {
		t.Fatal(err)
	}
	if message {
		if err := c.Orders().Publish(t.Context(), e, o.ID); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// run has a doctor at work until stop, which waits for its end.
func run(t *testing.T, d *doctor.Doctor) (stop func()) {
	running, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Run(running) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func codes(found []fleet.Finding) (out []string) {
	for _, f := range found {
		out = append(out, strings.TrimSpace(f.Code+" "+f.Order+f.Key))
	}
	slices.Sort(out)
	return out
}

// TestSettingsAreKept: what the store loses of the settings, by a flipped bit or by an
// older copy, is put back from the copy beside it, before anybody acts on it; what a
// person removed stays removed. Another store is a person's to decide.
func TestSettingsAreKept(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "settings.copy")
	open := func(name string) (*queue.Conn, *doctor.Doctor, *strings.Builder) {
		c, log := b.Connect(name), &strings.Builder{}
		return c, doctor.New(parts(c), doctor.Config{Copy: path, Keys: c.Settings(), Log: slog.New(slog.NewTextHandler(log, nil))}), log
	}
	c, d, _ := open("first")
	s := c.Settings()
	menu, _ := json.Marshal(fleet.Menu{Beans: []string{"kona"}, Milks: []string{"free"}, Sizes: fleet.DefaultMenu().Sizes})
	for key, v := range map[string]string{fleet.KeyMenu: string(menu), "cordon.ann": `{"by":"eve","reason":"limescale"}`, "cordon.bob": `{"by":"eve","reason":"loud"}`, fleet.SeenKey("ann"): `{"sizes":["small"]}`} {
		if err := s.Put(ctx, key, []byte(v)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(ctx, "cordon.bob"); err != nil {
		t.Fatal(err)
	}
	if err := d.Mend(ctx); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	brokertest.Flip(t, b.Store(), "KV_"+fleet.BucketSettings, "$KV.coffee-settings.cordon.ann", "limescale")
	b.Again()
	c, d, log := open("second")
	if _, err := c.Settings().Get(ctx, "cordon.ann"); !errors.Is(err, fleet.ErrDamaged) {
		t.Fatalf("the damage took nothing, the test is blind: %v", err)
	}
	if err := d.Mend(ctx); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Settings().Get(ctx, "cordon.ann"); err != nil || !strings.Contains(string(v), "limescale") {
		t.Errorf("%s %v", v, err)
	}
	if _, err := c.Settings().Get(ctx, "cordon.bob"); !errors.Is(err, fleet.ErrNotFound) {
		t.Errorf("what was removed came back: %v", err)
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "cordon.ann") {
		t.Errorf("not named: %s", log)
	}
	// Another store: nothing comes back by itself.
	other := brokertest.Start(t)
	c = other.Connect("third")
	d = doctor.New(parts(c), doctor.Config{Copy: path, Keys: c.Settings(), Remove: c.Orders().Remove, Server: c.Server()})
	stop := run(t, d)
	brokertest.Eventually(t, "the finding", func() bool {
		tr := d.Troubles()
		return len(tr) == 1 && tr[0].Code == fleet.FoundOtherStore
	})
	if all, _, err := c.AllSettings(ctx); err != nil || all["cordon.ann"].Rev != 0 {
		t.Errorf("%v %v", all, err)
	}
	remote := doctor.Remote(c.Requester())
	if _, err := remote.Repair(ctx, "", "because"); err == nil {
		t.Error("nobody repaired it")
	}
	found, err := remote.Repair(ctx, "boss", "the card was replaced")
	if err != nil || !slices.Equal(codes(found), []string{"setting_lost cordon.ann", "setting_lost menu", "setting_lost seen.ann"}) {
		t.Errorf("%v %v", found, err)
	}
	if tr := d.Troubles(); len(tr) != 0 {
		t.Errorf("%v", tr)
	}
	stop()
	// A copy that can't be read is none.
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Mend(ctx); err != nil {
		t.Error(err)
	}
	if raw, err := os.ReadFile(path); err != nil || !strings.Contains(string(raw), "cordon.ann") {
		t.Errorf("%s %v", raw, err)
	}
}

// later is a book by whose clock nothing is half done any more.
type later struct{ fleet.Book }

func (l later) Now(ctx context.Context) (time.Time, error) {
	now, err := l.Book.Now(ctx)
	return now.Add(2 * time.Minute), err
}

// TestLook: each thing that stands in one place and not in the other is found, and
// what is whole is not; what is just being done is left alone. A person's repair takes
// away the message that is no order, and nothing else.
func TestLook(t *testing.T) {
	b := brokertest.Start(t)
	ctx := t.Context()
	c := b.Connect("shop")
	whole := accept(t, c, 1, 0, true)
	lost := accept(t, c, 2, whole.Seq, true)
	parked := lost.Claim.Lose("controller", fleet.Reason{Code: fleet.CodeLost})
	if _, err := c.Book().Next(ctx, lost.Revision, parked); err != nil {
		t.Fatal(err)
	}
	accept(t, c, 3, lost.Seq, false)
	o := fleet.Order{ID: idN(4), Name: "Ada", Size: fleet.Small, Bean: "arabica", Milk: "free"}
	orphan := fleet.Entry{Claim: fleet.Create(o, fleet.Items{"arabica": 9}, fleet.Success(o.ID), "web")}
	if err := c.Orders().Publish(ctx, orphan, o.ID); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("", nats.InProcessServer(b))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.RequestWithContext(ctx, "coffee.orders.arabica.free", []byte("two coffees")); err != nil {
		t.Fatal(err)
	}
	if err := c.Settings().Put(ctx, fleet.KeyMenu, []byte(`{"beans":["*"]}`)); err != nil {
		t.Fatal(err)
	}
	if err := c.Settings().Put(ctx, fleet.CordonKey("zoe"), []byte(`{`)); err != nil {
		t.Fatal(err)
	}
	ahead := fleet.Event{Order: idN(1), Kind: fleet.EvAccepted, Epoch: 1}
	if err := c.Events().Publish(ctx, ahead, 4_000); err != nil {
		t.Fatal(err)
	}
	look := func(p doctor.Parts, want ...string) {
		t.Helper()
		found, err := p.Look(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := codes(found); !slices.Equal(got, want) {
			t.Errorf("found %q, wanted %q", got, want)
		}
		for _, f := range found {
			if f.Code != fleet.FoundAhead && f.Code != fleet.CodeOrphan && f.Next == "" {
				t.Errorf("%+v: what is typed next?", f)
			}
		}
	}
	now, then := parts(c), parts(c)
	then.Book = later{c.Book()}
	look(now, "events_ahead", "message_unread", "record_lost "+idN(2), "setting_unread cordon.zoe", "setting_unread menu")
	look(then, "events_ahead", "message_unread", "order_unqueued "+idN(3), fleet.CodeOrphan+" "+idN(4), "record_lost "+idN(2), "setting_unread cordon.zoe", "setting_unread menu")

	d := doctor.New(now, doctor.Config{Copy: filepath.Join(t.TempDir(), "settings.copy"), Keys: c.Settings(), Remove: c.Orders().Remove, Server: c.Server()})
	stop := run(t, d)
	brokertest.Eventually(t, "the troubles", func() bool { return len(d.Troubles()) == 4 })
	for _, tr := range d.Troubles() {
		if !strings.HasSuffix(tr.Text, ".") && !strings.HasSuffix(tr.Text, ")") {
			t.Errorf("%+v says nothing to a person", tr)
		}
	}
	found, err := doctor.Remote(c.Requester()).Repair(ctx, "boss", "somebody typed")
	if err != nil || !slices.Equal(codes(found), []string{"message_unread"}) {
		t.Errorf("%v %v", found, err)
	}
	left, err := c.Orders().Stored(ctx)
	if err != nil || len(left) != 3 {
		t.Errorf("%d messages are left, %v", len(left), err)
	}
	brokertest.Eventually(t, "the message to be no trouble any more", func() bool { return len(d.Troubles()) == 3 })
	if err := c.Settings().Delete(ctx, fleet.CordonKey("zoe")); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the key to be none", func() bool { return len(d.Troubles()) == 2 })
	stop()
}

// TestSettingsGoMeanwhile: a bucket that is removed under a running service says
// nothing; what was in it is back within a minute all the same.
func TestSettingsGoMeanwhile(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		c := b.Connect("shop")
		d := doctor.New(parts(c), doctor.Config{Copy: filepath.Join(t.TempDir(), "settings.copy"), Keys: c.Settings(), Server: c.Server()})
		stop := run(t, d)
		if err := c.Settings().Put(ctx, fleet.CordonKey("zoe"), []byte(`{"by":"eve","reason":"limescale"}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		nc, err := nats.Connect("", nats.InProcessServer(b))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if err := js.DeleteKeyValue(ctx, fleet.BucketSettings); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Setup(ctx, fleet.DefaultMenu()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if v, err := c.Settings().Get(ctx, fleet.CordonKey("zoe")); err != nil || !strings.Contains(string(v), "limescale") {
			t.Errorf("%s %v", v, err)
		}
		stop()
	})
}

// TestWhatPasses: what the shop mends by itself does not stand for an hour.
func TestWhatPasses(t *testing.T) {
	brokertest.InBubble(t, func(t *testing.T, b *brokertest.Broker) {
		ctx := t.Context()
		c := b.Connect("shop")
		first := accept(t, c, 1, 0, true)
		if err := c.Events().Publish(ctx, first.Events()[0], first.Seq+1); err != nil {
			t.Fatal(err)
		}
		d := doctor.New(parts(c), doctor.Config{Copy: filepath.Join(t.TempDir(), "settings.copy"), Keys: c.Settings(), Server: c.Server()})
		stop := run(t, d)
		time.Sleep(time.Second)
		if len(d.Troubles()) != 1 {
			t.Errorf("%+v", d.Troubles())
		}
		accept(t, c, 2, first.Seq, true)
		time.Sleep(time.Minute)
		if len(d.Troubles()) != 0 {
			t.Errorf("a minute later: %+v", d.Troubles())
		}
		stop()
	})
}
