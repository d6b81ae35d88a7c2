package setup

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"barista/cmd/barista/detect"
	"barista/cmd/barista/gate"
	"barista/cmd/barista/term"
	"barista/configs"
	"barista/configs/kinds"
	"barista/fleet"
)

// plan is what was answered: a machine, and the shop around it if that is to run
// here too.
type plan struct {
	name, cup           string
	kind                kinds.Kind
	form                *kinds.Form // its keys with their answers
	beans, milks, sizes []string
	port                string

	outputs, inputs, products []row

	nats string
	nkey string // file of the machine's key; "" where the shop has none
	ca   string // file of the shop's authority
	more string // what a person has to do for the key, if it is not made by itself
	shop *shop  // nil: not here, or its file stays as it is
	page string // of the shop; "" if that is not here
}

// shop is what was answered of it.
type shop struct {
	broker, web string
	perDay      string
	stock       [][2]string // item, amount
}

const moreCup = `Hot coffee without an empty cup below it is an accident, so this has no usual
answer.
  sensor     a sensor sees the cup
  dispenser  the machine drops one, and a sensor sees it
  page       the customer presses "my cup is there" on the order's page
  attended   a person stands beside it and takes the risk`

const shopName = "shop"

// questions asks everything. What was found is offered; it decides nothing.
func (r *Run) questions(a answers, found *detect.Found, keepShop *configs.File) plan {
	var p plan
	p.name = a.ask(question{
		key: "name", text: "name of this machine, unique in the fleet: a-z, 0-9 and -",
		more: "Customers read it (\"your cup is under zoe\"), and its files and its service are\ncalled by it.",
		check: func(s string) error {
			switch {
			case !fleet.IsToken(s):
				return errors.New("use 1 to 32 of a-z, 0-9 and -")
			case s == shopName:
				return errors.New("that is what the shop's own file is called")
			case !fleet.IsMachine(s):
				return errors.New("that is a name of the shop's own")
			}
			return nil
		},
	})
	var names, more []string
	for _, k := range r.Kinds {
		names = append(names, k.Name)
		more = append(more, fmt.Sprintf("  %-7s %s", k.Name, k.Title))
	}
	slices.Sort(names)
	p.kind, _ = r.Kinds.Of(a.ask(question{key: "driver", text: "how it is wired", words: names, suggest: found.Driver(), more: strings.Join(more, "\n")}))
	form := &kinds.Form{} // of an unknown kind
	if p.kind.New != nil {
		_, form = p.kind.New()
	}
	p.serves(a, form)
	p.cups(a, form)
	if p.kind.New != nil {
		p.wiring(a, found)
	}
	p.where(a, keepShop)
	return p
}

func (p *plan) serves(a answers, f *kinds.Form) {
	names := func(s string) error {
		for _, w := range kinds.Split(s) {
			if !fleet.IsToken(w) {
				return fmt.Errorf("%s can't be a name: use 1 to 32 of a-z, 0-9 and -", term.Quote(w))
			}
		}
		return nil
	}
	p.beans = kinds.Split(a.ask(question{
		key: "beans", text: "beans in its hopper", several: true, def: "arabica", check: names,
		more: "One or more, as on the shop's menu: arabica, robusta, mixed.",
	}))
	milk := func(s string) error {
		if f.Milk != nil {
			if err := f.Milk(s); err != nil {
				return err
			}
		}
		for _, w := range kinds.Split(s) {
			if real := fleet.MilkOf(w); real != w {
				return fmt.Errorf("%s is only another word that orders may use for %s", w, real)
			}
		}
		return names(s)
	}
	p.milks = kinds.Split(a.ask(question{
		key: "milk", text: "milk it can serve", several: true, def: fleet.NoMilk, check: milk,
		more: "free is black coffee. Others, as on the shop's menu: normal, soja.",
	}))
	var sizes []string
	for _, s := range fleet.Sizes {
		sizes = append(sizes, string(s))
	}
	p.sizes = kinds.Split(a.ask(question{
		key: "sizes", text: "sizes", several: true, words: sizes, def: strings.Join(sizes, " "),
		more: "By default small is 9 g of coffee, medium 17 g, large 30 g.",
	}))
}

func (p *plan) cups(a answers, f *kinds.Form) {
	words := configs.Cups
	if f.Cups != nil {
		words = f.Cups
	}
	p.cup = a.ask(question{key: "cup", text: "how it knows that a cup stands there", words: words, more: moreCup})
}

// where asks for the shop.
func (p *plan) where(a answers, keep *configs.File) {
	at := a.ask(question{
		key: "shop", text: "where the shop is (its broker, stock and website)", words: []string{"here", "elsewhere"},
		more: "here: this computer runs the shop too, as a second service: what switches metal\nruns alone in its process, because a busy one switches it off late.\nelsewhere: another computer or a NATS cluster does.",
	})
	if at != "here" {
		if at == "elsewhere" {
			p.nats = a.ask(question{
				key: "nats", text: "URL of the shop's broker, such as nats://shop.local:4222",
				more:  "No user and no password in it: secrets never stand in a file of the configuration.",
				check: server,
			})
			if strings.HasPrefix(p.nats, "tls:") {
				p.nkey, p.ca = configs.Credential, "/etc/barista/shop-ca.pem"
				p.more = "Both come with: barista enroll CODE --shop ADDR; the shop's operator has the code."
			}
		}
		return
	}
	p.page = "http://" + configs.DefaultWeb
	p.guarded(configs.DefaultBroker, filepath.Join(configs.UsualState, shopName))
	if keep != nil && a.person() {
		again := a.ask(question{
			key: "", text: "there is a shop on this computer already; set it up anew", words: []string{"yes", "no"}, def: "no",
			more: "no: its file stays as it is, and this machine is one more of it.",
		})
		if again != "yes" {
			p.guarded(keep.Broker.Listen, keep.State)
			switch {
			case keep.Broker.NoKeys:
				p.nats, p.nkey, p.ca = "nats://"+keep.Broker.Listen, "", ""
			case !slices.Contains(keep.Broker.Machines, p.name):
				p.more = "The shop makes it when its file lists this machine: broker: {machines: [..., " + p.name + "]}"
			}
			if keep.Web != nil {
				p.page = "http://" + keep.Web.Listen
			} else {
				p.page = ""
			}
			return
		}
	}
	s := &shop{}
	p.shop = s
	s.broker = configs.DefaultBroker
	s.web = a.ask(question{
		key: "web", text: "address of the shop's website", def: configs.DefaultWeb,
		more: "This computer alone can open it there. With 0.0.0.0:8080 the house's network can,\nover TLS with the shop's own certificate, which each browser asks about once.",
	})
	p.page = "http://" + s.web
	s.perDay = a.ask(question{
		key: "orders_per_day", text: "orders on a busy day", def: strconv.Itoa(configs.DefaultOrdersPerDay), whole: [2]int{1, 100_000},
		more: "Sizes the streams on disk.",
	})
	items := []string{}
	unit := map[string]string{}
	for _, b := range p.beans {
		items, unit[b] = append(items, b), "g"
	}
	for _, m := range p.milks {
		if m != fleet.NoMilk && fleet.IsToken(fleet.MilkItem(m)) {
			items, unit[fleet.MilkItem(m)] = append(items, fleet.MilkItem(m)), "ml"
		}
	}
	items, unit[fleet.ItemSugar] = append(items, fleet.ItemSugar), "doses"
	for _, item := range items {
		n := a.ask(question{
			key: "stock." + item, text: fmt.Sprintf("%s in stock now, in %s", item, unit[item]), def: "0", whole: [2]int{0, fleet.MaxAmount},
			more: "Filled in once, at the very first start; later barista stock add and count. An\norder is refused when there is not enough.",
		})
		if n != "" && n != "0" {
			s.stock = append(s.stock, [2]string{item, n})
		}
	}
}

// guarded is a broker of this computer that has keys: it makes that of the machine.
func (p *plan) guarded(listen, state string) {
	_, port, _ := strings.Cut(listen, ":")
	p.nats = "tls://127.0.0.1:" + port
	p.nkey, p.ca = gate.MachineKey(state, p.name), gate.CA(state)
}

// server has the loader look at a URL, so that there is one opinion on it.
func server(s string) error {
	err := configs.ParseMap("", []byte("a: "+kinds.YAML(s)), func(m *configs.Map) { m.Get("a").Text() })
	if err == nil {
		_, err = configs.Parse("x.yaml", []byte("nats: {servers: ["+kinds.YAML(s)+"]}\nweb:\n"), nil)
	}
	var all *configs.Problems
	if errors.As(err, &all) {
		return errors.New(all.List[0].Reason + "; " + all.List[0].Fix)
	}
	return err
}
