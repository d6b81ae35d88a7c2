// Package jura drives the coffee machines of that make over their service port,
// with the old wired protocol (V1). The machine owns its sequence and its safety:
// we ask for a product, watch, and prove by its counter what came of it.
//
// # The wire
//
// 9600 baud, 8N1, 5 V levels: a Raspberry Pi needs a level shifter. A line of
// text (command in upper case, CR LF) goes out one character at a time, each
// spread over four bytes (see AppendByte), with a pause of 8 ms after each. The
// answer begins with the command in lower case, or is "ok:". There is no
// checksum, no number that ties an answer to its question, and no error answer:
// what the machine does not know or does not want, it does not answer.
//
// # What it promises
//
//   - Only four lines can be sent at all; they stand in one table (command.go)
//     and have a type of their own. What damages a machine is not among them:
//     AN:0A erases the memory, WE: writes into it, FN: drives single motors, and
//     FN:89, the test codes and some keys of some models hang it.
//   - A key is pressed once and never repeated: a second press stops the drink,
//     or pours a second one. It is not pressed while the machine is seen to be
//     busy, nor later than some seconds after it was asked for.
//   - Nothing tells a key from one that was bent on the wire into another, so no
//     key goes over a wire that has not shown itself clean at rest (trust.go): 64
//     good answers in a row, 16 when it is known for long, 1,024 after it was
//     noisy, which is two bad answers at first and five of 2,048 later. Ready
//     asks the questions; asked every few seconds at rest, it keeps them fresh. A
//     wire that is noisy all the time makes no drink, once that is known. What this
//     computer was too busy to hear is no noise: it asks again, and says so.
//   - Start says ErrUncertain whenever the machine may have got the whole key.
//   - An input or counter counts only when two answers in a row agree; after an
//     answer that did not come, as many more as could still come late.
//   - The counter proves the product that was asked for: what somebody else takes
//     at the machine's own keys while our drink is under way is not counted.
//   - A model without a complete row (model.go) is read and never ordered from.
//     A row is chosen by what the machine itself answers, each time that its
//     cable was plugged in, never by configuration alone.
//
// # What it must never do
//
// It never switches the machine on or off, and it does not stop a drink: the
// only way known, a second press, starts another one when the first has just
// ended.
//
// # Who starts and stops it
//
// Open takes the serial port, which is the only goroutine; Rig.Close ends it. A
// machine that is off when we start is no error: it is asked again whenever
// somebody wants something of it. Look only reads, for whoever wants to know
// what hangs on a port.
package jura
