"""Random draws from models. Nothing here bounds log Z; `bounds/` does that with what is drawn."""
