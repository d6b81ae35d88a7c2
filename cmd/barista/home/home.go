// Package home joins the room of Home Assistant with what a shop's process has: its
// controller, who is here, and what is on the shelf. It keeps nothing, and starts nothing
// but the stage that it makes, which is to be run after the controller and ended before
// it.
package home

import (
	"log/slog"

	"barista/cmd/barista/service"
	"barista/configs"
	"barista/fleet/controller"
	"barista/fleet/homeassistant"
	"barista/fleet/presence"
	"barista/fleet/queue"
	"barista/fleet/stock"
)

// Stage is what a file's section homeassistant has a service do.
func Stage(f *configs.HomeAssistant, c *queue.Conn, ctl *controller.Controller, roll *presence.Roll, version string, log *slog.Logger) service.Stage {
	return service.Stage{Name: "home assistant", Run: homeassistant.New(homeassistant.Parts{
		Place: ctl.Place, Menu: ctl.Menu, Machines: roll.Machines, Changed: roll.Changed, Levels: stock.Remote(c.Requester()).Levels,
		Bus: c, Log: log.With("room", "homeassistant"),
	}, homeassistant.Config{Orders: f.Orders, Attended: f.Attended, Name: f.Name, Drinks: f.Drinks, Version: version}).Run}
}
