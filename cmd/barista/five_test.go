package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/driver/plant"
	"barista/fleet"
)

var (
	fiveRounds = flag.Int("five", 1, "how often TestFiveMachines takes each machine out; the README's figures are of 5")
	fiveSilent = flag.Bool("five-silent", false, "TestFiveMachines has links fall silent, too: half a minute each")
)

// cafe5 is a shop of five machines under steady load.
type cafe5 struct {
	*site
	page    string // where its pages are
	browser *http.Client
	names   []string
	procs   map[string]*running
	plants  map[string]*plant.Plant
	wires   map[string]*wire

	mu     sync.Mutex // guards what follows
	placed []string
	victim string // that nobody starts again
}

// every is how often somebody orders: two of five machines are enough.
const every = 2 * time.Second

// openFive opens it. The machines reach the broker each over a wire of its own.
func openFive(t *testing.T) *cafe5 {
	web := freePort(t)
	c := &cafe5{site: newSite(t), page: fmt.Sprintf("http://127.0.0.1:%d", web), procs: map[string]*running{}, plants: map[string]*plant.Plant{}, wires: map[string]*wire{}}
	c.site.trace, c.site.urgent = true, true
	c.site.also = fmt.Sprintf("web: {listen: 127.0.0.1:%d}\n", web)
	c.shop("", []string{"arabica"})
	for i := range 5 {
		name := fmt.Sprint("m", i+1)
		p, sock := c.site.plant(name, killSpeed)
		w := strung(t, fmt.Sprintf("127.0.0.1:%d", c.port))
		c.names, c.plants[name], c.wires[name] = append(c.names, name), p, w
		c.servers = []string{"nats://" + w.Addr().String()}
		m := c.machine(name, sock, "", []string{"arabica"})
		c.servers = nil
		c.procs[name] = m
	}
	for _, name := range c.names {
		c.eventually(name, func() bool { c.supervise(); return c.here(name) })
	}
	return c
}

// load orders until ctx ends.
func (c *cafe5) load(ctx context.Context) {
	for n := 0; fleet.Pause(ctx, every); n++ {
		id := testID(n)
		c.order(id, "arabica")
		c.mu.Lock()
		c.placed = append(c.placed, id)
		c.mu.Unlock()
	}
}

// next is an order that is placed from now on.
func (c *cafe5) next() string {
	c.mu.Lock()
	n := len(c.placed)
	c.mu.Unlock()
	c.eventually("the next order", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.placed) > n+1 })
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.placed[n+1]
}

// verb is barista as an operator types it.
func (c *cafe5) verb(want int, args ...string) []byte {
	c.t.Helper()
	cmd := asMain(args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if got := cmd.ProcessState.ExitCode(); got != want {
		c.t.Errorf("%v: exit %d, %v, want %d\n%s%s", args, got, err, want, out, said.Bytes())
	}
	return out
}

func (c *cafe5) machineVerb(want int, args ...string) {
	c.t.Helper()
	c.verb(want, append([]string{"machine"}, append(args, "--nats", c.url())...)...)
}

// login lets an operator in on the pages.
func (c *cafe5) login() {
	c.t.Helper()
	var given struct{ Code string }
	if err := json.Unmarshal(c.verb(0, "operator", "add", "ada", "--json", "--config", filepath.Join(c.dir, "shop.yaml")), &given); err != nil {
		c.t.Fatal(err)
	}
	jar, _ := cookiejar.New(nil)
	c.browser = &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	const password = "a grinder of one's own"
	c.post("/login/code", url.Values{"code": {given.Code}, "name": {"ada"}, "password": {password}, "again": {password}, "to": {"/fleet"}})
}

// post sends a form, and wants the machines' page with what was done.
func (c *cafe5) post(path string, form url.Values) {
	c.t.Helper()
	res, err := c.browser.PostForm(c.page+path, form)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if b, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || res.Request.URL.Path != "/fleet" {
		c.t.Errorf("%s: %s of %s\n%s", path, res.Status, res.Request.URL, b)
	}
}

// press is a button of the machines' page.
func (c *cafe5) press(act, machine string) {
	c.t.Helper()
	c.post("/fleet/"+act, url.Values{"machine": {machine}, "reason": {"a test"}})
}

// parked waits until a machine says that it may be opened, or that it is out of service.
func (c *cafe5) parked(name string) {
	c.t.Helper()
	c.eventually(name+" to be out of service", func() bool {
		list, err := c.conn.Fleet().Present(c.t.Context())
		return err == nil && slices.ContainsFunc(list, func(m fleet.Presence) bool { return m.Machine == name && m.State == fleet.StateCordoned })
	})
}

// supervise starts what has ended by itself, as a service manager does: a machine whose
// plant does not answer in time at its start.
func (c *cafe5) supervise() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, m := range c.procs {
		if name != c.victim && m.ended() {
			m.again()
		}
	}
}

// person clears the faults of machines for which the computer was too slow, until ctx ends.
func (c *cafe5) person(ctx context.Context) {
	body, _ := json.Marshal(fleet.Command{Verb: "clear-fault", By: "ada", Why: "the computer was too slow"})
	for fleet.Pause(ctx, time.Second) {
		c.supervise()
		list, _ := c.conn.Fleet().Present(ctx)
		for _, m := range list {
			if m.State == fleet.StateFault && m.Order == "" {
				c.t.Logf("%s is locked, and cleared: %s", m.Machine, m.Note)
				_, _ = c.conn.Requester().Request(ctx, fleet.CommandSubject(m.Machine), body)
			}
		}
	}
}

// idles has others serve while these machines are out, and looks that they stay so.
func (c *cafe5) idles(names ...string) {
	c.t.Helper()
	before := map[string]int{}
	for _, name := range names {
		c.parked(name)
		before[name] = drinks(c.plants[name])
	}
	for range 2 {
		id := c.next()
		c.eventually("a cup of another", func() bool { return c.phase(id) == fleet.Served })
	}
	for name, n := range before {
		if got := drinks(c.plants[name]); got != n {
			c.t.Errorf("%s is out of service and poured %d", name, got-n)
		}
	}
}

// serves waits until these machines pour again.
func (c *cafe5) serves(names ...string) {
	c.t.Helper()
	for _, name := range names {
		before := drinks(c.plants[name])
		c.eventually(name+" to pour again", func() bool { return drinks(c.plants[name]) > before })
	}
}

// dies kills a machine at the moment at which it gets an order, and says which, and how
// long after its death another one has begun it.
func (c *cafe5) dies(name string) (order string, took time.Duration) {
	c.t.Helper()
	m := c.procs[name]
	spare := func(name string) { c.mu.Lock(); defer c.mu.Unlock(); c.victim = name }
	spare(name)
	m.kill() // at whatever it is
	mark := filepath.Join(c.dir, name+".receipt")
	_ = os.Remove(mark)
	m.spec.Point, m.spec.Mark = "receipt", mark
	m.again()
	var was os.FileInfo
	c.eventually(name+" to die over an order", func() (dead bool) {
		if !m.ended() {
			return false
		}
		var err error
		if was, err = os.Stat(mark); err == nil {
			b, _ := os.ReadFile(mark)
			order = string(b)
			if at := c.begun(order); at.IsZero() || at.After(was.ModTime()) {
				return true
			}
			_ = os.Remove(mark) // one that was begun before came to it again
		}
		m.again() // or it has not even started
		return false
	})
	c.eventually("another one to begin "+order, func() bool { return !c.begun(order).IsZero() })
	m.spec.Point, m.spec.Mark = "", ""
	m.again()
	spare("")
	return order, c.begun(order).Sub(was.ModTime())
}

// replaced has another computer come under a machine's name that is drained: with the same
// name and plant, and nothing of what the old one has written down. It is out of service
// until somebody puts it back.
func (c *cafe5) replaced(name string, round int) {
	c.t.Helper()
	spare := func(name string) { c.mu.Lock(); defer c.mu.Unlock(); c.victim = name }
	spare(name)
	c.procs[name].term()
	c.eventually(name+" to be away", func() bool { return !c.here(name) })
	c.machineVerb(0, "replace", name, "--reason", "a test")
	path, old := filepath.Join(c.dir, name+".yaml"), "state: "+filepath.Join(c.dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	if !bytes.HasPrefix(first, []byte(old)) {
		c.t.Fatalf("%s begins with %q", path, first)
	}
	c.write(name, fmt.Sprintf("%s-%d\n%s", old, round, rest))
	before := drinks(c.plants[name])
	c.procs[name].again()
	spare("")
	c.parked(name)
	if out := c.verb(0, "machine", "ls", "--json", "--nats", c.url()); !bytes.Contains(out, []byte(`"replaced":true`)) {
		c.t.Errorf("nobody says that %s is new: %s", name, out)
	}
	if n := drinks(c.plants[name]) - before; n > 0 {
		c.t.Errorf("%s is new, and poured %d before anybody had looked at it", name, n)
	}
}

// falls has a machine's link fall silent while it is idle, so that the next order may go
// into the silence, and says how long after that another machine has begun it; 0 where none
// did.
func (c *cafe5) falls(name string) (took time.Duration) {
	c.t.Helper()
	c.wires[name].silence(true)
	n := len(c.ordered())
	for range 20 * time.Second / every { // AckWait, and something
		c.next()
	}
	c.wires[name].silence(false)
	for _, id := range c.ordered()[n:] {
		c.eventually("a cup", func() bool { return c.phase(id).Ended() || c.phase(id) == fleet.Unknown })
		all, err := c.conn.Book().History(c.t.Context(), id)
		if err != nil {
			c.t.Fatal(err)
		}
		took = max(took, c.begun(id).Sub(all[0].Written))
	}
	return took
}

func (c *cafe5) ordered() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.placed)
}

// begun is when the book had an order's first brew.
func (c *cafe5) begun(order string) time.Time {
	all, err := c.conn.Book().History(context.WithoutCancel(c.t.Context()), order)
	if err != nil {
		return time.Time{}
	}
	for _, e := range all {
		if e.Phase == fleet.Brewing {
			return e.Written
		}
	}
	return time.Time{}
}

// judge looks at what became of every order: none lost, none poured twice, none later than
// it was promised and a dead machine's lease.
func (c *cafe5) judge() {
	t := c.t
	unknown, failed, broken, longest := 0, 0, 0, time.Duration(0)
	spoiled := map[string]int{} // tries of an order
	for _, id := range c.ordered() {
		c.eventually(id+" to come out", func() bool { p := c.phase(id); return p.Ended() || p == fleet.Unknown })
		all, err := c.conn.Book().History(t.Context(), id)
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %v", id, err)
		}
		last := all[len(all)-1]
		switch last.Phase {
		case fleet.Served:
		case fleet.Unknown:
			unknown++
		case fleet.Failed: // on a computer that was too slow, twice
			failed++
			spoiled[id]++
		default:
			t.Errorf("%s came out %s: %s", id, last.Phase, last.Reason.Text)
		}
		for _, p := range last.Past {
			if p.Outcome == fleet.Spoiled {
				spoiled[id]++
			}
		}
		broken += spoiled[id]
		wait := c.begun(id).Sub(all[0].Written)
		longest = max(longest, wait)
		high := time.Duration(last.Answer.ETA[1]) * time.Second
		// Half a minute is the computer's own.
		if most := high + fleet.AckWait + fleet.Lease + 2*time.Second + 30*time.Second; wait > most {
			t.Errorf("%s was begun after %v, at most %v", id, wait, most)
		}
	}
	c.emptyQueues()
	served := len(c.ordered()) - unknown - failed
	poured, cups := map[string]int{}, 0
	for _, name := range c.names {
		n := c.plants[name].Counts()
		cups += n.Drinks
		if n.InFullCup > 0 || len(n.OnNow()) > 0 {
			t.Errorf("%s: %+v", name, n)
		}
		for _, l := range pourLines(t, c.procs[name].spec.Trace) {
			if l.part == "pump" {
				poured[l.order]++
			}
		}
	}
	for order, n := range poured {
		if n > 1+spoiled[order] {
			t.Errorf("%s was poured %d times", order, n)
		}
	}
	if cups < served || cups > served+unknown+broken {
		t.Errorf("%d cups were poured, %d served, %d unknown, %d spoiled", cups, served, unknown, broken)
	}
	t.Logf("%d orders, %d served, %d unknown, %d cups; the longest wait until a machine began: %v", len(c.ordered()), served, unknown, cups, longest.Round(time.Millisecond))
}

// TestFiveMachines takes machines of a busy shop out of service, replaces one and kills one,
// by verb and by the page, while the others serve.
func TestFiveMachines(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	c := openFive(t)
	c.login()
	ctx, cancel := context.WithCancel(t.Context())
	var customers sync.WaitGroup
	customers.Go(func() { c.load(ctx) })
	customers.Go(func() { c.person(ctx) })
	defer customers.Wait()
	defer cancel()
	for round := range *fiveRounds {
		c.machineVerb(0, "cordon", "m1", "--reason", "a test")
		c.press("drain", "m2")
		c.machineVerb(0, "drain", "m3", "--reason", "a test", "--wait")
		c.idles("m1", "m2", "m3")
		c.machineVerb(term.ExitRefused, "drain", "m1", "--cancel") // nobody drains it
		c.machineVerb(0, "uncordon", "m1")
		c.replaced("m2", round)
		c.press("uncordon", "m2")
		c.machineVerb(0, "drain", "m3", "--cancel")
		c.serves("m1", "m2", "m3")
		order, took := c.dies("m4")
		t.Logf("killed -9 with %s in hand: another machine had begun it %v later", order, took.Round(time.Millisecond))
		if *fiveSilent {
			t.Logf("a link fell silent: the longest wait until a machine had begun was %v", c.falls("m5").Round(time.Millisecond))
		}
	}
	c.machineVerb(term.ExitNotFound, "drain", "m9", "--reason", "a test", "--wait")
	cancel()
	customers.Wait()
	c.procs["m5"].term()                                                                   // the person has gone, too
	c.machineVerb(0, "drain", "m5", "--reason", "it is away", "--wait", "--timeout", "1h") // at once
	c.judge()
}

// wire is a machine's connection to the broker, which may swallow what passes.
type wire struct {
	net.Listener
	to string

	mu     sync.Mutex
	silent chan struct{} // open while it is; nil: it is not
	conns  []net.Conn
}

// strung listens, and passes on.
func strung(t *testing.T, to string) *wire {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			wg.Go(func() { w.pass(far, near) })
			wg.Go(func() { w.pass(near, far) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.silence(false)
		w.mu.Lock()
		for _, c := range w.conns {
			c.Close()
		}
		w.mu.Unlock()
		wg.Wait()
	})
	return w
}

func (w *wire) silence(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case on && w.silent == nil:
		w.silent = make(chan struct{})
	case !on && w.silent != nil:
		close(w.silent)
		w.silent = nil
	}
}

// pass carries bytes one way until an end closes, and holds them back while it is silent.
func (w *wire) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	r := bufio.NewReaderSize(from, len(buf))
	for {
		n, err := r.Read(buf)
		w.mu.Lock()
		silent := w.silent
		w.mu.Unlock()
		if silent != nil {
			<-silent
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
