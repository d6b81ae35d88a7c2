// Package keys is the shop's key ring: who somebody is, and how two computers
// that have never met believe each other. A Key is an Ed25519 key pair of one
// role, in a file that nobody else may read; a CA is the shop's own authority, of
// which a Pair, a certificate with its key, is made for each server and, in shops
// that want it, for each client. From these come the tls.Configs of both ends, TLS
// 1.3 and nothing older.
//
// What it promises: a seed leaves a Key only into its file, or as a signature; no
// way of printing one shows it, and a file that others may read is refused with the
// chmod to type. A server's certificate is renewed while it serves. What it never
// does: speak to a broker, or decide what a role may do.
//
// It starts nothing that would have to be stopped.
package keys
