package configs

import (
	"net/url"
	"path/filepath"
)

// Archive keeps events in a database.
type Archive struct {
	Pos      Pos
	File     string // of SQLite
	Postgres string // URL of a PostgreSQL, without a password; empty: SQLite
	Password string // file with that; empty: none
	KeepDays int    // older events are removed; 0: none
}

func decodeArchive(m *Map, state string) *Archive {
	c := &Archive{Pos: m.Node().Pos(), File: filepath.Join(state, "archive.db")}
	file, at, password := m.Get("file"), m.Get("postgres"), m.Get("password")
	if file != nil {
		c.File = folder(file)
	}
	if s, ok := at.Text(); ok {
		if reason, fix := badPostgres(s); reason != "" {
			at.Problem(reason, fix)
		} else {
			c.Postgres, c.File = s, ""
		}
	}
	c.Password = secretFile(password)
	switch {
	case file != nil && at != nil:
		file.KeyProblem("a file and a server at once", "remove file:, or postgres:")
	case password != nil && at == nil:
		password.KeyProblem("a file of SQLite has no password", "remove password:, or name the server: postgres:")
	case c.Password == Credential:
		password.Problem("only keys and the website's secrets come from systemd so", "name the file, mode 0600: password: /etc/barista/archive.pw")
	}
	if v, ok := m.Get("keep_days").Int(1, 36_500); ok {
		c.KeepDays = v
	}
	return c
}

// badPostgres says what is wrong with the URL of a database. It never repeats it: there
// may be a password in it.
func badPostgres(s string) (reason, fix string) {
	const example = "write for example postgres://barista@db.local/barista?sslmode=verify-full"
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
		return "is not the URL of a PostgreSQL", example
	case u.User == nil || u.User.Username() == "":
		return "names no user", example
	case u.Query().Has("password") || u.Query().Has("sslpassword"):
		return "has a password in it", "remove it, and name a file: password: /etc/barista/archive.pw"
	}
	if _, has := u.User.Password(); has {
		return "has a password in it", "remove it, and name a file: password: /etc/barista/archive.pw"
	}
	return "", ""
}
