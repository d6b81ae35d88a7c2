package jura

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"barista/driver"
)

func TestTrust(t *testing.T) {
	var tr trust
	now := time.Now()
	saw := func(n int, err error) {
		for range n {
			tr.answer(err, true)
			for range 2 {
				now = now.Add(motors)
				tr.age(true, now)
			}
		}
	}
	want := func(when, words string, yet bool) {
		t.Helper()
		err := tr.doubt()
		if (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) || errors.Is(err, driver.ErrNotYet) != yet {
			t.Errorf("%s: %v, want %q", when, err, words)
		}
	}
	want("nothing was asked", "tried, 0 of 64 good answers in a row", true)
	saw(63, nil)
	want("one is missing", " 63 of 64", true)
	saw(1, nil)
	want("enough", "", false)
	saw(5, errors.New("unplugged"))
	saw(5, context.Canceled)
	want("what tells nothing about the wire", "", false)
	saw(1, errDamaged)
	want("a bad one", " 0 of 64", true)
	saw(63, nil)
	want("63 after it", " 63 of 64", true)
	saw(1, nil)
	want("64 after it", "", false)
	saw(1, errSilent)
	want("a second one, before the wire is known", " 0 of 64", true)
	saw(1, nil) // then it is sure that it was one
	want("a second one, before the wire is known", "is noisy: 2 of the last questions", false)
	saw(known, nil)
	want("known, and two are no noise", "", false)
	for _, bad := range []error{errDamaged, fmt.Errorf("inside: %w", errBabble)} {
		saw(1, bad)
		saw(rowKnown-1, nil)
		want("a bad one, and almost a row", " 15 of 16", true)
		saw(1, nil)
		want("a row", "", false)
	}
	tr.stray()
	want("an answer that stood alone", " 0 of 16", true)
	saw(16, nil)
	want("16 after it", "", false)
	saw(1, errDamaged) // the fifth
	want("five", "is noisy: 5 of the last questions", false)
	saw(rowMended-1, nil)
	want("five, and almost a long row", "is noisy: 5 of the last", false)
	saw(1, nil)
	want("a long row", "", false)
	saw(1, errDamaged)
	want("it is to be known anew", " 0 of 64", true)
	saw(1, errDamaged)
	want("two are noise again", "is noisy: 2", false)
	tr.plugged()
	want("another plug makes it no better", "is noisy: 2", false)
	saw(memory-2, nil)
	want("known again", "", false)
	saw(2, nil)
	saw(1, errDamaged)
	want("the others are forgotten", " 0 of 16", true)
	if n := tr.bad(); n != 1 {
		t.Errorf("%d bad ones are remembered, want 1", n)
	}
}

// A machine that is switched off is silent, and that is no noise; nor is what was
// heard while it worked. A silence between answers is one.
func TestTrustForgives(t *testing.T) {
	var tr trust
	for range 30 {
		for range patience {
			tr.answer(errSilent, true)
		}
		tr.plugged()
	}
	for range 30 {
		tr.answer(errDamaged, false)
		tr.stray()
		tr.answer(errDamaged, true) // before the motor was seen to run
		if tr.doubt() == nil {
			t.Error("what may be noise is believed to be none before that is known")
		}
		tr.age(false, time.Now())
	}
	for range rowNew {
		tr.answer(nil, true)
	}
	if err := tr.doubt(); err != nil {
		t.Error(err)
	}
	for range known {
		tr.answer(nil, true)
	}
	for range badKnown + 1 {
		tr.answer(errSilent, true)
		tr.answer(nil, true)
		tr.age(true, time.Now())
	}
	if err := tr.doubt(); err == nil || !strings.Contains(err.Error(), "is noisy: 5") {
		t.Errorf("silences in between: %v", err)
	}
}

// What was bad before a key of ours is remembered, whatever is seen afterwards.
func TestTrustBeforeAKey(t *testing.T) {
	for key, want := range map[bool]int{true: 3, false: 0} {
		var tr trust
		for range 3 {
			tr.answer(errDamaged, true)
		}
		if key {
			tr.rememberPending()
		}
		tr.age(false, time.Now()) // the machine is at work
		if n := tr.bad(); n != want {
			t.Errorf("a key of ours %v: %d bad ones remembered, want %d", key, n, want)
		}
	}
}

// TestTrustInNoise plays years of questions over wires of one quality, with a key
// whenever one may be sent. It is where the figures of trust.go are from.
func TestTrustInNoise(t *testing.T) {
	const questions, perDrink = 200_000, 150
	for _, c := range []struct {
		bent float64 // share of lines, each way
		keys [2]int  // as many are expected
	}{
		{0.05, [2]int{0, 0}}, {0.02, [2]int{0, 1}}, {0.01, [2]int{0, 20}}, {0.003, [2]int{0, 1000}}, {0.002, [2]int{0, questions}}, {0.001, [2]int{0, questions}}, {0, [2]int{questions / perDrink / 2, questions}},
	} {
		rng := rand.New(rand.NewPCG(1, uint64(c.bent*1e6)))
		var tr trust
		now := time.Now()
		keys := 0
		for n := 0; n < questions; n++ {
			var err error
			if rng.Float64() < 2*c.bent {
				err = errDamaged
			}
			tr.answer(err, true)
			now = now.Add(200 * time.Millisecond)
			tr.age(true, now)
			if tr.doubt() == nil {
				tr.rememberPending()
				keys++
				for range perDrink { // at work
					err = nil
					if rng.Float64() < 2*c.bent {
						err = errDamaged
					}
					tr.answer(err, false)
					now = now.Add(500 * time.Millisecond)
					tr.age(false, now)
					n++
				}
			}
		}
		t.Logf("%.1f %% of the lines bent each way: %d keys in %d questions, so %.5f bent ones", 100*c.bent, keys, questions, float64(keys)*c.bent/28)
		if keys < c.keys[0] || keys > c.keys[1] {
			t.Errorf("%.1f %%: %d keys, want %v", 100*c.bent, keys, c.keys)
		}
	}
}

// An answer that stands alone between others is a bent one, a value that has
// changed is not.
func TestStray(t *testing.T) {
	for _, c := range []struct {
		before  int
		answers []int
		strays  int
	}{
		{0, []int{5, 5}, 0},
		{5, []int{5}, 0},
		{5, []int{6, 6}, 0},
		{0, []int{5, 7, 5, 5}, 2},
		{5, []int{7, 5, 5}, 1},
		{5, []int{6, 7, 7}, 1},
	} {
		n := 0
		r := reading[int]{value: c.before, stray: func() { n++ }}
		if c.before > 0 {
			r.same = 2
		}
		ask, left := quick(c.answers...)
		if _, err := r.read(ask); err != nil || n != c.strays || left() != 0 {
			t.Errorf("before %d, %v: %d strays, want %d, %d left, %v", c.before, c.answers, n, c.strays, left(), err)
		}
	}
}

func quick(answers ...int) (func() (int, error), func() int) {
	return func() (int, error) {
		a := answers[0]
		answers = answers[1:]
		return a, nil
	}, func() int { return len(answers) }
}
