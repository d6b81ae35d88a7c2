package term

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Secret returns one line that is not shown while it is typed, with its spaces.
func (p *Person) Secret(ctx context.Context, format string, args ...any) (string, error) {
	if f, is := p.in.In.(*os.File); is && p.Live {
		show, err := hide(f)
		if err != nil {
			return "", Fail(ExitFailed, "", "this terminal would show what is typed: %w", err)
		}
		defer show()
		p.in.forget()
	}
	p.Say(format, args...)
	line, err := p.in.next(ctx)
	switch {
	case errors.Is(err, ErrInterrupted):
		return "", Fail(ExitFailed, "", "stopped, nothing was done")
	case err != nil:
		return "", Fail(ExitRefused, "", "nobody answered; nothing was done")
	}
	return strings.TrimSuffix(line, "\r"), nil
}

// hide lets a terminal not echo what is typed, until show is called.
func hide(f *os.File) (show func(), err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var before *unix.Termios
	failed := raw.Control(func(fd uintptr) {
		if before, err = unix.IoctlGetTermios(int(fd), unix.TCGETS); err == nil {
			quiet := *before
			quiet.Lflag &^= unix.ECHO
			quiet.Lflag |= unix.ECHONL
			err = unix.IoctlSetTermios(int(fd), unix.TCSETS, &quiet)
		}
	})
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	return func() {
		_ = raw.Control(func(fd uintptr) { _ = unix.IoctlSetTermios(int(fd), unix.TCSETS, before) })
	}, nil
}
