// Package kinds is what a kind of machine is to everybody above its driver: what
// its section of a file may say, the plan that comes of it, how its metal is
// opened and put at rest, how it is recognised, the commands it brings. Each kind has a folder of its own here, beside the one
// of its driver: configs/kinds/NAME is the only importer of driver/NAME, and
// cmd/barista/drivers.go the only importer of the kinds (TestKindIsAFolder).
// Nobody else knows a kind by name.
//
// What a command starts it waits for. It must not open or touch anything before
// Open, Rest or a command is called, and no network at all.
package kinds

import (
	"barista/configs"
	"barista/driver"
)

// Kind is one kind of machine.
type Kind struct {
	Name      string // behind driver: in a file, a token
	Title     string // one line, what it is for whoever chooses
	Sample    string // the file name of its sample
	Simulated bool   // see configs.Kind
	// Parts are those that it can switch; none for an appliance.
	Parts []driver.Part
	// New makes empty settings and the form that fills them.
	New func() (configs.Settings, *Form)

	Sight *Sight // nil: it hangs on no serial port
	Pins  *Pins  // nil: it hangs on none of the computer's own lines

	Commands []Command // that it brings
	Record   *Record   // nil: nobody asks
}

// decode reads a section by the kind's form.
func (k Kind) decode(m *configs.Map) configs.Settings {
	s, f := k.New()
	f.read(m, k.Name)
	if x, is := s.(interface {
		Settled(m *configs.Map) configs.Settings
	}); is {
		return x.Settled(m)
	}
	return s
}

// Table is all kinds, as cmd/barista/drivers.go lists them.
type Table []Kind

// Loader is the table as the loader of configurations wants it.
func (t Table) Loader() map[string]configs.Kind {
	out := map[string]configs.Kind{}
	for _, k := range t {
		out[k.Name] = configs.Kind{Simulated: k.Simulated, Parts: k.Parts, Decode: k.decode}
	}
	return out
}

// Of is the kind with this name; false if there is none.
func (t Table) Of(name string) (Kind, bool) {
	for _, k := range t {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Commands are those of all kinds that belong to this group.
func (t Table) Commands(under string) []Command {
	var out []Command
	for _, k := range t {
		for _, c := range k.Commands {
			if c.Under == under {
				out = append(out, c)
			}
		}
	}
	return out
}

// Warner says what is good to know of the wiring, and no reason to refuse it.
type Warner interface{ Warnings() []string }
