package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"barista/cmd/barista/term"
	"barista/configs"
	"barista/driver"
	"barista/machine/station"
)

// TestSafeOff follows a machine through what the stop-post meets: no service was
// ever there, one drives it, one was killed and its file has been changed since,
// and nothing is known any more.
func TestSafeOff(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	s := newSite(t)
	p, sock := s.plant("zoe", 1)
	text := fmt.Sprintf(`state: %s
nats: {servers: ["%s"]}
machine:
  name: zoe
  driver: mock
  plant: %s
  cup: sensor
  serves: {beans: [arabica], milk: [free], sizes: [small]}
`, filepath.Join(s.dir, "zoe"), s.url(), sock)
	path := s.write("zoe", text)
	state := filepath.Join(s.dir, "zoe")

	leaveOn := func() {
		t.Helper()
		for _, part := range []driver.Part{driver.Pump, driver.Grinder} {
			if err := p.Handle().Set(part, true); err != nil {
				t.Fatal(err)
			}
		}
	}
	on := func() (list []string) {
		for part, on := range p.Counts().On {
			if on {
				list = append(list, string(part))
			}
		}
		return list
	}
	rest := func(what string) rested {
		t.Helper()
		list, err := safeOff(path)
		if err != nil || len(list) != 1 {
			t.Fatalf("%s: %+v %v", what, list, err)
		}
		return list[0]
	}

	leaveOn()
	if r := rest("before any service"); !r.Off || r.Busy || len(on()) > 0 {
		t.Errorf("before any service: %+v, on: %v", r, on())
	}
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made a state folder that the service could not open: %v", err)
	}
	leaveOn()
	path = s.write("zoe", strings.Replace(text, "nats:", "web: {lisen: 8080}\nnats:", 1))
	if r := rest("another section is wrong"); !r.Off || len(on()) > 0 {
		t.Errorf("another section is wrong: %+v, on: %v", r, on())
	}
	path = s.write("zoe", text)

	zoe := s.start("zoe", child{Config: path})
	s.eventually("zoe to drive", func() bool { return strings.Contains(zoe.log(), "state=ready") })
	leaveOn()
	edges := p.Counts().Edges
	if r := rest("while a service drives"); r.Off || !r.Busy || p.Counts().Edges != edges {
		t.Errorf("while a service drives: %+v, %d edges", r, p.Counts().Edges-edges)
	}
	zoe.kill()

	// What a person did to the file meanwhile, and a journal that broke.
	s.write("zoe", strings.Replace(text, "driver: mock", "driver: mokc", 1))
	if err := os.WriteFile(filepath.Join(station.Folder(state, "zoe"), "journal"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if len(on()) != 2 {
		t.Fatalf("a killed process leaves its outputs as they are; on: %v", on())
	}
	begun := time.Now()
	if r := rest("after kill -9"); !r.Off || r.Machine != "zoe" || len(on()) > 0 {
		t.Errorf("after kill -9: %+v, on: %v", r, on())
	}
	t.Logf("at rest %v after the call", time.Since(begun))

	if err := os.Remove(station.Copies(state)[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := safeOff(path); err == nil || explain(err).Exit != term.ExitFailed || !strings.Contains(err.Error(), "not known what may be on") {
		t.Errorf("nothing is known: %v", err)
	}
	s.write("zoe", strings.Replace(text, sock, filepath.Join(s.dir, "nobody.sock"), 1))
	if r := rest("no metal"); r.Off || !strings.Contains(r.Error, "may be on") {
		t.Errorf("metal that does not answer: %+v", r)
	}
	s.write("zoe", "state: "+state+"\nbroker: {listen: none, keys: none}\ncontroller: {}\n")
	if list, err := safeOff(path); err != nil || len(list) != 0 {
		t.Errorf("a shop: %+v %v", list, err)
	}
	if _, err := safeOff(filepath.Join(s.dir, "none.yaml")); err == nil {
		t.Error("a file that is not there")
	}
}

// A clean end leaves nothing over that a later safe-off would go by.
func TestRunningCopy(t *testing.T) {
	t.Setenv(configs.EnvNATS, "")
	s := newSite(t)
	_, sock := s.plant("zoe", 1)
	zoe := s.machine("zoe", sock, "", []string{"arabica"})
	state := filepath.Join(s.dir, "zoe")
	s.eventually("zoe to drive", func() bool { return strings.Contains(zoe.log(), "state=ready") })
	copied := station.Copies(state)
	if len(copied) != 1 {
		t.Fatalf("copies of the file: %v", copied)
	}
	was, err := os.ReadFile(copied[0])
	now, err2 := os.ReadFile(zoe.spec.Config)
	if err != nil || err2 != nil || string(was) != string(now) {
		t.Errorf("the copy is another: %v %v", err, err2)
	}
	zoe.term()
	if copied := station.Copies(state); len(copied) > 0 {
		t.Errorf("left over: %v", copied)
	}
}

// TestMachineBeforeShop starts a machine whose shop is not there, and then the
// shop: the machine finds it and serves.
func TestMachineBeforeShop(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	s := newSite(t)
	beans := []string{"arabica"}
	p, sock := s.plant("zoe", 5)
	zoe := s.machine("zoe", sock, "", beans)
	s.eventually("zoe to miss its shop", func() bool { return strings.Contains(zoe.log(), "its shop is not there") })
	if zoe.ended() {
		t.Fatal("a machine ended because its shop is not there")
	}
	s.shop("", beans)
	s.order(testID(1), "arabica")
	s.eventually("the drink", func() bool { return drinks(p) == 1 })
	zoe.term()
	if code := zoe.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
