package serial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"barista/driver"
)

// Port is a serial port with its owner. Open makes one. Any goroutine may call
// its methods.
type Port struct {
	cfg     Config
	sysfs   string
	first   Adapter // what was plugged in when the port was opened
	jobs    chan *job
	quit    chan struct{}
	done    chan struct{} // the owner has ended
	closing sync.Once
	dropped atomic.Int64

	mu   sync.Mutex
	n    uint64 // generations so far
	gone error  // why there is no connection; nil while there is one
}

// job is a piece of work on its way to the owner.
type job struct {
	ctx  context.Context
	work func(*Line) error
	done chan error // buffered
}

// generation is one connection. Its fields belong to the owner, but for those
// that say otherwise.
type generation struct {
	n       uint64
	name    string
	wire    Wire
	char    time.Duration
	record  *Recorder
	dropped *atomic.Int64

	in   chan chunk    // from the reader
	dead chan struct{} // closed by the reader, after err was set
	err  error
	quit chan struct{} // tells the reader that nobody listens
	gone sync.WaitGroup

	over          error     // why nothing may be sent any more
	outEnd, inEnd time.Time // when the last byte had left, and had come
}

// chunk is what one read brought.
type chunk struct {
	bytes []byte
	at    time.Time
}

// waiting is how many chunks may wait for somebody to read them; beyond that the
// kernel's buffer fills.
const waiting = 32

// Open opens the port, lets Check prove the device, and starts the owner. The
// error is driver.ErrGone if nothing is plugged in there and driver.ErrBusyLine
// if another program has it; a port that was open once looks for its device by
// itself.
func Open(cfg Config) (*Port, error) { return open(cfg, sysfs) }

func open(cfg Config, sysfs string) (*Port, error) {
	if err := driver.Refusal(cfg.Problems()); err != nil {
		return nil, err
	}
	p := &Port{
		cfg: cfg.withDefaults(), sysfs: sysfs,
		jobs: make(chan *job), quit: make(chan struct{}), done: make(chan struct{}),
	}
	g, err := p.connect()
	if err != nil {
		return nil, err
	}
	go p.own(g)
	return p, nil
}

// Close ends the owner and closes the port; it switches nothing. Work that
// waits is refused. Only a kernel that does not come back from a call makes it
// return with an error, after 3 s.
func (p *Port) Close() error {
	p.closing.Do(func() { close(p.quit) })
	late := time.NewTimer(closeWithin)
	defer late.Stop()
	select {
	case <-p.done:
		return nil
	case <-late.C:
		return onPort(p.cfg.Device, "the kernel has not come back for %v; its goroutine is left behind", closeWithin)
	}
}

// Name is the device as it was configured.
func (p *Port) Name() string { return p.cfg.Device }

// Config is the port's settings with their defaults.
func (p *Port) Config() Config { return p.cfg }

// Adapter is what the port hung on when it was opened; another one is not taken for it
// while it is open.
func (p *Port) Adapter() Adapter { return p.first }

// State is the number of the newest connection, and why it is over, if so.
func (p *Port) State() (generation uint64, gone error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n, p.gone
}

var errClosed = errors.New("the port was closed")

// Do has the owner run the work with the line, alone. It returns at the latest
// when ctx ends, which it must at some time; work that was not begun by then
// never is. An error that is driver.ErrGone says that there is no connection,
// or that it ended; whether what was sent had its effect is then unknown.
func (p *Port) Do(ctx context.Context, work func(*Line) error) error {
	j := &job{ctx: ctx, work: work, done: make(chan error, 1)}
	if ctx.Err() != nil {
		return p.late(ctx)
	}
	select {
	case p.jobs <- j:
	case <-ctx.Done():
		return p.late(ctx)
	case <-p.done:
		return gone(p.cfg.Device, errClosed)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-j.done:
		return err
	default:
		return p.late(ctx)
	}
}

func (p *Port) late(ctx context.Context) error {
	return onPort(p.cfg.Device, "not done in time: %w", context.Cause(ctx))
}

// own is the owner's life.
func (p *Port) own(g *generation) {
	defer close(p.done)
	for {
		why := p.serve(g)
		p.end(g, why)
		if g = p.find(); g == nil {
			return
		}
	}
}

// serve runs work until the connection is over, and says why.
func (p *Port) serve(g *generation) error {
	for {
		select {
		case <-p.quit:
			return errClosed
		case <-g.dead:
			return g.err
		case c := <-g.in:
			g.inEnd = c.at
			p.dropped.Add(int64(len(c.bytes)))
		case j := <-p.jobs:
			j.done <- p.do(g, j)
			if g.over != nil {
				return g.over
			}
		}
	}
}

func (p *Port) do(g *generation, j *job) (err error) {
	l := &Line{ctx: j.ctx, g: g}
	if err := l.usable(); err != nil {
		return err
	}
	defer func() {
		if r := recover(); r != nil {
			err = g.abandon(fmt.Errorf("the protocol panicked: %v", r))
		}
		l.ctx = over // who kept the line can do nothing with it
	}()
	return j.work(l)
}

// over is the context of a line whose work is done.
var over = func() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("the line was used after its work was done"))
	return ctx
}()

// find looks for the device until it is there and the right one. Work is refused
// meanwhile. Nil when the port is closed.
func (p *Port) find() *generation {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-p.quit:
			return nil
		default:
		}
		select {
		case <-p.quit:
			return nil
		case j := <-p.jobs:
			_, why := p.State()
			j.done <- gone(p.cfg.Device, why)
		case <-again.C:
			g, err := p.connect()
			if err == nil {
				p.cfg.Log.Info("serial port is back", "port", p.cfg.Device, "generation", g.n)
				return g
			}
			p.lost(gone(p.cfg.Device, err))
			again.Reset(lookEvery)
		}
	}
}

// lost keeps why there is no connection; each new reason is logged once.
func (p *Port) lost(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone == nil || p.gone.Error() != why.Error() {
		p.cfg.Log.Warn("serial port can't be used", "port", p.cfg.Device, "why", why)
	}
	p.gone = why
}

// connect opens the device and has it proved.
func (p *Port) connect() (*generation, error) {
	wire, err := p.cfg.Dial()
	if err != nil {
		return nil, err
	}
	now := adapterOf(p.sysfs, p.cfg.Device)
	p.mu.Lock()
	p.n++
	n := p.n
	p.mu.Unlock()
	if n == 1 {
		p.first = now
	} else if now != p.first {
		return nil, errors.Join(
			onPort(p.cfg.Device, "another adapter is plugged in there (%v, it was %v): plug the old one in, or restart with the new one", now, p.first),
			wire.Close())
	}
	g := &generation{
		n: n, name: p.cfg.Device, wire: wire, char: p.cfg.CharTime(), record: p.cfg.Record, dropped: &p.dropped,
		in: make(chan chunk, waiting), dead: make(chan struct{}), quit: make(chan struct{}),
		outEnd: time.Now(), inEnd: time.Now(),
	}
	g.record.add(Opened, nil)
	g.gone.Go(g.read)
	if p.cfg.Check != nil {
		ctx, cancel := context.WithTimeout(context.Background(), p.cfg.CheckWithin)
		stop := make(chan struct{})
		var watch sync.WaitGroup
		watch.Go(func() { // a port that is being closed waits for no device
			select {
			case <-p.quit:
				cancel()
			case <-stop:
			}
		})
		err = p.do(g, &job{ctx: ctx, work: func(l *Line) error { return p.cfg.Check(ctx, l) }})
		close(stop)
		watch.Wait()
		cancel()
	}
	if err == nil {
		err = g.over
	}
	if err != nil {
		p.end(g, err)
		return nil, err
	}
	p.mu.Lock()
	p.gone = nil
	p.mu.Unlock()
	return g, nil
}

// end closes a connection for good.
func (p *Port) end(g *generation, why error) {
	_ = g.abandon(why)
	close(g.quit)
	if err := g.wire.Close(); err != nil && !errors.Is(why, errClosed) {
		p.cfg.Log.Debug("closing a serial port", "port", p.cfg.Device, "err", err)
	}
	g.gone.Wait()
	g.record.add(Gone, nil)
	if !errors.Is(why, errClosed) {
		p.lost(gone(g.name, why))
	}
}

// abandon marks the connection: nothing is sent on it any more.
func (g *generation) abandon(why error) error {
	if g.over == nil {
		g.over = gone(g.name, why)
	}
	return g.over
}

// read hands over what comes until the wire is dead.
func (g *generation) read() {
	defer close(g.dead)
	buf := make([]byte, 512)
	for {
		n, err := g.wire.Read(buf)
		if n > 0 {
			b := append([]byte(nil), buf[:n]...)
			g.record.add(In, b)
			select {
			case g.in <- chunk{b, time.Now()}:
			case <-g.quit:
				g.err = errClosed
				return
			}
		}
		if err == nil && n == 0 {
			err = io.ErrNoProgress
		}
		if err != nil {
			g.err = onPort(g.name, "%w: it was unplugged, or the other side hung up (%v)", driver.ErrGone, err)
			return
		}
	}
}
