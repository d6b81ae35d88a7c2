package serial_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"barista/driver/serial"
	"barista/driver/serial/serialtest"
)

// talk asks for the time twice and returns both answers.
func talk(t *testing.T, p *serial.Port) (string, error) {
	var got string
	err := p.Do(within(t, 5*time.Second), func(l *serial.Line) error {
		for range 2 {
			if err := write(l, "time?"); err != nil {
				return err
			}
			b, err := l.Next(time.Now().Add(time.Second))
			if err != nil {
				return err
			}
			got += string(b)
		}
		return nil
	})
	return got, err
}

func record(t *testing.T) []byte {
	var tape bytes.Buffer
	b := newBench(t)
	b.cfg.Record = serial.NewRecorder(&tape)
	p := b.open()
	go func() {
		for _, answer := range []string{"noon;", "late;"} {
			read(t, b.device(), 5)
			time.Sleep(40 * time.Millisecond)
			_, _ = b.device().Write([]byte(answer))
		}
	}()
	if got, err := talk(t, p); got != "noon;late;" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if err := errors.Join(p.Close(), b.cfg.Record.Err()); err != nil {
		t.Error(err)
	}
	return tape.Bytes()
}

func TestRecordAndReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tape := record(t)
		want := `{"at_us":0,"dir":"open"}
{"at_us":0,"dir":"out","hex":"74696d653f"}
{"at_us":40000,"dir":"in","hex":"6e6f6f6e3b"}
{"at_us":40000,"dir":"out","hex":"74696d653f"}
{"at_us":80000,"dir":"in","hex":"6c6174653b"}
{"at_us":80000,"dir":"gone"}
`
		if diff := cmp.Diff(want, string(tape)); diff != "" {
			t.Error(diff)
		}
		events, err := serialtest.ReadRecording(bytes.NewReader(tape))
		if err != nil {
			t.Fatal(err)
		}
		r := serialtest.NewReplay(events)
		p, err := serial.Open(serial.Config{Dial: r.Dial})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if got, err := talk(t, p); got != "noon;late;" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if d := time.Since(began); d != 80*time.Millisecond {
			t.Errorf("played in %v", d)
		}
		if err := errors.Join(p.Close(), r.Done()); err != nil {
			t.Error(err)
		}
	})
}

func TestReplayComplains(t *testing.T) {
	for name, c := range map[string]struct {
		work func(l *serial.Line) error
		want string
	}{
		"nothing sent":   {func(*serial.Line) error { return nil }, "left over at 0s: 5 bytes out"},
		"half":           {func(l *serial.Line) error { return write(l, "tim") }, `left over at 0s: 2 bytes out: 65 3F`},
		"not fetched":    {func(l *serial.Line) error { return write(l, "time?") }, `left over at 40ms: 5 bytes in: 6E 6F 6F 6E 3B`},
		"something else": {func(l *serial.Line) error { return write(l, "stop!") }, "sent 73 74 6F 70 21 where the recording has 74 69 6D 65 3F out"},
		"too early":      {func(l *serial.Line) error { return errors.Join(write(l, "time?"), write(l, "x")) }, "sent 78 where the recording has 6E 6F 6F 6E 3B in"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events, err := serialtest.ReadRecording(bytes.NewReader(record(t)))
				if err != nil {
					t.Fatal(err)
				}
				r := serialtest.NewReplay(events)
				p, err := serial.Open(serial.Config{Dial: r.Dial})
				if err != nil {
					t.Fatal(err)
				}
				_ = p.Do(within(t, time.Second), c.work)
				_ = p.Close()
				if err := r.Done(); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func FuzzReadRecording(f *testing.F) {
	f.Add([]byte(`{"at_us":0,"dir":"open"}` + "\n" + `{"at_us":12,"dir":"out","hex":"a0"}`))
	f.Add([]byte(`{"at_us":5,"dir":"in","hex":"zz"}`))
	f.Add([]byte(`{"at_us":-1}` + "\n\n[]"))
	f.Fuzz(func(t *testing.T, tape []byte) {
		events, err := serialtest.ReadRecording(bytes.NewReader(tape))
		if err != nil {
			return
		}
		last := time.Duration(0)
		for _, e := range events {
			if e.At < last {
				t.Errorf("%v after %v", e.At, last)
			}
			last = e.At
		}
	})
}
