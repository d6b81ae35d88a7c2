package term

import (
	"bufio"
	"context"
	"errors"
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
// stops. What is asked here may set a motor going, so an answer counts only if it was
// given to the question: what was typed on a terminal before is thrown away.
type Person struct {
	Out  io.Writer // what they read
	in   *Lines    // read by one at a time: who asks, or who waits for the key
	Live bool      // a terminal: Enter while something runs is the stop key
	Yes  bool      // nothing is asked
}

// NewPerson makes a person who reads and types there. Answers that come by a file or
// a pipe may be there before their questions.
func NewPerson(in io.Reader, out io.Writer, yes bool) *Person {
	p := &Person{Out: out, in: &Lines{In: in}, Yes: yes}
	if f, is := in.(*os.File); is {
		st, err := f.Stat()
		null, _ := os.Stat(os.DevNull)
		p.Live = err == nil && st.Mode()&os.ModeCharDevice != 0 && !os.SameFile(st, null)
	}
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
	if p.Live {
		p.in.forget()
	}
	fmt.Fprintf(p.Out, format+" ", args...)
	line, err := p.in.next(ctx)
	if err != nil || !p.Live {
		p.Say("")
	}
	switch {
	case errors.Is(err, ErrInterrupted):
		return "", ErrStopped
	case errors.Is(err, errEnd):
		return "", Fail(ExitRefused, "answer, or give --yes", "nobody answered, nothing more was done")
	case err != nil:
		return "", Fail(ExitRefused, "answer, or give --yes", "%w; nothing more was done", err)
	}
	return strings.TrimSpace(line), nil
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
		_, _ = p.in.next(inner) // a terminal that is gone stops too
		cancel()
	})
	return inner, func() {
		cancel()
		wg.Wait()
	}
}

// Sure asks one question; nil means yes. It is for a verb that needs no Person.
func Sure(ctx context.Context, in io.Reader, out io.Writer, question string) error {
	forget(in)
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
