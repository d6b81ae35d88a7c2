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
	"barista/fleet/client"
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
	held   map[string]bool // machines that nobody starts again
}

// every is how often somebody orders: two of five machines are enough.
const every = 2 * time.Second

// openFive opens it. The machines reach the broker each over a wire of its own.
func openFive(t *testing.T) *cafe5 {
	web := freePort(t)
	c := &cafe5{site: newSite(t), page: fmt.Sprintf("http://127.0.0.1:%d", web), procs: map[string]*running{}, plants: map[string]*plant.Plant{}, wires: map[string]*wire{}, held: map[string]bool{}}
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

// next are some orders that are placed from now on.
func (c *cafe5) next(some int) []string {
	from := len(c.ordered()) + 1 // one may be on its way
	c.eventually("the next orders", func() bool { return len(c.ordered()) >= from+some })
	return c.ordered()[from : from+some]
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
	c.browser = enter(c.t, c.page, filepath.Join(c.dir, "shop.yaml"))
}

// enter is a browser in which an operator of the shop of that file is logged in.
func enter(t *testing.T, page, config string) *http.Client {
	t.Helper()
	var given struct{ Code string }
	out, err := asMain("operator", "add", "ada", "--json", "--config", config).Output()
	if err == nil {
		err = json.Unmarshal(out, &given)
	}
	if err != nil {
		t.Fatal(err)
	}
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	const password = "a grinder of one's own"
	if code, _, at := pressed(t, browser, page+"/login/code", url.Values{"code": {given.Code}, "name": {"ada"}, "password": {password}, "again": {password}, "to": {"/fleet"}}); code != http.StatusOK || at != "/fleet" {
		t.Fatalf("nobody is logged in: %d at %s", code, at)
	}
	return browser
}

// pressed sends a form, and returns the page that came, and its path.
func pressed(t *testing.T, browser *http.Client, to string, form url.Values) (code int, text, path string) {
	t.Helper()
	res, err := browser.PostForm(to, form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Request.URL.Path
}

// press is a button of the machines' page, with its tick where there is one.
func (c *cafe5) press(want int, act, machine string, ticks ...string) {
	c.t.Helper()
	form := url.Values{"machine": {machine}, "reason": {"a test"}}
	for _, tick := range ticks {
		form.Set(tick, "yes")
	}
	if code, text, _ := pressed(c.t, c.browser, c.page+"/fleet/"+act, form); code != want {
		c.t.Errorf("%s %s: %d, want %d\n%s", act, machine, code, want, text)
	}
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
		if !c.held[name] && m.ended() {
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
	for _, id := range c.next(2) {
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
	before := map[string]int{}
	for _, name := range names {
		before[name] = drinks(c.plants[name])
	}
	for name, n := range before {
		c.eventually(name+" to pour again", func() bool { return drinks(c.plants[name]) > n })
	}
}

// hold says whether a machine that has ended stays so.
func (c *cafe5) hold(name string, held bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[name] = held
}

// dies kills a machine at the moment at which it gets an order, and says which, and how
// long after its death another one has begun it.
func (c *cafe5) dies(name string) (order string, took time.Duration) {
	c.t.Helper()
	m := c.procs[name]
	c.hold(name, true)
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
	c.hold(name, false)
	return order, c.begun(order).Sub(was.ModTime())
}

// opened ends the services of machines that are drained, has a person do something to each,
// and starts them again: they pour nothing before somebody puts them back.
func (c *cafe5) opened(do map[string]func(name string)) {
	c.t.Helper()
	before := map[string]int{}
	for name := range do {
		c.hold(name, true)
		c.procs[name].term()
		before[name] = drinks(c.plants[name])
	}
	for name, change := range do {
		c.eventually(name+" to be away", func() bool { return !c.here(name) })
		change(name)
		c.procs[name].again()
		c.hold(name, false)
	}
	for name, n := range before {
		c.parked(name)
		if got := drinks(c.plants[name]); got != n {
			c.t.Errorf("%s poured %d before anybody had put it back", name, got-n)
		}
	}
}

// blank has a machine's next service be that of another computer: with the same name and
// plant, and nothing of what the old one has written down.
func (c *cafe5) blank(name string, round int) {
	c.t.Helper()
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
}

// known is what machine ls says of a machine.
func (c *cafe5) known(name string) (m client.Machine) {
	c.t.Helper()
	var list struct{ Machines []client.Machine }
	if err := json.Unmarshal(c.verb(0, "machine", "ls", "--json", "--nats", c.url()), &list); err != nil {
		c.t.Fatal(err)
	}
	i := slices.IndexFunc(list.Machines, func(m client.Machine) bool { return m.Machine == name })
	if i < 0 {
		c.t.Fatalf("machine ls has no %s", name)
	}
	return list.Machines[i]
}

// falls has a machine's link fall silent while it is idle, so that the next order may go
// into the silence, and says how long after that another machine has begun it; 0 where none
// did.
func (c *cafe5) falls(name string) (took time.Duration) {
	c.t.Helper()
	c.wires[name].silence(true)
	n := len(c.ordered())
	c.next(int(20 * time.Second / every)) // AckWait, and something
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

// TestFiveMachines cordons, drains, replaces, swaps and kills machines of a busy shop, by verb
// and by the page, while the others serve.
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
		c.round(round)
	}
	c.machineVerb(term.ExitNotFound, "drain", "m9", "--reason", "a test", "--wait")
	cancel()
	customers.Wait()
	c.procs["m5"].term()                                                                   // the person has gone, too
	c.machineVerb(0, "drain", "m5", "--reason", "it is away", "--wait", "--timeout", "1h") // at once
	c.judge()
}

// round takes each in its turn: m4 is killed, m1 is replaced by verb, m2 by the page, and m3
// gets another grinder. What m4 had in hand is out of the queue after AckWait: it is the
// first, so that nobody waits for that.
func (c *cafe5) round(n int) {
	t, why := c.t, []string{"--reason", "a test"}
	t.Helper()
	verb := func(want int, args ...string) { t.Helper(); c.machineVerb(want, append(args, why...)...) }
	order, took := c.dies("m4")
	t.Logf("killed -9 with %s in hand: another machine had begun it %v later", order, took.Round(time.Millisecond))
	verb(0, "cordon", "m1")
	c.press(http.StatusOK, "cordon", "m2")
	verb(0, "drain", "m3", "--wait")
	c.idles("m1", "m2", "m3")
	verb(term.ExitRefused, "retire", "m3") // its service runs, and there are no keys to take away
	c.press(http.StatusConflict, "replace", "m3")
	c.machineVerb(term.ExitRefused, "drain", "m1", "--cancel") // nobody drains it
	c.machineVerb(0, "uncordon", "m1")
	c.press(http.StatusOK, "uncordon", "m2")
	c.press(http.StatusOK, "drain", "m2")
	verb(0, "drain", "m1", "--wait")
	c.opened(map[string]func(string){
		"m1": func(name string) { verb(0, "replace", name); c.blank(name, n) },
		"m2": func(name string) { c.press(http.StatusOK, "replace", name); c.blank(name, n) },
		"m3": func(name string) {
			c.verb(0, append([]string{"machine", "swap", "--part", "grinder", "--config", filepath.Join(c.dir, name+".yaml")}, why...)...)
		},
	})
	for name, swapped := range map[string]bool{"m1": false, "m2": false, "m3": true} {
		if m := c.known(name); m.Replaced == swapped || swapped != slices.Equal(m.Swapped, []string{"grinder"}) {
			t.Errorf("%s comes back as %+v", name, m)
		}
	}
	c.machineVerb(term.ExitRefused, "uncordon", "m1") // nobody has looked at it
	c.press(http.StatusConflict, "uncordon", "m2")
	c.machineVerb(0, "uncordon", "m1", "--checked")
	c.press(http.StatusOK, "uncordon", "m2", "checked")
	c.machineVerb(0, "drain", "m3", "--cancel")
	c.serves("m1", "m2", "m3")
	if *fiveSilent {
		t.Logf("a link fell silent: the longest wait until a machine had begun was %v", c.falls("m5").Round(time.Millisecond))
	}
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
