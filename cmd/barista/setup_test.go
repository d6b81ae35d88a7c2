package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"barista/cmd/barista/detect/detecttest"
	"barista/cmd/barista/term"
	"barista/configs"
	jurasim "barista/driver/jura/sim"
)

var updateSetup = flag.Bool("update-setup", false, "write the golden files of barista setup anew")

// barista runs one command line in this process.
func baristaHere(ctx context.Context, in io.Reader, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = execute(ctx, args, in, &o, &e)
	return code, o.String(), e.String()
}

// TestSetupFiles: the answers for each kind of machine make the golden files, and
// barista check finds nothing to say against them.
func TestSetupFiles(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	answers, err := filepath.Glob("testdata/setup/*.answers.yaml")
	if err != nil || len(answers) < 6 {
		t.Fatalf("%v, %v", answers, err)
	}
	seen := map[string]bool{}
	for _, path := range answers {
		name := strings.TrimSuffix(filepath.Base(path), ".answers.yaml")
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			code, out, errOut := baristaHere(t.Context(), strings.NewReader(""), "setup", "--answers", path, "--out", dir)
			if code != term.ExitOK {
				t.Fatalf("%d: %s%s", code, out, errOut)
			}
			var got bytes.Buffer
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				full := filepath.Join(dir, f.Name())
				b, err := os.ReadFile(full)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&got, "-- %s --\n%s", f.Name(), b)
				if st, err := os.Stat(full); err != nil || st.Mode().Perm() != 0o644 {
					t.Errorf("%s: %v, %v", f.Name(), st.Mode(), err)
				}
				if code, out, errOut := baristaHere(t.Context(), strings.NewReader(""), "check", full); code != term.ExitOK {
					t.Errorf("check: %s%s", out, errOut)
				}
				if c, err := configs.Load(full, loader()); err == nil && c.Machine != nil {
					seen[c.Machine.Driver] = true
				}
			}
			golden := filepath.Join("testdata/setup", name+".txt")
			if *updateSetup {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-update-setup writes it anew):\n%s", golden, diff)
			}
		})
	}
	for kind := range loader() {
		if !seen[kind] {
			t.Errorf("no answers for driver: %s", kind)
		}
	}
}

// session is a person at a pseudo-terminal.
type session struct {
	t      *testing.T
	term   *os.File
	mu     sync.Mutex
	screen strings.Builder
	seen   int
	more   chan struct{}
	code   chan int
	stop   context.CancelFunc
}

func newSession(t *testing.T, args ...string) *session {
	t.Helper()
	t.Setenv("TERM", "dumb")
	m, s, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	p := &session{t: t, term: m, more: make(chan struct{}, 1), code: make(chan int, 1), stop: stop}
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := m.Read(buf)
			p.mu.Lock()
			p.screen.Write(buf[:n])
			p.mu.Unlock()
			select {
			case p.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.code <- execute(ctx, args, s, s, s)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		_ = s.Close() // not before all was seen: what a terminal has not read yet may go with its other end
		reading.Wait()
		_ = m.Close()
		if t.Failed() {
			t.Log(p.screen.String())
		}
	})
	return p
}

// expect waits until this stands on the screen, behind what was seen before.
func (p *session) expect(want string) {
	p.t.Helper()
	late := time.After(30 * time.Second)
	for {
		p.mu.Lock()
		rest := p.screen.String()[p.seen:]
		i := strings.Index(rest, want)
		if i >= 0 {
			p.seen += i + len(want)
		}
		p.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-p.more:
		case <-late:
			p.t.Fatalf("%q did not come; the screen ends with %q", want, rest)
		}
	}
}

// answer waits for a question and answers it.
func (p *session) answer(question, answer string) {
	p.t.Helper()
	p.expect(question)
	if _, err := io.WriteString(p.term, answer+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *session) ends(code int) {
	p.t.Helper()
	select {
	case got := <-p.code:
		if got != code {
			p.t.Errorf("exit code %d, want %d", got, code)
		}
	case <-time.After(30 * time.Second):
		p.t.Fatal("it does not end")
	}
}

// filesIn lists a folder, which need not be there.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, d.Name())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fakeSystemctl puts one into PATH that notes what it was told.
func fakeSystemctl(t *testing.T, exit int) (log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	script := fmt.Sprintf("#!/bin/sh\necho \"$*\" >> '%s'\nexit %d\n", log, exit)
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return log
}

// TestSetupByHand is a person with a Jura: what was found is offered, wrong and
// unclear answers are asked again, the files are shown, and systemd starts them.
func TestSetupByHand(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	log := fakeSystemctl(t, 0)
	c := detecttest.New(t)
	m, err := jurasim.New(jurasim.Config{Count: 5})
	c.Must(err)
	life, die := context.WithCancel(context.Background())
	lived := make(chan error, 1)
	go func() { lived <- m.Run(life) }()
	t.Cleanup(func() {
		die()
		if err := <-lived; err != nil {
			t.Errorf("harm: %v", err)
		}
	})
	port := c.Plug("ttyUSB0", "0403", "6001", "A1", "FT232R USB UART", detecttest.Play(t, m.Serve))
	c.Must(os.MkdirAll(filepath.Join(c.Root, "run/systemd/system"), 0o700))
	etc := filepath.Join(c.Root, "etc/barista")

	p := newSession(t, "setup", "--root", c.Root)
	p.answer("look for machines and boards on this computer first (yes, no) [yes]: ", "")
	p.expect("a Jura E6 (2019) (EF532M); it can be ordered from")
	p.answer("name of this machine, unique in the fleet: a-z, 0-9 and -: ", "shop")
	p.expect("that is what the shop's own file is called")
	p.answer("-: ", "rosa")
	p.answer("how it is wired (gpio, jura, lcus, mock, modbus) [jura]: ", "")
	p.answer("beans in its hopper [arabica]: ", "")
	p.answer("milk it can serve [free]: ", "")
	p.answer("sizes (small, medium, large) [small medium large]: ", "small, tiny")
	p.expect(`"tiny" is not one of small, medium, large`)
	p.answer("large]: ", "small, large")
	p.answer("how it knows that a cup stands there (page, attended): ", "")
	p.expect("this has no usual answer; ? explains")
	p.answer("(page, attended): ", "?")
	p.expect("Hot coffee without an empty cup below it is an accident")
	p.answer("(page, attended): ", "attended")
	p.answer("serial port, by a name that stays the same ["+port+"]: ", "/dev/ttyUSB0")
	p.expect("is another device whenever the order of plugging changes")
	p.answer("]: ", "1")
	p.answer("its model, as it answers TY: (EF532M) [EF532M]: ", "")
	p.answer("number on its type plate: ", "15326-0000000")
	p.answer("its product for a small (espresso) [espresso]: ", "")
	p.answer("how often it makes that for the 9 g of a small [1]: ", "")
	p.answer("its product for a large (espresso) [espresso]: ", "")
	p.answer("how often it makes that for the 30 g of a large [3]: ", "")
	p.answer("where the shop is (its broker, stock and website) (here, elsewhere): ", "here")
	p.answer("address of the shop's website [127.0.0.1:8080]: ", "")
	p.answer("orders on a busy day [500]: ", "many")
	p.expect("give a whole number from 1 to 100000")
	p.answer("[500]: ", "")
	p.answer("arabica in stock now, in g [0]: ", "1000")
	p.answer("sugar in stock now, in doses [0]: ", "")
	if names := filesIn(t, etc); len(names) > 0 {
		t.Errorf("written before it was agreed to: %v", names)
	}
	p.answer("write "+etc+"/shop.yaml (yes, no) [no]: ", "yes")
	p.answer("write "+etc+"/rosa.yaml (yes, no) [no]: ", "yes")
	p.answer("start the services now, and at every boot (yes, no) [no]: ", "yes")
	p.expect("started: barista@shop, barista@rosa")
	p.expect("the page: http://127.0.0.1:8080")
	p.ends(term.ExitOK)
	if names := filesIn(t, etc); !slices.Equal(names, []string{"rosa.yaml", "shop.yaml"}) {
		t.Errorf("%v", names)
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != "enable --now barista@shop barista@rosa\n" {
		t.Errorf("systemctl: %q, %v", b, err)
	}
	f, err := configs.Load(filepath.Join(etc, "rosa.yaml"), loader())
	if err != nil {
		t.Fatal(err)
	}
	if p := f.Machine.Products["large"]; p.Cycles != 3 || !strings.Contains(string(f.Text), "port: "+port+"\n") || !strings.Contains(string(f.Text), "model: EF532M\n") {
		t.Errorf("%s", f.Text)
	}
	detecttest.Untouched(t, m.Plant(), "jura")

	// A second machine beside it: the shop stays as it is.
	before, err := os.ReadFile(filepath.Join(etc, "shop.yaml"))
	c.Must(err)
	p = newSession(t, "setup", "--root", c.Root)
	p.answer("first (yes, no) [yes]: ", "no")
	p.answer("and -: ", "maya")
	p.answer("how it is wired (gpio, jura, lcus, mock, modbus): ", "mock")
	p.answer("[arabica]: ", "")
	p.answer("[free]: ", "")
	p.answer("large]: ", "")
	p.answer("(sensor, dispenser, page, attended): ", "sensor")
	p.answer("(here, elsewhere): ", "here")
	p.answer("set it up anew (yes, no) [no]: ", "")
	p.answer("maya.yaml (yes, no) [no]: ", "yes")
	p.answer("start the services now, and at every boot (yes, no) [no]: ", "")
	p.expect("sudo systemctl enable --now barista@maya")
	p.ends(term.ExitOK)
	if after, err := os.ReadFile(filepath.Join(etc, "shop.yaml")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the shop's file changed: %v", err)
	}
	if b, _ := os.ReadFile(log); strings.Count(string(b), "\n") != 1 {
		t.Errorf("nobody said yes: %s", b)
	}
}

// setupTyped are the answers of a person who sets a machine on an LCUS board up,
// a line each.
var setupTyped = []string{
	"no", "leo", "lcus", "arabica", "free", "small", "attended",
	"/dev/serial/by-path/usb-1", "4", "none", "sugar", "1", "2", "none", "Zoe, who stands by", "3", "assumed",
	"elsewhere", "nats://shop.local:4222", "yes",
}

// TestSetupInterrupted: after any answer the person goes away (the input ends),
// or presses Ctrl-C. Nothing is written.
func TestSetupInterrupted(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	for n := range setupTyped {
		dir := filepath.Join(t.TempDir(), "etc")
		code, out, errOut := baristaHere(t.Context(), strings.NewReader(strings.Join(setupTyped[:n], "\n")+"\n"), "setup", "--out", dir)
		if code != term.ExitFailed || !strings.Contains(errOut, "nothing was written") {
			t.Errorf("after %d answers: %d, %s", n, code, errOut)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("after %d answers there is %v\n%s", n, filesIn(t, dir), out)
		}
	}
	dir := filepath.Join(t.TempDir(), "etc")
	code, out, errOut := baristaHere(t.Context(), strings.NewReader(strings.Join(setupTyped, "\n")+"\n"), "setup", "--out", dir)
	if code != term.ExitOK || !slices.Equal(filesIn(t, dir), []string{"leo.yaml"}) {
		t.Fatalf("after all of them: %d, %s%s", code, out, errOut)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "leo.yaml")); !strings.Contains(string(b), `pump: {relay: 2, max_on: 60s, inrush: a, deadman: none, accept_no_deadman: "Zoe, who stands by"}`) {
		t.Errorf("%s", b)
	}

	dir = filepath.Join(t.TempDir(), "etc")
	p := newSession(t, "setup", "--out", dir)
	p.answer("[yes]: ", "no")
	p.expect("and -: ")
	p.stop() // what Ctrl-C does
	p.expect("interrupted; nothing was written")
	p.ends(term.ExitFailed)
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%v", filesIn(t, dir))
	}
}
