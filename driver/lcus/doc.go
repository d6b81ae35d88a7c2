// Package lcus drives the cheap USB relay boards with a CH340 on them (LCUS-1 to
// LCUS-8): four bytes switch one relay, and most boards answer nothing.
//
// # What it promises, and what it cannot
//
// Nobody can know whether such a board took a command. So every off is written
// twice, and frames keep 20 ms apart, of which the board needs 10. The board has
// no timer: a relay that is on stays on when this computer is dead. The driver
// declares driver.DeadmanNone, and the guard refuses a pump or a heater on it
// until the owner has wired a dead man's switch (deadman: external) or accepted
// none in writing.
//
// Some boards answer a question about their relays, in one of two dialects. If
// the configuration names it, opening, On and Off read the relays back and are
// an error when the board says otherwise.
//
// The board has no number of its own, and its adapter is the same as thousands
// of others: it is bound by the USB socket it is plugged into (by-path). After
// the cable was out, every relay in use is switched off before anything else.
//
// # What it must never do
//
// Send frames that the board has no time for; send anything but on, off and the
// question; claim that the board has a timer.
//
// # Who starts and stops it
//
// Open opens the port and switches every relay in use off; Rig.Close closes it.
// What all relay boards share, safe-off too, is in package board.
package lcus
