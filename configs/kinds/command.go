package kinds

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"barista/configs"
	"barista/driver/serial"
)

// Command is a command line that a kind brings, as data: the program makes the
// verb of it.
type Command struct {
	Under                     string // the group that it belongs to; "" is the program itself
	Use, Short, Long, Example string
	Args                      bool                       // it takes some
	Flags                     func(f *pflag.FlagSet) Run // adds its flags; what it returns runs once they are read
	Commands                  []Command                  // what it holds, if it only holds others
}

// Run does what a command is for. It stops when ctx is done.
type Run func(ctx context.Context, c Console, args []string) error

// Console is what a command says things with, and what it may ask of the program.
type Console struct {
	Show    func(v any, text func(io.Writer)) error // as JSON or as text, as was asked for
	Table   func(w io.Writer, rows [][]string)      // the first row is the head; its cells are made safe
	Safe    func(s string) string                   // a text from outside as it is, or quoted if it could act on a terminal
	Quote   func(s string) string                   // a text from outside, quoted
	Machine func(path string) (*configs.Machine, error)
}

// Why is why a command was not done, where whoever called it can tell.
type Why int

const (
	WrongUsage Why = iota
	Refused        // by the state of things
	NotAllowed     // to this user
)

// Error is why a command was not done, and what a person can do.
type Error struct {
	Why  Why
	Hint string
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Usage is the error of a wrong command line.
func Usage(format string, args ...any) error {
	return &Error{Why: WrongUsage, Err: fmt.Errorf(format, args...)}
}

// Record is how driver record asks a device of the kind what only reads.
type Record struct {
	Says    string // what it tells, for the help; a whole sentence if that is nothing
	Example string
	// Flags adds its flags, under names that no other kind has there. What it returns
	// looks at them and at the port's settings once they are read. Nil: there is
	// nothing to record.
	Flags func(f *pflag.FlagSet) func(serial.Config) (Look, error)
}

// Look asks whatever hangs on a port, and says in words what it answered.
type Look func(ctx context.Context, port *serial.Port) (string, error)
