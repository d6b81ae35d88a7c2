package jura

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"barista/driver"
)

func TestTrust(t *testing.T) {
	var tr trust
	saw := func(n int, err error) {
		for range n {
			tr.saw(err)
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
	for _, bad := range []error{errSilent, errDamaged, errBabble, fmt.Errorf("inside: %w", errSilent)} {
		saw(1, bad)
		want("a bad one", " 0 of 64", true)
		saw(63, nil)
		want("63 after it", " 63 of 64", true)
		saw(1, nil)
		want("64 after it", "", false)
	}
	saw(10, nil)
	tr.stray()
	want("an answer that stood alone", " 0 of 64", true)
	saw(64, nil)
	want("64 after it", "", false)
	saw(3, errDamaged)
	want("three", " 0 of 64", true)
	saw(1, errSilent)
	want("four", "is noisy: 4 of the last 64 questions", false)
	saw(60, nil)
	want("four, and 60 since", "is noisy: 4 of the last 64", false)
	saw(1, nil)
	want("three are left", " 61 of 64", true)
	tr = trust{}
	saw(4, errSilent)
	want("from the start", "is noisy: 4 of the last 4", false)
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
