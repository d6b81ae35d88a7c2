// Package journal is what one machine told its metal, on disk: which drink was
// started and how each start ended. It is the memory that lets a machine say
// after a crash "made", "untouched" or "nobody knows" instead of guessing, and
// refuse a drink that it began before.
//
// Promises: Start and End are on disk when they return; a power cut costs at
// most the record that was being written; damage is never read as something
// else: where anything but such a torn end is wrong, or the hardware is another
// one, the file is moved aside, a new journal with a new id begins, and nothing
// starts until a person accepted that. Its id names it: a claim that was taken
// under another id is not this journal's. After a failed write or fsync the
// journal refuses everything: what is on disk is known only after opening it
// anew.
//
// One file, one owner: Open locks it and Close releases it. The machine opens
// it before anything else and closes it after its Run returned; any goroutine
// may call the methods. It must never be edited, copied to a second machine that
// runs, or deleted while a claim names its id.
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
