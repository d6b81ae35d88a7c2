package lcus_test

import (
	"bytes"
	"errors"
	"flag"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"barista/driver"
	"barista/driver/drivertest"
	"barista/driver/lcus"
	"barista/driver/lcus/sim"
	"barista/driver/plant"
	"barista/driver/serial"
	"barista/driver/serial/link"
	"barista/driver/serial/serialtest"
)

// ptyFrames is how many frames pass over a pseudo-terminal; 10000 once by hand.
var ptyFrames = flag.Int("ptyframes", 100, "frames over a pseudo-terminal")

func TestActuators(t *testing.T) {
	for _, dialect := range []lcus.Answers{lcus.AnswersNone, lcus.AnswersText, lcus.AnswersBytes} {
		t.Run(string(dialect), func(t *testing.T) {
			drivertest.ActuatorsInMemory(t, func(t *testing.T) drivertest.Bench {
				r := newRack(t, func(s *sim.Config, c *lcus.Config) { s.Answers, c.Answers = dialect, dialect })
				rig, err := lcus.Open(r.cfg)
				if err != nil {
					t.Fatal(err)
				}
				return drivertest.Bench{
					Rig: rig, Level: r.plant.On, Unplug: r.Cut, Stop: func() { r.Cut(); r.Wait() },
					Rises: r.plant.Rises,
				}
			})
		})
	}
}

// tape keeps the frames that the computer sent, from a recorder of its port. The
// board says nothing, so it may be several frames behind on a busy computer.
type tape struct {
	mu   sync.Mutex
	sent [][]byte
}

const atOnce = 4

func (l *tape) Write(line []byte) (int, error) {
	events, err := serialtest.ReadRecording(bytes.NewReader(line))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if e.Dir == serial.Out {
			l.sent = append(l.sent, e.Bytes)
		}
	}
	return len(line), err
}

// has finds a frame among those that were sent since the last one that was
// carried out. What the simulator reads at once comes twice in the noise, and on a
// busy computer that may be several frames.
func (l *tape) has(frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.sent, func(b []byte) bool { return bytes.Equal(b, frame) })
	if i < 0 {
		return false
	}
	l.sent = l.sent[max(0, i-atOnce):]
	return true
}

// TestPtyChaos is the chaos test's sister in real time, on a real
// pseudo-terminal whose cable is pulled now and then: nothing reaches the plant
// that was not sent. That an off gets through nobody can promise here, but each
// one that is sent without noise does.
func TestPtyChaos(t *testing.T) {
	t.Parallel()
	noise := serialtest.Noise{Damage: 0.05, Drop: 0.05, Double: 0.05, Delay: 0.05, Late: 30 * time.Millisecond}
	p := plant.New(plant.Endless())
	var mu sync.Mutex
	var sent tape // what the board may still carry out
	var wrong []lcus.Frame
	done := 0
	b := sim.New(sim.Config{Plant: p.Handle(), Relays: wired, Executed: func(f lcus.Frame) {
		mu.Lock()
		defer mu.Unlock()
		done++
		if !sent.has(f.Append(nil)) {
			wrong = append(wrong, f)
		}
	}})
	path := filepath.Join(t.TempDir(), "board")
	frames := 0
	plug := func(noise serialtest.Noise) (pull func()) {
		l, err := link.Make(path)
		if err != nil {
			t.Fatal(err)
		}
		line := serialtest.Noisy(l, uint64(frames), noise, serialtest.Noise{})
		ended := make(chan error, 1)
		go func() { ended <- b.Run(t.Context(), line) }()
		return sync.OnceFunc(func() {
			_ = l.Close()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			frames += line.Frames()
		})
	}
	cfg := lcus.Config{Relays: 8, Outputs: map[driver.Part]lcus.Relay{}}
	cfg.Port.Device, cfg.Port.Record = path, serial.NewRecorder(&sent)
	for i, part := range wired {
		cfg.Outputs[part] = lcus.Relay{Number: i + 1}
	}
	pull := plug(serialtest.Noise{})
	rig, err := lcus.Open(cfg)
	if err != nil {
		pull()
		t.Fatal(err)
	}
	off := func(part driver.Part) (tries int) {
		t.Helper()
		for tries = 1; ; tries++ {
			err := rig.Outputs[part].Off()
			if err == nil {
				return tries
			}
			if tries > 500 {
				t.Fatal(err)
			}
			if errors.Is(err, driver.ErrGone) {
				<-time.After(20 * time.Millisecond) // it looks for the cable
			}
		}
	}
	failed, lost, pulled := 0, 0, 0
	for frames < *ptyFrames {
		pull() // with everything in whatever state
		pulled++
		pull = plug(noise)
		for i := range 8 {
			part := wired[i%len(wired)]
			if rig.Outputs[part].On(30*time.Second) != nil {
				failed++
			}
			failed += off(part) - 1
			if p.On(part) {
				lost++
			}
		}
		// Plugged in again on a quiet line, everything is off before anything else.
		pull()
		pull = plug(serialtest.Noise{})
		for _, part := range wired {
			off(part)
			if p.On(part) {
				t.Fatalf("%s is on after off on a line without noise", part)
			}
		}
	}
	if err := rig.Close(); err != nil {
		t.Error(err)
	}
	pull()
	if len(wrong) > 0 {
		t.Errorf("%d wrong commands, the first %v", len(wrong), wrong[0])
	}
	t.Logf("%d frames, %d carried out, %d calls failed, %d offs lost in the noise, cable pulled %d times", frames, done, failed, lost, pulled)
}
