package archive

import (
	"fmt"
	"strings"
	"time"

	"barista/fleet"
)

const table = "barista_events"

// dialect is one kind of database.
type dialect struct {
	time   string             // type of a moment
	real   string             // and of a figure
	place  func(n int) string // where value n goes, from 1
	moment func(t time.Time) any
}

var (
	sqlite = dialect{"TEXT", "REAL", func(int) string { return "?" }, func(t time.Time) any {
		return t.UTC().Format("2006-01-02 15:04:05.000") // as SQLite's own functions read it, and sorts
	}}
	postgres = dialect{"TIMESTAMPTZ", "DOUBLE PRECISION", func(n int) string { return fmt.Sprintf("$%d", n) }, func(t time.Time) any { return t.UTC() }}
)

// column is one of the table, and what it takes of an event. Nothing of a person is
// among them: no name, no words, no payload, and of a decision only that a person made
// it.
type column struct {
	name, kind string
	of         func(d dialect, e fleet.StoredEvent) any
}

var columns = []column{
	{"id", "TEXT PRIMARY KEY", func(_ dialect, e fleet.StoredEvent) any { return e.ID }},
	{"at", "TIME NOT NULL", func(d dialect, e fleet.StoredEvent) any { return d.moment(when(e)) }},
	{"order_id", "TEXT NOT NULL", func(_ dialect, e fleet.StoredEvent) any { return e.Order }},
	{"kind", "TEXT NOT NULL", func(_ dialect, e fleet.StoredEvent) any { return string(e.Kind) }},
	{"epoch", "INTEGER NOT NULL", func(_ dialect, e fleet.StoredEvent) any { return e.Epoch }},
	{"machine", "TEXT", func(_ dialect, e fleet.StoredEvent) any { return text(e.Machine) }},
	{"outcome", "TEXT", func(_ dialect, e fleet.StoredEvent) any { return text(string(e.Outcome)) }},
	{"code", "TEXT", func(_ dialect, e fleet.StoredEvent) any { return text(e.Code) }},
	{"by_person", "BOOLEAN NOT NULL", func(_ dialect, e fleet.StoredEvent) any { return e.By != "" }},
	{"seconds", "REAL", func(_ dialect, e fleet.StoredEvent) any { return figure(e.Seconds) }},
	{"eta_low", "REAL", func(_ dialect, e fleet.StoredEvent) any { return eta(e, 0) }},
	{"eta_high", "REAL", func(_ dialect, e fleet.StoredEvent) any { return eta(e, 1) }},
	{"eta_error", "REAL", func(_ dialect, e fleet.StoredEvent) any {
		if e.ETAError == nil {
			return nil
		}
		return *e.ETAError
	}},
	{"size", "TEXT", func(_ dialect, e fleet.StoredEvent) any {
		return of(e, func(o *fleet.Order) any { return string(o.Size) })
	}},
	{"bean", "TEXT", func(_ dialect, e fleet.StoredEvent) any { return of(e, func(o *fleet.Order) any { return o.Bean }) }},
	{"milk", "TEXT", func(_ dialect, e fleet.StoredEvent) any { return of(e, func(o *fleet.Order) any { return o.Milk }) }},
	{"sugar", "INTEGER", func(_ dialect, e fleet.StoredEvent) any { return of(e, func(o *fleet.Order) any { return o.Sugar }) }},
}

// when an event was: as it says itself, which is the broker's clock at its record; of one
// that does not say, when it was stored.
func when(e fleet.StoredEvent) time.Time {
	if e.At.IsZero() {
		return e.Stored
	}
	return e.At
}

func of(e fleet.StoredEvent, what func(*fleet.Order) any) any {
	if e.What == nil {
		return nil
	}
	return what(e.What)
}

func eta(e fleet.StoredEvent, i int) any {
	if len(e.ETA) != 2 {
		return nil
	}
	return float64(e.ETA[i])
}

// text is nothing where it says nothing. A PostgreSQL takes no zero byte, and one event
// must never hold up all others.
func text(s string) any {
	if s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "?"); s == "" {
		return nil
	}
	return s
}

func figure(f float64) any {
	if f == 0 {
		return nil
	}
	return f
}

func (d dialect) table() []string {
	kinds := strings.NewReplacer("TIME", d.time, "REAL", d.real)
	var list []string
	for _, c := range columns {
		list = append(list, c.name+" "+kinds.Replace(c.kind))
	}
	return []string{
		"CREATE TABLE IF NOT EXISTS " + table + " (" + strings.Join(list, ", ") + ")",
		"CREATE INDEX IF NOT EXISTS " + table + "_at ON " + table + " (at)",
		"CREATE INDEX IF NOT EXISTS " + table + "_order ON " + table + " (order_id)",
	}
}

// insert is a statement for so many rows. One that is there already stays.
func (d dialect) insert(rows int) string {
	var names, all []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	n := 0
	for range rows {
		var row []string
		for range columns {
			n++
			row = append(row, d.place(n))
		}
		all = append(all, "("+strings.Join(row, ", ")+")")
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES " + strings.Join(all, ", ") + " ON CONFLICT (id) DO NOTHING"
}

func (d dialect) row(e fleet.StoredEvent) []any {
	var out []any
	for _, c := range columns {
		out = append(out, c.of(d, e))
	}
	return out
}
