package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"barista/cmd/barista/detect"
	"barista/cmd/barista/term"
	"barista/configs"
	kindjura "barista/configs/kinds/jura"
	"barista/driver"
	"barista/driver/gpio"
	"barista/driver/jura"
	"barista/driver/lcus"
	"barista/driver/modbus"
	"barista/driver/serial"
	"barista/fleet"
)

// setupPlan is what was answered: a machine, and the shop around it if that is to
// run here too.
type setupPlan struct {
	name, driver, cup   string
	beans, milks, sizes []string
	nats                string
	shop                *setupShop // nil: not here, or its file stays as it is
	page                string     // of the shop; "" if that is not here

	chip       []string // gpio
	port       string   // jura, modbus, lcus
	address    string   // modbus, and all that follow
	baud       string
	parity     string
	relays     string // lcus too
	first      string
	timer      string
	spare      string
	readBack   string // lcus: answers
	hotAssumed bool   // modbus, lcus
	model      string // jura, and all that follow
	serial     string
	products   []setupProduct

	outputs []setupPart
	inputs  []setupPart
}

// setupPart is a part or a signal with its keys, as they are written.
type setupPart struct {
	name string
	keys []string // "line: GPIO17", each safe as YAML
}

type setupProduct struct {
	size, what, cycles string
}

type setupShop struct {
	broker, web string
	perDay      string
	stock       [][2]string // item, amount
}

// The explanations of what a wrong answer could do.
const (
	moreCup = `Hot coffee without an empty cup below it is an accident, so this has no usual
answer.
  sensor     a sensor sees the cup
  dispenser  the machine drops one, and a sensor sees it
  page       the customer presses "my cup is there" on the order's page
  attended   a person stands beside it and takes the risk`
	moreActive = `Half of all relay boards are the other way round, so this has no usual answer. Look
the board up: most boards with optocouplers switch a relay on when the pin is
pulled to ground, which is low; MOSFET boards mostly with high. A wrong answer
turns rest into on.`
	moreDeadman = `When this computer dies or hangs, its outputs may stay as they are. Something else
has to cut this part off then, or hot water runs until somebody comes.
  external  a watchdog or time relay in the wiring cuts it off
  board     the relay board has a timer of its own that does
  none      nothing does; somebody has to accept that by name, in the file`
	moreSwitch = `high or low: at which level of its line it says yes. Yes is always the good answer: hot, a
cup, water, beans, room in the tray, door closed, stop not pressed. A switch to
ground that closes for the good answer is low.`
	moreHot = `Nothing on this board can tell whether the water is hot. If the boiler's own
thermostat keeps it so, and a person answers for that, say assumed.`
)

// setupQuestions asks everything. What was found is offered; it decides nothing.
func setupQuestions(a setupAnswers, found *detect.Found, keepShop *configs.File) setupPlan {
	var p setupPlan
	p.name = a.ask(question{
		key: "name", text: "name of this machine, unique in the fleet: a-z, 0-9 and -",
		more: "Customers read it (\"your cup is under zoe\"), and its files and its service are\ncalled by it.",
		check: func(s string) error {
			switch {
			case !fleet.IsToken(s):
				return errors.New("use 1 to 32 of a-z, 0-9 and -")
			case s == setupShopName:
				return errors.New("that is what the shop's own file is called")
			}
			return nil
		},
	})
	p.driver = a.ask(question{
		key: "driver", text: "how it is wired", words: slices.Sorted(maps.Keys(loader())), suggest: found.Driver(),
		more: `  mock    nothing: a simulated machine, to try things out
  gpio    relays and switches on the pins of a Raspberry Pi
  modbus  a Modbus RTU relay board on a serial port
  lcus    a cheap USB relay board with a CH340
  jura    a Jura on its service port, ordered by its own products`,
	})
	p.serves(a)
	p.cups(a)
	switch p.driver {
	case "gpio":
		p.onGPIO(a, found)
	case "modbus":
		p.onModbus(a, found)
	case "lcus":
		p.onLCUS(a, found)
	case "jura":
		p.onJura(a, found)
	}
	p.where(a, keepShop)
	return p
}

const setupShopName = "shop"

func (p *setupPlan) serves(a setupAnswers) {
	names := func(s string) error {
		for _, w := range setupWords(s) {
			if !fleet.IsToken(w) {
				return fmt.Errorf("%s can't be a name: use 1 to 32 of a-z, 0-9 and -", term.Quote(w))
			}
		}
		return nil
	}
	p.beans = setupWords(a.ask(question{
		key: "beans", text: "beans in its hopper", several: true, def: "arabica", check: names,
		more: "One or more, as on the shop's menu: arabica, robusta, mixed.",
	}))
	milk := func(s string) error {
		if p.driver == "jura" && s != fleet.NoMilk {
			return errors.New("nothing is known that counts a milk drink of such a machine, and what can't be proved is not made: only free, which is black coffee")
		}
		for _, w := range setupWords(s) {
			if real := fleet.MilkOf(w); real != w {
				return fmt.Errorf("%s is only another word that orders may use for %s", w, real)
			}
		}
		return names(s)
	}
	p.milks = setupWords(a.ask(question{
		key: "milk", text: "milk it can serve", several: true, def: fleet.NoMilk, check: milk,
		more: "free is black coffee. Others, as on the shop's menu: normal, soja.",
	}))
	var sizes []string
	for _, s := range fleet.Sizes {
		sizes = append(sizes, string(s))
	}
	p.sizes = setupWords(a.ask(question{
		key: "sizes", text: "sizes", several: true, words: sizes, def: strings.Join(sizes, " "),
		more: "By default small is 9 g of coffee, medium 17 g, large 30 g.",
	}))
}

func (p *setupPlan) cups(a setupAnswers) {
	words := configs.Cups
	if p.driver == "lcus" || p.driver == "jura" {
		words = []string{"page", "attended"} // nothing sees a cup there
	}
	p.cup = a.ask(question{key: "cup", text: "how it knows that a cup stands there", words: words, more: moreCup})
}

// where asks for the shop.
func (p *setupPlan) where(a setupAnswers, keep *configs.File) {
	shop := a.ask(question{
		key: "shop", text: "where the shop is (its broker, stock and website)", words: []string{"here", "elsewhere"},
		more: "here: this computer runs the shop too, as a second service: what switches metal\nruns alone in its process, because a busy one switches it off late.\nelsewhere: another computer or a NATS cluster does.",
	})
	if shop != "here" {
		if shop == "elsewhere" {
			p.nats = a.ask(question{
				key: "nats", text: "URL of the shop's broker, such as nats://shop.local:4222",
				more:  "No user and no password in it: secrets never stand in a file of the configuration.",
				check: setupServer,
			})
		}
		return
	}
	p.nats, p.page = "nats://"+configs.DefaultBroker, "http://"+configs.DefaultWeb
	if keep != nil && a.person() {
		again := a.ask(question{
			key: "", text: "there is a shop on this computer already; set it up anew", words: []string{"yes", "no"}, def: "no",
			more: "no: its file stays as it is, and this machine is one more of it.",
		})
		if again != "yes" {
			p.nats = "nats://" + keep.Broker.Listen
			if keep.Web != nil {
				p.page = "http://" + keep.Web.Listen
			} else {
				p.page = ""
			}
			return
		}
	}
	s := &setupShop{}
	p.shop = s
	s.broker = configs.DefaultBroker
	s.web = a.ask(question{
		key: "web", text: "address of the shop's website", def: configs.DefaultWeb,
		more: "Only addresses of this computer itself: there are no keys and no TLS yet.",
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
			key: "stock." + item, text: fmt.Sprintf("%s in stock now, in %s", item, unit[item]), def: "0", whole: [2]int{0, 10_000_000},
			more: "Filled in once, at the very first start; later barista stock add and count. An\norder is refused when there is not enough.",
		})
		if n != "" && n != "0" {
			s.stock = append(s.stock, [2]string{item, n})
		}
	}
}

// setupServer has the loader look at a URL, so that there is one opinion on it.
func setupServer(s string) error {
	err := configs.ParseMap("", []byte("a: "+yamlText(s)), func(m *configs.Map) { m.Get("a").Text() })
	if err == nil {
		_, err = configs.Parse("x.yaml", []byte("nats: {servers: ["+yamlText(s)+"]}\nweb:\n"), nil)
	}
	var all *configs.Problems
	if errors.As(err, &all) {
		return errors.New(all.List[0].Reason + "; " + all.List[0].Fix)
	}
	return err
}

// deadman asks what cuts a part off when this computer is dead.
func (p *setupPlan) deadman(a setupAnswers, part driver.Part, words ...string) []string {
	key := "outputs." + string(part)
	d := a.ask(question{
		key: key + ".deadman", text: fmt.Sprintf("what cuts the %s off when this computer is dead", part),
		words: words, more: moreDeadman,
	})
	if d == "" {
		return nil
	}
	keys := []string{"deadman: " + d}
	if d == string(driver.DeadmanNone) {
		who := a.ask(question{
			key: key + ".accept_no_deadman", text: fmt.Sprintf("nothing cuts the %s off then: who accepts that, and why", part),
			more: "It stands in the file under this person's name.",
			check: func(s string) error {
				if len([]rune(s)) < 3 {
					return errors.New("write a name and a reason")
				}
				return nil
			},
		})
		keys = append(keys, "accept_no_deadman: "+yamlText(who))
	}
	return keys
}

// usual are limits as in the samples: the built-in ones can only be lowered.
var setupUsual = map[driver.Part][]string{
	driver.Grinder: {"max_on: 20s", "rest: 10s", "inrush: a"},
	driver.Pump:    {"max_on: 60s", "inrush: a"},
	driver.Milk:    {"max_on: 30s"},
	driver.Sugar:   {"max_on: 5s"},
	driver.Heater:  {"max_on: 120s"},
	driver.Rinse:   {"max_on: 10s"},
}

// parts asks which parts there are. Grinder and pump are in every machine.
func (p *setupPlan) parts(a setupAnswers, heater bool) []driver.Part {
	need := []string{string(driver.Grinder), string(driver.Pump)}
	if slices.ContainsFunc(p.milks, func(m string) bool { return m != fleet.NoMilk }) {
		need = append(need, string(driver.Milk))
	}
	if p.cup == "dispenser" {
		need = append(need, string(driver.Cups))
	}
	var words []string
	for _, part := range driver.Parts {
		if part == driver.Heater && !heater {
			continue
		}
		if !a.person() || !slices.Contains(need, string(part)) {
			words = append(words, string(part))
		}
	}
	text := "its outputs, with a map for each"
	if a.person() {
		text = "it needs " + strings.Join(need, ", ") + "; which other parts hang on a relay"
	}
	picked := a.pick(question{
		key: "outputs", text: text, words: words,
		more: "sugar doses sugar, rinse rinses the milk's way. A heater needs a thermometer.",
	})
	if a.person() {
		picked = append(need, picked...)
	}
	var out []driver.Part
	for _, part := range driver.Parts { // in their order
		if slices.Contains(picked, string(part)) {
			out = append(out, part)
		}
	}
	return out
}

// signals asks which inputs there are.
func (p *setupPlan) signals(a setupAnswers, can []driver.Signal) []driver.Signal {
	need := []string{}
	if p.cup == "sensor" || p.cup == "dispenser" {
		need = append(need, string(driver.Cup))
	}
	var words []string
	for _, s := range can {
		if !a.person() || !slices.Contains(need, string(s)) {
			words = append(words, string(s))
		}
	}
	text := "its inputs, with a map for each"
	if a.person() {
		text = "which inputs are wired"
		if len(need) > 0 {
			text = "it needs an input for the cup; which others are wired"
		}
	}
	picked := a.pick(question{
		key: "inputs", text: text, words: words, def: "none",
		more: "Each one that is there ends a drink in time: tank, beans, tray, door, stop. hot or\ntemperature says when brewing may begin; flow measures the water. A sensor that\nis named and broken is a fault, never a guess.",
	})
	if a.person() {
		picked = append(need, picked...)
	}
	var out []driver.Signal
	for _, s := range driver.Signals {
		if slices.Contains(picked, string(s)) {
			out = append(out, s)
		}
	}
	return out
}

func (p *setupPlan) onGPIO(a setupAnswers, found *detect.Found) {
	labels := strings.Join(gpio.PiChips(), " ")
	if s := found.Chip(); s != "" {
		labels = s
	}
	p.chip = setupWords(a.ask(question{
		key: "chip", text: "label of the GPIO chip", several: true, def: labels,
		more: "Lines are looked up by name on a chip with one of these labels; barista detect\nshows them. A chip's number changes with the kernel.",
	}))
	line := func(key, who string) string {
		return "line: " + yamlText(a.ask(question{
			key: key + ".line", text: "line of the " + who + ", such as GPIO17 or P1_11",
			more:  "GPIO17 is the chip's numbering, P1_11 the place on the header, and\npinctrl-rp1:17 the chip's label with an offset. From power-up until the service\nruns the pin is pulled up (GPIO0 to 8) or down (9 to 27): take a relay that is\nactive high on the latter, one that is active low on GPIO4, 5 or 6.",
			check: func(s string) error { return gpio.Line(s).Check() },
		}))
	}
	levels := []string{string(gpio.Low), string(gpio.High)}
	parts := p.parts(a, true)
	for _, part := range parts {
		key := "outputs." + string(part)
		keys := []string{line(key, string(part)), "active: " + a.ask(question{
			key: key + ".active", text: fmt.Sprintf("level at which the %s is on", part), words: levels, more: moreActive,
		})}
		keys = append(keys, setupUsual[part]...)
		if part == driver.Pump || part == driver.Heater {
			keys = append(keys, p.deadman(a, part, string(driver.DeadmanExternal), string(driver.DeadmanBoard), string(driver.DeadmanNone))...)
		}
		p.outputs = append(p.outputs, setupPart{string(part), keys})
	}
	can := append(gpio.Switches(), driver.Flow, driver.Temperature)
	for _, s := range p.signals(a, can) {
		key := "inputs." + string(s)
		var keys []string
		switch s {
		case driver.Flow:
			keys = []string{line(key, "flow meter"), "pulses_per_ml: " + a.ask(question{
				key: key + ".pulses_per_ml", text: "pulses of the flow meter per ml, such as 1.9", number: [2]float64{0.05, 100},
				more: "The data sheet's pulses per litre divided by 1000. This measures the pour, so it\nhas no usual answer.",
			})}
		case driver.Temperature:
			t := a.ask(question{
				key: key + ".sensor", text: "the thermometer: SPI0.0 for a MAX31855, or the id of a DS18B20 (28-…)",
				more: "Ids stand in /sys/bus/w1/devices. The check at the end looks at it.",
			})
			if strings.HasPrefix(t, "28-") {
				keys = []string{"onewire: " + yamlText(t)}
			} else {
				keys = []string{"spi: " + yamlText(t)}
			}
		default:
			keys = []string{line(key, string(s)), "active: " + a.ask(question{
				key: key + ".active", text: fmt.Sprintf("level at which %s says yes", s), words: levels, more: moreSwitch,
			})}
		}
		p.inputs = append(p.inputs, setupPart{string(s), keys})
	}
}

// serialPort asks for the port and offers those that were found.
func (p *setupPlan) serialPort(a setupAnswers, found *detect.Found) {
	options, suggest := found.Named(p.driver)
	p.port = a.ask(question{
		key: "port", text: "serial port, by a name that stays the same", options: options, suggest: suggest,
		more: "ls -l /dev/serial/by-id shows the names. An adapter without a serial number is\nnamed by the socket that it is plugged into, /dev/serial/by-path.\n/dev/ttyUSB0 is another device whenever the order of plugging changes.",
		check: func(s string) error {
			if strings.HasPrefix(s, "./") {
				return nil // of a simulator
			}
			return driver.Refusal(serial.CheckName(s))
		},
	})
}

// onRelays asks for the relays of a board.
func (p *setupPlan) onRelays(a setupAnswers, most int, timer bool, taken string) {
	users := map[string]string{}
	if taken != "" {
		users[taken] = "the spare one"
	}
	for _, part := range p.parts(a, false) {
		key := "outputs." + string(part)
		n := a.ask(question{
			key: key + ".relay", text: fmt.Sprintf("number of the %s's relay, as printed on the board", part), whole: [2]int{1, most},
			check: func(s string) error {
				if who := users[s]; who != "" {
					return fmt.Errorf("relay %s is already that of %s", s, who)
				}
				return nil
			},
		})
		users[n] = "the " + string(part)
		keys := append([]string{"relay: " + n}, setupUsual[part]...)
		if part == driver.Pump && !timer {
			keys = append(keys, p.deadman(a, part, string(driver.DeadmanExternal), string(driver.DeadmanNone))...)
		}
		p.outputs = append(p.outputs, setupPart{string(part), keys})
	}
}

func (p *setupPlan) hot(a setupAnswers) {
	p.hotAssumed = a.ask(question{
		key: "hot", text: "nothing reads the boiler: say assumed if its own thermostat keeps it hot and a person answers for that",
		words: []string{"assumed"}, more: moreHot,
	}) == "assumed"
}

func (p *setupPlan) onModbus(a setupAnswers, found *detect.Found) {
	p.serialPort(a, found)
	var bauds []string
	for _, b := range modbus.Bauds {
		bauds = append(bauds, strconv.Itoa(b))
	}
	p.baud = a.ask(question{key: "baud", text: "its speed in baud", whole: [2]int{9600, 115200}, def: "9600", more: "One of " + strings.Join(bauds, ", ") + ", as on the board.", check: func(s string) error {
		if !slices.Contains(bauds, s) {
			return errors.New("give one of " + strings.Join(bauds, ", "))
		}
		return nil
	}})
	p.parity = a.ask(question{key: "parity", text: "its parity", words: []string{string(serial.None), string(serial.Even), string(serial.Odd)}, def: string(serial.None)})
	p.address = a.ask(question{key: "address", text: "its address on the line", whole: [2]int{1, 247}, def: "1"})
	board := found.At(p.port)
	relays, first := "", "0"
	if board != nil && board.Hints["relays"] != "" {
		relays, first = board.Hints["relays"], board.Hints["first"]
	}
	p.relays = a.ask(question{
		key: "relays", text: "how many relays the board has", whole: [2]int{1, modbus.MaxRelays}, suggest: relays,
		more: "Count them: some boards answer for more than they have.",
	})
	p.first = a.ask(question{
		key: "first", text: "number of its first relay on the wire: 0, or 1 on some boards", whole: [2]int{0, 1}, def: first,
		more: "A wrong one moves the neighbour. barista detect sees boards that refuse 0.",
	})
	p.timer = a.ask(question{
		key: "timer", text: "does the board open a relay by itself after a time",
		words: []string{string(modbus.TimerFlash), string(modbus.TimerAssumed), string(modbus.TimerNone)},
		more:  "  flash-on  it does, and one relay with nothing on it is closed for half a second\n            at each start to prove it\n  assumed   it does, on your word; no relay is free to prove it\n  none      it does not (firmware before September 2021): the pump then needs a\n            dead man's switch in the wiring",
	})
	if p.timer == string(modbus.TimerFlash) {
		p.spare = a.ask(question{key: "spare_relay", text: "number of a relay with nothing on it, for that proof", whole: [2]int{1, modbus.MaxRelays}})
	}
	p.onRelays(a, modbus.MaxRelays, p.timer != string(modbus.TimerNone), p.spare)
	sees := false
	for _, s := range p.signals(a, modbus.Contacts) {
		sees = sees || s == driver.Hot
		key := "inputs." + string(s)
		p.inputs = append(p.inputs, setupPart{string(s), []string{
			"contact: " + a.ask(question{key: key + ".contact", text: fmt.Sprintf("number of the contact of %s, as printed on the board", s), whole: [2]int{1, modbus.MaxRelays}}),
			"active: " + a.ask(question{
				key: key + ".active", text: fmt.Sprintf("is a closed contact the good answer of %s (high) or an open one (low)", s), words: []string{"high", "low"},
				more: "Good is: hot, a cup, water, beans, room in the tray, door closed, stop not pressed.\nClosed is better: a broken wire then reads as no.",
			}),
		}})
	}
	if !sees {
		p.hot(a)
	}
}

func (p *setupPlan) onLCUS(a setupAnswers, found *detect.Found) {
	p.serialPort(a, found)
	p.relays = a.ask(question{key: "relays", text: "how many relays the board has", whole: [2]int{1, lcus.MaxRelays}, check: func(s string) error {
		if !slices.Contains([]string{"1", "2", "4", "8"}, s) {
			return errors.New("these boards have 1, 2, 4 or 8")
		}
		return nil
	}})
	p.readBack = a.ask(question{
		key: "answers", text: "does it answer the question for its relays", def: string(lcus.AnswersNone),
		words: []string{string(lcus.AnswersNone), string(lcus.AnswersText), string(lcus.AnswersBytes)},
		more:  "Most boards answer nothing: none. Some send lines like CH1:OFF (text), or a byte for\neach relay (bytes); then every command is read back.",
	})
	p.onRelays(a, lcus.MaxRelays, false, "")
	p.hot(a)
}

func (p *setupPlan) onJura(a setupAnswers, found *detect.Found) {
	p.serialPort(a, found)
	suggest := ""
	if f := found.At(p.port); f != nil {
		suggest = f.Hints["model"]
	}
	p.model = a.ask(question{
		key: "model", text: "its model, as it answers TY:", words: jura.Orderable(), suggest: suggest,
		more: "barista detect shows the answer. Other models are not known well enough to be\nordered from: a wrong key on the wrong model does something else.",
	})
	p.serial = a.ask(question{
		key: "serial", text: "number on its type plate",
		more: "The machine does not tell it, and its counter proves a drink only for the machine\nthat made it.",
		check: func(s string) error {
			if len(s) > 64 {
				return errors.New("at most 64 characters")
			}
			return nil
		},
	})
	model, known := jura.ModelOf(p.model)
	if !known {
		return
	}
	doses := fleet.DefaultMenu().Sizes
	for _, size := range p.sizes {
		dose := doses[fleet.Size(size)]
		least, most, fits := kindjura.Cycles(float64(dose.Grams))
		if !fits {
			least, most = 1, 1
		}
		s := setupProduct{size: size}
		s.what = a.ask(question{
			key: "products." + size + ".make", text: "its product for a " + size, words: model.Products(), suggest: model.Products()[0],
			more: "Amounts and strength are set at the machine.",
		})
		s.cycles = a.ask(question{
			key: "products." + size + ".cycles", text: fmt.Sprintf("how often it makes that for the %d g of a %s", dose.Grams, size), suggest: strconv.Itoa(least), whole: [2]int{1, 8},
			more: fmt.Sprintf("It brews 7 to 10 g at a time, so %s. To refuse the size instead, leave it\nout of sizes.", kindjura.FromTo(least, most)),
		})
		p.products = append(p.products, s)
	}
}
