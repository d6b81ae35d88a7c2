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
	for key, v := range map[string]string{fleet.KeyMenu: string(menu), "cordon.ann": `{"by":"eve","reason":"limescale"}`, "cordon.bob": `{"by":"eve","reason":"loud"}`} {
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
	if _, err := c.Settings().Get(ctx, "cordon.ann"); !errors.Is(err, fleet.ErrNotFound) {
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
	running, stop := context.WithCancel(ctx)
	done := make(chan error)
	go func() { done <- d.Run(running) }()
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
	if err != nil || !slices.Equal(codes(found), []string{"setting_lost cordon.ann", "setting_lost menu"}) {
		t.Errorf("%v %v", found, err)
	}
	if tr := d.Troubles(); len(tr) != 0 {
		t.Errorf("%v", tr)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
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

// TestLook: each thing that stands in one place and not in the other is found, and
// what is whole is not.
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
	found, err := parts(c).Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"events_ahead", "record_lost " + idN(2), "setting_unread cordon.zoe", "setting_unread menu"}
	if got := codes(found); !slices.Equal(got, want) {
		t.Errorf("found %q, wanted %q", got, want)
	}
	for _, f := range found {
		if f.Code != fleet.FoundAhead && f.Next == "" {
			t.Errorf("%+v: what is typed next?", f)
		}
	}
}
