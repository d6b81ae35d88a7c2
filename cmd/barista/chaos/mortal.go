package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"barista/cmd/barista/service"
	"barista/driver/plant"
)

// Metal is the other side of a simulated machine: where it is broken.
type Metal interface {
	Plant() *plant.Plant
	Unplug()
	Plug()
}

// Life is one machine of a demo from its opening to its end.
type Life struct {
	Machine service.Stage   // guard, journal and owner loop: its Run cuts a drink when it ends
	Rest    []service.Stage // connection and worker, which finish the drink in hand first
}

// mortal is a machine that can be killed and is there anew.
type mortal struct {
	name  string
	dir   string
	metal func() Metal // of the life that was opened last
	again func(context.Context) (Life, error)
	first Life

	ran     atomic.Bool
	kills   chan struct{} // one slot
	leaving <-chan struct{}
	leave   func() // closes it, for all machines: where one ends, no other takes its order
	control atomic.Pointer[Metal]
	wire    atomic.Pointer[wire]        // of the present life
	dead    atomic.Pointer[atomic.Bool] // the same
	dying   sync.WaitGroup              // workers of dead machines, which wait for an answer that never comes
}

func (m *mortal) behind(metal Metal) { m.control.Store(&metal) }

// stage is the machine's life, and those after it.
func (m *mortal) stage() service.Stage {
	return service.Stage{Name: m.first.Machine.Name, Run: m.run, Close: func() error {
		if !m.ran.Load() {
			service.CloseAll(append([]service.Stage{m.first.Machine}, m.first.Rest...))
		}
		return nil
	}}
}

func (m *mortal) run(ctx context.Context) error {
	m.ran.Store(true)
	defer m.dying.Wait()
	for life := m.first; ; {
		killed, err := m.live(ctx, life)
		if !killed || ctx.Err() != nil {
			return err
		}
		if life, err = m.again(ctx); err != nil {
			return fmt.Errorf("there anew: %w", err)
		}
		m.behind(m.metal())
	}
}

// live runs one life to its end. When the demo ends, what was broken is mended first:
// a drink in hand is finished and told, and every output can be seen off.
func (m *mortal) live(ctx context.Context, life Life) (killed bool, err error) {
	var dead atomic.Pointer[memory]
	kill, cut := context.WithCancel(context.Background())
	defer cut()
	buried := make(chan error, 1)
	machine := service.Stage{Name: life.Machine.Name, Close: life.Machine.Close, Run: func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(kill, stop)()
		err := life.Machine.Run(ctx)
		if was := dead.Load(); was != nil {
			// What it has written since it died it has not written.
			buried <- errors.Join(life.Machine.Close(), was.putBack())
		}
		return err
	}}
	whole, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	done := make(chan error, 1)
	go func() { done <- service.Run(whole, append([]service.Stage{machine}, life.Rest...)) }()
	select {
	case err := <-done:
		return false, err
	case <-ctx.Done():
		m.leave()
		return false, m.end(stop, done)
	case <-m.leaving:
		err := m.end(stop, done)
		<-ctx.Done() // until then the shop would take it for a failure
		return false, err
	case <-m.kills:
	}
	m.wire.Load().breaks(true)
	m.dead.Swap(new(atomic.Bool)).Store(true)
	was, err := remember(m.dir)
	if err != nil {
		stop()
		return false, errors.Join(err, <-done)
	}
	dead.Store(was)
	cut()
	err = <-buried
	m.dying.Go(func() { <-done }) // that a dead one ended badly is nobody's news
	return true, err
}

// end mends what was broken and ends a life.
func (m *mortal) end(stop func(), done <-chan error) error {
	m.wire.Load().joins()
	(*m.control.Load()).Plug()
	(*m.control.Load()).Plant().Clear()
	stop()
	return <-done
}

// memory is what stands in a machine's folder at one moment.
type memory struct {
	dir   string
	files map[string][]byte
}

// kept are the files that a machine's next life reads. The lock goes with the process,
// and how far the machine has seen the book stays open over its lives.
func kept(name string) bool { return name != "lock" && name != "book.mark" }

// mostLooks bounds how often a folder is read until two looks are the same: a machine
// writes at the start and the end of a drink, and when a part goes off.
const mostLooks = 100

// remember reads a folder while its machine may write in it.
func remember(dir string) (*memory, error) {
	var last map[string][]byte
	for range mostLooks {
		now := map[string][]byte{}
		list, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if !e.Type().IsRegular() || !kept(e.Name()) {
				continue
			}
			if now[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); errors.Is(err, os.ErrNotExist) {
				delete(now, e.Name()) // it was about to be renamed
			} else if err != nil {
				return nil, err
			}
		}
		if last != nil && maps.EqualFunc(last, now, bytes.Equal) {
			return &memory{dir, now}, nil
		}
		last = now
	}
	return nil, fmt.Errorf("%s does not stand still", dir)
}

// putBack makes the folder what it was.
func (m *memory) putBack() error {
	list, err := os.ReadDir(m.dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if _, was := m.files[e.Name()]; !was && e.Type().IsRegular() && kept(e.Name()) {
			if err := os.Remove(filepath.Join(m.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for name, text := range m.files {
		if err := os.WriteFile(filepath.Join(m.dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}
