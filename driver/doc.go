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
package driver
