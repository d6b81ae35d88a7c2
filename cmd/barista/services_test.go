package main

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"barista/fleet"
)

// TestServicesShareTheWork runs shop and machines as processes over TCP: a
// second machine that starts later shares the work, and the first, told to end,
// finishes the drink in its hand. No order is lost and none is poured twice.
func TestServicesShareTheWork(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	t.Parallel()
	s := newSite(t)
	beans := []string{"arabica"}
	s.shop("", beans)
	p1, sock1 := s.plant("zoe", 5)
	p2, sock2 := s.plant("leo", 5)
	zoe := s.machine("zoe", sock1, "", beans)
	const n = 8
	for i := range n {
		s.order(testID(i), "arabica")
	}
	s.eventually("zoe to begin", func() bool { return drinks(p1) >= 1 })
	s.machine("leo", sock2, "", beans)
	s.eventually("leo to help", func() bool { return drinks(p2) >= 1 })
	s.eventually("zoe to be in the middle of a drink", func() bool { return p1.Counts().On["pump"] })
	before := drinks(p1)
	zoe.term()
	c := p1.Counts()
	for part, on := range c.On {
		if on {
			t.Errorf("%s is on after zoe has ended", part)
		}
	}
	if c.Drinks < before || c.Partial != 0 {
		t.Errorf("zoe's drink was cut: %+v", c)
	}
	for i := range n {
		s.eventually("all served", func() bool { return s.phase(testID(i)) == fleet.Served })
	}
	if got := drinks(p1) + drinks(p2); got != n {
		t.Errorf("%d poured for %d orders", got, n)
	}
	here, err := s.conn.Fleet().Present(t.Context())
	if err != nil || len(here) != 1 || here[0].Machine != "leo" {
		t.Errorf("who is here after zoe has left: %+v %v", here, err)
	}
}

// TestOneMachineOneProcess starts the same machine twice: the second ends before
// it touches anything.
func TestOneMachineOneProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes: not with -short")
	}
	s := newSite(t)
	beans := []string{"arabica"}
	s.shop("", beans)
	p, sock := s.plant("zoe", 20)
	zoe := s.machine("zoe", sock, "", beans)
	s.eventually("zoe", func() bool {
		here, err := s.conn.Fleet().Present(t.Context())
		return err == nil && len(here) == 1
	})
	edges := p.Counts().Edges
	twin := &running{site: s, name: "twin", spec: zoe.spec}
	twin.again()
	s.within(20*time.Second, "the second one to give up", twin.ended)
	if twin.cmd.ProcessState.ExitCode() == 0 {
		t.Error("the second one ended as if all were well")
	}
	t.Log(twin.log())
	if got := p.Counts().Edges; got != edges {
		t.Errorf("the second one switched %d times", got-edges)
	}
	s.order(testID(1), "arabica")
	s.eventually("the cup of the first", func() bool { return s.phase(testID(1)) == fleet.Served })
}

// TestServicesSayWhoTheyAre: each role of a shop, to whoever asks as `nats micro info` does.
func TestServicesSayWhoTheyAre(t *testing.T) {
	h := openHouse(t, demo{http: "none", nats: "127.0.0.1:0", machines: 1, speed: 100, cups: "auto"}, nil)
	h.ready()
	answers, err := h.conn.AskAll(t.Context(), "$SRV.INFO", nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, a := range answers {
		var got struct {
			Name, Version string
			Metadata      map[string]string
		}
		if err := json.Unmarshal(a, &got); err != nil {
			t.Fatal(err)
		}
		role, machine := got.Name, ""
		if got.Name == h.machines[0].file.Name {
			role, machine = "machine", got.Name
		}
		m := got.Metadata
		if m["role"] != role || m["machine"] != machine || m["program"] != "barista" || m["program_version"] != thisBuild().Version || m["shop"] != filepath.Base(h.file.State) || got.Version == "1.0.0" {
			t.Errorf("%s", a)
		}
		seen[role]++
	}
	if seen["controller"] == 0 || seen["machine"] == 0 {
		t.Errorf("%v", seen)
	}
}
