package told

import (
	"fmt"
	"io"
)

// Fault is one row of the table of faults, in one language.
type Fault struct {
	Fault    string `json:"fault"` // the word that reasons begin with
	Seen     string `json:"seen"`
	Drink    string `json:"drink"` // its outcome, at worst
	Mend     string `json:"mend"`  // clear, fill, again or restart
	Reaction string `json:"reaction"`
	Who      string `json:"who"` // ends it
	Operator string `json:"operator"`
	Customer string `json:"customer"`
	Lacks    string `json:"lacks,omitempty"`
	Danger   bool   `json:"danger"` // somebody must come at once: alerts call in their quiet hours too
}

// Print writes the whole row, for a person.
func (l Fault) Print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s\n", l.Fault, l.Operator)
	for _, x := range []struct{ what, text string }{
		{"seen by", l.Seen}, {"the drink", l.Drink + ", at worst"}, {"then", l.Reaction}, {"ended by", l.Who}, {"customer", l.Customer},
	} {
		fmt.Fprintf(w, "  %-10s %s\n", x.what, x.text)
	}
	if l.Danger {
		fmt.Fprintf(w, "  %-10s %s\n", "danger", "alerts call in their quiet hours too")
	}
}
