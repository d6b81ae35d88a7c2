package service

import (
	"context"
	"errors"
	"fmt"
)

// Stage is one part of a service: Run blocks until its context ends, or fails.
// Close, if there is one, comes after run.
type Stage struct {
	Name  string
	Run   func(ctx context.Context) error
	Close func() error
}

// Run starts the stages in order and ends them in reverse, each after the
// next one has ended: what a part needs outlives it. The first that fails ends
// all. Errors of a stage that was told to end are not failures.
func Run(ctx context.Context, stages []Stage) error {
	type ended struct {
		i   int
		err error
	}
	var (
		failed  = make(chan ended, len(stages))
		stops   = make([]context.CancelFunc, len(stages))
		waiting = make([]chan struct{}, len(stages))
		errs    []error
	)
	for i, s := range stages {
		inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
		stops[i], waiting[i] = cancel, make(chan struct{})
		go func() { // waited for below, over waiting[i]
			defer close(waiting[i])
			var err error
			if s.Run != nil {
				err = s.Run(inner)
			} else {
				<-inner.Done()
			}
			if inner.Err() == nil {
				if err == nil {
					err = errors.New("ended by itself")
				}
				failed <- ended{i, err}
			}
		}()
	}
	select {
	case <-ctx.Done():
	case e := <-failed:
		errs = append(errs, fmt.Errorf("%s: %w", stages[e.i].Name, e.err))
	}
	for i := len(stages) - 1; i >= 0; i-- {
		stops[i]()
		<-waiting[i]
		if c := stages[i].Close; c != nil {
			if err := c(); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", stages[i].Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// CloseAll ends stages that were never run, newest first.
func CloseAll(stages []Stage) {
	for i := len(stages) - 1; i >= 0; i-- {
		if c := stages[i].Close; c != nil {
			_ = c()
		}
	}
}
