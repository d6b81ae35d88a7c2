package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"barista/fleet"
)

// Why no order is found, beside fleet.ErrNotFound.
var (
	ErrNoRef    = errors.New("no reference to an order: give its id, the last 4 or more characters of it, or last")
	ErrNoOrders = errors.New("no order is open, and none ended within a day")
	ErrSeveral  = errors.New("more than one order is meant")
)

// Last means the order that changed last, of the open ones and the last day's; with a
// phase behind it ("last failed") the last one that stands there.
const Last = "last"

// phases are the words that may stand behind Last.
var phases = []fleet.Phase{
	fleet.Accepted, fleet.Claimed, fleet.Brewing, fleet.Again, fleet.Unknown, fleet.Served, fleet.Failed, fleet.Cancelled, fleet.Expired,
}

// shortest is how many characters of an id's end are enough to mean it.
const shortest = 4

// Meant is an order that a person means.
type Meant struct {
	fleet.Entry
	// Ref is the shortest end of its id that means it and no other one, by what is known
	// now; the whole id of one that ended more than a day ago.
	Ref string
}

// SeveralError is ErrSeveral with those that are meant.
type SeveralError struct {
	text  string
	Found []Meant // the one that changed last at the end
}

func (e *SeveralError) Error() string { return e.text }
func (e *SeveralError) Unwrap() error { return ErrSeveral }

// CheckRef returns ErrNoRef for what can't mean an order.
func CheckRef(ref string) error {
	if _, err := fleet.ParseID(ref); err == nil || ref == Last {
		return nil
	}
	if len(ref) < shortest || len(ref) > 25 || strings.Trim(strings.ToUpper(ref), "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
		return ErrNoRef
	}
	return nil
}

// CheckWords returns ErrNoRef for what can't mean an order by an id or a name.
func CheckWords(words string) error {
	if CheckRef(words) == nil {
		return nil
	}
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.TrimSpace(words) == "" || strings.HasPrefix(words, "-") || utf8.RuneCountInString(words) > 64 || strings.ContainsFunc(words, odd) {
		return ErrNoRef
	}
	return nil
}

// Find reads the claim that a person means: a whole id; the last four or more of
// its characters, if only one of the open and the last day's orders ends so; or Last.
func (s Shop) Find(ctx context.Context, ref string) (fleet.Entry, error) {
	if id, err := fleet.ParseID(ref); err == nil {
		e, err := s.Book.Read(ctx, id)
		if errors.Is(err, fleet.ErrNotFound) {
			return e, noOrder(id)
		}
		return e, err
	}
	if err := CheckRef(ref); err != nil {
		return fleet.Entry{}, err
	}
	list, err := s.orders(ctx)
	if err != nil {
		return fleet.Entry{}, err
	}
	if ref == Last {
		m, err := lastOf(list, "")
		return m.Entry, err
	}
	m, err := oneOf(list, endingWith(list, ref), ref, "end with "+strings.ToUpper(ref))
	return m.Entry, err
}

// Mean is Find for who only wants to look: it takes the customer's name too, or the
// beginning of one of its words, and a phase behind Last. Of what is no name it is Find.
func (s Shop) Mean(ctx context.Context, words string) (Meant, error) {
	if err := CheckWords(words); err != nil {
		return Meant{}, err
	}
	if _, err := fleet.ParseID(words); err == nil {
		e, err := s.Find(ctx, words)
		if err != nil {
			return Meant{}, err
		}
		list, err := s.orders(ctx)
		return Meant{e, refOf(list, e.Order.ID)}, err
	}
	list, err := s.orders(ctx)
	if err != nil {
		return Meant{}, err
	}
	fields := strings.Fields(words)
	switch {
	case words == Last:
		return lastOf(list, "")
	case len(fields) == 2 && fields[0] == Last && slices.Contains(phases, fleet.Phase(fields[1])):
		return lastOf(list, fleet.Phase(fields[1]))
	}
	ends, names := []fleet.Entry{}, called(list, strings.Join(fields, " "))
	if CheckRef(words) == nil {
		ends = endingWith(list, words)
	}
	if len(ends) == 0 {
		return oneOf(list, names, words, "are for "+words)
	}
	both := slices.DeleteFunc(slices.Clone(list), func(e fleet.Entry) bool {
		is := func(o fleet.Entry) bool { return o.Order.ID == e.Order.ID }
		return !slices.ContainsFunc(ends, is) && !slices.ContainsFunc(names, is)
	})
	if len(both) == len(ends) {
		return oneOf(list, ends, words, "end with "+strings.ToUpper(words))
	}
	return oneOf(list, both, words, "end with "+strings.ToUpper(words)+" or are for "+words)
}

// endingWith are the orders whose id ends so.
func endingWith(list []fleet.Entry, ref string) (found []fleet.Entry) {
	for _, e := range list {
		if strings.HasSuffix(e.Order.ID, strings.ToUpper(ref)) {
			found = append(found, e)
		}
	}
	return found
}

// called are the orders for a name: for that and no other where there are any, else
// for those of which a word begins so.
func called(list []fleet.Entry, name string) (found []fleet.Entry) {
	for _, e := range list {
		if strings.EqualFold(e.Order.Name, name) {
			found = append(found, e)
		}
	}
	if len(found) > 0 {
		return found
	}
	begun := strings.ToLower(name)
	for _, e := range list {
		if strings.Contains(" "+strings.ToLower(e.Order.Name), " "+begun) {
			found = append(found, e)
		}
	}
	return found
}

func lastOf(list []fleet.Entry, phase fleet.Phase) (Meant, error) {
	if len(list) == 0 {
		return Meant{}, ErrNoOrders
	}
	for _, e := range slices.Backward(list) {
		if phase == "" || e.Phase == phase {
			return Meant{e, refOf(list, e.Order.ID)}, nil
		}
	}
	return Meant{}, fleet.Saying(fmt.Sprintf("no order of the last day is %s", phase), fleet.ErrNotFound)
}

// oneOf wants exactly one; how says in words what those have in common.
func oneOf(list, found []fleet.Entry, words, how string) (Meant, error) {
	var meant []Meant
	var ids []string
	for _, e := range found {
		meant = append(meant, Meant{e, refOf(list, e.Order.ID)})
		ids = append(ids, e.Order.ID)
	}
	switch len(meant) {
	case 1:
		return meant[0], nil
	case 0:
		text := "no order ends with " + strings.ToUpper(words)
		if strings.HasPrefix(how, "are for") {
			text = "no order of the last day ends with " + words + " or is for that name"
			switch {
			case utf8.RuneCountInString(words) < shortest:
				text = fmt.Sprintf("no order of the last day is for %s, and of an id at least the last %d characters are needed", words, shortest)
			case strings.HasPrefix(words, Last+" "):
				all := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(phases), "[]")), ", ")
				text += fmt.Sprintf("; behind %s stands one of %s", Last, all)
			}
		}
		return Meant{}, fleet.Saying(text, fleet.ErrNotFound)
	}
	text := fmt.Sprintf("%d orders %s: give more of the id (%s)", len(meant), how, strings.Join(ids[max(0, len(ids)-5):], ", "))
	return Meant{}, &SeveralError{text, meant}
}

// refOf is the shortest end of an id that none of the others has, and nobody's name.
func refOf(list []fleet.Entry, id string) string {
	known := slices.ContainsFunc(list, func(e fleet.Entry) bool { return e.Order.ID == id })
	for n := shortest; known && n < len(id); n++ {
		end := id[len(id)-n:]
		if len(endingWith(list, end)) == 1 && len(called(list, end)) == 0 {
			return end
		}
	}
	return id
}
