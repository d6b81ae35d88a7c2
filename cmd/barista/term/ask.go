package term

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Question is one thing that a person is asked.
type Question struct {
	Text    string   // one line: "its name"
	More    string   // what ? shows
	Words   []string // the answers there are; none: any text
	Options []Option // what was found; a person may give its number
	Usual   string   // what Enter takes; "": there is no usual answer
	Check   func(answer string) error
}

// Option is an answer with what is known of it.
type Option struct {
	Value, Text string
}

// Dialog asks a person, line by line: any terminal will do. After an error every
// answer is empty; whoever asks goes on to the end and looks at Err there.
type Dialog struct {
	ctx context.Context
	in  *Lines
	out io.Writer
	Err error // nobody answers any more
}

// NewDialog makes a dialog that ends with ctx. Several may use one input after
// each other.
func NewDialog(ctx context.Context, in *Lines, out io.Writer) *Dialog {
	return &Dialog{ctx: ctx, in: in, out: out}
}

// Say prints a line, unless nobody is there any more.
func (d *Dialog) Say(format string, a ...any) {
	if d.Err == nil {
		fmt.Fprintf(d.out, format+"\n", a...)
	}
}

// Ask asks until there is a good answer.
func (d *Dialog) Ask(q Question) string {
	if d.Err != nil {
		return ""
	}
	for i, o := range q.Options {
		d.Say("  %d  %s", i+1, Safe(o.Value))
		if o.Text != "" {
			d.Say("     %s", Safe(o.Text))
		}
	}
	prompt := q.Text
	if len(q.Words) > 0 {
		prompt += " (" + strings.Join(q.Words, ", ") + ")"
	}
	if q.Usual != "" {
		prompt += " [" + Safe(q.Usual) + "]"
	}
	for {
		fmt.Fprintf(d.out, "%s: ", prompt)
		s, err := d.in.next(d.ctx)
		if err != nil {
			d.Err = err
			return ""
		}
		s = strings.TrimSpace(s)
		switch {
		case s == "?":
			more := q.More
			if more == "" {
				more = "There is nothing more to say about it."
			}
			d.Say("  %s", strings.ReplaceAll(more, "\n", "\n  "))
			continue
		case s == "" && q.Usual == "":
			d.Say("  this has no usual answer; ? explains")
			continue
		case s == "":
			s = q.Usual
		}
		if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= len(q.Options) {
			s = q.Options[n-1].Value
		}
		if err := q.Check(s); err != nil {
			d.Say("  %s; ? explains", OneLine(err.Error()))
			continue
		}
		return s
	}
}

// Lines reads lines from In, and can be interrupted while nobody types.
type Lines struct {
	In  io.Reader
	buf []byte
	end error
}

var (
	// ErrInterrupted: the context ended while somebody was asked.
	ErrInterrupted = errors.New("interrupted")
	errEnd         = errors.New("the answers ended before the questions")
)

const longest = 4096

// forget throws away what was typed and not asked for yet.
func (l *Lines) forget() {
	l.buf = nil
	forget(l.In)
}

// forget throws away what the kernel keeps of a terminal's keys, an unfinished line
// too. Anything else but a terminal has nobody who types, and keeps what it has.
func forget(in io.Reader) {
	f, is := in.(*os.File)
	if !is {
		return
	}
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCIFLUSH) })
	}
}

func (l *Lines) next(ctx context.Context) (string, error) {
	for {
		if i := bytes.IndexByte(l.buf, '\n'); i >= 0 {
			s := string(l.buf[:i])
			l.buf = l.buf[i+1:]
			return s, nil
		}
		switch {
		case ctx.Err() != nil:
			return "", ErrInterrupted
		case len(l.buf) > longest:
			return "", errors.New("the line is too long for an answer")
		case l.end != nil && len(l.buf) > 0:
			s := string(l.buf)
			l.buf = nil
			return s, nil
		case l.end != nil:
			return "", errEnd
		}
		if f, is := l.In.(*os.File); is {
			if err := waitReadable(ctx, f); err != nil {
				return "", err
			}
		}
		var b [512]byte
		n, err := l.In.Read(b[:])
		l.buf = append(l.buf, b[:n]...)
		l.end = err
	}
}

// waitReadable waits until there is something to read, or ctx ends: a terminal that
// is being read can't be told to stop, so nobody may begin to.
func waitReadable(ctx context.Context, f *os.File) error {
	var wake [2]int
	if err := unix.Pipe2(wake[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(wake[1], []byte{0})
	})
	defer func() {
		if !stop() {
			<-woken
		}
		_, _ = unix.Close(wake[0]), unix.Close(wake[1])
	}()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var polled error
	err = raw.Control(func(fd uintptr) {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wake[0]), Events: unix.POLLIN}}
		for {
			if _, polled = unix.Poll(ready, -1); !errors.Is(polled, unix.EINTR) {
				break
			}
		}
		if polled == nil && ready[1].Revents != 0 {
			polled = ErrInterrupted
		}
	})
	return errors.Join(err, polled)
}
