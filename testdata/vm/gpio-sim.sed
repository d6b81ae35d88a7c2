# What the test machine's GPIO chip can do beyond Linux's own simulator:
#
# rig_persist (parameter persist): an output that is released keeps its level, as
# on Raspberry Pi's own kernel without strict_gpiod. Otherwise the resistor of the
# line takes over, as on mainline Linux.
#
# rig_wired (parameter wired, on): the resistor inside the chip that a program
# asks for does not overrule what the world does to the wire; a closed contact is
# the stronger one.
/^static void gpio_sim_free(/i\
static bool rig_persist;\
module_param_named(persist, rig_persist, bool, 0644);\

/^static int gpio_sim_set_config(/i\
static bool rig_wired = true;\
module_param_named(wired, rig_wired, bool, 0644);\

s/return gpio_sim_apply_pull(chip, offset, \([01]\));/return rig_wired ? 0 : &/
s/: return gpio_sim_apply/: gpio_sim_apply/
/^static void gpio_sim_free(/,/^}/s/gpiochip_get_data(gc);/&\
\
	if (rig_persist \&\& !test_bit(offset, chip->direction_map))\
		return;/
