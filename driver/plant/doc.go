// Package plant is the arithmetic of a coffee machine: what its metal would do
// if it were told to. A hopper loses grams while the grinder turns, a tank loses
// water while the pump runs, the water goes through the coffee in the basket and
// from there into the cup, or into the drip tray if none stands there. Faults
// can be put in, and what would harm real metal is written down.
//
// It is the judge in every test of "never poured twice". It knows nothing of
// orders and believes nobody: it only counts what flowed.
//
// # What a drink is
//
// A flow is the water that runs through one basket of coffee into one cup.
//
//   - The grinder fills the basket. When it starts after the pump has been
//     switched on, or when water runs again after more was ground, the machine
//     first throws the old grounds into the drawer: a new basket begins.
//   - A flow counts from 10 ml on. It belongs to the cup that stands
//     there; while no cup stands there, its water goes to the tray. A pause of
//     the pump does not end it, so a pre-infusion and its drink are one flow.
//   - A flow is a drink from the moment that DrinkML of water (three quarters of
//     a small cup) went through at least 1 g of coffee. It is counted then, once
//     and for ever: in a cup, in a cup that had a flow already ("full-cup"), or
//     in the tray, if no cup was there for most of it.
//   - When it has been a drink and 30 s have passed, or another basket or another
//     cup is there, more water makes another flow, and another drink if it is
//     enough of it, whether the grounds are new or used. So pumping twice into
//     one cup is two drinks, ground or not.
//   - A flow that stops before it is a drink is Partial; without coffee it is
//     Water. If it goes on, through the same grounds into the same cup, it may
//     still become a drink, and is then no longer counted as Partial.
//
// A large cup that was cut off after DrinkML is a drink here, because a customer
// could have it: the amounts say how much was in it. A recipe that grinds and
// pours twice for one cup makes two drinks here.
//
// # Time
//
// The plant has no goroutine. Each access first computes what happened since the
// last one, exactly, by steps from event to event: nothing depends on how often
// somebody looks. It takes the time from the monotonic clock, so it works in the
// fake time of testing/synctest if it was made there.
//
// With Speed 10 everything flows, heats and waits ten times as fast. What harms a
// part (a pump that runs dry, a grinder that never stops) stays in real seconds,
// as package guard's limits do.
//
// # In memory and as a process
//
// A *Plant may be used by any number of goroutines. Serve offers it on a unix
// socket, Dial reaches it there; whoever calls Serve stops it by its context.
// The process form goes on counting and holds its outputs when a client dies,
// as relay boards do. A plant never switches anything by itself, except at the
// end of a time that OnFor gave to it.
package plant
