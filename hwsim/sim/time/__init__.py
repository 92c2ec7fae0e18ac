"""Time, traffic and energy of a network on a machine, from shapes and formats alone: tensor values are not asked."""
