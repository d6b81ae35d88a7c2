package controller

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"barista/fleet"
)

// menuEvery is how often it is looked whether a class that left the menu has
// become empty, so that its queue can go.
const menuEvery = time.Minute

// menuCard is the menu in force and the one that is to come.
type menuCard struct {
	kick signal

	mu    sync.Mutex // guards what follows
	force fleet.Menu
	next  *fleet.Menu
}

// Menu is what the shop sells now; the zero menu before Run has read it.
func (c *Controller) Menu() fleet.Menu {
	c.menu.mu.Lock()
	defer c.menu.mu.Unlock()
	m := c.menu.force
	return fleet.Menu{Beans: slices.Clone(m.Beans), Milks: slices.Clone(m.Milks), Sizes: maps.Clone(m.Sizes)}
}

// watchSettings hears of a new menu.
func (c *Controller) watchSettings(ctx context.Context) error {
	set := false
	return c.p.Settings.Watch(ctx, func(key string, value []byte) {
		if key == fleet.KeyMenu {
			set = c.hearMenu(value) || set
		}
	}, func() {
		if !set {
			c.nextMenu(fleet.DefaultMenu())
		}
	})
}

// hearMenu reads a menu from the settings. One that is wrong changes nothing.
func (c *Controller) hearMenu(value []byte) bool {
	m := fleet.DefaultMenu()
	if value != nil {
		var err error
		if m, err = fleet.ParseMenu(value); err != nil {
			c.log.Error("the menu in the settings is wrong; the former one stays", "err", err)
			return false
		}
	}
	c.nextMenu(m)
	return true
}

func (c *Controller) nextMenu(m fleet.Menu) {
	c.menu.mu.Lock()
	c.menu.next = &m
	c.menu.mu.Unlock()
	c.menu.kick.raise()
}

// runMenu puts menus into force: first the queue learns the classes, then
// customers may order them. A class that left the menu is refused at once and
// leaves the queue when no order of it waits, in the queue or on its way there.
func (c *Controller) runMenu(ctx context.Context) {
	if !fleet.Await(ctx, c.p.Ledger.Ready()) {
		return
	}
	t := time.NewTicker(menuEvery)
	defer t.Stop()
	leaving := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.menu.kick:
		case <-t.C:
			if !leaving {
				continue
			}
		}
		c.menu.mu.Lock()
		m := c.menu.force
		if c.menu.next != nil {
			m = *c.menu.next
		}
		c.menu.mu.Unlock()
		classes := c.inUse(m)
		err := c.p.Orders.List(ctx, classes)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			c.log.Warn("the queue did not take the menu; trying again", "err", err)
			if fleet.Pause(ctx, time.Second) {
				c.menu.kick.raise()
			}
			continue
		}
		c.menu.mu.Lock()
		c.menu.force = m
		if c.menu.next != nil && slices.Equal(c.menu.next.Classes(), m.Classes()) {
			c.menu.force, c.menu.next = *c.menu.next, nil
		}
		more := c.menu.next != nil
		c.menu.mu.Unlock()
		if more {
			c.menu.kick.raise()
		}
		if !closed(c.gotMenu) {
			close(c.gotMenu)
		}
		leaving = len(classes) > len(m.Classes()) || c.leaving(ctx, m)
	}
}

// inUse are the menu's classes and those of open orders.
func (c *Controller) inUse(m fleet.Menu) []fleet.Class {
	classes := m.Classes()
	for _, class := range c.counted().classes {
		if !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	return classes
}

// leaving reports whether orders wait of a class that is not on the menu.
func (c *Controller) leaving(ctx context.Context, m fleet.Menu) bool {
	n, err := c.p.Orders.Waiting(ctx)
	if err != nil {
		return true // look again
	}
	for _, class := range m.Classes() {
		delete(n, class)
	}
	for _, waiting := range n {
		if waiting > 0 {
			return true
		}
	}
	return false
}
