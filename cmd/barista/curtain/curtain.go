// Package curtain is how a demo ends: whoever presses Ctrl-C is told which drinks are
// still finished and how far they are, and may press it again so that they are stopped
// now. It knows machines by what they are doing and by a way to stop each; the shop
// itself is ended by whoever runs it. Run ends when the shop has.
package curtain

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Machine is one machine as the end sees it.
type Machine struct {
	Name  string
	Doing func() (order string, percent int) // "": nothing in hand
	Stop  func(why string)                   // returns when everything is off
}

// Run runs a shop until ctx ends and it has ended, and tells how it does.
func Run(ctx context.Context, out io.Writer, all []Machine, shop func(context.Context) error) error {
	over := make(chan struct{})
	var end sync.WaitGroup
	end.Go(func() {
		select {
		case <-over:
			return
		case <-ctx.Done():
		}
		again := make(chan os.Signal, 1)
		signal.Notify(again, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(again)
		fall(out, all, again, over)
	})
	err := shop(ctx)
	close(over)
	end.Wait()
	return err
}

// every is how often a finished drink is looked for.
const every = 200 * time.Millisecond

// fall tells how a shop ends whose machines have just been told to stop. It returns
// when over is closed: the machines have ended. again is each further Ctrl-C; the
// first of them stops every drink in hand.
func fall(out io.Writer, all []Machine, again <-chan os.Signal, over <-chan struct{}) {
	var hands []Machine
	var drinks []string
	for _, m := range all {
		if order, percent := m.Doing(); order != "" {
			hands = append(hands, m)
			drinks = append(drinks, fmt.Sprintf("%s (%d %%)", m.Name, percent))
		}
	}
	if len(hands) == 0 {
		<-over
		return
	}
	what := "one drink"
	if len(hands) > 1 {
		what = fmt.Sprintf("%d drinks", len(hands))
	}
	fmt.Fprintf(out, "\nfinishing %s: %s; Ctrl-C again stops them now\n", what, strings.Join(drinks, ", "))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-again:
			again = nil
			fmt.Fprintln(out, "stopping now: what is in the cups is spoiled, and is said so")
			for _, m := range hands {
				if order, _ := m.Doing(); order != "" {
					m.Stop("the demo was ended")
				}
			}
		case <-tick.C:
			left := hands[:0]
			for _, m := range hands {
				if order, _ := m.Doing(); order != "" {
					left = append(left, m)
					continue
				}
				fmt.Fprintf(out, "  %s has nothing in hand any more\n", m.Name)
			}
			hands = left
		}
	}
}
