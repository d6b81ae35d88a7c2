package jura

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// script answers questions one after the other; 0 is silence, -1 a damaged
// answer.
func script(answers ...int) (question func() (int, error), left func() int) {
	return func() (int, error) {
		a := answers[0]
		answers = answers[1:]
		time.Sleep(time.Second)
		switch a {
		case 0:
			return 0, errSilent
		case -1:
			return 0, errDamaged
		}
		return a, nil
	}, func() int { return len(answers) }
}

func TestReading(t *testing.T) {
	for name, c := range map[string]struct {
		before  int // a value read before; 0 is none
		missed  int // answers of then that never came
		ago     time.Duration
		answers []int
		want    int
		err     error
		left    int
	}{
		"two that agree":               {answers: []int{5, 5, 9}, want: 5, left: 1},
		"one, as before":               {before: 5, answers: []int{5, 9}, want: 5, left: 1},
		"one is wrong":                 {answers: []int{5, 7, 5, 5}, want: 5},
		"one is wrong, like before":    {before: 7, answers: []int{5, 5}, want: 5},
		"changed":                      {before: 5, answers: []int{6, 6, 9}, want: 6, left: 1},
		"silent":                       {before: 5, answers: []int{0, 0, 0, 9}, err: errSilent, left: 1},
		"damaged":                      {before: 5, answers: []int{-1, -1, -1, 9}, err: errDamaged, left: 1},
		"damaged in between":           {answers: []int{5, -1, 5, 9}, want: 5, left: 1},
		"a late answer to the first":   {before: 5, answers: []int{0, 5, 6, 6, 9}, want: 6, left: 1},
		"the late one is the same":     {before: 5, answers: []int{0, 5, 5, 9}, want: 5, left: 1},
		"two are late":                 {before: 5, answers: []int{0, 0, 5, 5, 6, 6, 6, 9}, want: 6, left: 1},
		"late from a former reading":   {missed: 1, ago: time.Second, answers: []int{5, 6, 6, 9}, want: 6, left: 1},
		"late from long ago":           {before: 6, missed: 2, ago: time.Minute, answers: []int{6, 9}, want: 6, left: 1},
		"what was before is not fresh": {before: 5, missed: 1, ago: time.Second, answers: []int{5, 5, 9}, want: 5, left: 1},
		"two that may be late":         {missed: 2, ago: time.Second, answers: []int{5, 5, 6, 6, 6}, want: 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour)
				r := reading[int]{last: c.before, missed: c.missed, missAt: time.Now().Add(-c.ago)}
				if c.before > 0 {
					r.value, r.same = c.before, 2
				}
				ask, left := script(c.answers...)
				got, err := r.read(ask)
				if !errors.Is(err, c.err) || err == nil && got != c.want || left() != c.left {
					t.Errorf("%d, %v with %d answers left, want %d, %v, %d", got, err, left(), c.want, c.err, c.left)
				}
				if err == nil && (r.last != got || !r.at.Equal(time.Now()) || r.missed != 0) {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// What does not follow from the value before takes more answers.
func TestOddReading(t *testing.T) {
	for name, c := range map[string]struct {
		before  int
		answers []int
		want    int
	}{
		"the first":           {answers: []int{5, 5, 5}, want: 5},
		"the first, bent":     {answers: []int{90, 90, 5, 5, 5}, want: 5},
		"it follows":          {before: 5, answers: []int{6, 6}, want: 6},
		"it fell":             {before: 5, answers: []int{4, 4, 4, 4}, want: 4},
		"it only seems so":    {before: 5, answers: []int{90, 90, 90, 6, 6}, want: 6},
		"unchanged is enough": {before: 5, answers: []int{5}, want: 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := reading[int]{odd: func(last, now int) bool { return now < last || now > last+50 }}
			if c.before > 0 {
				r.last, r.value, r.same, r.at = c.before, c.before, 2, time.Now()
			}
			ask, left := script(c.answers...)
			if got, err := r.read(ask); got != c.want || err != nil || left() != 0 {
				t.Errorf("%s: %d, %v, %d answers left", name, got, err, left())
			}
			if r.odd == nil {
				t.Error("it forgets what is odd")
			}
		})
	}
}

func TestReadingGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		var r reading[int]
		_, err := r.read(func() (int, error) { n++; return n, nil })
		if err == nil || n != questions {
			t.Errorf("%v after %d answers", err, n)
		}
		gone := errors.New("gone")
		if _, err := r.read(func() (int, error) { return 0, gone }); err != gone {
			t.Error(err)
		}
	})
}
