// Package calibration is what a person measured on one machine: from runs of a
// part and what came of each, a rate and a start delay (Fit), and the versions
// of that with who and when, in one file beside the machine's journal (Store).
//
// Promises: a measurement that no pump or grinder could give is refused, with
// the reason and what to do; a file is replaced as a whole, on disk before Keep
// returns; at most 20 versions per part are kept, the one in force always. What
// is in force goes before what the machine's configuration says, part by part. Of a part
// that was swapped since it was measured that is said, and nothing else changes.
//
// A file that can't be read is an error of Open, and the machine must not start
// with it: the rates decide how much hot water and how many grams go into a cup,
// so the next best guess is never taken silently. A person removes the file, or
// puts an older one back.
//
// Nobody starts or stops it; one process at a time uses a Store, the one that
// holds the machine's lock. It must never switch or read anything of the machine.
package calibration
