// Package configs reads the one YAML file of a service and holds the commented
// sample files themselves (*.yaml in this folder; a test loads every one).
//
// A section that is present turns a role on: broker, controller, stock, web,
// archive, machine; metrics: says where a Prometheus finds them. Load returns plain typed
// values with every default filled in; it starts nothing, touches nothing but the
// file, and keeps no state. Nothing may be opened, switched or listened on before
// Load came back without an error.
//
// # What it promises
//
// All problems of a file come back at once, in order of line, each with its
// place, a reason and what to do: unknown keys (with a guess at what was meant),
// keys that stand there twice, missing keys, values of the wrong type, values
// that can't be, sections that don't go together. YAML is kept small: one
// document of plain maps, lists and scalars; anchors, aliases, merges and tags
// are refused, because they hide from the reader what a machine will do.
//
// # Kinds of machine
//
// The package knows no driver. The caller hands Load a table of kinds; a Kind
// says which parts it can switch and reads its own keys through the same cursor
// (Node and Map) that this package uses, so that its mistakes are reported with
// the others. A key that nobody asks for is unknown: there is no second list of
// allowed keys that could disagree.
package configs
