package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"barista/driver/plant"
	"barista/fleet"
)

var chaosKills = flag.Int("chaos", 0, "how many random kill -9 TestChaos makes; make chaos takes 300")

// TestChaos kills random processes at random moments while orders come in, and
// starts them again as a service manager would. Nothing is poured twice, nothing
// is lost, and in the end every output is at rest.
func TestChaos(t *testing.T) {
	if *chaosKills == 0 {
		t.Skip("by hand: make chaos")
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d kills", seed, *chaosKills)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := newSite(t)
	beans := []string{"arabica", "robusta"}
	shop := s.shop("", beans)
	var plants []*plant.Plant
	var machines []*service
	for _, name := range []string{"zoe", "leo", "ada"} {
		p, sock := s.plant(name, 20)
		plants = append(plants, p)
		machines = append(machines, s.machine(name, sock, "", beans, 20*time.Second))
	}
	s.order(testID(9999), "arabica") // the machines are known

	var ids []string
	order := func() {
		id := testID(len(ids))
		body := fmt.Sprintf(`{"id":%q,"name":"Ada","size":"small","bean_type":%q,"milk":"free"}`, id, beans[rnd.IntN(2)])
		for range 200 { // asked until somebody knows, with the same id
			var a fleet.Answer
			b, err := s.conn.Requester().Request(t.Context(), fleet.SubjectRequests, []byte(body))
			if err == nil && json.Unmarshal(b, &a) == nil && a.Code != fleet.CodeUnavailable {
				if !a.OK() {
					t.Fatalf("%s: %+v", id, a)
				}
				ids = append(ids, id)
				return
			}
			<-time.After(50 * time.Millisecond)
		}
		t.Fatalf("no answer for %s", id)
	}
	var worst time.Duration
	for k := range *chaosKills {
		for range 1 + rnd.IntN(2) {
			order()
		}
		<-time.After(time.Duration(rnd.IntN(1200)) * time.Millisecond)
		victim := rnd.IntN(len(machines) + 1)
		if victim == len(machines) {
			if k%3 > 0 {
				continue // the shop less often
			}
			shop.kill()
			shop.again()
			continue
		}
		machines[victim].kill()
		dead := time.Now()
		machines[victim].again()
		s.within(20*time.Second, "the outputs of the killed machine at rest", func() bool {
			// At rest, or on again by the new process for the next order.
			return !anyOn(plants[victim]) || time.Since(dead) > 5*time.Second
		})
		worst = max(worst, time.Since(dead))
	}
	count := map[fleet.Phase]int{}
	for _, id := range append(ids, testID(9999)) {
		s.eventually("the end of "+id, func() bool { p := s.phase(id); return p.Ended() || p == fleet.Unknown })
		count[s.phase(id)]++
	}
	s.within(30*time.Second, "every output at rest", func() bool {
		for _, p := range plants {
			if anyOn(p) {
				return false
			}
		}
		return true
	})
	poured, partial := 0, 0
	for _, p := range plants {
		c := p.Counts()
		poured, partial = poured+c.Drinks, partial+c.Partial
		if c.InFullCup > 0 && count[fleet.Unknown] == 0 {
			t.Errorf("%d poured into a full cup", c.InFullCup)
		}
	}
	t.Logf("%d orders: %v; %d poured, %d broken off; longest until at rest after a kill %v", len(ids)+1, count, poured, partial, worst.Round(time.Millisecond))
	// A served order was poured once, and only of an unknown one may more be there.
	if poured < count[fleet.Served] || poured > count[fleet.Served]+count[fleet.Unknown] {
		t.Errorf("%d poured for %d served and %d unknown", poured, count[fleet.Served], count[fleet.Unknown])
	}
	if n := count[fleet.Failed] + count[fleet.Expired] + count[fleet.Cancelled]; n > 0 {
		t.Logf("%d failed: attempts used up by kills", n)
	}
}

func anyOn(p *plant.Plant) bool {
	for _, on := range p.Counts().On {
		if on {
			return true
		}
	}
	return false
}
