"""What a step over a process border costs: Saranwrap, its peers and the floors, side by side in one run. `python -m bench`."""
