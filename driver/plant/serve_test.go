package plant

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver"
)

// process serves a plant on a real socket until the test ends or stop is called.
func process(t *testing.T, p *Plant, path string) (stop func()) {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, p) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func socket(t *testing.T) string { return filepath.Join(t.TempDir(), "plant.sock") }

func dial(t *testing.T, path string) *Remote {
	t.Helper()
	r, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func ok(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// until asks again until it is so; the plant's time is real here.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	late := time.After(30 * time.Second)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for !is() {
		select {
		case <-late:
			t.Fatalf("%s: not after 30 s", what)
		case <-again.C:
		}
	}
}

func fast() Config {
	c := Default()
	c.Speed = 1000
	return c
}

// Every method of a plant reaches it over the socket, and its answer comes back.
func TestRemote(t *testing.T) {
	p := New(fast())
	path := socket(t)
	process(t, p, path)
	r := dial(t, path)

	c, err := r.Config()
	ok(t, err)
	if d := cmp.Diff(p.Config(), c); d != "" {
		t.Error(d)
	}
	ok(t, r.PlaceCup())
	if v, err := r.Read(driver.Cup); v != 1 || err != nil {
		t.Errorf("cup %v %v", v, err)
	}
	ok(t, r.OnFor(driver.Grinder, 10*time.Millisecond))
	until(t, "the grinder goes off by the board's timer", func() bool { return !p.On(driver.Grinder) })
	ok(t, r.Set(driver.Pump, true))
	until(t, "a drink", func() bool {
		c, err := r.Counts()
		ok(t, err)
		return c.Drinks == 1
	})
	ok(t, r.Set(driver.Pump, false))
	cup, there, err := r.TakeCup()
	ok(t, err)
	if !there || cup.Drinks != 1 {
		t.Errorf("cup %+v %v", cup, there)
	}
	if _, there, err := r.TakeCup(); there || err != nil {
		t.Errorf("a second cup: %v %v", there, err)
	}
	poured, err := r.Poured()
	ok(t, err)
	flows, err := r.Flows()
	ok(t, err)
	edges, err := r.Edges()
	ok(t, err)
	if d := cmp.Diff(p.Poured(), poured); d != "" || len(poured) != 1 {
		t.Error(d, poured)
	}
	if d := cmp.Diff(p.Flows(), flows); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(p.Edges(), edges); d != "" || len(edges) != 4 {
		t.Error(d, edges)
	}

	open := Fault{Kind: SensorOpen, Signal: driver.Flow}
	ok(t, r.Fault(open), r.Fault(Fault{Kind: Jam}))
	if v, err := r.Read(driver.Flow); !errors.Is(err, driver.ErrInvalid) || errors.Is(err, driver.ErrGone) || v != 0 {
		t.Errorf("an open sensor reads %v, %v", v, err)
	}
	ok(t, r.Mend(open))
	if c, err := r.Counts(); err != nil || cmp.Diff([]string{"jam"}, c.Faults) != "" {
		t.Errorf("faults %v %v", c.Faults, err)
	}
	ok(t, r.Clear(), r.Refill())
	if c, err := r.Counts(); err != nil || c.Faults != nil || c.Mass.TankML != 1800 {
		t.Errorf("%+v %v", c, err)
	}

	for what, err := range map[string]error{
		"a part that is not there": r.Set(driver.Rinse, true), "in memory": p.Handle().Set(driver.Rinse, true),
		"a fault without its part": r.Fault(Fault{Kind: Stuck}), "fault in memory": p.Handle().Fault(Fault{Kind: Stuck}),
		"no time": r.OnFor(driver.Pump, -1),
	} {
		if err == nil || errors.Is(err, driver.ErrGone) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(p.Counts().Harm) > 0 {
		t.Error(p.Counts().Harm)
	}
}

// A client dies in mid-pour. Nobody is there to stop the pump: it goes on, the
// cup runs over, and all of it is counted. The next client can end it.
func TestClientDies(t *testing.T) {
	c := fast()
	c.CupML = 100
	p := New(c)
	path := socket(t)
	process(t, p, path)
	r := dial(t, path)
	ok(t, r.PlaceCup(), r.OnFor(driver.Grinder, 8*time.Millisecond))
	until(t, "ground", func() bool { return !p.On(driver.Grinder) })

	// Its last word was cut off in the middle: it is not obeyed.
	dying, err := net.Dial("unix", path)
	ok(t, err)
	_, err = dying.Write([]byte(`{"do":"set","part":"pump","on":true,"from":"dying","seq":1}` + "\n" + `{"do":"set","part":"milk","on":true,"from":"dying","seq":2}`))
	ok(t, err)
	until(t, "the pump is on", func() bool { return p.On(driver.Pump) })
	ok(t, dying.Close())

	until(t, "the cup runs over", func() bool {
		c, err := r.Counts()
		ok(t, err)
		return c.Mass.CoffeeTrayML > 0
	})
	ok(t, r.Set(driver.Pump, false))
	counts, err := r.Counts()
	ok(t, err)
	if counts.InCup != 1 || counts.Drinks != 1 || counts.On[driver.Milk] || len(counts.OnNow()) > 0 {
		t.Errorf("%+v", counts)
	}
	poured, err := r.Poured()
	ok(t, err)
	if poured[0].SpiltML <= 0 || poured[0].CoffeeML < 100 {
		t.Errorf("%v", poured[0])
	}
	if err := balance(p); err != nil {
		t.Error(err)
	}
}

// The process goes away and comes back: clear errors, then the same client works
// again.
func TestProcessGone(t *testing.T) {
	p := New(fast())
	path := socket(t)
	if _, err := Dial(path); !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), path) {
		t.Errorf("nobody there: %v", err)
	}
	stop := process(t, p, path)
	r := dial(t, path)
	ok(t, r.Set(driver.Pump, true))
	stop()
	if err := r.Set(driver.Pump, false); !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), path) {
		t.Errorf("off to nobody: %v", err)
	}
	if _, err := r.Poured(); !errors.Is(err, driver.ErrGone) {
		t.Errorf("a list from nobody: %v", err)
	}
	if _, _, err := r.TakeCup(); !errors.Is(err, driver.ErrGone) {
		t.Errorf("a cup from nobody: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	process(t, p, path)
	ok(t, r.Set(driver.Pump, false))
	if p.On(driver.Pump) {
		t.Error("the pump is on")
	}
	ok(t, r.Close())
	if err := r.Set(driver.Pump, true); err == nil || p.On(driver.Pump) {
		t.Errorf("on after close: %v", err)
	}
}

// A connection that waited for the next call may be dead by then: the call goes
// over a new one, and nobody notices.
func TestRestartBetweenCalls(t *testing.T) {
	path := socket(t)
	stop := process(t, New(fast()), path)
	r := dial(t, path)
	ok(t, r.Set(driver.Pump, true))
	stop()
	p := New(fast())
	process(t, p, path)
	ok(t, r.Set(driver.Pump, true))
	if !p.On(driver.Pump) {
		t.Error("the pump is off")
	}
}

// A process that hangs: the call gives up in time to tell the guard.
func TestProcessHangs(t *testing.T) {
	path := socket(t)
	l, err := Listen(path)
	ok(t, err)
	defer l.Close()
	r := &Remote{path: path, from: "test"}
	defer r.Close()
	began := time.Now()
	err = r.Set(driver.Pump, false)
	if took := time.Since(began); !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), "no answer") || took > 20*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}

// A process that hangs later, on a connection that has served before.
func TestProcessHangsLater(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	r := &Remote{path: "pipe", from: "test", idle: []*line{{Conn: ours, in: bufio.NewReader(ours)}}}
	defer r.Close()
	served := make(chan error, 1)
	go func() {
		in := bufio.NewReader(theirs)
		_, err := readLine(in, maxRequest)
		_, err2 := theirs.Write([]byte("{}\n"))
		_, err3 := readLine(in, maxRequest) // and no answer
		served <- errors.Join(err, err2, err3)
	}()
	ok(t, r.Set(driver.Pump, true))
	if err := r.Set(driver.Pump, false); !errors.Is(err, driver.ErrGone) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("off: %v", err)
	}
	ok(t, <-served)
}

// An "on" that nobody waits for any more must not win against the "off" that
// followed it over another connection.
func TestOvertaken(t *testing.T) {
	p := New(Default())
	s := server{p: p, last: make(map[sender]uint64)}
	say := func(text string) string {
		r, err := decodeRequest([]byte(text))
		ok(t, err)
		return s.answer(r).Error
	}
	if e := say(`{"do":"set","part":"pump","from":"a","seq":2}`); e != "" {
		t.Error(e)
	}
	if e := say(`{"do":"set","part":"pump","on":true,"from":"a","seq":1}`); e == "" || p.On(driver.Pump) {
		t.Errorf("a late on was obeyed: %q", e)
	}
	if e := say(`{"do":"on-for","part":"milk","at_most":1000000000,"from":"a","seq":1}`); e != "" || !p.On(driver.Milk) {
		t.Errorf("another part was refused: %q", e)
	}
	if e := say(`{"do":"set","part":"pump","on":true,"from":"b","seq":1}`); e != "" || !p.On(driver.Pump) {
		t.Errorf("another client was refused: %q", e)
	}
}

func TestListen(t *testing.T) {
	path := socket(t)
	l, err := Listen(path)
	ok(t, err)
	info, err := os.Stat(path)
	ok(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v", info.Mode())
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another process serves there") {
		t.Errorf("two plants on one socket: %v", err)
	}
	// A killed process leaves its socket behind.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	ok(t, l.Close())
	l, err = Listen(path)
	ok(t, err)
	ok(t, l.Close())

	ok(t, os.WriteFile(path, []byte("beans"), 0o600))
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another kind") {
		t.Errorf("over a file: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "beans" {
		t.Errorf("the file is now %q, %v", b, err)
	}
	if _, err := Listen(filepath.Join(path, "no", "folder")); err == nil {
		t.Error("in a folder that is none")
	}
}

// Many clients at once, for the race detector; the plant stays whole.
func TestManyClients(t *testing.T) {
	p := New(fast())
	path := socket(t)
	process(t, p, path)
	var all sync.WaitGroup
	for range 8 {
		r := dial(t, path)
		all.Go(func() {
			for n := range 50 {
				errs := []error{r.Set(driver.Pump, n%2 == 0), r.PlaceCup(), r.Fault(Fault{Kind: Jam}), r.Clear(), r.Refill()}
				_, e1 := r.Read(driver.Flow)
				_, _, e2 := r.TakeCup()
				_, e3 := r.Counts()
				if err := errors.Join(append(errs, e1, e2, e3)...); err != nil {
					// A busy computer may be late; a broken conversation is a fault.
					if !strings.Contains(err.Error(), "no answer within") && !strings.Contains(err.Error(), "faster") {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := balance(p); err != nil {
		t.Error(err)
	}
}

var badLines = []string{
	``, `null`, `[]`, `"set"`, `{`, `{}`, `{"do":"dance"}`, `{"do":"set"}`, `{"do":"set","part":"pump","on":true}`,
	`{"do":"set","part":"pump","on":"yes","from":"a","seq":1}`, `{"do":"set","part":"pump","from":"a","seq":-1}`,
	`{"do":"set","part":"pump","from":"a","seq":1,"at_most":5}`, `{"do":"on-for","part":"pump","from":"a","seq":1}`,
	`{"do":"on-for","part":"pump","from":"a","seq":1,"at_most":-5}`, `{"do":"on-for","part":"pump","from":"a","seq":1,"at_most":9000000000000000}`,
	`{"do":"read","signal":"flow","part":"pump"}`, `{"do":"fault"}`, `{"do":"fault","fault":"stuck"}`, `{"do":"counts","on":true}`,
	`{"do":"counts"}{"do":"counts"}`, `{"do":"counts","why":1}`, strings.Repeat("[", 1500), `{"do":"set","part":"pump","from":"` + strings.Repeat("a", 65) + `","seq":1}`,
}

// What it does not understand does nothing, is answered, and the conversation
// goes on.
func TestBadLines(t *testing.T) {
	p := New(Default())
	s := server{p: p, last: make(map[sender]uint64)}
	var out bytes.Buffer
	in := strings.Join(badLines, "\n") + "\n" + `{"do":"read","signal":"tank"}` + "\n"
	if err := s.converse(strings.NewReader(in), &out); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	answers := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(answers) != len(badLines)+1 {
		t.Fatalf("%d answers to %d lines", len(answers), len(badLines)+1)
	}
	for n, a := range answers[:len(badLines)] {
		if !strings.HasPrefix(a, `{"error":"`) {
			t.Errorf("%s is answered %s", badLines[n], a)
		}
	}
	if a := answers[len(badLines)]; a != `{"value":1}` {
		t.Errorf("the good one is answered %s", a)
	}
	if p.Counts().Edges > 0 || len(p.Counts().Harm) > 0 {
		t.Error("something moved")
	}
	// A line without an end is cut off where it is too long.
	err := s.converse(io.MultiReader(strings.NewReader(strings.Repeat("x", maxRequest)), strings.NewReader("yz\n")), &out)
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Error(err)
	}
}

// Anything may come over the socket.
func FuzzConversation(f *testing.F) {
	for _, l := range badLines {
		f.Add([]byte(l + "\n"))
	}
	for _, v := range verbs {
		f.Add([]byte(`{"do":"` + v + `"}` + "\n"))
	}
	f.Add([]byte(`{"do":"set","part":"pump","on":true,"from":"a","seq":1}` + "\n" + `{"do":"fault","fault":"stuck:pump"}` + "\n"))
	f.Add([]byte(`{"do":"on-for","part":"milk","at_most":5,"from":"a","seq":1}` + "\n" + `{"do":"read","signal":"cup"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		p := New(Default())
		s := server{p: p, last: make(map[sender]uint64)}
		var out bytes.Buffer
		if err := s.converse(bytes.NewReader(in), &out); err == nil {
			t.Error("the conversation never ends")
		}
		if err := balance(p); err != nil {
			t.Error(err)
		}
		if harm := p.Counts().Harm; len(harm) > 0 {
			t.Errorf("harm by a line: %v", harm)
		}
		lines := bytes.Count(in, []byte("\n"))
		answers := bufio.NewScanner(&out)
		answers.Buffer(nil, maxAnswer)
		for answers.Scan() {
			lines--
			if _, err := decodeAnswer(answers.Bytes()); err != nil {
				t.Errorf("%q: %v", answers.Text(), err)
			}
		}
		if lines < 0 {
			t.Error("more answers than lines")
		}
	})
}

// What is a request stays the same when it is written again.
func FuzzRequest(f *testing.F) {
	for _, l := range badLines {
		f.Add([]byte(l))
	}
	f.Add([]byte(`{"do":"on-for","part":"milk","at_most":5,"from":"a","seq":1}`))
	f.Add([]byte(`{"do":"mend","fault":"sensor-open:flow"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := decodeRequest(line)
		if err != nil {
			return
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeRequest(b)
		if err != nil || again != r {
			t.Errorf("%s became %s: %v", line, b, err)
		}
	})
}

// Whatever a process answers, the client neither panics nor believes it.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"value":1}` + "\n"))
	f.Add([]byte(`{"error":"no","code":"invalid"}` + "\n"))
	f.Add([]byte(`{"counts":{"drinks":1,"on":{"pump":true}}}` + "\n"))
	f.Add([]byte(`{"pours":[{"n":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		line, err := readLine(bufio.NewReaderSize(bytes.NewReader(b), 16), 64)
		if err != nil {
			return
		}
		if len(line) > 64 || bytes.IndexByte(line, '\n') >= 0 {
			t.Errorf("a line of %d: %q", len(line), line)
		}
		if a, err := decodeAnswer(line); err == nil && a.Error != "" && refusal(a) == nil {
			t.Error("an error is not said")
		}
	})
}
