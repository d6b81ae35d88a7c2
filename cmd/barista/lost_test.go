package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver/plant"
	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/stock"
)

// TestStorePutBack puts an older copy of the broker's store back while the shop is
// down, as a person does after a card went bad. In the copy an order waits that was
// made since, with a machine ready for it that knows nothing; and orders were made
// since that the copy has never heard of. Nothing is poured twice, the shop says from
// where to where its book went back, and after a person has accepted that, each order
// is named or refused.
func TestStorePutBack(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	shop := s.shop("", []string{"arabica", "mixed"})
	zoe, sock := s.plant("zoe", killSpeed)
	s.machine("zoe", sock, "", []string{"arabica"})
	maya, mayaSock := s.plant("maya", killSpeed)
	away := s.machine("maya", mayaSock, "", []string{"mixed"})
	s.eventually("maya", func() bool { return s.here("maya") })
	away.term()
	before, waits, since := newID(), newID(), newID()
	s.order(before, "arabica")
	s.served(before)
	s.order(waits, "mixed")
	s.eventually("the order that waits in the queue", func() bool { return queued(t, s.conn) == 1 })

	shop.term()
	store, copied := filepath.Join(s.dir, "shop", "broker"), filepath.Join(s.dir, "copy")
	s.copy(copied, store)
	shop.again()
	away.again()
	s.served(waits)
	away.term()
	s.order(since, "arabica")
	s.served(since)

	s.putBack(shop, store, copied)
	s.closed("the book went back: the shop knows of record")
	lea, leaSock := s.plant("lea", killSpeed)
	s.machine("lea", leaSock, "", []string{"mixed", "arabica"})
	s.eventually("lea", func() bool { return s.here("lea") })
	if a := s.once(since, "arabica"); a.Code != fleet.CodeUnavailable {
		t.Errorf("a lost order, asked again while the shop is closed: %+v", a)
	}
	if a := s.once(newID(), "arabica"); a.Code != fleet.CodeUnavailable {
		t.Errorf("a new order while the shop is closed: %+v", a)
	}
	if p := s.phase(waits); p != fleet.Accepted {
		t.Errorf("the order of which nobody knows is %s", p)
	}
	s.accept()
	s.eventually("the doubtful order to be named", func() bool { return s.phase(waits) == fleet.Unknown })
	if a := s.once(since, "arabica"); a.Code != fleet.CodeConflict {
		t.Errorf("a lost order, asked again: %+v", a)
	}
	fresh := newID()
	s.order(fresh, "mixed")
	s.served(fresh)
	if a := s.once(before, "arabica"); !a.OK() {
		t.Errorf("an order that the book knows, asked again: %+v", a)
	}
	if out, code := s.verb("status"); code != term.ExitDegraded || !strings.Contains(out, "1 order of which nobody knows") {
		t.Errorf("status: exit %d\n%s", code, out)
	}
	s.poured(map[string]*plant.Plant{"zoe": zoe, "maya": maya, "lea": lea}, map[string]int{"zoe": 2, "maya": 1, "lea": 1})
}

// TestStoreWiped removes the store while the shop is down. It is no first start.
func TestStoreWiped(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	shop := s.shop("", []string{"arabica"})
	zoe, sock := s.plant("zoe", killSpeed)
	s.machine("zoe", sock, "", []string{"arabica"})
	id := newID()
	s.order(id, "arabica")
	s.served(id)
	shop.term()
	if err := os.RemoveAll(filepath.Join(s.dir, "shop", "broker")); err != nil {
		t.Fatal(err)
	}
	shop.again()
	s.closed("the book is empty")
	if a := s.once(id, "arabica"); a.Code != fleet.CodeUnavailable {
		t.Errorf("a lost order, asked again while the shop is closed: %+v", a)
	}
	s.accept()
	s.menu([]string{"arabica"}) // it was in the store
	s.eventually("zoe", func() bool { return s.here("zoe") })
	s.within(minutes, "the lost order to be refused", func() bool { return s.once(id, "arabica").Code == fleet.CodeConflict })
	fresh := newID()
	s.order(fresh, "arabica")
	s.served(fresh)
	s.poured(map[string]*plant.Plant{"zoe": zoe}, map[string]int{"zoe": 2})
}

// TestShopPutBack puts the whole shop back, with what it kept beside its store. It can't
// notice that; its machine does.
func TestShopPutBack(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	shop := s.shop("", []string{"arabica"})
	zoe, sock := s.plant("zoe", killSpeed)
	s.machine("zoe", sock, "", []string{"arabica"})
	before, since := newID(), newID()
	s.order(before, "arabica")
	s.served(before)
	shop.term()
	whole, copied := filepath.Join(s.dir, "shop"), filepath.Join(s.dir, "copy")
	s.copy(copied, whole)
	shop.again()
	s.order(since, "arabica")
	s.served(since)
	s.putBack(shop, whole, copied)
	s.closed("zoe knows of record")
	if a := s.once(since, "arabica"); a.Code != fleet.CodeUnavailable {
		t.Errorf("a lost order, asked again while the shop is closed: %+v", a)
	}
	s.accept()
	s.within(minutes, "the lost order to be refused", func() bool { return s.once(since, "arabica").Code == fleet.CodeConflict })
	fresh := newID()
	s.order(fresh, "arabica")
	s.served(fresh)
	s.poured(map[string]*plant.Plant{"zoe": zoe}, map[string]int{"zoe": 3})
}

// TestStockBesidePutBack puts an older copy of the store back under a stock that is a
// service of its own: it writes nothing into a book that has lost what it knew.
func TestStockBesidePutBack(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	state, copied := t.TempDir(), t.TempDir()
	during := func(do func(stock.Client)) {
		t.Helper()
		s, err := openShop(t.Context(), slog.New(slog.DiscardHandler), &configs.File{
			State: state, NATS: &configs.NATS{Servers: []string{b.URL()}}, Stock: &configs.Stock{Initial: fleet.Items{"arabica": 100}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var runs sync.WaitGroup
		defer runs.Wait()
		defer stop()
		runs.Go(func() { _ = s.run(ctx) })
		do(stock.Remote(b.Connect("eve").Requester()))
	}
	moved := func(to, from string) {
		t.Helper()
		b.Stop()
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
			t.Fatal(err)
		}
		b.Again()
	}
	added := func(key string) func(stock.Client) {
		return func(c stock.Client) {
			brokertest.Eventually(t, "the stock", func() bool { _, err := c.Add(t.Context(), "arabica", 50, "eve", key); return err == nil })
		}
	}
	during(added("one"))
	moved(copied, b.Store())
	during(added("two"))
	moved(b.Store(), copied)
	during(func(c stock.Client) {
		brokertest.Eventually(t, "the stock to say that the book went back", func() bool {
			_, err := c.Add(t.Context(), "arabica", 50, "eve", "three")
			if err == nil {
				t.Fatal("written into a book that went back")
			}
			return strings.Contains(err.Error(), "went back")
		})
	})
}

// minutes is how long an overloaded computer may take.
const minutes = 3 * time.Minute

// newID is an order's id as a customer makes it.
func newID() string { return ulid.Make().String() }

func (s *site) copy(to, from string) {
	s.t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		s.t.Fatal(err)
	}
}

// putBack has an older copy of a folder in its place, while the shop is down.
func (s *site) putBack(shop *running, folder, copied string) {
	s.t.Helper()
	shop.term()
	if err := os.RemoveAll(folder); err != nil {
		s.t.Fatal(err)
	}
	s.copy(folder, copied)
	shop.again()
}

func (s *site) served(id string) {
	s.t.Helper()
	s.eventually("the cup of "+id, func() bool { return s.phase(id) == fleet.Served })
}

// once asks for an order and says what it hears.
func (s *site) once(id, bean string) (a fleet.Answer) {
	s.t.Helper()
	body := fmt.Sprintf(`{"id":%q,"name":"Ada","size":"small","bean_type":%q,"milk":"free","sugar_count":0}`, id, bean)
	s.eventually("an answer", func() bool {
		b, err := s.conn.Requester().Request(s.t.Context(), fleet.SubjectRequests, []byte(body))
		return err == nil && json.Unmarshal(b, &a) == nil
	})
	return a
}

// verb runs barista with these arguments against the shop.
func (s *site) verb(args ...string) (out string, code int) {
	s.t.Helper()
	cmd := asMain(append(args, "--nats", s.url())...)
	b, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		s.t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// closed waits until status says that the shop is closed, why, and what to type.
func (s *site) closed(why string) {
	s.t.Helper()
	var out string
	s.eventually("status to say "+why, func() (told bool) {
		var code int
		out, code = s.verb("status")
		return code == term.ExitDegraded && strings.Contains(out, why)
	})
	if !strings.Contains(out, "barista broker accept-loss --reason") {
		s.t.Errorf("it does not say what to type:\n%s", out)
	}
}

// accept accepts the loss, as a person does.
func (s *site) accept() {
	s.t.Helper()
	out, code := s.verb("broker", "accept-loss", "--reason", "the card was restored", "--by", "eve", "--yes")
	if code != term.ExitOK || !strings.Contains(out, "the loss is accepted") {
		s.t.Fatalf("exit %d\n%s", code, out)
	}
	if out, code := s.verb("broker", "accept-loss", "--reason", "twice", "--yes"); code != term.ExitRefused || !strings.Contains(out, "nothing is lost") {
		s.t.Errorf("accepted twice: exit %d\n%s", code, out)
	}
}

// poured counts what the plants saw.
func (s *site) poured(plants map[string]*plant.Plant, want map[string]int) {
	s.t.Helper()
	s.emptyQueues()
	for name, p := range plants {
		if got := drinks(p); got != want[name] {
			s.t.Errorf("%s poured %d, want %d", name, got, want[name])
		}
	}
}
