package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"barista/cmd/barista/reach"
	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/brokertest"
	"barista/fleet/client"
	"barista/fleet/controller"
	"barista/fleet/ledger"
	"barista/fleet/presence"
	"barista/fleet/queue"
	"barista/fleet/stock"
)

// office is a shop for the verbs to talk to: the real broker, controller, stock
// and board, and the presence of one machine that pours nothing.
type office struct {
	t    *testing.T
	url  string
	conn *queue.Conn
	zoe  fleet.Presence
	mu   sync.Mutex // guards heard
	seen []fleet.Command
}

func openOffice(t *testing.T) *office {
	t.Helper()
	t.Setenv("NATS_URL", "")
	b := brokertest.StartTCP(t)
	o := &office{t: t, url: b.URL(), conn: b.Connect("office")}
	c := o.conn
	// Cleanups run in reverse: this one before the broker's.
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	run := func(f func(context.Context) error) { running.Go(func() { _ = f(ctx) }) }

	book := ledger.New(ledger.Parts{Book: c.Book(), Shelf: stock.NewShelf(nil)}, ledger.Config{})
	run(book.Run)
	st := stock.New(stock.Parts{Ledger: book, Settings: c.Settings(), Server: c.Server()},
		stock.Config{Initial: fleet.Items{"arabica": 100, "mixed": 500, "robusta": 500, "milk-normal": 1000, "milk-soja": 1000, "sugar": 50}})
	run(st.Run)
	board := presence.New(reach.Seen(c, nil))
	run(board.Run)
	ctl := controller.New(controller.Parts{
		Book: c.Book(), Ledger: book, Orders: c.Orders(), Intake: c.Intake(), Events: c.Events(), Settings: c.Settings(),
		Roll: board, Server: c.Server(),
	}, controller.Config{Requests: true})
	run(ctl.Run)

	menu := fleet.DefaultMenu()
	o.zoe = fleet.Presence{
		Machine: "zoe", Owner: fleet.Owner{Machine: "zoe", Journal: "j1", Boot: "b1"}, Classes: menu.Classes(), Sizes: fleet.Sizes,
		State: fleet.StateReady, Cup: "page", Driver: "mock", Drinks: 3, Version: "test",
	}
	o.announce()
	run(func(ctx context.Context) error {
		return c.Server().Serve(ctx, fleet.Subject("coffee", "machines", "zoe", "*"), false, func(_ context.Context, _ string, body []byte) []byte {
			var q fleet.Command
			_ = json.Unmarshal(body, &q)
			o.mu.Lock()
			o.seen = append(o.seen, q)
			o.mu.Unlock()
			a := fleet.CommandAnswer{OK: q.Verb != "clear-fault", Message: "heard " + q.Verb}
			if !a.OK {
				a.Message = "there is no fault\x1b[31m"
			}
			out, _ := json.Marshal(a)
			return out
		})
	})
	brokertest.Eventually(t, "a controller that answers", func() bool {
		_, err := c.Requester().Request(ctx, fleet.Subject("coffee", "controller", "menu"), []byte("{}"))
		return err == nil
	})
	brokertest.Eventually(t, "a stock that answers", func() bool {
		_, err := stock.Remote(c.Requester()).Levels(ctx)
		return err == nil
	})
	brokertest.Eventually(t, "a machine on the board", func() bool { return len(board.Machines()) > 0 })
	return o
}

func (o *office) announce() {
	o.t.Helper()
	if err := o.conn.Fleet().Announce(o.t.Context(), o.zoe); err != nil {
		o.t.Fatal(err)
	}
}

// barista runs one command line against the office.
func (o *office) barista(want int, args ...string) string {
	o.t.Helper()
	return o.answering(want, "", args...)
}

func (o *office) answering(want int, in string, args ...string) string {
	o.t.Helper()
	o.announce() // its word lasts 15 s
	var out, errOut bytes.Buffer
	got := execute(o.t.Context(), append(args, "--nats", o.url), strings.NewReader(in), &out, &errOut)
	if got != want {
		o.t.Fatalf("barista %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, &out, &errOut)
	}
	return out.String() + errOut.String()
}

func (o *office) has(text string, wants ...string) {
	o.t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			o.t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func (o *office) decode(text string, v any) {
	o.t.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil || strings.Count(text, "\n") != 1 {
		o.t.Fatalf("not one JSON value in one line (%v):\n%s", err, text)
	}
}

// doubt brings an order to where nobody knows whether it was made.
func (o *office) doubt(id string) {
	o.t.Helper()
	ctx, store := o.t.Context(), o.conn.Book()
	e, err := store.Read(ctx, id)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, arrow := range []func(fleet.Claim) (fleet.Claim, error){
		func(c fleet.Claim) (fleet.Claim, error) { return c.Fence(o.zoe.Owner) },
		func(c fleet.Claim) (fleet.Claim, error) {
			return c.Park("max", fleet.Reason{Text: "zoe was silent for too long"})
		},
	} {
		c, err := arrow(e.Claim)
		if err != nil {
			o.t.Fatal(err)
		}
		if e, err = store.Next(ctx, e.Revision, c); err != nil {
			o.t.Fatal(err)
		}
	}
}

func TestVerbs(t *testing.T) {
	o := openOffice(t)
	const a, b, c = "01JD0000000000000000000AAA", "01JD0000000000000000000BBB", "01JD0000000000000000000CCC"

	// Order, and the same again: one order, one answer.
	o.has(o.barista(term.ExitNotFound, "why", "last"), "no order is open, and none ended within a day", "place one")
	text := o.barista(term.ExitOK, "order", "--size", "large", "--bean", "Mixed", "--name", "Zoë", "--sugar", "1", "--id", strings.ToLower(a))
	o.has(text, a+": "+fleet.Scheduled, "place 1")
	var answer fleet.Answer
	o.decode(o.barista(term.ExitOK, "order", "--size", "big", "--bean", "mixed", "--name", "Zoë", "--sugar", "1", "--id", a, "--json"), &answer)
	if !answer.OK() || answer.OrderID != a {
		t.Errorf("answer %+v", answer)
	}
	o.has(o.barista(term.ExitRefused, "order", "--size", "small", "--bean", "mixed", "--name", "Zoë", "--id", a), "another order with this id")
	o.has(o.barista(term.ExitRefused, "order", "--size", "small", "--bean", "liberica", "--name", "Max", "--json"), `"code":"not_on_menu"`)

	// What the shop says of it.
	var orders struct{ Orders []client.Order }
	o.decode(o.barista(term.ExitOK, "orders", "--open", "--json"), &orders)
	if len(orders.Orders) != 1 || orders.Orders[0].ID != a || orders.Orders[0].Phase != fleet.Accepted {
		t.Errorf("orders %+v", orders)
	}
	o.has(o.barista(term.ExitOK, "orders"), "ORDER", "large mixed, 1 sugar")
	o.has(o.barista(term.ExitOK, "why", "0aaa"), "it waits in the queue", "reserved: mixed 30 g, sugar 1 dose", "for Zoë", "came by request")
	var acc client.Account
	o.decode(o.barista(term.ExitOK, "why", a, "--json"), &acc)
	if acc.Phase != fleet.Accepted || acc.Reserved["mixed"] != 30 || acc.Told.OrderID != a {
		t.Errorf("why %+v", acc)
	}
	o.has(o.barista(term.ExitNotFound, "why", "0BBB", "--json"), `"code":"not_found"`)
	o.has(o.barista(term.ExitNotFound, "why", c), "there is no order "+c)

	// An end that two orders share names both.
	const twin = "01JD0000000000000000010AAA"
	o.barista(term.ExitOK, "order", "--size", "small", "--bean", "robusta", "--name", "Max", "--id", twin)
	o.has(o.barista(term.ExitUsage, "why", "0AAA"), "2 orders end with 0AAA", a, twin)
	o.has(o.barista(term.ExitOK, "why", "10AAA"), "small robusta")
	o.barista(term.ExitOK, "cancel", "10AAA")

	// Cancelled, twice; too late for anything else.
	o.has(o.barista(term.ExitOK, "cancel", "00AAA", "--by", "max"), a+" is cancelled")
	o.barista(term.ExitOK, "cancel", a)
	o.has(o.barista(term.ExitRefused, "settle", a, "made", "--reason", "x"), "not in doubt: it is cancelled")
	o.has(o.barista(term.ExitOK, "why", "00AAA"), "it was cancelled: cancelled by max")
	o.decode(o.barista(term.ExitOK, "orders", "--open", "--json"), &orders)
	if len(orders.Orders) != 0 {
		t.Errorf("open orders %+v", orders)
	}

	// In doubt: a person decides, and is told first whether the machine is there.
	for _, id := range []string{b, c} {
		o.barista(term.ExitOK, "order", "--size", "small", "--bean", "arabica", "--name", "Max", "--id", id)
		o.doubt(id)
	}
	o.has(o.barista(term.ExitRefused, "cancel", b), "may have made it")
	text = o.answering(term.ExitRefused, "n\n", "settle", b, "made", "--reason", "the cup was full")
	o.has(text, "zoe is here with the same journal", "really settle it as made?", "nothing was done")
	o.has(o.answering(term.ExitRefused, "", "again", b), "nothing was done")
	o.has(o.answering(term.ExitOK, "y\n", "settle", b, "made", "--reason", "the cup was full", "--by", "max"), b+" is settled as made")
	o.has(o.barista(term.ExitOK, "why", b), "served", "a person said that it was made: the cup was full (max)", "consumed: arabica 9 g", "zoe")
	o.zoe.Owner.Journal = "j2"
	o.has(o.answering(term.ExitRefused, "", "again", c), "with another journal")
	o.has(o.barista(term.ExitOK, "again", c, "--yes"), "will be made again")
	o.has(o.barista(term.ExitOK, "why", c), "after unknown by zoe", "consumed: arabica 9 g")
}

// TestWasteOfWhatIsPromised: what is gone is gone, and who books it hears which orders
// miss it.
func TestWasteOfWhatIsPromised(t *testing.T) {
	o := openOffice(t)
	o.barista(term.ExitOK, "order", "--size", "small", "--bean", "robusta", "--name", "Max")
	o.has(o.barista(term.ExitOK, "stock", "waste", "robusta", "495", "--reason", "wet"), "on hand 5, available -4", "open orders need 9 g: 4 g are missing")
}

func TestVerbsOfTheShop(t *testing.T) {
	o := openOffice(t)

	// Stock.
	o.has(o.barista(term.ExitOK, "stock", "show"), "arabica", "100 g", "1000 ml", "50 doses")
	o.has(o.barista(term.ExitOK, "stock", "add", "arabica", "900"), "added 900 g of arabica; on hand 1000")
	var line client.Item
	o.decode(o.barista(term.ExitOK, "stock", "count", "arabica", "20", "--json"), &line)
	if line.OnHand != 20 || line.Wasted != 980 {
		t.Errorf("counted %+v", line)
	}

	o.has(o.barista(term.ExitOK, "stock", "waste", "arabica", "20", "--reason", "it was stale", "--by", "lea"), "threw away 20 g of arabica; on hand 0")
	o.has(o.barista(term.ExitRefused, "stock", "waste", "arabica", "1", "--reason", "stale"), "there are 0 g of arabica", "count what is left")
	o.barista(term.ExitOK, "stock", "count", "arabica", "20")

	// Status says what a person should look at.
	var s client.Status
	o.decode(o.barista(term.ExitDegraded, "status", "--json"), &s)
	if s.OK || len(s.Degraded) != 1 || !strings.Contains(s.Degraded[0], "arabica runs out: 20 g left") || len(s.Machines) != 1 || len(s.Queue) != 9 {
		t.Errorf("status %+v", s)
	}
	o.barista(term.ExitOK, "stock", "add", "arabica", "100")
	text := o.barista(term.ExitOK, "status")
	o.has(text, "all is well, 0 open orders", "MACHINE", "zoe", "ready", "no order waits")
	if strings.Contains(text, "look:") {
		t.Error(text)
	}

	// Menu: shown, changed, and refused whole.
	o.has(o.barista(term.ExitOK, "menu", "show"), "beans: arabica, robusta, mixed")
	text = o.barista(term.ExitUsage, "menu", "set", "small.grams=0", "beans=Arabica", "tiny.grams=1", "medium.sugar=1", "x")
	o.has(text, `"tiny.grams" is no key`, `"medium.sugar" is no key`, `"x": write KEY=VALUE`, "nothing was changed")
	o.has(o.barista(term.ExitUsage, "menu", "set", "small.grams=0", "beans=Arabica"), "grams must be 1 to 60", "1 to 32 of a-z")
	o.barista(term.ExitOK, "menu", "set", "small.grams=10", "large=off", "milks=free,normal")
	var menu fleet.Menu
	o.decode(o.barista(term.ExitOK, "menu", "show", "--json"), &menu)
	if menu.Sizes[fleet.Small].Grams != 10 || len(menu.Sizes) != 2 || len(menu.Milks) != 2 {
		t.Errorf("menu %+v", menu)
	}
	file := filepath.Join(t.TempDir(), "menu.json")
	whole, err := json.Marshal(fleet.DefaultMenu())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	o.barista(term.ExitOK, "menu", "set", "--file", file)
	o.has(o.answering(term.ExitUsage, "{}", "menu", "set", "--file", "-"), "at least one is needed")
	o.has(o.barista(term.ExitOK, "menu", "show"), "large")

	// Machines.
	o.has(o.barista(term.ExitOK, "machine", "ls"), "zoe", "ready", "page", "arabica,robusta,mixed/free,normal,soja")
	o.has(o.barista(term.ExitOK, "machine", "drain", "zoe", "--reason", "new grinder", "--by", "max"), "zoe drains")
	var ls struct{ Machines []client.Machine }
	o.decode(o.barista(term.ExitOK, "machine", "ls", "--json"), &ls)
	if m := ls.Machines[0]; m.State != fleet.StateCordoned || m.Able || m.Reason != "new grinder" || m.By != "max" {
		t.Errorf("drained: %+v", m)
	}
	o.has(o.barista(term.ExitDegraded, "status"), "1 thing needs a hand", "look: no machine can take orders", "next: barista machine uncordon zoe", "new grinder")
	o.barista(term.ExitOK, "machine", "uncordon", "zoe")
	o.has(o.barista(term.ExitOK, "machine", "ls"), "ready")
	o.has(o.barista(term.ExitNotFound, "machine", "cordon", "max", "--reason", "x"), "there is no machine max")
	o.has(o.barista(term.ExitNotFound, "machine", "stop", "max", "--reason", "x"), "no machine max listens")
	o.zoe.Order = "01JD0000000000000000000AAA"
	o.has(o.barista(term.ExitOK, "machine", "cup", "zoe", "--by", "max"), "zoe: heard cup")
	o.has(o.barista(term.ExitRefused, "machine", "clear-fault", "zoe", "--reason", "looked"), `zoe: "there is no fault\x1b[31m"`)
	o.mu.Lock()
	if len(o.seen) != 3 || o.seen[0].Verb != fleet.CommandBack || o.seen[0].By == "" || o.seen[1] != (fleet.Command{Verb: "cup", Order: o.zoe.Order, By: "max"}) || o.seen[2].Why != "looked" {
		t.Errorf("heard %+v", o.seen)
	}
	o.mu.Unlock()
	o.has(o.barista(term.ExitOK, "machine", "curves", "zoe"), "zoe has seen no drink since it started")
	o.has(o.barista(term.ExitNotFound, "machine", "curves", "max"), "no machine max listens")
	o.has(o.barista(term.ExitUsage, "machine", "curves", "zoe", "--csv", "--json"), "give one")

	// One that went away is still known.
	if err := o.conn.Fleet().Leave(t.Context(), "zoe"); err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	if code := execute(t.Context(), []string{"status", "--nats", o.url}, nil, &out, &errOut); code != term.ExitDegraded {
		t.Errorf("exit code %d", code)
	}
	o.has(out.String(), "away", "look: zoe is away: last seen")
}

// TestWatch follows an order to its end: one JSON object a line.
func TestWatch(t *testing.T) {
	o := openOffice(t)
	const id = "01JD0000000000000000000DDD"
	o.barista(term.ExitOK, "order", "--size", "small", "--bean", "mixed", "--name", "Zoe", "--id", id)

	ctx, cancel := context.WithCancel(t.Context())
	list := &lines{}
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, []string{"orders", "--watch", "--json", "--nats", o.url}, nil, list, list)
	}()
	brokertest.Eventually(t, "the open order in the list", func() bool { return strings.Contains(list.String(), id) })

	done := make(chan int, 1)
	story := &lines{}
	go func() {
		done <- execute(t.Context(), []string{"why", id, "--watch", "--json", "--nats", o.url}, nil, story, story)
	}()
	brokertest.Eventually(t, "the first event", func() bool { return strings.Contains(story.String(), `"kind":"accepted"`) })
	o.barista(term.ExitOK, "cancel", id)
	if code := <-done; code != term.ExitRefused {
		t.Errorf("exit code %d\n%s", code, story)
	}
	o.has(story.String(), `"kind":"cancelled"`, `{"error":{"code":"refused","message":"the order was cancelled: cancelled by `)
	brokertest.Eventually(t, "the end in the list", func() bool { return strings.Contains(list.String(), `"phase":"cancelled"`) })
	cancel()
	if code := <-ended; code != term.ExitOK {
		t.Errorf("a watch that was interrupted: exit code %d\n%s", code, list)
	}
	for line := range strings.Lines(list.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// lines is a buffer that one goroutine writes and another reads.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestNobody: without a shop behind the broker each verb says so, in time.
func TestNobody(t *testing.T) {
	b := brokertest.StartTCP(t)
	for _, c := range []struct {
		want int
		say  string
		args []string
	}{
		{term.ExitFailed, "nobody takes orders there", []string{"order", "--size", "small", "--bean", "mixed", "--name", "Zoe"}},
		{term.ExitFailed, "is the shop running", []string{"stock", "show"}},
		{term.ExitDegraded, "no controller answers", []string{"status"}},
		{term.ExitNotFound, "no order is open", []string{"why", "last"}},
		{term.ExitNotFound, "no machine zoe listens", []string{"machine", "cup", "zoe"}},
	} {
		var out, errOut bytes.Buffer
		began := time.Now()
		got := execute(t.Context(), append(c.args, "--nats", b.URL()), nil, &out, &errOut)
		if text := out.String() + errOut.String(); got != c.want || !strings.Contains(text, c.say) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", c.args, got, c.want, c.say, text)
		}
		if d := time.Since(began); d > 30*time.Second {
			t.Errorf("%v took %v", c.args, d)
		}
	}
}

// TestForgetOld: what a former version kept goes when a person says so, and never
// before it was carried over.
func TestForgetOld(t *testing.T) {
	b := brokertest.StartTCP(t)
	conn := b.Connect("admin")
	nc, err := nats.Connect(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	old := []string{"KV_coffee-claims", "coffee-ledger"}
	for _, name := range old {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"old." + name}, MaxBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (n int) {
		for _, name := range old {
			if _, err := js.Stream(t.Context(), name); err == nil {
				n++
			}
		}
		return n
	}
	say := func(want int, in string, args ...string) string {
		t.Helper()
		var out, errOut bytes.Buffer
		got := execute(t.Context(), append(append([]string{"broker", "forget-old"}, args...), "--nats", b.URL()), strings.NewReader(in), &out, &errOut)
		if got != want {
			t.Errorf("forget-old %v: exit code %d, want %d\n%s%s", args, got, want, &out, &errOut)
		}
		return out.String() + errOut.String()
	}
	if text := say(term.ExitRefused, "", "--yes"); !strings.Contains(text, "not carried over yet") || left() != 2 {
		t.Errorf("%d are left: %s", left(), text)
	}
	if _, err := conn.Setup(t.Context(), fleet.DefaultMenu()); err != nil { // as the shop's start
		t.Fatal(err)
	}
	if text := say(term.ExitRefused, "n\n"); !strings.Contains(text, "removed for good") || !strings.Contains(text, "nothing was done") || left() != 2 {
		t.Errorf("%d are left: %s", left(), text)
	}
	if text := say(term.ExitOK, "y\n", "--json"); !strings.Contains(text, `"ok":true`) || left() != 0 {
		t.Errorf("%d are left: %s", left(), text)
	}
	say(term.ExitOK, "", "--yes") // there is nothing more
}

// TestAddressInUse: another program has the demo's address; the error names the flag, and
// of a service the part.
func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := l.Addr().String()
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, flag string }{{"--nats none --http " + at, "--http"}, {"--http none --nats " + at, "--nats"}, {"--nats none --http localhost:" + port, "--http"}} {
		var out, errOut bytes.Buffer
		code := execute(t.Context(), append([]string{"demo", "--machines", "1"}, strings.Fields(c.args)...), strings.NewReader(""), &out, &errOut)
		if want := at + " is in use by another program"; code != term.ExitRefused || !strings.Contains(errOut.String(), want) || !strings.Contains(errOut.String(), "another address: "+c.flag+" ") {
			t.Errorf("%s: exit %d, %s", c.args, code, errOut.String())
		}
	}
}
