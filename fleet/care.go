package fleet

import (
	"slices"
	"strings"
)

// CareBean stands in a care order where a drink has its bean: no bean is called so.
const CareBean = "care"

// The ways into the book of a care order, as a claim's Via.
const (
	ViaCare     = "care"      // it waits while its machine is the last that makes something
	ViaCareLast = "care-last" // a person wants it all the same
)

// Care is how it stands with one kind of upkeep of a machine, by its own word.
type Care struct {
	Kind   Size `json:"kind"`
	Drinks int  `json:"drinks"`           // since the last time
	Hours  int  `json:"hours"`            // in service, since then
	Due    bool `json:"due,omitempty"`    // by its file
	Itself bool `json:"itself,omitempty"` // needs nobody at the machine
}

// The kinds of care, where a drink has its size.
const (
	CareRinse   Size = "rinse"
	CareClean   Size = "clean"
	CareDescale Size = "descale"
)

// CareKinds lists them, what is needed most often first.
var CareKinds = []Size{CareRinse, CareClean, CareDescale}

// CareOrder is an order by which a machine is cared for: it stands in the queue with the
// drinks, in a class that no other machine serves, and takes nothing from the stock. by is
// who wants it.
func CareOrder(id, by, machine string, kind Size) Order {
	return Order{ID: id, Name: by, Size: kind, Bean: CareBean, Milk: machine}
}

// CareClass is the class of a machine's care orders.
func CareClass(machine string) Class { return Class{CareBean, machine} }

// IsCare reports that this is no drink but the care of a machine.
func (o Order) IsCare() bool { return o.Bean == CareBean }

// CareOf is the machine that is cared for.
func (o Order) CareOf() string { return o.Milk }

// sized reports whether a size can be the order's: those of drinks and of care don't mix.
func (o Order) sized() bool {
	if o.IsCare() {
		return slices.Contains(CareKinds, o.Size) && o.Sugar == 0
	}
	return slices.Contains(Sizes, o.Size)
}

// IsCareName reports whether a bean's name is too near to that of care: the queues of the
// two could have one name.
func IsCareName(bean string) bool { return bean == CareBean || strings.HasPrefix(bean, CareBean+"-") }

// Cares reports whether the machine knows this kind of care.
func (p Presence) Cares(kind Size) bool {
	return slices.ContainsFunc(p.Care, func(c Care) bool { return c.Kind == kind })
}

// OnlyHere are the classes of which a machine makes something that no other one which is
// able makes now: while there are any, it is not taken out for its care.
func (p Presence) OnlyHere(all []*Machine) (classes []Class) {
	for _, c := range p.Classes {
		for _, size := range p.Sizes {
			o := Order{Bean: c.Bean, Milk: c.Milk, Size: size}
			if p.Makes(o) && !slices.ContainsFunc(all, func(m *Machine) bool { return m.Machine != p.Machine && m.Able() && m.Makes(o) }) {
				classes = append(classes, c)
				break
			}
		}
	}
	return classes
}
