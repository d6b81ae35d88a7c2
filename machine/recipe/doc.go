// Package recipe says what a drink takes, as data, and lays it out for one
// machine: a Drink in grams, millilitres, °C and doses goes through a
// Calibration and the machine's Limits and comes out as a Timeline, one sorted
// list of events like "14.2s grinder off". The machine's single loop walks that
// list, the tests keep its text as golden files, and `barista timeline` prints
// it.
//
// Promises: Compile is pure; it refuses before anything moves and gives all
// reasons at once; one part is on at a time, so members of an inrush group and
// forbidden pairs can't meet; no part is planned longer than its ceiling; every
// on has a bound of its own and an off behind it. What takes longer than a
// ceiling is split by the part's rest, or refused where no rest is known.
//
// Nothing here runs, so nobody starts or stops it. It must never read a clock, a
// sensor or a file.
package recipe
