"""What comes in: catalogs, density maps, atomic models, simulated densities."""
