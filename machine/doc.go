// Package machine is one coffee machine: the owner loop that walks a drink's
// timeline, its states, interlocks and faults. fleet says what to make, machine
// says how, a driver says by which wire.
//
// # What it promises
//
//   - What a machine is stands in its Plan, pure data from its file. Whoever says what
//     it would do asks the plan, and New refuses metal that is anything else.
//   - One goroutine owns the metal: Run. Everybody else hands it a job and waits
//     for the Report. Every "on" goes through package guard with a bound.
//   - Nothing moves before the journal's start is written, nothing moves when
//     the job's deadline has passed, and an attempt that the journal knows is
//     never begun again. No start or end waits for the disk: package journal says
//     why that is enough.
//   - A Report is made (poured to completion, everything seen off, nothing
//     doubted), untouched (grinder, pump, milk and sugar never went on) or
//     spoiled (anything else). Only an appliance without proof, and a crash, can
//     leave unknown.
//   - No drink starts before a cup was confirmed there, and none after a drink
//     before that cup was taken; over a restart and a power cut too.
//   - One thing is in hand at a time (task): a drink, a start that waits for its
//     fence, a cup that is dropped, a trial of a part.
//   - A sensor that the drink needs and that can't say is a fault, never a
//     default. What compares readings with expectation (verifier) is not the
//     code that pours, and asks the guard, not that code, what is on.
//   - A person at the machine may try one part (Try): by the same loop, through
//     the same guard and under the same verifier as in a drink, and only while
//     nothing else is in hand. It is no drink, and the journal does not hear of it.
//   - What the sensors saw of the last drinks is kept, in memory and bounded, by the loop
//     that reads them anyway. Who asks for it (Curves) waits for nothing.
//   - An appliance is asked at rest, every few seconds, whether it is ready: what
//     it lacks is a state of the machine, seen before an order is taken, and no
//     fault.
//   - Every fault is a row of Faults: how it is seen, what is done, what becomes
//     of the drink, who may mend it. Why something stopped or can't begin leaves
//     the machine as a Reason, a code with figures; it makes no sentence of it.
//
// # Who starts and stops it
//
// The order of a start: journal, guard.New, New, the guard's Run, Run, Recover.
// Of a stop: the worker, then Run, then the guard's Run, then the journal. Run
// returns when every output is off; a drink in hand is cut and spoiled, so stop
// whoever hands out jobs first.
//
// # What it must never do
//
// Know an order's claim, queue or customer; touch an output but through the
// guard; wait for a network or for a person while anything is on; take a limit
// from a message.
package machine
