// Package archive keeps the shop's events in a database, for whoever asks questions of
// last month in SQL: one table, barista_events, one row an event. The database is a file
// of SQLite, which needs nothing, or a PostgreSQL that others run.
//
// # What it promises
//
// Each event stands there once, over restarts of the shop, of this process and of the
// database in any moment: an event has one id for ever, the row is written and committed
// before the shop hears that it is kept, and one that comes again changes nothing.
// Nothing is kept of a person: no customer's name, nobody's words, no message that could
// not be read; that a person decided is kept, and not who.
//
// While the database is away the shop goes on, and its stream keeps what comes, for 90
// days and as far as its size goes.
//
// # Who starts and stops it
//
// Open touches a file at most; Run writes until its context ends. Close after that. The
// password is asked for at each connection, so it may change.
package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // as "sqlite"

	"barista/fleet"
)

// Batch is how many events are kept at once.
const Batch = 256

const (
	writeTime = 20 * time.Second // of one batch, less than the queue waits for it
	cleanTime = time.Minute
	cleanPace = time.Hour
)

// Config says where to.
type Config struct {
	File     string                 // of SQLite, whose folder is there
	Postgres string                 // URL without a password; empty: SQLite
	Password func() (string, error) // of that, asked for at each connection; nil: none
	KeepDays int                    // older events are removed; 0: none
	Log      *slog.Logger
}

// Parts is where events come from.
type Parts struct {
	// Keep hands over what is stored, most at a time, until ctx ends or it breaks off.
	Keep func(ctx context.Context, most int, keep func(context.Context, []fleet.StoredEvent) error) error
	// Now is the clock by which events are old; nil: this computer's.
	Now func() time.Time
}

// Archive is the database.
type Archive struct {
	cfg    Config
	db     *sql.DB
	speaks dialect
	ready  bool // the table was made or found; Run's own
}

// Open makes ready to write. Of a file it says at once what is wrong with it; a server
// is asked by Run.
func Open(cfg Config) (*Archive, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	a := &Archive{cfg: cfg, speaks: sqlite}
	if cfg.Postgres != "" {
		pc, err := pgx.ParseConfig(cfg.Postgres)
		if err != nil {
			return nil, errors.New("the URL of the database can't be understood") // it may have a secret in it
		}
		pc.ConnectTimeout = 5 * time.Second
		pc.RuntimeParams["application_name"] = "barista"
		a.speaks = postgres
		a.db = stdlib.OpenDB(*pc, stdlib.OptionBeforeConnect(a.unlock))
		a.db.SetMaxOpenConns(2)
		return a, nil
	}
	// WAL: a reader never holds up the writer. FULL: what was committed is on the disk
	// before the shop hears that it is kept.
	at := "file:" + (&fileURL{cfg.File}).String() + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
	var err error
	if a.db, err = sql.Open("sqlite", at); err != nil {
		return nil, err
	}
	a.db.SetMaxOpenConns(1)
	f, err := os.OpenFile(cfg.File, os.O_CREATE|os.O_RDWR, 0o640)
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = a.prepare(context.Background())
	}
	if err != nil {
		a.db.Close()
		return nil, fmt.Errorf("%s: %w", filepath.Base(cfg.File), err)
	}
	return a, nil
}

// fileURL is a path as SQLite's URIs have it.
type fileURL struct{ path string }

func (f *fileURL) String() string {
	return strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(f.path)
}

// Close gives the database back.
func (a *Archive) Close() error { return a.db.Close() }

// unlock reads the password, for each connection anew. The environment's does not count.
func (a *Archive) unlock(_ context.Context, c *pgx.ConnConfig) error {
	c.Password = ""
	if a.cfg.Password == nil {
		return nil
	}
	var err error
	if c.Password, err = a.cfg.Password(); err != nil {
		return fmt.Errorf("the database's password: %w", err)
	}
	return nil
}

// Run keeps what comes, until ctx ends, and begins anew where it breaks off. It returns
// nil.
func (a *Archive) Run(ctx context.Context, p Parts) error {
	if p.Now == nil {
		p.Now = time.Now
	}
	cleaned := time.Time{}
	fleet.Keep(ctx, a.cfg.Log, "keeping events", func() error {
		return p.Keep(ctx, Batch, func(ctx context.Context, batch []fleet.StoredEvent) error {
			if err := a.write(ctx, batch); err != nil {
				return err
			}
			if time.Since(cleaned) >= cleanPace {
				cleaned = time.Now()
				if err := a.clean(ctx, p.Now()); err != nil {
					a.cfg.Log.Warn("old events could not be removed; tried again in an hour", "err", err)
				}
			}
			return nil
		})
	})
	return nil
}

// prepare makes the table where there is none.
func (a *Archive) prepare(ctx context.Context) error {
	if a.ready {
		return nil
	}
	for _, s := range a.speaks.table() {
		if _, err := a.db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("making the table %s: %w", table, err)
		}
	}
	a.ready = true
	return nil
}

// write keeps a batch, all of it or nothing.
func (a *Archive) write(ctx context.Context, batch []fleet.StoredEvent) error {
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	if err := a.prepare(ctx); err != nil {
		return err
	}
	var values []any
	for _, e := range batch {
		values = append(values, a.speaks.row(e)...)
	}
	if _, err := a.db.ExecContext(ctx, a.speaks.insert(len(batch)), values...); err != nil {
		a.ready = false // the table may be gone; others have a hand in that database
		return err
	}
	return nil
}

// clean removes what is older than it is to be kept.
func (a *Archive) clean(ctx context.Context, now time.Time) error {
	if a.cfg.KeepDays == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, cleanTime)
	defer cancel()
	old := now.Add(-time.Duration(a.cfg.KeepDays) * 24 * time.Hour)
	_, err := a.db.ExecContext(ctx, "DELETE FROM "+table+" WHERE at < "+a.speaks.place(1), a.speaks.moment(old))
	return err
}
