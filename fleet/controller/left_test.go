package controller

import (
	"testing"
	"testing/synctest"
	"time"

	"barista/fleet"
)

// TestLeft: what a machine had in hand whose key was taken away is dealt with at once,
// and nobody else's is touched.
func TestLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop()
		s.machine("zoe")
		c, stop := s.wire(nil).open(t)
		defer stop()
		synctest.Wait()
		brewing(t, s, id1)
		const id3 = "01JD0000000000000000000CCC"
		for id, o := range map[string]fleet.Owner{id2: zoe, id3: {Machine: "ann", Journal: "j", Boot: "b"}} {
			left(s, id)
			if err := s.change(id, func(c fleet.Claim) (fleet.Claim, error) { return c.Take(o) }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := c.Left(t.Context(), "zoe", ""); err == nil {
			t.Error("nobody did it")
		}
		if err := c.Left(t.Context(), "zoe", "boss"); err != nil {
			t.Fatal(err)
		}
		if _, here := s.machines["zoe"]; here {
			t.Error("it still counts as here")
		}
		if e := s.claim(id1); e.Phase != fleet.Unknown || e.By != "boss" || e.Code != fleet.CodeRevoked || e.Machine() != "zoe" {
			t.Errorf("%+v", e.Claim)
		}
		if e := s.claim(id2); e.Phase != fleet.Accepted || e.Epoch != 2 || e.Past[0].Outcome != fleet.Untouched || len(s.messages(id2)) != 1 {
			t.Errorf("%+v, in the queue as %v", e.Claim, s.messages(id2))
		}
		if e := s.claim(id3); e.Phase != fleet.Claimed || e.Machine() != "ann" {
			t.Errorf("%+v", e.Claim)
		}
		n := s.records()
		time.Sleep(time.Second)
		if err := c.Left(t.Context(), "zoe", "boss"); err != nil || s.records() != n {
			t.Errorf("twice: %v, %d records more", err, s.records()-n)
		}
	})
}
