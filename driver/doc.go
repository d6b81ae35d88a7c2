// Package driver holds the words between a machine and its metal: the parts
// that can be switched, the readings that can be taken, the two kinds of rig,
// and the contract that every kind of driver keeps. It reaches the standard
// library only.
//
// # Two kinds
//
// Actuators (GPIO lines, relay boards, the mock): we own the sequence and the
// safety. The driver hands over one Output per Part and one Sensor per Signal.
//
// Appliances (a Jura): the machine owns both. We ask for a product, watch, and
// prove by its counter what came of it.
//
// # The safety contract of an Output
//
//   - Opening a rig moves nothing: every output is at rest before Open returns,
//     set to its resting level in the same step that makes it an output.
//   - On takes the longest time it may last. An unbounded "on" cannot be
//     written down. A board with a timer of its own is given that time; else
//     package guard keeps it. On while on is a new command with a new bound.
//   - Off returns within Rig.OffWithin, may be called at any time, by a driver
//     in any state, any number of times. An error from Off means: nobody knows,
//     it may be on.
//   - Nothing that reads ever changes a level.
//   - Close does not make anything safe: it is called after Off, and only
//     releases.
//   - One goroutine at a time calls an Output; different outputs of one Port may
//     not be called at the same time. Package guard keeps both rules, and nobody
//     else may hold an Output: package machine takes only a *guard.Rig.
//
// A Sensor that cannot say is an error, never a default value.
//
// A Contact (of a Wire) shows what the part really does. A driver may look at it
// itself and answer with ErrFeedback; the machine looks at it all the time, also
// with everything off.
//
// # A new kind, without a machine at hand
//
// A kind is a folder here, a folder under configs/kinds, and a line in
// cmd/barista/drivers.go. Nothing else has to change, and two tests of cmd/barista
// hold that: TestToyKind takes a kind of 120 lines through check, setup, dry run,
// self-test, safe-off and a drink, and TestKindIsAFolder fails where anybody else
// knows a kind. A whole driver of two pages, tested like any other, is
// driver/drivertest/example_test.go: begin with a copy of it.
//
//  1. driver/NAME: a Config as plain data, its Problems that say everything that
//     is wrong, and Open(Config) (Rig, error), at rest. Two steps, so that tests
//     need no file. The package comment says what hangs on it and what it must
//     never do. A library for its wire is imported by this folder alone, a serial
//     port goes through driver/serial, and what relay boards share is driver/board.
//  2. Decide which it is. Outputs that we time and cut off: actuators, which say
//     for each Wire what cuts it off when this computer is dead. A machine that
//     has its own sequence: an Appliance, which is asked once and proved by its
//     counter, and says ErrUncertain when nobody knows.
//  3. A test that runs the suite: drivertest.Actuators or drivertest.Appliances,
//     with a Bench or Bar that looks at the metal from outside of the driver.
//     Without metal that is a simulator: of the wire's other end over a pty or in
//     memory, which fails the test on harm and keeps its relays when the cable is
//     pulled, as boards do. It is done when the suite passes; the suite's
//     comments say what each check is for. Frames from outside are fuzzed.
//  4. configs/kinds/NAME: a kinds.Kind. Its table of keys says what its section of a
//     file may hold; the loader reads by it, setup asks and writes by it, and the
//     README prints it. Its settings say what does not go together, complete the
//     plan, open the rig and put it at rest. How detect recognises it, and its
//     simulator, stand there too, if it has them. Files that must be refused are
//     rows of its test (kindtest.Refused); a good one is its sample, in configs.
//
// Guard, machine, worker and shop know parts, signals and products only. Until
// somebody plugged it in, its comment says "simulated only".
package driver
