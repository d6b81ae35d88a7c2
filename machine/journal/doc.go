// Package journal is what one machine told its metal, in a file: which drink was
// started and how each start ended. It is the memory that lets a machine say
// after a crash "made", "untouched" or "nobody knows" instead of guessing, and
// refuse a drink that it began before.
//
// Promises: a record is in the file when its method returns, so a process that
// dies, however, loses nothing. A power cut, or a kernel that dies, may take any
// number of the last records, never one out of their middle. Damage is never read
// as something else: where anything but such a lost end is wrong, or the hardware
// is another one, the file is moved aside, a new journal with a new id begins, and
// nothing starts until a person accepted that. So it is where the guard's memory
// beside it (see guard.Beside) knows of another journal, or of more of this one than
// there is: it was deleted, or an older copy was put back. Its id names it: a claim that was
// taken under another id is not this journal's. After a failed write or fsync the
// journal refuses everything: what is on disk is known only after opening it anew;
// and after a failed fsync not even then, so that is damage too.
//
// # Why it does not wait for the disk
//
// Only a power cut loses what was written, and then the kernel's boot id is
// another one. A claim names the boot under which it was taken, so none from before
// counts as this machine's own: with the start in the journal or without, what came
// of it is unknown. What else must survive is looked at one by one:
//
//   - start: lost only together with its boot, see above. Which cup has something in
//     it would be lost with it, so after another boot without a Close an unknown
//     cup stands there until the place was seen empty.
//   - end: as long as the book has it, nothing is lost. Who can't bring it there
//     calls Sync; and the next Start waits for it, because a counter that this start
//     moves would speak for the older one if its end were gone.
//   - confirm, cup taken: lost, they are written once more.
//   - the file itself, made, compacted or replaced; that damage was accepted; Close:
//     on disk before they return.
//   - what Open read: on disk before it returns. Decisions are made on it.
//
// One file, one owner: Open locks it and Close releases it. The machine opens
// it before anything else and closes it after its Run returned; any goroutine
// may call the methods. It must never be edited, or deleted while a claim names its
// id. A copy that is opened while the kernel runs under which the journal was used
// is damage too: the lock is another file then, and says nothing of the process that
// has the journal itself.
//
// # The file
//
// A header: eight bytes "barista", 1; the length of what follows, 4 bytes, big
// endian; JSON with id and hardware; CRC32C of all that, 4 bytes. Then records:
// length of the payload, 4 bytes; sequence from 1, 8 bytes; CRC32C over the
// journal's id, length, sequence and payload, 4 bytes; the payload, one line of
// JSON. As only a whole record ends in a line feed, a torn one is told from a
// damaged one.
package journal
