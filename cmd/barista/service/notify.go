// Package service is the life of a process that systemd starts: its stages, which end
// in the reverse order of their start, and what the service manager is told of it. It
// knows nothing of what the stages do. main and the tests that run a whole shop call
// Run; whoever runs a loop that must turn gets it from Notifier.Loop and marks each
// turn itself. It must never say that a loop lives on any other word than the loop's.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"barista/cmd/barista/term"
)

// Notifier tells the service manager how the service is: ready, in words, that
// it lives, that it stops. Where none listens, in a terminal, it says nothing.
//
// The word that it lives is the loops' own: each turn of a control loop leaves
// a mark, and only a mark of every loop is passed on. A loop that stands still
// leaves none, and no ticker here stands in for it.
type Notifier struct {
	log   *slog.Logger
	tell  func(state string) error
	watch bool // WatchdogSec is set, and meant for this process
	loops []*Loop
}

// Loop is one loop that must turn for the service to be alive.
type Loop struct {
	beat chan struct{} // one slot
	over chan struct{} // closed when it has ended as it should
}

const (
	// PingPace bounds how often a sign of life is passed on. A machine at rest
	// turns once a second; each of those must pass, also on a busy computer.
	PingPace = 500 * time.Millisecond
	// wordPace is how soon a change is told in words.
	wordPace = time.Second
	// StopStep is how much longer a stop may take, after each sign of life. It
	// does what WatchdogSec does while the service runs.
	StopStep = 4 * time.Second
	// closeTime is for what comes after the last loop: everything is off then,
	// and a broker writes its store.
	closeTime = time.Minute
)

// New makes a notifier for the manager that started this process, if one did.
func New(log *slog.Logger) *Notifier {
	n := &Notifier{log: log, tell: func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog can't be understood", "err", err)
	}
	n.watch = err == nil && every > 0
	return n
}

// Loop adds a loop. Before Start only.
func (n *Notifier) Loop() *Loop {
	l := &Loop{make(chan struct{}, 1), make(chan struct{})}
	n.loops = append(n.loops, l)
	return l
}

// Alive is for the loop itself to call at each turn. It never blocks.
func (l *Loop) Alive() {
	select {
	case l.beat <- struct{}{}:
	default:
	}
}

// Ended is for whoever ran the loop, so that its end is not taken for silence.
func (l *Loop) Ended() { close(l.over) }

// Until wraps what runs the loop.
func (l *Loop) Until(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		defer l.Ended()
		return run(ctx)
	}
}

// Start begins to tell: ready as soon as every loop has turned once, then signs
// of life, and words whenever they change. From the end of ctx on the service
// stops. stop ends the telling and waits for it.
func (n *Notifier) Start(ctx context.Context, words func() string) (stop func()) {
	quit := make(chan struct{})
	ready := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { n.life(ctx, quit, ready) })
	wg.Go(func() { n.words(ctx, quit, ready, words) })
	return func() {
		close(quit)
		wg.Wait()
	}
}

func (n *Notifier) say(states ...string) {
	if err := n.tell(strings.Join(states, "\n")); err != nil {
		n.log.Debug("the service manager does not listen", "err", err)
	}
}

// life passes on the signs of life.
func (n *Notifier) life(ctx context.Context, quit <-chan struct{}, ready chan<- struct{}) {
	pace := time.NewTimer(0)
	defer pace.Stop()
	<-pace.C
	for first := true; ; first = false {
		living := false
		for _, l := range n.loops {
			select {
			case <-l.over:
				continue
			default:
			}
			select {
			case <-l.beat:
				living = true
			case <-l.over:
			case <-quit:
				return
			}
		}
		if !living {
			// The loops have ended as they should; nothing is on any more.
			n.say(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", closeTime.Microseconds()))
			return
		}
		if first {
			close(ready)
		}
		var states []string
		if n.watch {
			states = append(states, daemon.SdNotifyWatchdog)
		}
		if ctx.Err() != nil {
			states = append(states, fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", StopStep.Microseconds()))
		}
		if len(states) > 0 {
			n.say(states...)
		}
		pace.Reset(PingPace)
		select {
		case <-pace.C:
		case <-quit:
			return
		}
		for _, l := range n.loops { // a mark from before the pause is no news
			select {
			case <-l.beat:
			default:
			}
		}
	}
}

// words tells that the service is ready, what it does, and that it stops.
func (n *Notifier) words(ctx context.Context, quit, ready <-chan struct{}, words func() string) {
	tick := time.NewTicker(wordPace)
	defer tick.Stop()
	last, phase := "", "starting: "
	for done := ctx.Done(); ; {
		var news []string
		select {
		case <-ready:
			ready, phase = nil, ""
			news = append(news, daemon.SdNotifyReady)
		case <-done:
			done, ready, phase = nil, nil, "stopping: "
			news = append(news, daemon.SdNotifyStopping)
		case <-tick.C:
		case <-quit:
			return
		}
		if now := phase + words(); now != last {
			last = now
			news = append(news, "STATUS="+term.OneLine(now))
		}
		if len(news) > 0 {
			n.say(news...)
		}
	}
}
