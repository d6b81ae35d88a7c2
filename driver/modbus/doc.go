// Package modbus drives relay boards that speak Modbus RTU over a serial port:
// one relay per part of the machine, and the board's contacts as sensors.
//
// # What it promises
//
//   - Opening moves nothing but relays that were found on, which are switched
//     off, and the spare relay if one is named. On and Off come back only when
//     the board itself said what its relays are: the write's answer and then the
//     relays read back. In doubt it is an error.
//   - With a timer, a relay is switched on by "flash-on": the board gets the
//     longest time with the command and opens the relay by itself when this
//     computer is dead (driver.DeadmanBoard). The board counts in steps of
//     100 ms; the time is rounded down, but never to nothing. Boards differ, so
//     the timer is proved at opening on a spare relay with nothing on it.
//   - An on is sent once, and once more only when its answer did not come and the
//     board says that the relay is still open. An off is repeated until the board
//     confirmed it or its time is over, each time in another form, so that the late
//     answer of the first try can't be taken for the answer of the second. Nor is one
//     from before the newest on, up to a second late, taken for the answer to an off.
//   - It never toggles, never switches all relays on, never broadcasts.
//   - After the cable was out, relays that are still on are switched off before
//     anything else. The Off of a relay that had opened by itself is an error,
//     once: nobody knows how long it really ran.
//   - A contact that was not read for a second reads as driver.ErrInvalid.
//
// # What it must never do
//
// Switch anything on without an On; keep a relay on because an answer is
// missing; believe an answer that came before the question.
//
// # Who starts and stops it
//
// Open opens the port and starts one goroutine that reads contacts and looks
// after relays that are on; Rig.Close ends it. What all relay boards share is in
// package board. Identify and Look are for whoever wants to know what hangs on a
// port. The codec (Request, Answer) knows both directions, because the simulator
// (package sim) uses it too.
package modbus
