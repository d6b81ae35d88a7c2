// Package sim plays a Jura at its service port, for tests and for anybody's
// program: the real encoding on the wire, the sequence of a product, and metal
// that is the shared arithmetic of package plant.
//
// It is honest by being strict. It answers nothing that it does not know, takes
// no character that comes too early or in pieces (how real machines react is not
// documented), and forgets no half line.
// A second press of the running product's key stops it. Its counters move only
// if the plant poured a drink. A command that would damage a real machine, and
// single motors driven as nobody should, are harm: Run ends with an error.
//
// A Machine goes on when its host is gone, as real ones do: products are
// finished, and what an FN: command switched on stays on.
//
// Run is the machine's life, Serve its port, for one connection at a time;
// whoever starts them waits for them. Any goroutine may call the other methods.
package sim
