// Package operators knows the people who look after the shop over its pages: their
// names, their passwords, and who of them is logged in.
//
// What outlives the process is one file, which holds names, argon2id hashes of
// passwords, and hashes of one-time codes; no password and no code is ever written
// down. There is no password that the shop came with: the first operator, like
// every later one, is let in once by a code that was printed on the shop's own
// computer, lives 15 minutes and works once, and chooses a password then.
//
// It promises: an unknown name and a wrong password look and last the same; one
// password is looked at at a time, so that a flood of attempts costs the memory of
// one; who guesses waits longer and longer, by name, by address and in all, and
// where somebody else guesses a name, its owner still gets in from where they were
// before, or by a new code; the session is a new secret at each login, lives 8
// hours at most, and ends everywhere at once when its owner says so, is taken off the
// list or gets another password.
//
// Sessions are kept in memory alone, as hashes: they end with the process. A file of
// them would have to prove how much of the 8 hours passed while nobody ran, on
// computers whose clock is set after they start, and would bring back what was ended while the
// disk was full. After a restart an operator logs in again.
//
// A Store is the file, for the service and for whoever is at its computer, at the same
// time. Operators lets people in by it; any goroutine may use either, and neither
// starts one. It must never put anything that was typed into a log or an error.
package operators
