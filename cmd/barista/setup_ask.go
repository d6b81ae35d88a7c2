package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"barista/configs"
)

// question is one thing that setup has to know. Its key is the one in an answers
// file.
type question struct {
	key  string // with dots: "outputs.pump.relay"
	text string // one line: "its name"
	more string // what ? shows

	words   []string      // the answers there are; none: any text
	options []setupOption // what was found; a person may give its number
	several bool          // a list of words
	whole   [2]int        // a whole number from … to; 0, 0: no number
	number  [2]float64    // a number from … to

	// def is taken where nothing is answered: only what can do no harm has one.
	// suggest is offered to a person; an answers file has to say it.
	def, suggest string
	check        func(answer string) error
}

// setupOption is an answer with what is known of it.
type setupOption struct {
	value, text string
}

// setupAnswers is where answers come from: a person or a file. After an error
// every answer is empty; whoever asks goes on to the end and looks at it there.
type setupAnswers interface {
	ask(q question) string
	// pick asks which keys of a map there are: parts, or signals.
	pick(q question) []string
	// person reports that somebody reads what is said.
	person() bool
	say(format string, a ...any)
}

// bad says what is wrong with an answer.
func (q question) bad(s string) error {
	list := []string{s}
	if q.several {
		list = setupWords(s)
		if len(list) == 0 {
			return errors.New("name at least one")
		}
	}
	for i, w := range list {
		switch {
		case len(q.words) > 0 && !slices.Contains(q.words, w):
			return fmt.Errorf("%s is not one of %s", quote(w), strings.Join(q.words, ", "))
		case slices.Contains(list[:i], w):
			return fmt.Errorf("%s is there twice", quote(w))
		}
	}
	if q.whole != [2]int{} {
		n, err := strconv.Atoi(s)
		if err != nil || n < q.whole[0] || n > q.whole[1] || strconv.Itoa(n) != s {
			return fmt.Errorf("give a whole number from %d to %d", q.whole[0], q.whole[1])
		}
	}
	if q.number != [2]float64{} {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || !(n >= q.number[0] && n <= q.number[1]) {
			return fmt.Errorf("give a number from %v to %v", q.number[0], q.number[1])
		}
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }) {
		return errors.New("there is a character in it that can't be seen")
	}
	if q.check != nil {
		return q.check(s)
	}
	return nil
}

// setupWords takes a list apart: blanks or commas stand between words.
func setupWords(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// setupTerminal asks a person, line by line: any terminal will do.
type setupTerminal struct {
	ctx context.Context
	in  *setupLines
	out io.Writer
	err error // nobody answers any more
}

func (t *setupTerminal) person() bool { return true }

func (t *setupTerminal) say(format string, a ...any) {
	if t.err == nil {
		fmt.Fprintf(t.out, format+"\n", a...)
	}
}

func (t *setupTerminal) pick(q question) []string {
	q.several = true
	if q.def == "" {
		q.def = "none"
	}
	words := q.words
	q.words = append(slices.Clone(words), "none")
	q.check = func(s string) error {
		if list := setupWords(s); len(list) > 1 && slices.Contains(list, "none") {
			return errors.New("none stands alone")
		}
		return nil
	}
	s := t.ask(q)
	if s == "none" {
		return nil
	}
	return setupWords(s)
}

func (t *setupTerminal) ask(q question) string {
	if t.err != nil {
		return ""
	}
	for i, o := range q.options {
		t.say("  %d  %s", i+1, safe(o.value))
		if o.text != "" {
			t.say("     %s", safe(o.text))
		}
	}
	usual := q.def
	if usual == "" {
		usual = q.suggest
	}
	prompt := q.text
	if len(q.words) > 0 {
		prompt += " (" + strings.Join(q.words, ", ") + ")"
	}
	if usual != "" {
		prompt += " [" + safe(usual) + "]"
	}
	for {
		fmt.Fprintf(t.out, "%s: ", prompt)
		s, err := t.in.next(t.ctx)
		if err != nil {
			t.err = err
			return ""
		}
		s = strings.TrimSpace(s)
		switch {
		case s == "?":
			more := q.more
			if more == "" {
				more = "There is nothing more to say about it."
			}
			t.say("%s", indented(more))
			continue
		case s == "" && usual == "":
			t.say("  this has no usual answer; ? explains")
			continue
		case s == "":
			s = usual
		}
		if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= len(q.options) {
			s = q.options[n-1].value
		}
		if err := q.bad(s); err != nil {
			t.say("  %s; ? explains", oneLine(err.Error()))
			continue
		}
		return s
	}
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}

// setupFile takes the answers from a file. What is missing or wrong is reported
// at its place in it, all at once.
type setupFile struct {
	root *configs.Map
}

func (f *setupFile) person() bool       { return false }
func (f *setupFile) say(string, ...any) {}

// at finds a key; nil if it is not there, with the map that lacks it.
func (f *setupFile) at(key string) (n *configs.Node, m *configs.Map, missing string) {
	m = f.root
	for {
		name, rest, deeper := strings.Cut(key, ".")
		if n = m.Get(name); n == nil {
			return nil, m, name
		}
		if !deeper {
			return n, m, ""
		}
		m, key = n.Map(), rest
	}
}

func (f *setupFile) missing(q question, m *configs.Map, name string) {
	fix := "answer it, " + q.key + ": " + q.text
	if len(q.words) > 0 {
		fix += " (" + strings.Join(q.words, ", ") + ")"
	}
	m.Need(name, fix)
}

func (f *setupFile) pick(q question) []string {
	n, m, name := f.at(q.key)
	if n == nil {
		if q.def != "none" {
			f.missing(q, m, name)
		}
		return nil
	}
	var out []string
	for _, k := range n.Map().All() {
		if !slices.Contains(q.words, k.Key()) {
			k.KeyProblem("there is no such thing here", "there are "+strings.Join(q.words, ", "))
			k.Map().Lenient()
			continue
		}
		out = append(out, k.Key())
	}
	return out
}

func (f *setupFile) ask(q question) string {
	n, m, name := f.at(q.key)
	if n == nil {
		if q.def == "" {
			f.missing(q, m, name)
		}
		return q.def
	}
	var s string
	ok := false
	switch {
	case q.several:
		var list []*configs.Node
		list, ok = n.List(1, 64)
		var words []string
		for _, e := range list {
			w, fine := e.Text()
			ok = ok && fine
			words = append(words, w)
		}
		s = strings.Join(words, " ")
	case q.whole != [2]int{}:
		var v int
		v, ok = n.Int(q.whole[0], q.whole[1])
		s = strconv.Itoa(v)
	case q.number != [2]float64{}:
		var v float64
		v, ok = n.Float(q.number[0], q.number[1])
		s = strconv.FormatFloat(v, 'f', -1, 64)
	case len(q.words) > 0:
		s, ok = n.Choice(q.words...)
	default:
		s, ok = n.Text()
	}
	if !ok {
		return ""
	}
	if err := q.bad(s); err != nil {
		n.Problem(oneLine(err.Error()), "answer it, "+q.key+": "+q.text)
		return ""
	}
	return s
}

// setupLines reads lines, and can be interrupted while nobody types.
type setupLines struct {
	in  io.Reader
	buf []byte
	end error
}

var (
	errSetupEnd         = errors.New("the answers ended before the questions")
	errSetupInterrupted = errors.New("interrupted")
)

const setupLongest = 4096

func (l *setupLines) next(ctx context.Context) (string, error) {
	for {
		if i := bytes.IndexByte(l.buf, '\n'); i >= 0 {
			s := string(l.buf[:i])
			l.buf = l.buf[i+1:]
			return s, nil
		}
		switch {
		case ctx.Err() != nil:
			return "", errSetupInterrupted
		case len(l.buf) > setupLongest:
			return "", errors.New("the line is too long for an answer")
		case l.end != nil && len(l.buf) > 0:
			s := string(l.buf)
			l.buf = nil
			return s, nil
		case l.end != nil:
			return "", errSetupEnd
		}
		if f, is := l.in.(*os.File); is {
			if err := waitReadable(ctx, f); err != nil {
				return "", err
			}
		}
		var b [512]byte
		n, err := l.in.Read(b[:])
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
			polled = errSetupInterrupted
		}
	})
	return errors.Join(err, polled)
}
