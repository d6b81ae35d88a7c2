// Package gpio drives a coffee machine by the GPIO lines of a Linux board,
// mostly a Raspberry Pi: relays on its outputs, switches, a flow meter and a
// thermometer on its inputs.
//
// # What it promises
//
//   - An output becomes an output and takes its resting level in one call to the
//     kernel, so that an active-low relay doesn't click at the start. It is
//     never read back and never configured again: what it was told last is kept
//     in memory.
//   - Letting go of an output puts it at rest first, and then releases it. What
//     the pin does afterwards is the kernel's affair (Warnings says which).
//   - A line is found by its name, its place on the header, or the label of its
//     chip and an offset; never by the number of a chip, which changes with the
//     kernel. A line that somebody else uses is refused with that one's name.
//   - A contact of a relay (feedback) that says something else than the relay
//     was told is driver.ErrFeedback, and is handed over for others to look at.
//     Where the computer tells that its own supply is weak, as a Raspberry Pi
//     does, that is the signal driver.Power, without a word in the file.
//   - A sensor that cannot say is driver.ErrInvalid. Edges of the flow meter that
//     the kernel's queue lost are known by their numbers and counted.
//
// # How
//
// Lines are requested from the kernel's character device by go-gpiocdev, behind
// a door so narrow (door.go) that tests stand in for the kernel with a chip that
// fails the test on harm. Out and In are periph's gpio.PinOut and gpio.PinIn;
// the names of the header and the pulls at boot are periph's tables, and a
// thermocouple is read over periph's SPI. periph itself is never initialised: it
// would look for lines and configure them.
//
// A DS18B20 is read by the files of the kernel's own 1-Wire driver: that is what
// a Raspberry Pi with dtoverlay=w1-gpio offers to an ordinary user, while the
// raw bus that periph speaks to needs an administrator's rights and fights with
// the kernel for the sensor.
//
// # Who starts and stops it
//
// Open gives a driver.Rig to package guard, at rest. Its Close ends it. Only a
// thermometer has a goroutine, and the event queue of each line with edges; Close
// waits for them. SafeOff is for the moment after a crash. Nothing here may ever
// switch a part on by itself, keep a part on because a sensor says so, or read,
// configure or request an output a second time.
package gpio
