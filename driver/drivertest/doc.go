// Package drivertest is what the author of a driver needs when there is no
// machine at hand: the suite that every driver of actuators passes (Actuators),
// and a rig that lives in memory (Fake), for the tests of the guard, of the
// machine and of the suite itself.
//
// It promises that a driver which passes keeps the safety contract of package
// driver: at rest after opening, off whenever off was asked, no later than the
// guard's ceiling, never on by itself after the cable was pulled. Each of the
// checks was seen red with a driver that breaks just that rule.
//
// It is started by tests only. It waits for every goroutine it starts, except
// for those that a broken driver keeps for ever, and it must never be linked
// into the program.
package drivertest
