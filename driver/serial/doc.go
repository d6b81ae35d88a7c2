// Package serial is one serial port with one owner. Protocols (Modbus, LCUS and
// others) are built on it, and it alone knows the serial library.
//
// # What it promises
//
//   - One goroutine owns the port. Everybody else hands it a piece of work (Do)
//     and waits, never longer than the caller's context. Work whose context has
//     ended is not begun, and work under way writes nothing more.
//   - Every write has a deadline, 500 ms at most. A write that does not get
//     through ends the connection: half a frame may be on the wire. The library
//     cannot do this (its Write has no time-out and outlives Close), so it sets
//     the port up, and the bytes go through a descriptor of our own, which the
//     kernel never blocks.
//   - A connection is a generation with a number. A Line belongs to one of them;
//     what was read or was still to be written under an old one is gone when the
//     next begins: both buffers are emptied at opening and at closing.
//   - The device is locked against a second process, root too: the lock is an
//     flock on the device node itself, so that no name it has leads around it and
//     nothing is left behind by a process that dies. It is held exactly as long
//     as the descriptor that can write.
//   - A cable that is pulled is seen when the kernel says so, at once. From then
//     on work is refused with driver.ErrGone, and the device is looked for under
//     its name ten times a second. It is used again only when it is the same adapter
//     (USB vendor, product, serial number) and the protocol's own Check agrees.
//   - Bytes that nobody asked for are dropped, and memory does not grow with
//     them.
//
// # What it must never do
//
// It never repeats work by itself: whether a command may be sent again is the
// protocol's affair. It never opens names like /dev/ttyUSB0, which belong to
// whatever was plugged in first.
//
// # Who starts and stops it
//
// Open opens the device and starts the owner; Close ends it and waits. A Port
// and its Line have no other goroutine than the owner and one that reads.
//
// An exchange can be recorded (Recorder, JSON lines with times) on a bench and
// played again (Replay) in a test, which complains about everything left over.
package serial
