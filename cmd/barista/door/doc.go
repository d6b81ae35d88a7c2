// Package door has the verbs by which somebody comes into a shop and is put out again:
// invite, accept, refuse and revoke for its operators, enroll for the computer that
// joins. What is asked and answered is package fleet/door's affair; here it is typed
// and printed.
package door
