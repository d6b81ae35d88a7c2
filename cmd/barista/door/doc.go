// Package door has the verbs by which somebody comes into a shop and is put out again:
// invite, accept, refuse and revoke for its operators, retire and replace for a machine
// that leaves its place, enroll for the computer that joins; and key, for the keys and certificates themselves. What is asked and answered
// is package fleet/door's affair, what a key is that of package keys; here it is typed
// and printed.
//
// It starts nothing that goes on, prints no secret half, and writes over no key.
package door
