// Package setup writes the file of a machine, and the shop's, from what a person or a
// file answers. It loops over the kinds of machine and knows none: what is asked of a
// machine, and what is written, stands in its kind's table of keys.
//
// It writes nothing before everything was answered, checked as the service itself
// would check it, shown, and agreed to; and then all or nothing. Run.Do is called by
// the verb and by nobody else; it starts services only after a yes.
package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"barista/cmd/barista/detect"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/configs/kinds"
)

// Dir is where the services look for their files.
const Dir = "/etc/barista"

// Run is one run of barista setup.
type Run struct {
	Kinds      kinds.Table
	Here       detect.Here
	Dir        string // where the files go
	ServiceDir string // where the services look for them
	Answers    string // file; "" asks a person
	Yes, Dry   bool
	JSON       bool // nothing is said, the result is all
	In         *term.Lines
	Out        io.Writer
	ErrOut     io.Writer
}

// Wrong is what is wrong with the answers, or with what they make of a file.
// Nothing was written.
type Wrong struct {
	Problems *configs.Problems
	Where    string // "in the answers"
}

func (e *Wrong) Error() string { return e.Problems.Error() }

// FileResult is a file in JSON.
type FileResult struct {
	File   string `json:"file"`
	Change string `json:"change"`           // "new", "same", "replaced", "kept": somebody said no
	Backup string `json:"backup,omitempty"` // of the one that was there
	Text   string `json:"text,omitempty"`   // with --dry-run
}

// Result is what came of it.
type Result struct {
	OK       bool         `json:"ok"`
	Written  bool         `json:"written"`
	Files    []FileResult `json:"files"`
	Warnings []string     `json:"warnings,omitempty"`
	Enabled  bool         `json:"enabled"`
	Next     []string     `json:"next,omitempty"` // commands that are left to a person
	Page     string       `json:"page,omitempty"`
}

// output is a file to be written.
type output struct {
	path, text string
	old        string // what is there now
	there      bool
	mode       fs.FileMode
	skip       bool // it is the same, or somebody said no
	service    string
	role       string
}

// Do asks, checks, shows, writes and starts. The error is a *Wrong where answers are
// wrong.
func (r *Run) Do(ctx context.Context) (*Result, error) {
	if !r.Dry {
		if err := r.writable(); err != nil {
			return nil, err
		}
	}
	plan, err := r.ask(ctx)
	if err != nil {
		return nil, err
	}
	var files []*output
	if plan.shop != nil {
		files = append(files, &output{path: filepath.Join(r.Dir, shopName+".yaml"), text: plan.shopText(), service: shopName, role: "the shop"})
	}
	files = append(files, &output{path: filepath.Join(r.Dir, plan.name+".yaml"), text: plan.machineText(), service: plan.name, role: "the machine"})
	result := &Result{OK: true, Files: []FileResult{}, Page: plan.page}
	if result.Warnings, err = r.check(files); err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := f.look(); err != nil {
			return nil, err
		}
		r.show(f)
	}
	for _, w := range result.Warnings {
		r.say("warning: %s", term.Safe(w))
	}
	if r.Dry {
		for _, f := range files {
			result.Files = append(result.Files, FileResult{File: f.path, Change: f.change(), Text: f.text})
		}
		r.say("nothing was written (--dry-run)")
		return result, nil
	}
	if err := r.agree(ctx, files); err != nil {
		return nil, err
	}
	if result.Files, err = writeAll(files); err != nil {
		return nil, err
	}
	for _, f := range result.Files {
		switch f.Change {
		case "new":
			result.Written = true
			r.say("written: %s", term.Safe(f.File))
		case "replaced":
			result.Written = true
			r.say("written: %s; the old one is %s", term.Safe(f.File), term.Safe(f.Backup))
		case "same":
			r.say("%s is as it should be already", term.Safe(f.File))
		case "kept":
			r.say("%s stays as it was", term.Safe(f.File))
		}
	}
	if plan.shop != nil && len(plan.shop.stock) == 0 {
		r.say("\nthe shop has nothing in stock yet and refuses every order: barista stock add %s 1000", plan.beans[0])
	}
	err = r.start(ctx, files, result, filepath.Clean(r.Dir) == filepath.Clean(r.ServiceDir))
	if plan.page != "" {
		r.say("the page: %s", plan.page)
	} else {
		r.say("the page is that of the shop, on its own computer")
	}
	return result, err
}

// asks: a person is there.
func (r *Run) asks() bool { return r.Answers == "" }

func (r *Run) say(format string, a ...any) {
	if !r.JSON {
		fmt.Fprintf(r.Out, format+"\n", a...)
	}
}

// writable says before the first question that the last one would be in vain.
func (r *Run) writable() error {
	dir := filepath.Clean(r.Dir)
	for {
		err := unix.Access(dir, unix.W_OK)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir:
			dir = filepath.Dir(dir) // it is made when it is needed
			continue
		}
		return term.Fail(term.ExitFailed, "use sudo, or --out FOLDER, or look with --dry-run", "can't write in %s: %w", term.Safe(r.Dir), err)
	}
}

// ask gets the answers from whoever has them.
func (r *Run) ask(ctx context.Context) (plan, error) {
	if r.Answers != "" {
		var got plan
		err := configs.LoadMap(r.Answers, func(m *configs.Map) {
			got = r.questions(&answerFile{root: m}, &detect.Found{}, nil)
			if got.kind.New == nil {
				m.Lenient() // nobody can tell which keys its kind has
			}
		})
		var all *configs.Problems
		if errors.As(err, &all) {
			return got, &Wrong{all, "in the answers"}
		}
		return got, err
	}
	t := r.terminal(ctx)
	t.say("This writes the file of a machine on this computer. ? explains a question, Enter\ntakes the answer in [brackets]. Nothing is written before you agree at the end.\n")
	found := &detect.Found{}
	if t.ask(question{
		text: "look for machines and boards on this computer first", words: []string{"yes", "no"}, def: "yes",
		more: "Free serial ports are asked what hangs on them. Nothing is brewed, switched or\nwritten; barista detect --help says how.",
	}) == "yes" {
		var err error
		if found, err = r.Here.Look(ctx, nil, detect.Known, t.say); err != nil {
			return plan{}, r.interrupted(term.ErrInterrupted)
		}
		found.Text(r.Out)
		t.say("")
	}
	got := r.questions(t, found, r.shopThere())
	if t.Err != nil {
		fmt.Fprintln(r.Out)
		return got, r.interrupted(t.Err)
	}
	return got, nil
}

// shopThere is the shop that is set up on this computer already; nil if none is.
func (r *Run) shopThere() *configs.File {
	f, err := configs.Load(filepath.Join(r.Dir, shopName+".yaml"), r.Kinds.Loader())
	if err != nil || f.Broker == nil || f.Broker.Listen == configs.ListenNone {
		return nil
	}
	return f
}

func (r *Run) interrupted(err error) error {
	return term.Fail(term.ExitFailed, "", "%w; nothing was written", err)
}

// check loads what would be written as its service will, before anything is.
func (r *Run) check(files []*output) (warn []string, err error) {
	for _, f := range files {
		got, err := configs.Parse(f.path, []byte(f.text), r.Kinds.Loader())
		var all *configs.Problems
		if errors.As(err, &all) {
			if !r.JSON {
				r.say("%s would be:\n%s", term.Safe(f.path), f.text)
			}
			return nil, &Wrong{all, "in what these answers make of " + f.role}
		}
		if err != nil {
			return nil, err
		}
		if m := got.Machine; m != nil {
			if w, is := m.Settings.(kinds.Warner); is {
				warn = append(warn, w.Warnings()...)
			}
		}
	}
	return warn, nil
}

// look reads what is there already.
func (f *output) look() error {
	f.mode = 0o644 // the service runs as a user of its own, and there is no secret in it
	st, err := os.Lstat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return term.Fail(term.ExitFailed, "nothing was written", "%w", err)
	case !st.Mode().IsRegular():
		return term.Fail(term.ExitRefused, "move it away, or use --out; nothing was written", "%s is there and is no plain file", term.Safe(f.path))
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return term.Fail(term.ExitFailed, "nothing was written", "%w", err)
	}
	if len(b) > 1<<20 {
		return term.Fail(term.ExitRefused, "move it away; nothing was written", "%s is there and is no configuration: it is too large", term.Safe(f.path))
	}
	f.old, f.there, f.mode = string(b), true, st.Mode().Perm()
	f.skip = f.old == f.text
	return nil
}

func (f *output) change() string {
	switch {
	case !f.there:
		return "new"
	case f.old == f.text:
		return "same"
	case f.skip:
		return "kept"
	}
	return "replaced"
}

// show shows a new file, or the difference.
func (r *Run) show(f *output) {
	switch {
	case r.JSON, f.skip:
	case f.there:
		r.say("\n%s", strings.TrimSuffix(unified(term.Safe(f.path), term.Safe(f.path)+" (new)", f.old, f.text), "\n"))
	case r.asks() || r.Dry:
		r.say("\n%s, new:\n\n%s", term.Safe(f.path), f.text)
	}
}

// agree has a person say yes to each file, or refuses what would be lost.
func (r *Run) agree(ctx context.Context, files []*output) error {
	if ctx.Err() != nil {
		return r.interrupted(term.ErrInterrupted)
	}
	if r.Yes {
		return nil
	}
	if !r.asks() {
		for _, f := range files {
			if f.there && !f.skip {
				return term.Fail(term.ExitRefused, "give --yes to replace it; the old one is kept as .bak", "%s is there already and differs; nothing was written", term.Safe(f.path))
			}
		}
		return nil
	}
	t := r.terminal(ctx)
	none := true
	for _, f := range files {
		if f.skip {
			continue
		}
		text, more := "write "+term.Safe(f.path), "no: it is not written."
		if f.there {
			text, more = "replace "+term.Safe(f.path), "yes: the one that is there is kept as .bak. no: it stays as it is."
		}
		answer := t.ask(question{text: text, words: []string{"yes", "no"}, def: "no", more: more})
		if t.Err != nil {
			fmt.Fprintln(r.Out)
			return r.interrupted(t.Err)
		}
		if f.skip = answer != "yes"; f.skip && !f.there {
			return term.Fail(term.ExitRefused, "", "not agreed; nothing was written")
		}
		none = none && f.skip
	}
	if none {
		for _, f := range files {
			if f.change() == "kept" {
				return term.Fail(term.ExitRefused, "", "not agreed; nothing was written")
			}
		}
	}
	return nil
}

// writeAll writes the files: first all of them beside their places, on disk, then
// the old ones aside, then each to its place in one step. What fails before the
// last step leaves nothing behind; in it, what was moved is moved back.
func writeAll(files []*output) (results []FileResult, err error) {
	type step struct {
		f      *output
		next   *renameio.PendingFile
		backup string
	}
	var steps []*step
	moved := 0
	defer func() {
		if err == nil {
			return
		}
		for i, s := range steps {
			switch {
			case i >= moved:
				_ = s.next.Cleanup()
			case s.f.there:
				err = errors.Join(err, os.Rename(s.backup, s.f.path))
				continue
			default:
				err = errors.Join(err, os.Remove(s.f.path))
			}
			if s.backup != "" {
				_ = os.Remove(s.backup)
			}
		}
		err = term.Fail(term.ExitFailed, "", "%w; nothing was written", err)
	}()
	for _, f := range files {
		results = append(results, FileResult{File: f.path, Change: f.change()})
		if f.skip {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return nil, err
		}
		next, err := renameio.NewPendingFile(f.path, renameio.WithTempDir(filepath.Dir(f.path)), renameio.WithStaticPermissions(f.mode))
		if err != nil {
			return nil, err
		}
		s := &step{f: f, next: next}
		steps = append(steps, s)
		if _, err := next.WriteString(f.text); err != nil {
			return nil, err
		}
		if err := next.Sync(); err != nil {
			return nil, err
		}
		if f.there {
			if s.backup, err = keepOld(f); err != nil {
				return nil, err
			}
			results[len(results)-1].Backup = s.backup
		}
	}
	for _, s := range steps {
		if err := s.next.CloseAtomicallyReplace(); err != nil {
			return nil, err
		}
		moved++
	}
	for _, s := range steps {
		if err := syncFolder(filepath.Dir(s.f.path)); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// keepOld keeps the old file beside the new one, under the first name that is
// free: an older one may be the only good one.
func keepOld(f *output) (string, error) {
	for n := 1; ; n++ {
		name := f.path + ".bak"
		if n > 1 {
			name = fmt.Sprintf("%s.bak.%d", f.path, n)
		}
		// A second name for the same file: nothing is copied, so nothing is lost.
		err := os.Link(f.path, name)
		if errors.Is(err, fs.ErrExist) && n < 1000 {
			continue
		}
		return name, err
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// start has systemd start the services, after a yes, or says how.
func (r *Run) start(ctx context.Context, files []*output, result *Result, usual bool) error {
	enable := []string{"enable", "--now"}
	var again, byHand []string
	for _, f := range files {
		unit := "barista@" + f.service
		enable = append(enable, unit)
		byHand = append(byHand, "barista run --config "+shellWord(f.path))
		if f.there && !f.skip {
			again = append(again, unit)
		}
	}
	if !usual {
		// The services read setupDir and nothing else.
		result.Next = byHand
		r.say("\nto run it:")
		r.next(result)
		return nil
	}
	result.Next = []string{"sudo systemctl " + strings.Join(enable, " ")}
	if len(again) > 0 {
		// enable --now leaves a running service with its old file.
		result.Next = append(result.Next, "sudo systemctl try-restart "+strings.Join(again, " "))
	}
	runs := false
	if st, err := os.Stat(r.Here.Systemd); err == nil && st.IsDir() {
		runs = true
	}
	if runs && r.asks() && !r.Yes {
		t := r.terminal(ctx)
		runs = t.ask(question{
			text: "start the services now, and at every boot", words: []string{"yes", "no"}, def: "no",
			more: "A machine's service puts every output at rest and waits for orders. Stand by at\nthe first drink.",
		}) == "yes"
		if t.Err != nil {
			fmt.Fprintln(r.Out)
		}
	} else if !r.Yes {
		runs = false
	}
	if !runs {
		r.say("\nto start it now, and at every boot:")
		r.next(result)
		return nil
	}
	for _, line := range result.Next {
		args := strings.Fields(line)[2:] // names are tokens: no blank in them
		cmd := exec.CommandContext(ctx, "systemctl", args...)
		cmd.Stdout, cmd.Stderr = r.ErrOut, r.ErrOut
		if err := cmd.Run(); err != nil {
			return term.Fail(term.ExitFailed, "look: systemctl status "+strings.Join(enable[2:], " "), "the files are written, but systemctl %s failed: %w", strings.Join(args, " "), err)
		}
	}
	result.Enabled, result.Next = true, nil
	r.say("started: %s", strings.Join(enable[2:], ", "))
	return nil
}

func (r *Run) next(result *Result) {
	for _, line := range result.Next {
		r.say("    %s", line)
	}
}

// shellWord quotes a path for a person's shell.
func shellWord(s string) string {
	if kinds.YAML(s) == s {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
