package term

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
)

// ErrStopped: a signal or the stop key. Everything is off.
var ErrStopped = Fail(ExitFailed, "", "stopped by hand, everything is off")

// Stopped is the error of what ended because its context did, or err.
func Stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ErrStopped
	}
	return err
}

// Person is who stands at the machine: questions, progress, and the key that
// stops.
type Person struct {
	Out   io.Writer // what they read
	lines chan string
	Live  bool // a terminal: Enter while something runs is the stop key
	Yes   bool // nothing is asked
}

// NewPerson listens to the input until ctx ends. A reader of a terminal can't be
// called off: it ends with the process.
func NewPerson(ctx context.Context, in io.Reader, out io.Writer, yes bool) *Person {
	p := &Person{Out: out, lines: make(chan string), Yes: yes}
	if f, is := in.(*os.File); is {
		st, err := f.Stat()
		null, _ := os.Stat(os.DevNull)
		p.Live = err == nil && st.Mode()&os.ModeCharDevice != 0 && !os.SameFile(st, null)
	}
	go func() {
		defer close(p.lines)
		scan := bufio.NewScanner(in)
		for scan.Scan() {
			select {
			case p.lines <- scan.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return p
}

// Say prints a line.
func (p *Person) Say(format string, args ...any) { fmt.Fprintf(p.Out, format+"\n", args...) }

// Progress begins a line that Moving rewrites on a terminal.
func (p *Person) Progress(format string, args ...any) {
	if !p.Live {
		p.Say(format+" …", args...)
	}
}

// Moving writes the line anew, on a terminal.
func (p *Person) Moving(format string, args ...any) {
	if p.Live {
		fmt.Fprintf(p.Out, "\r\x1b[K"+format, args...)
	}
}

// ProgressEnd takes the line away, and says how it ended.
func (p *Person) ProgressEnd(text string) {
	if p.Live {
		fmt.Fprint(p.Out, "\r\x1b[K")
	}
	if text != "" {
		p.Say("%s", text)
	}
}

// Ask returns one line.
func (p *Person) Ask(ctx context.Context, format string, args ...any) (string, error) {
	fmt.Fprintf(p.Out, format+" ", args...)
	select {
	case line, more := <-p.lines:
		if !more {
			p.Say("")
			return "", Fail(ExitRefused, "answer, or give --yes", "nobody answered, nothing more was done")
		}
		if !p.Live {
			p.Say("")
		}
		return strings.TrimSpace(line), nil
	case <-ctx.Done():
		p.Say("")
		return "", ErrStopped
	}
}

// Agrees asks for a yes; anything else is a no.
func (p *Person) Agrees(ctx context.Context, format string, args ...any) error {
	if p.Yes {
		return nil
	}
	line, err := p.Ask(ctx, format+" [y/N]", args...)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"y", "yes"}, strings.ToLower(line)) {
		return Fail(ExitRefused, "say y, or give --yes", "nothing was done")
	}
	return nil
}

// UntilKey is a context that ends when the person presses Enter on a terminal.
// stop must be called, and waits.
func (p *Person) UntilKey(ctx context.Context) (inner context.Context, stop func()) {
	inner, cancel := context.WithCancel(ctx)
	if !p.Live {
		return inner, cancel
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-p.lines:
			cancel()
		case <-inner.Done():
		}
	})
	return inner, func() {
		cancel()
		wg.Wait()
	}
}

// Sure asks one question; nil means yes. It is for a verb that needs no Person.
func Sure(ctx context.Context, in io.Reader, out io.Writer, question string) error {
	fmt.Fprintf(out, "%s [y/N] ", question)
	answer := make(chan string, 1)
	go func() { // ends with the process: a terminal can't be asked to stop reading
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		case "":
			fmt.Fprintln(out)
		}
		return Fail(ExitRefused, "say y, or give --yes", "nothing was done")
	case <-ctx.Done():
		return Fail(ExitTimeout, "give --yes to go on without a question", "nobody answered; nothing was done")
	}
}
