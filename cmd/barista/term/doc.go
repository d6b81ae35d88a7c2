// Package term is what the subcommands print with and ask with: texts that are
// safe on a terminal, tables, JSON, the errors of the command line with their
// exit codes, and a person's answers.
//
// It promises that no text from outside acts on a terminal, and that whoever
// waits for a person stops waiting when its context ends. The subcommands own
// what they say; package main owns which error of a room has which exit code.
// It must know no shop and no machine, and never end the process.
package term
