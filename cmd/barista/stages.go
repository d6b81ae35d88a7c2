package main

import (
	"context"
	"errors"
	"fmt"
)

// stage is one part of a service: run blocks until its context ends, or fails.
// close, if there is one, comes after run.
type stage struct {
	name  string
	run   func(ctx context.Context) error
	close func() error
}

// runStages starts the stages in order and ends them in reverse, each after the
// next one has ended: what a part needs outlives it. The first that fails ends
// all. Errors of a stage that was told to end are not failures.
func runStages(ctx context.Context, stages []stage) error {
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
			if s.run != nil {
				err = s.run(inner)
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
		errs = append(errs, fmt.Errorf("%s: %w", stages[e.i].name, e.err))
	}
	for i := len(stages) - 1; i >= 0; i-- {
		stops[i]()
		<-waiting[i]
		if c := stages[i].close; c != nil {
			if err := c(); err != nil {
				errs = append(errs, fmt.Errorf("close %s: %w", stages[i].name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// closeAll ends stages that were never run, newest first.
func closeAll(stages []stage) {
	for i := len(stages) - 1; i >= 0; i-- {
		if c := stages[i].close; c != nil {
			_ = c()
		}
	}
}
