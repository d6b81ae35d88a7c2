// Package web is the shop's counter in the browser: the form where a coffee is
// ordered, a live page for each order, the board of the names being called, and
// the operators' read-only list of machines.
//
// It promises: every page is complete without script; a form's order id is made
// when the page is rendered, so a double click or a page sent again is one
// order; "taken" is said only when the shop said so; how an order ended is told
// in words, and an outcome that nobody knows is called unknown. Pages are in
// English and French, for a phone, a desk and a kiosk, light and dark.
//
// An order's page has a secret address: the order's id and a keyed hash of it.
// Who has the address may cancel until the fence, say "my cup is there", stop the
// drink while it is made and, where the house lets its customers, say what came of one
// that nobody knows of; there is no login, and nothing here can move a machine
// otherwise.
//
// Live pages get server-sent events: each carries the rendered piece of the page
// from the same template, drawn once for all who look at it. A page that slept
// comes back to the present state, not to a replay. A reader that is too slow is
// dropped and comes back by itself.
//
// Run folds the book's last day into a small state per order, and must run while
// pages are served; Serve, or any http.Server around Handler, answers them. Both
// end with their context. The web keeps nothing on disk but that key, and must
// never reach a machine or a driver: it knows the fleet's words only.
package web
