package main

import (
	"log/slog"
	"slices"
	"testing"

	"barista/configs"
	"barista/configs/kinds"
	kindmock "barista/configs/kinds/mock"
	"barista/driver"
	"barista/driver/mock"
)

// through are settings whose metal goes through a test's hands.
type through struct {
	configs.Settings
	hands func(inner configs.Settings, log *slog.Logger) (driver.Rig, error)
}

func (s through) Open(log *slog.Logger) (driver.Rig, error) { return s.hands(s.Settings, log) }

// Settled is what the section makes of the settings behind.
func (s through) Settled(m *configs.Map) configs.Settings {
	if x, is := s.Settings.(interface {
		Settled(m *configs.Map) configs.Settings
	}); is {
		return handle(x.Settled(m), s.hands)
	}
	return s
}

// farThrough are such settings where the metal is somebody else's.
type farThrough struct {
	through
	configs.Elsewhere
}

func (s farThrough) Complete(c *configs.Machine, m *configs.Map) { s.Elsewhere.Complete(c, m) }
func (s farThrough) Open(log *slog.Logger) (driver.Rig, error)   { return s.through.Open(log) }
func (s farThrough) Rest() error                                 { return s.Elsewhere.Rest() }

func handle(s configs.Settings, hands func(configs.Settings, *slog.Logger) (driver.Rig, error)) configs.Settings {
	if far, is := s.(configs.Elsewhere); is {
		return farThrough{through{s, hands}, far}
	}
	return through{s, hands}
}

// handled is the kind under a name of the test, with its metal in the test's hands.
func handled(k kinds.Kind, name string, hands func(configs.Settings, *slog.Logger) (driver.Rig, error)) kinds.Kind {
	inner := k.New
	k.Name, k.New = name, func() (configs.Settings, *kinds.Form) {
		s, f := inner()
		return handle(s, hands), f
	}
	return k
}

// addKind adds a kind to the table until the test ends.
func addKind(t testing.TB, k kinds.Kind) {
	drivers = append(slices.Clone(drivers), k)
	t.Cleanup(func() {
		drivers = slices.DeleteFunc(slices.Clone(drivers), func(x kinds.Kind) bool { return x.Name == k.Name })
	})
}

// allHandled has the metal of every kind in the test's hands, until it ends.
func allHandled(t testing.TB, hands func(configs.Settings, *slog.Logger) (driver.Rig, error)) {
	was := drivers
	var list kinds.Table
	for _, k := range was {
		list = append(list, handled(k, k.Name, hands))
	}
	drivers = list
	if t != nil {
		t.Cleanup(func() { drivers = was })
	}
}

// control is the other side of an opened mock.
func (st *member) control() *mock.Control {
	s := st.file.Settings
	if in, is := s.(through); is {
		s = in.Settings
	}
	return s.(*kindmock.Settings).Control()
}
