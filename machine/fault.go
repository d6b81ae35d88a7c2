package machine

import (
	"errors"
	"fmt"
	"strings"

	"barista/driver"
	"barista/driver/guard"
	"barista/machine/journal"
)

// Cause names a fault; it is the first word of a Report's reason.
type Cause string

// Mend says who ends a fault, and how.
type Mend string

// The ways to end one.
const (
	// Clear: latched on disk; a person looks at the machine and clears it.
	Clear Mend = "clear"
	// Fill: a person fills, empties or closes something, and its sensor shows it.
	Fill Mend = "fill"
	// Again: the machine steps back for a while and may try again; the third one
	// in a row is latched.
	Again Mend = "again"
	// Restart: the service is started anew, once the disk is well.
	Restart Mend = "restart"
)

// Reaction is what the machine does, in words.
func (m Mend) Reaction() Text {
	switch m {
	case Clear:
		return Text{"Tout est coupé, la machine est verrouillée, aussi après un redémarrage.", "Everything off; the machine is locked, over a restart too."}
	case Fill:
		return Text{"Tout est coupé, la machine attend et reprend d'elle-même quand le capteur le permet.", "Everything off; the machine waits, and goes on by itself when the sensor allows it."}
	case Again:
		return Text{"Tout est coupé, la machine s'écarte 30 s puis réessaie ; à la troisième fois de suite elle se verrouille.", "Everything off; the machine steps back for 30 s and tries again; the third time in a row locks it."}
	case Restart:
		return Text{"Tout est coupé, aucune boisson ne commence.", "Everything off; no drink begins."}
	}
	return Text{}
}

// Who may end the fault, in words.
func (m Mend) Who() Text {
	switch m {
	case Clear:
		return Text{"Une personne qui a regardé la machine, avec son nom et la raison : barista machine clear-fault NOM --reason \"…\".", "A person who looked at the machine, with name and reason: barista machine clear-fault NAME --reason \"…\"."}
	case Fill:
		return Text{"Quiconque remplit, vide, ferme ou répare : le capteur le montre.", "Whoever fills, empties, closes or mends: the sensor shows it."}
	case Again:
		return Text{"Personne : cela passe. Verrouillée, une personne qui a regardé la machine.", "Nobody: it passes. Once locked, a person who looked at the machine."}
	case Restart:
		return Text{"Qui tient l'ordinateur : disque sain, puis redémarrer le service.", "Whoever looks after the computer: the disk well, then the service started anew."}
	}
	return Text{}
}

// Text is a sentence for people.
type Text struct{ FR, EN string }

// Fault is one row: what can go wrong, and what then happens. The reaction is
// always that everything goes off first, within 50 ms of the reading that shows
// it (the loop looks every 20 ms); what comes after that is in Mend.
type Fault struct {
	Cause    Cause
	Detect   string          // how it is seen
	Outcome  journal.Outcome // of the drink, at worst; Untouched: it strikes before anything was used
	Mend     Mend
	Lacks    string // with Fill: what has run out, in one word
	Customer Text
	Operator Text
}

// The causes.
const (
	NoFlow      Cause = "no-flow"
	ShortFlow   Cause = "short-flow"
	OverFlow    Cause = "over-flow"
	NoGrind     Cause = "no-grind"
	Cold        Cause = "cold"
	HeatSlow    Cause = "heat-slow"
	HeatFast    Cause = "heat-fast"
	HeatFrozen  Cause = "heat-frozen"
	HeatSensor  Cause = "heat-sensor"
	TooHot      Cause = "too-hot"
	WeldedPump  Cause = "welded-pump"
	WeldedHeat  Cause = "welded-heater"
	TankEmpty   Cause = "tank"
	BeansEmpty  Cause = "beans"
	TrayFull    Cause = "tray"
	CupGone     Cause = "cup-gone"
	DoorOpen    Cause = "door"
	StopPressed Cause = "stop"
	SensorBad   Cause = "sensor"
	Feedback    Cause = "feedback"
	PowerLow    Cause = "power"
	Refused     Cause = "refused"
	Guard       Cause = "guard"
	Record      Cause = "record"
	Damaged     Cause = "journal"
	Appliance   Cause = "appliance"
)

var (
	elsewhere = Text{"Votre café est refait sur une autre machine.", "Your coffee is made again at another machine."}
	takenCare = Text{"La machine s'est arrêtée, quelqu'un s'en occupe.", "The machine has stopped, somebody takes care of it."}
)

// Faults is every fault that a machine knows. The figures are those of the
// hazard analysis (reliability figures of Klipper, Marlin and commercial
// machines); a simulated machine's times are divided by its speed.
var Faults = []Fault{
	{NoFlow, "flow meter: less than 0.5 ml within 1.5 s while the pump is on", journal.Spoiled, Again, "", elsewhere,
		Text{"La pompe tourne et l'eau ne vient pas : regarder l'arrivée d'eau, la pompe, le débitmètre.", "The pump runs and no water comes: look at the water line, the pump, the flow meter."}},
	{ShortFlow, "flow meter: less than 90 % of the water at the pour's limit in time", journal.Spoiled, Again, "", elsewhere,
		Text{"L'eau coule trop lentement : mouture trop fine, calcaire, ou pompe à calibrer.", "The water flows too slowly: ground too fine, scale, or a pump to be calibrated."}},
	{OverFlow, "flow meter: more than 2.5 times what the pump can give, or a count that falls", journal.Spoiled, Clear, "", elsewhere,
		Text{"Le débitmètre compte plus que la pompe ne donne : parasites ou capteur en panne.", "The flow meter counts more than the pump can give: noise on the wire, or a broken meter."}},
	{NoGrind, "scale: less than 0.2 g within 2 s while the grinder is on, or less than half at its end", journal.Spoiled, Again, "", elsewhere,
		Text{"Le moulin tourne et rien ne vient : grains coincés ou trémie vide.", "The grinder turns and nothing comes: jammed, or the hopper is empty."}},
	{Cold, "hot sensor: not at temperature within the limit", journal.Spoiled, Again, "", elsewhere,
		Text{"La chaudière n'est pas à température.", "The boiler is not at its temperature."}},
	{HeatSlow, "less than 2 °C in 20 s while the heater is on", journal.Untouched, Clear, "", elsewhere,
		Text{"Le chauffage est en marche et la température ne monte pas : résistance, fusible thermique, relais ou sonde.", "The heater is on and the temperature does not rise: element, thermal fuse, relay or probe."}},
	{HeatFast, "temperature rises by more than 10 °C in a second", journal.Untouched, Clear, "", takenCare,
		Text{"La température monte trop vite : chaudière à sec ou sonde en panne. Couper le courant.", "The temperature rises too fast: a dry boiler or a broken probe. Cut the power."}},
	{HeatFrozen, "the very same temperature for 10 s while the heater is on", journal.Untouched, Clear, "", elsewhere,
		Text{"La sonde de température est figée.", "The temperature probe is frozen."}},
	{HeatSensor, "three readings in a row that are invalid or out of -10 to 200 °C", journal.Spoiled, Clear, "", elsewhere,
		Text{"La sonde de température est coupée ou en court-circuit.", "The temperature probe is open or short."}},
	{TooHot, "temperature at or above the boiler's limit (125 °C by default)", journal.Spoiled, Clear, "", takenCare,
		Text{"La chaudière est trop chaude. Couper le courant, ne pas ouvrir.", "The boiler is too hot. Cut the power, don't open it."}},
	{WeldedPump, "flow meter: more than 2 ml while the pump is off, from 2 s after it went off", journal.Spoiled, Clear, "", takenCare,
		Text{"De l'eau coule alors que la pompe est coupée : relais collé ? Couper le courant et l'eau.", "Water flows while the pump is off: a welded relay? Cut power and water."}},
	{WeldedHeat, "more than 5 °C in 20 s, from 30 s after the heater went off", journal.Spoiled, Clear, "", takenCare,
		Text{"La chaudière chauffe alors que le chauffage est coupé : relais collé ? Couper le courant.", "The boiler heats while the heater is off: a welded relay? Cut the power."}},
	{TankEmpty, "level switch, before a drink; in it: with the heater on, with the pump on where there is no flow meter, or when the flow stops", journal.Spoiled, Fill, "water", elsewhere,
		Text{"Le réservoir d'eau est vide.", "The water tank is empty."}},
	{BeansEmpty, "hopper sensor, before a drink; in it: with the grinder on where there is no scale, or when the weight stops rising", journal.Spoiled, Fill, "beans", elsewhere,
		Text{"La trémie est vide.", "The bean hopper is empty."}},
	{TrayFull, "switch of the drip tray, before and during a drink", journal.Spoiled, Fill, "tray", elsewhere,
		Text{"Le bac d'égouttage est plein ou absent.", "The drip tray is full or missing."}},
	{CupGone, "cup sensor: no cup during a drink", journal.Spoiled, Fill, "", Text{"La tasse a été retirée trop tôt.", "The cup was taken away too early."},
		Text{"La tasse a été retirée pendant la préparation : essuyer.", "The cup was taken during the drink: wipe up."}},
	{DoorOpen, "switch of the door: with a drink in hand it latches, at rest the machine waits for it to be closed", journal.Spoiled, Clear, "door", elsewhere,
		Text{"La porte est ouverte.", "The door is open."}},
	{StopPressed, "the emergency stop, at any time", journal.Spoiled, Clear, "", takenCare,
		Text{"L'arrêt d'urgence est enfoncé.", "The emergency stop is pressed."}},
	{SensorBad, "three readings in a row of a sensor that the machine has are invalid", journal.Spoiled, Fill, "sensor", elsewhere,
		Text{"Un capteur ne répond pas.", "A sensor can't say."}},
	{Feedback, "contact of a relay: other than the guard commands for 180 ms, or it can't be read, with everything off too (looked at twice a second)", journal.Spoiled, Clear, "", takenCare,
		Text{"Un relais n'obéit pas : son contact dit autre chose que la commande. Collé, sans alimentation, ou fil coupé ? S'il reste en marche, couper le courant.", "A relay does not obey: its contact says something else than the command. Welded, without supply, or a broken wire? If it stays on, cut the power."}},
	// A motor that starts pulls the supply down for some ms, and the kernel's
	// flag shows that for 2 s: a drink in hand is finished, none begins before the
	// flag is down. A supply that stays low will take the computer with it, maybe
	// with a relay on or in the middle of a write: so everything goes off while
	// it still can. What a dead computer leaves on is the dead man's switch's.
	{PowerLow, "under-voltage flag of the computer: before a drink at once; in it after 5 s without a pause, which is more than a motor's start", journal.Spoiled, Fill, "power", elsewhere,
		Text{"L'alimentation de l'ordinateur est trop faible : bloc, câble, ou relais sur la même ligne 5 V.", "The computer's supply is too weak: power unit, cable, or relays on the same 5 V."}},
	{Refused, "the guard refuses to switch a part on (rest, ceiling, forbidden pair)", journal.Spoiled, Again, "", elsewhere,
		Text{"La protection refuse une commande : comparer recettes et limites.", "The guard refuses a command: compare recipes and limits."}},
	{Guard, "the guard tripped: a driver failed or hung, or the loop was silent", journal.Spoiled, Clear, "", takenCare,
		Text{"La protection a tout coupé.", "The guard has switched everything off."}},
	{Record, "a write or fsync of the journal failed", journal.Untouched, Restart, "", takenCare,
		Text{"Le journal ne peut plus être écrit : disque plein ou défectueux ? Puis redémarrer le service.", "The journal can't be written: is the disk full or broken? Then restart the service."}},
	{Damaged, "the journal is damaged in its middle, or belongs to other hardware", journal.Untouched, Clear, "", takenCare,
		Text{"Le journal est abîmé : vérifier ce que la machine a fait, puis l'accepter.", "The journal is damaged: see what the machine did, then accept it."}},
	{Appliance, "the appliance did not take the command, did not come to rest, or its product counter did not rise (one that is not ready is seen before: it is asked at rest, every 5 s)", journal.Spoiled, Again, "", elsewhere,
		Text{"La machine n'a pas fait le produit demandé : regarder son écran.", "The machine did not make the product: look at its display."}},
}

// FaultOf is the row of a cause.
func FaultOf(c Cause) Fault {
	for _, f := range Faults {
		if f.Cause == c {
			return f
		}
	}
	return Fault{Cause: c, Outcome: journal.Spoiled, Mend: Clear, Customer: takenCare, Operator: Text{string(c), string(c)}}
}

// failure is a fault that happened.
type failure struct {
	cause  Cause
	detail string // figures, which sensor
}

func (f *failure) row() Fault { return FaultOf(f.cause) }

// ofGuard is the fault by which the guard tripped.
func ofGuard(l guard.Latch) *failure {
	if l.Feedback {
		return &failure{Feedback, l.Cause}
	}
	return &failure{Guard, l.Cause}
}

// ofOff is the fault of something that could not be switched off.
func ofOff(err error) *failure {
	return ofGuard(guard.Latch{Cause: err.Error(), Feedback: errors.Is(err, driver.ErrFeedback)})
}

// locked is a latch in the words of the table: those of the row if the machine
// tripped by one, else those of the guard's own trip.
func locked(l guard.Latch) string {
	for _, f := range Faults {
		if strings.HasPrefix(l.Cause, (&failure{cause: f.Cause}).reason()) {
			return l.Cause
		}
	}
	return ofGuard(l).reason()
}

// reason is what reports and claims say: the cause, a sentence, the figures.
func (f *failure) reason() string {
	s := fmt.Sprintf("%s: %s", f.cause, f.row().Operator.EN)
	if f.detail != "" {
		s += " (" + f.detail + ")"
	}
	return s
}
