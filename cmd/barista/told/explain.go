package told

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"barista/cmd/barista/term"
	"barista/fleet"
	"barista/fleet/client"
	"barista/fleet/words"
)

// Case is what one order is explained from.
type Case struct {
	client.Account
	Meant    client.Meant
	Machines []fleet.Machine // that are known; nil: nobody could say
}

// Explain tells in a paragraph what became of the order and why, and what a person
// types next. It is pure, and written for somebody who was woken by it.
func Explain(c Case) (story string, next []client.Next) {
	x := explainer{Case: c, e: c.Meant.Entry}
	x.verdict()
	x.formerTries()
	if x.e.Phase != fleet.Served && x.e.Phase != fleet.Cancelled {
		x.lastReason()
	}
	x.customer()
	x.doses()
	x.advise()
	return strings.Join(x.says, " "), x.next
}

// PrintStory writes what Explain said, as wide as a small terminal. Nothing in it acts
// on one: Explain has made safe what came from outside.
func PrintStory(w io.Writer, a client.Account) {
	for line := range strings.Lines(term.WrapTo(a.Story, 76)) {
		fmt.Fprintf(w, "  %s\n", strings.TrimSuffix(line, "\n"))
	}
	fmt.Fprintln(w)
	printNext(w, a.Next)
}

func printNext(w io.Writer, next []client.Next) {
	for _, n := range next {
		fmt.Fprintf(w, "  next: %s\n", n.Command)
		for line := range strings.Lines(term.WrapTo(n.When, 70)) {
			fmt.Fprintf(w, "        %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
}

type explainer struct {
	Case
	e    fleet.Entry
	says []string
	next []client.Next
}

func (x *explainer) say(format string, args ...any) {
	x.says = append(x.says, fmt.Sprintf(format, args...))
}

// then adds a command, once.
func (x *explainer) then(when, format string, args ...any) {
	n := client.Next{Command: fmt.Sprintf(format, args...), When: when}
	if !slices.ContainsFunc(x.next, func(o client.Next) bool { return o.Command == n.Command }) {
		x.next = append(x.next, n)
	}
}

// clock is a time as people say it: of another day than the order's last change with
// its date.
func (x *explainer) clock(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	t, last := t.Local(), x.e.Written.Local()
	if t.Year() == last.Year() && t.YearDay() == last.YearDay() {
		return t.Format("15:04:05")
	}
	return term.Time(t)
}

// at is when something of the kind happened in an epoch last; 0: in any. Zero: never.
func (x *explainer) at(epoch int, kinds ...fleet.EventKind) (t time.Time) {
	for _, e := range x.Events {
		if (epoch == 0 || e.Epoch == epoch) && slices.Contains(kinds, e.Kind) {
			t = e.At
		}
	}
	return t
}

// began is when a machine took the order in an epoch, in words.
func (x *explainer) began(epoch int) string {
	for _, e := range x.Events {
		if e.Epoch == epoch && (e.Kind == fleet.EvBrewing || e.Kind == fleet.EvClaimed) {
			return " at " + x.clock(e.At)
		}
	}
	return ""
}

// what names the order.
func (x *explainer) what() string {
	o := x.Order
	if o.IsCare() {
		return fmt.Sprintf("%s's %s", o.CareOf(), o.Size)
	}
	return fmt.Sprintf("%s's order (%s)", term.Safe(o.Name), What(o.Size, o.Bean, o.Milk, o.Sugar))
}

// verdict says what became of it.
func (x *explainer) verdict() {
	e, now := x.e, x.clock(x.e.Written)
	accepted := x.clock(x.at(1, fleet.EvAccepted))
	switch e.Phase {
	case fleet.Accepted:
		x.say("%s waits for a machine, since %s.", x.what(), now)
	case fleet.Again:
		x.say("%s is to be made again, since %s; its doses are not set aside yet, which takes a moment.", x.what(), now)
	case fleet.Claimed:
		if waits := awaited(e.Order); waits != "a cup" {
			x.say("%s has %s since %s and waits for %s; nothing moves before somebody says that it is done: barista machine cup %s.", e.Machine(), x.what(), now, waits, e.Machine())
			break
		}
		x.say("%s has %s since %s and waits for a cup; nothing moves before one stands there.", e.Machine(), x.what(), now)
	case fleet.Brewing:
		x.say("%s began %s at %s.", e.Machine(), x.what(), now)
	case fleet.Unknown:
		if e.Owner == nil {
			x.say("Nobody can say whether %s was made: the shop lost its records of it, and noticed at %s.", x.what(), now)
			return
		}
		x.say("Nobody can say whether %s was made. %s began it%s, and what came of it is unknown since %s. It is not made again by itself.", x.what(), e.Machine(), x.began(e.Epoch), now)
	case fleet.Served:
		switch {
		case e.By != "":
			x.say("%s counts as made: %s said so at %s%s.", x.what(), term.Safe(e.By), now, quoted(e.Reason))
			x.inDoubt()
		case len(e.Past) > 0:
			x.say("%s was made by %s at %s, on try %d.", x.what(), e.Machine(), now, len(e.Past)+1)
		default:
			x.say("%s was made by %s at %s, on the first try.", x.what(), e.Machine(), now)
		}
	case fleet.Failed:
		by := ""
		if e.By != "" {
			by = fmt.Sprintf(": %s said so%s", term.Safe(e.By), quoted(e.Reason))
		}
		x.say("%s was not made, and ended at %s%s.", x.what(), now, by)
		switch {
		case e.By != "":
			x.inDoubt()
		case e.Owner != nil:
			x.say("The last to try was %s%s.", e.Machine(), x.began(e.Epoch))
		}
	case fleet.Cancelled:
		x.say("%s was cancelled at %s by %s, before anything moved.", x.what(), now, term.Safe(e.By))
	case fleet.Expired:
		x.say("%s waited from %s on, no machine made it within %s, and it was ended at %s.", x.what(), accepted, term.Safe(cmp.Or(e.Detail, "its time")), now)
	}
}

// inDoubt says of an order that a person settled who had begun it.
func (x *explainer) inDoubt() {
	if x.e.Owner != nil {
		x.say("Before that nobody could say: %s had begun it%s, and did not tell what came of it.", x.e.Machine(), x.began(x.e.Epoch))
	}
}

// quoted is what a person gave as a reason.
func quoted(r fleet.Reason) string {
	if r.Quote == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", term.Safe(r.Quote))
}

// formerTries says of each try before the present one how it ended, and why.
func (x *explainer) formerTries() {
	tried := len(x.e.Past)
	if x.e.Owner != nil {
		tried++
	}
	if tried == 0 && x.e.Phase != fleet.Unknown {
		x.say("No machine has tried it.")
	}
	for i, p := range x.e.Past {
		name := p.Machine
		if name == "" {
			name = "a machine"
		}
		nth, took := fmt.Sprintf("Try %d:", i+1), x.began(p.Epoch)
		switch {
		case p.Outcome == fleet.Spoiled:
			x.say("%s %s began it%s and spoiled it.", nth, name, took)
		case p.Outcome == fleet.OutcomeUnknown:
			x.say("%s %s began it%s, and nobody could say what came of it%s.", nth, name, took, x.wanted(p.Epoch))
		case p.Fenced:
			x.say("%s %s began it%s, and nothing was used.", nth, name, took)
		case p.Code == fleet.CodeNotInHand:
			x.say("%s %s took it%s and lost it before anything moved, so it went to the next machine.", nth, name, took)
		default:
			x.say("%s %s had it%s and gave it back before anything moved.", nth, name, took)
		}
		x.likely(name, p.Reason)
	}
}

// wanted says who had it made again after that epoch.
func (x *explainer) wanted(epoch int) string {
	for _, e := range x.Events {
		if e.Kind == fleet.EvAgain && e.Epoch == epoch+1 {
			return fmt.Sprintf("; %s had it made again at %s", term.Safe(e.By), x.clock(e.At))
		}
	}
	return ""
}

// causes are what most likely lies behind a reason of the shop's own; %s is the machine.
// Those of a machine say themselves what to look at.
var causes = map[string]string{
	"cut-off":            "%s's service was killed or its computer lost power in the middle of it",
	"begun-before":       "%s's service was killed or its computer lost power in the middle of it",
	"service-ends":       "somebody restarted or updated %s's service",
	fleet.CodeLeaving:    "somebody restarted or updated %s's service",
	fleet.CodeNotHeard:   "%s's computer or service stopped, or its network broke, after it had begun",
	fleet.CodeNotInHand:  "%s's service was killed, or its computer lost power or its network, before it began",
	fleet.CodeNoRecord:   "the folder of %s was lost or replaced: a new card in its computer, or its state was deleted",
	fleet.CodeRevoked:    "a person took the key of %s away",
	fleet.CodeBookBack:   "an older copy of the shop's store was put back",
	fleet.CodeBookLost:   "an older copy of the shop's store was put back, or its disk is damaged",
	fleet.CodeOrphan:     "an older copy of the shop's store was put back, or its disk is damaged",
	fleet.CodeLost:       "the disk of the shop's store is damaged",
	fleet.CodeOutOfStock: "the beans, milk or sugar that a second try needs were promised to others meanwhile",
}

// lastReason says why the last try, or all of it, came to this.
func (x *explainer) lastReason() {
	n := len(x.e.Past)
	if n == 0 || x.e.Owner == nil || x.e.By != "" {
		x.likely(x.e.Machine(), x.e.Reason)
		return
	}
	if r := x.e.Reason; r.Code != "" && r.Code == x.e.Past[n-1].Code {
		x.say("Try %d came to the same (%s).", n+1, figures(x.e.Machine(), r))
		return
	}
	before := len(x.says)
	x.likely(x.e.Machine(), x.e.Reason)
	for i, s := range x.says[before:] {
		x.says[before+i] = strings.Replace(s, "The reason:", fmt.Sprintf("The reason of try %d:", n+1), 1)
	}
}

// likely says what most likely lies behind a reason, and how it was recorded.
func (x *explainer) likely(machine string, r fleet.Reason) {
	switch r.Code {
	case fleet.CodeExpired, fleet.CodeSettled, fleet.CodeSaid, fleet.CodeCancelled: // the verdict says it
		return
	}
	figures := figures(machine, r)
	switch cause, operator := causes[r.Code], words.Operator("en", r.Code); {
	case strings.Contains(cause, "%s"):
		x.say("Most likely "+cause+" (%s).", machine, figures)
	case cause != "":
		x.say("Most likely %s (%s).", cause, figures)
	case operator != "":
		x.say("The reason: %s (%s).", strings.TrimRight(operator, "."), figures)
	default:
		if said := strings.TrimRight(term.Safe(Reason(r)), ". "); said != "" {
			x.say("The reason: %s.", said)
		}
	}
}

// figures is a reason for who looks it up.
func figures(machine string, r fleet.Reason) string {
	out := r.Code
	for _, more := range []string{r.Detail, r.Quote} {
		if more != "" && more != machine {
			out += ", " + term.Safe(more)
		}
	}
	return out
}

// customer says who was told what.
func (x *explainer) customer() {
	name, told := term.Safe(x.Order.Name), x.Told
	if told.Message != "" {
		s := fmt.Sprintf("%s was told %q", name, term.Safe(told.Message))
		if t := x.at(1, fleet.EvAccepted); !t.IsZero() {
			s += " at " + x.clock(t)
		}
		if told.Position > 0 {
			s += fmt.Sprintf(", place %d", told.Position)
		}
		if eta := Span(told.ETA); eta != "" {
			s += ", ready in " + eta
		}
		for _, e := range x.Events {
			if e.Kind == fleet.EvServed && e.ETAError != nil {
				s += "; it came" + strings.TrimPrefix(promised(*e.ETAError), ",")
			}
		}
		x.say("%s.", s)
	}
	switch x.e.Phase {
	case fleet.Unknown, fleet.Failed, fleet.Expired:
		if says := words.Customer("en", x.e.Code); says != "" {
			x.say("The order's page says now: %q", says)
		}
	}
}

// doses says what it took from the stock.
func (x *explainer) doses() {
	used := "Used from the stock"
	switch lost := slices.ContainsFunc(x.e.Past, func(p fleet.Past) bool { return p.Outcome == fleet.OutcomeUnknown }); {
	case x.e.Phase == fleet.Unknown:
		used = "Counted as used while nobody knows"
	case lost:
		used = "Used from the stock, counting the try of which nobody knows"
	}
	for _, l := range []struct {
		how   string
		items fleet.Items
	}{{used, x.Consumed}, {"Wasted", x.Wasted}, {"Set aside for it", x.Reserved}} {
		if len(l.items) > 0 {
			x.say("%s: %s.", l.how, amounts(l.items))
		}
	}
	if len(x.Consumed)+len(x.Wasted)+len(x.Reserved) == 0 {
		x.say("Nothing was used from the stock.")
	}
}

// machine is what is known of one.
func (x *explainer) machine(name string) (m fleet.Machine, known bool) {
	i := slices.IndexFunc(x.Machines, func(m fleet.Machine) bool { return m.Machine == name })
	if name == "" || i < 0 {
		return m, false
	}
	return x.Machines[i], true
}

// advise says what a person does now.
func (x *explainer) advise() {
	e, ref := x.e, x.Meant.Ref
	owner, known := x.machine(e.Machine())
	here := known && owner.Here
	switch e.Phase {
	case fleet.Accepted, fleet.Again:
		if x.makers() {
			x.say("Nothing is to be done: a machine that makes it is ready or at work.")
			x.then("follows it to its end", "barista why %s --watch", ref)
		} else {
			x.then("if nobody wants it any more", "barista cancel %s", ref)
		}
	case fleet.Claimed:
		switch {
		case !here:
			x.say("%s can't be reached; another machine that makes it takes over within half a minute.", e.Machine())
		case owner.Cup == "page":
			x.then("once a cup stands under "+e.Machine(), "barista machine cup %s", e.Machine())
		default:
			x.say("Put a cup under %s; it sees it by itself.", e.Machine())
		}
		x.then("follows it to its end", "barista why %s --watch", ref)
	case fleet.Brewing:
		if !here {
			x.say("%s can't be reached. If it says nothing until about %s, nobody knows what came of it, and then barista why says what to do.", e.Machine(), x.clock(doubtFrom(e)))
		}
		x.then("follows it to its end, or to where nobody knows", "barista why %s --watch", ref)
	case fleet.Unknown:
		x.doubt()
	case fleet.Served:
		x.say("Nothing is left to do for this order.")
		if x.illTriers(); len(x.next) == 0 {
			x.then("shows what else needs a hand", "barista status")
		}
	case fleet.Failed, fleet.Expired, fleet.Cancelled:
		x.anew()
	}
}

// doubt is what a person does about an order of which nobody knows.
func (x *explainer) doubt() {
	name, look := x.e.Machine(), "Look for a cup"
	if name != "" {
		m, known := x.machine(name)
		switch {
		case !known || !m.Here:
			x.say("%s can't be reached, so it may still pour.", name)
		case m.Owner.Same(*x.e.Owner) && x.e.By == "": // its own word: there is no better one
			x.say("%s is here again (%s), and its own records do not say more.", name, m.State)
		default:
			x.say("%s.", Reach(x.e.Claim, x.Machines))
		}
		look = "Look under " + name
	}
	x.say("%s: is there a full cup, or has %s taken it? Then type one of these.", look, term.Safe(x.Order.Name))
	x.then("no full cup: makes a new one; the doses are taken a second time", "barista again %s", x.Meant.Ref)
	x.then("a full cup: it was made", `barista settle %s made --reason "the cup was full"`, x.Meant.Ref)
	x.then("no full cup, and nobody wants one: its doses go back to the stock", `barista settle %s not-made --reason "no cup, not wanted"`, x.Meant.Ref)
}

// illTriers says which of the machines that lost this order still need a hand.
func (x *explainer) illTriers() {
	for _, p := range x.e.Past {
		if m, known := x.machine(p.Machine); known && !m.Able() {
			x.mend(m)
		}
	}
}

// anew is what a person does about an order that ended without a drink.
func (x *explainer) anew() {
	again := "makes the same drink as a new order; this one is over"
	switch e := x.e; {
	case e.Code == fleet.CodeUnwanted || e.Code == fleet.CodeSaid || e.Code == fleet.CodeSettled:
		x.say("Nothing is left to do for this order.")
		again = "if a drink is wanted after all: " + again
	case e.Phase == fleet.Cancelled:
		again = "if it was cancelled by mistake: " + again
	case e.Code == fleet.CodeOutOfStock:
		x.then("shows what is short; barista stock add ITEM AMOUNT books what you refill", "barista stock show")
	case !x.makers():
		again = "once one of them is ready: " + again
	default:
		x.illTriers()
		if m, known := x.machine(e.Machine()); known && !m.Able() {
			x.mend(m)
		}
	}
	x.then(again, "%s", reorder(x.Order))
}

// makers says, where no machine that makes the order is able, what is to be done to
// each that would; it reports whether one is able.
func (x *explainer) makers() bool {
	var ill []fleet.Machine
	for _, m := range x.Machines {
		switch {
		case !m.Makes(x.Order):
		case m.Able():
			return true
		default:
			ill = append(ill, m)
		}
	}
	say := "It waits because %s."
	if x.e.Phase.Ended() { // what it was like then nobody has written down
		say = "Now %s, and most likely it was so then."
	}
	switch {
	case x.Machines == nil:
		x.say("Which machines are here can't be said now.")
	case len(ill) == 0:
		x.say("No machine that is here, or was within a week, makes this drink.")
		x.then("shows who makes what", "barista machine ls")
	case len(ill) == 1:
		x.say(say, "the only machine that makes it takes no orders")
	default:
		x.say(say, fmt.Sprintf("none of the %d machines that make it takes orders", len(ill)))
	}
	for _, m := range ill {
		x.mend(m)
	}
	return false
}

// mend says what is amiss with a machine that is not able, and what a person does.
func (x *explainer) mend(machine fleet.Machine) {
	m := client.MachineOf(machine)
	says := amiss(m)
	if !slices.Contains(x.says, says) {
		x.say("%s", says)
	}
	n := m.Next()
	x.then(n.When, "%s", n.Command)
}

// amiss is a sentence about a machine that is not able.
func amiss(m client.Machine) string {
	why := m.Code
	if operator := words.Operator("en", m.Code); operator != "" {
		why += ": " + operator
	}
	why = strings.TrimRight(term.Safe(cmp.Or(why, m.Reason)), ". ")
	switch {
	case m.By != "" || m.State == fleet.StateCordoned:
		return fmt.Sprintf("%s was taken out of service by %s (%q).", m.Machine, term.Safe(m.By), term.Safe(m.Reason))
	case !m.Here:
		if why != "" {
			why = ", " + why
		}
		return fmt.Sprintf("%s is away%s: see to its power, its network, and its service on its own computer (systemctl status barista@%[1]s).", m.Machine, why)
	case m.State == fleet.StateFault:
		return fmt.Sprintf("%s stands still with a fault (%s).", m.Machine, why)
	case why != "":
		return fmt.Sprintf("%s is %s (%s).", m.Machine, m.State, why)
	}
	return fmt.Sprintf("%s is %s.", m.Machine, m.State)
}

// reorder is the command that orders the same drink anew.
func reorder(o fleet.Order) string {
	if o.IsCare() {
		return fmt.Sprintf("barista machine care %s %s", o.CareOf(), o.Size)
	}
	s := fmt.Sprintf("barista order --size %s --bean %s --milk %s", o.Size, o.Bean, o.Milk)
	if o.Sugar > 0 {
		s += fmt.Sprintf(" --sugar %d", o.Sugar)
	}
	return s + " --name " + shellName(o.Name)
}

// shellName is a customer's name for a line that a person pastes into a shell: only
// letters, digits, spaces and three marks of it are left, in quotes where it needs any.
func shellName(name string) string {
	plain := true
	kept := strings.Map(func(r rune) rune {
		switch {
		case r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.IsMark(r), strings.ContainsRune(" .-_", r):
			plain = false
		default:
			return -1
		}
		return r
	}, name)
	kept = strings.Join(strings.Fields(strings.TrimLeft(kept, "-. ")), " ")
	switch {
	case kept == "":
		return "guest"
	case plain:
		return kept
	}
	return "'" + kept + "'"
}

// Candidates are the orders that a person may have meant, each with what to type.
func Candidates(found []client.Meant) []string {
	var out []string
	for _, m := range slices.Backward(found[max(0, len(found)-9):]) {
		o := m.Order
		out = append(out, fmt.Sprintf("barista why %-6s %s, %s, %s, %s", m.Ref, m.Phase, m.Written.Local().Format("15:04"), term.Safe(o.Name), What(o.Size, o.Bean, o.Milk, o.Sugar)))
	}
	return out
}
