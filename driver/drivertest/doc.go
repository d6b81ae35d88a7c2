// Package drivertest is what the author of a driver needs when there is no
// machine at hand: the suites that every driver of actuators (Actuators) and of
// an appliance (Appliances) passes, and a rig that lives in memory (Fake), for
// the tests of the guard, of the machine and of the suites themselves.
//
// It promises that a driver which passes keeps the safety contract of package
// driver. Actuators: at rest after opening, off whenever off was asked, no later
// than the guard's ceiling, never on by itself after the cable was pulled. An
// appliance: a product is started once, never again by itself, proved by the
// counter, and said to be unknown when in doubt; it may refuse to start anything
// until its Ready has said yes, and on a noisy wire. Each of the checks was seen
// red with a driver that breaks just that rule.
//
// It is started by tests only. It waits for every goroutine it starts, except
// for those that a broken driver keeps for ever, and it must never be linked
// into the program.
package drivertest
