"""How the captures in the folder above are made; `make.py` is the command."""
