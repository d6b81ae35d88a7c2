// Package guard is the innermost layer of safety: the only holder of a rig's
// outputs. Whatever the code above believes, no part stays on longer than its
// compiled-in ceiling, no two parts of one inrush group or forbidden pair are
// on together, a motor gets its rest, and after a fault everything is off and
// stays off until a person says otherwise.
//
// # What it promises
//
//   - Ceilings. Every On has a bound, the guard itself switches off at that
//     time, for every kind of driver. Configuration can only lower a ceiling.
//     A part that is commanded again and again does not get a new ceiling: its
//     time on is added up until there was a real pause, of 100 ms.
//   - One lease per rig. While anything is on, the loop that pours calls Renew
//     at least every 250 ms. When it has not done so for 500 ms it is dead:
//     everything goes off and the rig is latched.
//   - Rest and duty of each part, kept over a restart of the program by the
//     clock that counts since the computer's boot. After a reboot nobody knows
//     how long the power was away, so each part rests once more in full. So
//     they are written and not waited for: a power cut takes what a reboot would
//     not believe.
//   - A latch. An error of a driver, a driver that doesn't return in time, a
//     dead loop and Trip switch everything off first and then put the cause on
//     disk. Nothing goes on until Clear, which asks who and why.
//   - Room for that. It is made at the first start, and at the first one after an
//     upgrade from files without it: 48 KiB must be free then, or New fails. From
//     there on a full disk takes a fault too, where a file is written in place, as on
//     ext4. A file system that writes each block anew (btrfs, ZFS, f2fs) needs some
//     free blocks for that; without any a fault holds, and Kept says that it is not
//     on disk.
//   - Two memories in one folder, this and the machine's journal, know each other
//     (Join). A state that is gone, or older than the journal knows it, is a latch.
//   - Ports don't wait for each other. Calls of one port come one after the
//     other; a port whose driver hangs is given up within the rig's OffWithin
//     and delays no other. What its abandoned call reports later counts for
//     nothing, and the moment it returns its parts are switched off.
//   - At rest it costs nothing: with everything off there is no timer.
//
// # What it does not do
//
// It knows no recipe, reads no sensor and judges no temperature: that is the
// machine's affair. It cannot help when the computer itself is dead, and so it
// refuses a heater or a pump without a cut-off in hardware unless the owner
// accepted that in writing. It never tries to switch anything on by itself.
//
// # Who starts and stops it
//
// New checks everything and switches everything off. Run holds the clock of
// the ceilings and the lease; it ends with its context, after everything is
// off. Then Close releases the driver. Any goroutine may call any method.
package guard
